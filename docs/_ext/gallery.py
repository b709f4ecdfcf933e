"""One picture of every β rule: β, E and the effective learning rate on one stream of squared gradients that shifts twice.

    python docs/_ext/gallery.py FOLDER     draws all of them

The stream is Gaussian noise, |g| ten times as large from update RISE to update FALL. The rules are those of the package's own
tables, so that a new one has its picture, and its place on the page, as soon as it is registered.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rl_rmsprop import rules
from rl_rmsprop.cli.views.rules import KINDS, STEPS_PER_UPDATE, UPDATES_PER_ROLLOUT, first_sentence
from rl_rmsprop.optimizer.adaptive_rmsprop import AdaptiveRMSprop
from rl_rmsprop.study.report import plotting
from rl_rmsprop.study.report.curve_figures import window_scale

UPDATES, RISE, FALL = 600, 200, 400
PARAMETERS = 64
LR = 0.003
"""At the first update; it falls linearly to a tenth, for the rule that follows it."""
KL = 0.002
"""Nats by which the policy is said to move in every update, ten times as far while gradients are large."""


@dataclass(frozen=True)
class Entry:
    """A rule of the gallery."""

    kind: str
    name: str
    text: str
    """What is drawn."""
    shown: str
    """The text as a user writes it."""
    what: str
    """The first sentence of its docstring, and the source."""


def entries(folder: Path) -> list[Entry]:
    """Every rule that an optimizer can run on, in the order of the package's tables.

    One that needs the alarms of another arm's runs gets them in `folder`.
    """
    found = []
    for (kind, _), table in KINDS.items():
        for name, rule in table.items():
            shown = rule.example or f"{name}:runs=FOLDER"
            text = rule.example or f"{name}:runs={recorded(folder)}"
            found.append(Entry(kind, name, text, shown, first_sentence(rule)))
    return found


def recorded(folder: Path) -> Path:
    """A folder of two runs that alarmed at both shifts and once in between, as `yoked` reads it."""
    for seed in (0, 1):
        file = folder / "arm" / f"seed_{seed:04d}" / "alarms.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        alarms = (RISE + 4, (RISE + FALL) // 2, FALL + 4)
        file.write_text("\n".join(map(str, ("update", *alarms))) + "\n", encoding="utf-8")
    return folder / "arm"


@cache
def stream() -> NDArray[np.float64]:
    """The gradients [T, P]."""
    noise = torch.randn(UPDATES, PARAMETERS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return (noise * torch.from_numpy(sizes())[:, None]).numpy()


def sizes() -> NDArray[np.float64]:
    """The standard deviation of the gradients [T]."""
    n = np.arange(1, UPDATES + 1)
    return np.where((n >= RISE) & (n < FALL), 10.0, 1.0)


@dataclass(frozen=True)
class Curves:
    """What a rule did at each update, [T] each."""

    beta: NDArray[np.float64]
    """β, of a law its mean over parameters."""
    E: NDArray[np.float64]
    """Median of Ê over parameters."""
    effective_lr: NDArray[np.float64]
    """Median of the effective learning rate over parameters, in units of lr."""
    alarms: NDArray[np.int64]
    """The updates at which the detector alarmed."""


def curves(text: str) -> Curves:
    """Run a rule over the stream in an optimizer."""
    torch.set_num_threads(1)  # a second thread has to be waited for at every one of these small tensors
    weight = torch.nn.Parameter(torch.zeros(PARAMETERS))
    rule = rules.resolve(rules.parse(text), UPDATES, STEPS_PER_UPDATE)
    optimizer = AdaptiveRMSprop([weight], lr=LR, alpha=rule, bias_correction=True)
    rows = []
    for n, (g, size) in enumerate(zip(stream(), sizes(), strict=True), 1):
        lr = optimizer.param_groups[0]["lr"] = LR * (1 - 0.9 * (n - 1) / UPDATES)
        weight.grad = torch.from_numpy(g).float()
        first = n % UPDATES_PER_ROLLOUT == 1
        optimizer.observe(rollout=float(first), shifted=float(n in (RISE, FALL)), kl=KL * float(size))
        optimizer.step()
        stats = optimizer.stats()
        rows.append((float(optimizer.param_groups[0]["alpha"]), stats["E_q50"], stats["effective_lr_q50"] / lr, stats["alarms"]))
    beta, E, effective_lr, alarms = np.array(rows, dtype=np.float64).T
    return Curves(beta, E, effective_lr, np.flatnonzero(np.diff(np.nan_to_num(alarms), prepend=0.0) > 0) + 1)


def draw(text: str, path: Path) -> None:
    """The picture of a rule."""
    found = curves(text)
    figure = Figure(figsize=(9.0, 2.2))
    figure.subplots_adjust(left=0.06, right=0.99, bottom=0.2, top=0.88, wspace=0.25)  # constrained layout would take a second
    n = np.arange(1, UPDATES + 1)
    panels: tuple[tuple[str, NDArray[np.float64]], ...] = (
        ("β", found.beta),
        ("E, median", found.E),
        ("effective lr / lr, median", found.effective_lr),
    )
    for axes, (title, values) in zip(figure.subplots(1, 3), panels, strict=True):
        axes.plot(n, values, lw=1.3, color=plotting.COLOURS[1])
        axes.set_title(title, fontsize="medium")
        mark(axes, found)
        if title == "β":
            axes.set_ylim(min(0.4, float(values.min())), 0.9995)
            window_scale(axes)
        else:
            axes.set_yscale("log")
            truth = sizes() ** 2 if title.startswith("E") else 1 / sizes()
            axes.plot(n, truth, color="0.55", lw=1, ls=":", zorder=1)
            axes.set_ylim(*((1e-3, 1e3) if title.startswith("E") else (0.02, 5)))
    figure.supxlabel("updates", fontsize="small", y=0.01)
    path.parent.mkdir(parents=True, exist_ok=True)
    plotting.save(figure, path)


def mark(axes: Axes, found: Curves) -> None:
    """Where the stream shifts, dashed, and where the rule's detector alarmed, ticks at the top."""
    for update in (RISE, FALL):
        axes.axvline(update, color="0.5", lw=0.8, ls=(0, (4, 3)), zorder=0)
    for update in found.alarms[:200]:
        axes.axvline(update, ymin=0.94, color=plotting.COLOURS[2], lw=1)
    axes.grid(alpha=0.3)
    axes.tick_params(labelsize="small")


def main(arguments: list[Any]) -> None:
    """Draw every rule into a folder."""
    folder = Path(arguments[0])
    for entry in entries(folder):
        draw(entry.text, folder / f"{entry.name}.png")


if __name__ == "__main__":
    main(sys.argv[1:])
