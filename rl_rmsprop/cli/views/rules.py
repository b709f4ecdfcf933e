"""What `rl-rmsprop rules` shows: every β rule in a line, and curves of β over updates as a picture and in the terminal.

The rules run on a made-up gradient: Gaussian noise whose length grows tenfold at half-time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rl_rmsprop import rules
from rl_rmsprop.detectors import DETECTORS, OFFLINE
from rl_rmsprop.optimizer.adaptive_rmsprop import AdaptiveRMSprop
from rl_rmsprop.reactions import REACTIONS
from rl_rmsprop.signals import SIGNALS

EXAMPLES = {
    "constant": "0.99",
    "half_life": "half_life:updates=69",
    "linear": "linear:start=0.5,end=0.99",
    "cosine": "cosine:start=0.5,end=0.99",
    "exponential": "exponential:start=0.5,end=0.99",
    "polynomial": "polynomial:start=0.5,end=0.99,power=2",
    "cyclic": "cyclic:start=0.5,end=0.99,period=250",
    "piecewise": "piecewise:values=0.9/0.99/0.999,at=300/600",
    "harmonic": "harmonic:max=0.99",
    "power": "power:c=0.8",
    "sc_rmsprop": "sc_rmsprop:gamma=0.9",
    "cusum": "cusum:arl=50000,max=0.99",
    "page_hinkley": "page_hinkley:arl=50000,max=0.99",
    "ewma": "ewma:arl=50000,gain=0.1",
    "e_sr": "e_sr:arl=50000",
    "tracking_signal": "tracking_signal:low=0.5",
    "never": "never:max=0.99",
    "periodic": "periodic:every=250",
    "oracle": "oracle:at=500",
    "random": "random:every=250",
    "asymmetric": "asymmetric:rise=0.9,fall=0.999",
    "mixture": "mixture",
}
"""An example of every rule but `yoked`, which needs a folder; a test holds this to the tables of rules."""

PARAMETERS = 100
MOST_UPDATES = 100_000
BLOCKS = " ▁▂▃▄▅▆▇█"


def show(texts: Sequence[str], updates: int, out: Path, console: Console) -> None:
    """List the rules (or those in `texts`), draw β over `updates` updates here and into the picture `out`."""
    if not 2 <= updates <= MOST_UPDATES:
        raise ValueError(f"updates must be from 2 to {MOST_UPDATES}, got {updates}")
    twice = [text for text, count in Counter(texts).items() if count > 1]
    if twice:
        raise ValueError(f"each rule may be given once, got {twice[0]} twice")
    if out.suffix != ".png":
        raise ValueError(f"out must name a .png file, got {out}")
    chosen = {text: text for text in texts} if texts else EXAMPLES
    curves = {name: beta_curve(text, updates) for name, text in chosen.items()}
    table = Table("rule", "what β does")
    table.add_column(f"window over {updates} updates", no_wrap=True)
    for name, curve in curves.items():
        table.add_row(Text(chosen[name]), Text(description(chosen[name])), sparkline(curve))
    console.print(table)
    console.print(
        "The gradient grows tenfold at half-time. Join schedules with +, as in linear:start=0,end=0.9,steps=500+0.99",
        soft_wrap=True,
    )
    choices = f"reaction={'|'.join(REACTIONS)}, schedule=…, signal={'|'.join(SIGNALS)}"
    console.print(f"Detectors also take {choices}", soft_wrap=True)
    console.print(
        "yoked:runs=FOLDER replays the recorded alarms of another arm, each run those of the next seed; compare also takes "
        "controls of an arm beside it, as in yoked@cusum, random@cusum, oracle@cusum, mean_beta@cusum",
        soft_wrap=True,
    )
    console.print(
        f"Only for replaying recorded signals (pip install 'rl-rmsprop[river]'): {', '.join(OFFLINE)}",
        soft_wrap=True,
        markup=False,
    )
    draw(curves, out)
    console.print(f"curves: {out}", soft_wrap=True)


def beta_curve(text: str, updates: int) -> NDArray[np.float64]:
    """β (its mean over parameters, for a law) at every update of an optimizer fed with the made-up gradient."""
    rule = rules.resolve(rules.parse(text), updates)
    noise = torch.Generator().manual_seed(0)
    weight = torch.nn.Parameter(torch.zeros(PARAMETERS))
    optimizer = AdaptiveRMSprop([weight], lr=0.0, alpha=rule, bias_correction=True)
    curve = np.empty(updates)
    for t in range(updates):
        weight.grad = torch.randn(PARAMETERS, generator=noise) * (10.0 if t >= updates // 2 else 1.0)
        optimizer.step()
        curve[t] = float(optimizer.param_groups[0]["alpha"])
    return curve


def description(text: str) -> str:
    """The first sentence of the docstring of the rule's most particular part."""
    rule = rules.parse(text)
    part: object = rule
    if isinstance(rule, rules.Adaptive):
        controlled = rule.detector if type(rule.detector) is not DETECTORS["never"] else rule.schedule
        part = rule.detector if text.startswith("never") else controlled
    return " ".join((type(part).__doc__ or "").split("\n")[0].split())


def sparkline(curve: NDArray[np.float64], width: int = 36) -> str:
    """The window, from 1 to 1000 updates on a logarithmic scale, as a row of blocks; each is the shortest of its updates."""
    pieces = np.array_split(curve, min(width, len(curve)))
    heights = [-np.log10(1 - piece.min()) / 3 for piece in pieces]
    return "".join(BLOCKS[min(int(height * 8) + 1, 8)] for height in heights)


def draw(curves: dict[str, NDArray[np.float64]], out: Path) -> None:
    """A small panel for each rule: the window 1/(1 − β) on a logarithmic axis, where β = 0.9 and 0.99 differ visibly."""
    rows = -(-len(curves) // 3)
    figure, grid = plt.subplots(rows, 3, figsize=(12, 2.1 * rows), sharex=True, sharey=True, layout="constrained", squeeze=False)
    highest = 1.5 * max(1 / (1 - curve.max()) for curve in curves.values())
    for axes, (name, curve) in zip(grid.flat, curves.items(), strict=False):
        axes.set(title=name, yscale="log", ylim=(0.8, highest))  # given, since a constant alone has no height to scale by
        axes.plot(np.arange(1, len(curve) + 1), 1 / (1 - curve), lw=1.2)
        axes.axvline(len(curve) / 2, color="0.7", ls=":", lw=1)
        axes.grid(alpha=0.3)
    for axes in grid.flat[len(curves) :]:
        axes.set_visible(False)
    figure.supxlabel("updates (dotted: |g| grows tenfold)")
    figure.supylabel("window 1/(1 − β), updates")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110, metadata={"Software": None})
    plt.close(figure)
