"""What `rl-rmsprop rules` shows: every β rule in a line, and curves of β over updates as a picture and in the terminal.

The rules run on a made-up gradient: Gaussian noise whose length grows tenfold at half-time, with an lr that falls linearly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rl_rmsprop import rules, step_sizes
from rl_rmsprop.detectors import DETECTORS, OFFLINE
from rl_rmsprop.laws import LAWS
from rl_rmsprop.optimizer.adaptive_rmsprop import AdaptiveRMSprop
from rl_rmsprop.reactions import REACTIONS
from rl_rmsprop.schedules import SCHEDULES
from rl_rmsprop.signals import SIGNALS
from rl_rmsprop.study.report import plotting

KINDS: dict[tuple[str, str], dict[str, type[Any]]] = {
    ("Schedules", "β follows from the number of updates."): dict(SCHEDULES),
    ("Detectors", "A shift of the gradients restarts or bends a schedule."): {n: d for n, d in DETECTORS.items() if d.listens},
    ("Controls", "The same, at times that the gradients do not decide."): {n: d for n, d in DETECTORS.items() if not d.listens},
    ("Laws", "E itself decides how fast it forgets, or what it takes of g²."): dict(LAWS),
}
"""Kind of rule and what it does → its rules by name."""

STEP_SIZES = ("Step sizes", "Given with --lr-rule, under any β rule: how long a step is.")
"""The kind of what decides the step and not β, so that there is no curve of β to draw."""

EXAMPLES: dict[str, str] = {name: rule.example for kind in KINDS.values() for name, rule in kind.items() if rule.example}
"""The example of every rule that needs no files."""

NUMBER_OF_PARAMETERS = 100
STEPS_PER_UPDATE = 128
"""Environment steps for each update, for rules that count them: those of A2C on CartPole-v1."""
UPDATES_PER_ROLLOUT = 100
LR = 0.003
MOST_UPDATES = 100_000
BLOCKS = " ▁▂▃▄▅▆▇█"

Curves = dict[str, NDArray[np.float64]]


def show(texts: Sequence[str], updates: int, out: Path, console: Console) -> None:
    """List the rules (or those in `texts`), draw β over `updates` updates here and into the picture `out`."""
    if not 2 <= updates <= MOST_UPDATES:
        raise ValueError(f"updates must be from 2 to {MOST_UPDATES}, got {updates}")
    twice = [text for text, count in Counter(texts).items() if count > 1]
    if twice:
        raise ValueError(f"each rule may be given once, got {twice[0]} twice")
    if out.suffix != ".png":
        raise ValueError(f"out must name a .png file, got {out}")
    curves = {text: beta_curve(text, updates) for text in texts or EXAMPLES.values()}
    groups = {("", ""): {text: description(text) for text in texts}} if texts else all_rules()
    console.print(listing(groups, curves, updates))
    console.print(
        f"The gradient grows tenfold at half-time, and lr falls linearly from {LR} to 0. An update has {STEPS_PER_UPDATE} "
        f"environment steps, a rollout {UPDATES_PER_ROLLOUT} updates. Join schedules with +, as in "
        "linear:start=0,end=0.9,steps=500+0.99",
        soft_wrap=True,
    )
    choices = f"reaction={'|'.join(REACTIONS)}, schedule=…, signal={'|'.join(SIGNALS)}"
    console.print(f"Detectors also take {choices}", soft_wrap=True)
    console.print(
        "yoked:runs=FOLDER repeats the recorded alarms of another arm, each run those of the next seed; compare also takes "
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


def all_rules() -> dict[tuple[str, str], dict[str, str]]:
    """Kind of rule, step sizes too, → text of each of its rules → what it does."""
    tables: dict[tuple[str, str], dict[str, type[Any]]] = {**KINDS, STEP_SIZES: dict(step_sizes.STEP_SIZES)}
    return {
        kind: {rule.example or needed_keys(name, rule): first_sentence(rule) for name, rule in table.items()}
        for kind, table in tables.items()
    }


def needed_keys(name: str, rule: type[Any]) -> str:
    """A rule's name with the keys that it cannot do without."""
    return f"{name}:{','.join(f'{field.name}=…' for field in fields(rule))}"


def description(text: str) -> str:
    """What a rule does, by the docstring of its most particular part."""
    rule = rules.parse(text)
    if isinstance(rule, rules.Adaptive):
        is_schedule = type(rule.detector) is DETECTORS["never"] and not text.startswith("never")
        return first_sentence(type(rule.schedule if is_schedule else rule.detector))
    return first_sentence(type(rule))


def first_sentence(kind: type[Any]) -> str:
    """The first line of a docstring, and the source."""
    source = f" [{kind.source}]" if getattr(kind, "source", "") else ""
    return (kind.__doc__ or "").split("\n")[0] + source


def listing(groups: Mapping[tuple[str, str], Mapping[str, str]], curves: Curves, updates: int) -> Table:
    """A row a rule: its text, what it does, its window; kinds have a line between them."""
    table = Table()
    table.add_column("rule", overflow="fold")
    table.add_column("what β does")
    table.add_column(f"window over {updates} updates", no_wrap=True)
    for (kind, purpose), texts in groups.items():
        if kind:
            table.add_row(Text(kind, style="bold"), Text(purpose, style="bold"))
        for text, what in texts.items():
            table.add_row(Text(text), Text(what), sparkline(curves[text]) if text in curves else "")
        table.add_section()
    return table


def beta_curve(text: str, updates: int) -> NDArray[np.float64]:
    """β (its mean over parameters, for a law) at every update of an optimizer fed with the made-up gradient."""
    rule = rules.resolve(rules.parse(text), updates, STEPS_PER_UPDATE)
    noise = torch.Generator().manual_seed(0)
    weight = torch.nn.Parameter(torch.zeros(NUMBER_OF_PARAMETERS))
    optimizer = AdaptiveRMSprop([weight], lr=LR, alpha=rule, bias_correction=True)
    curve = np.empty(updates)
    for n in range(1, updates + 1):
        weight.grad = torch.randn(NUMBER_OF_PARAMETERS, generator=noise) * (10.0 if n >= updates // 2 else 1.0)
        optimizer.param_groups[0]["lr"] = LR * (1 - (n - 1) / updates)
        optimizer.observe(rollout=float(n % UPDATES_PER_ROLLOUT == 1))
        optimizer.step()
        curve[n - 1] = float(optimizer.param_groups[0]["alpha"])
    return curve


def sparkline(curve: NDArray[np.float64], width: int = 36) -> str:
    """The window, from 1 to 1000 updates on a logarithmic scale, as a row of blocks; each is the shortest of its updates."""
    pieces = np.array_split(curve, min(width, len(curve)))
    heights = [-np.log10(1 - piece.min()) / 3 for piece in pieces]
    return "".join(BLOCKS[min(int(height * 8) + 1, 8)] for height in heights)


def draw(curves: Curves, out: Path) -> None:
    """A small panel for each rule: the window 1/(1 − β) on a logarithmic axis, where β = 0.9 and 0.99 differ visibly."""
    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    figure = plotting.new_figure(4 * columns, 2.1 * rows + 0.5)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    highest = 1.5 * max(1 / (1 - curve.max()) for curve in curves.values())
    for axes, (text, curve) in zip(grid.flat, curves.items(), strict=False):
        axes.set(yscale="log", ylim=(0.8, highest))  # a constant alone has no height to scale by
        axes.set_title(text, fontsize="medium")
        axes.stairs(1 / (1 - curve), np.arange(1, len(curve) + 2), baseline=None, lw=1.2)
        axes.axvline(len(curve) // 2, color="0.7", ls=":", lw=1)
        axes.grid(alpha=0.3)
    for place, axes in enumerate(grid.flat):
        axes.set_visible(place < len(curves))
        axes.tick_params(labelbottom=place + columns >= len(curves))
    figure.supxlabel("updates (dotted: |g| grows tenfold)", fontsize="medium")
    figure.supylabel("window 1/(1 − β), updates", fontsize="medium")
    out.parent.mkdir(parents=True, exist_ok=True)
    plotting.save(figure, out)
