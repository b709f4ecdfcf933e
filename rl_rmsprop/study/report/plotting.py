"""What all figures share: the colours of arms, curves with bands, true changes, files that depend on the data alone.

Figures are made through matplotlib's objects, without pyplot's global state.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rl_rmsprop.study.results.runs import ArmResults

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
"""Okabe and Ito's colours, which people with any colour vision can tell apart; without yellow, which white swallows."""
STYLES = ("-", "--", ":", "-.")
"""Line styles: every seven arms the next."""


def look(place: int) -> tuple[str, str]:
    """Colour and line style of the arm at this place of its study, the same in every figure."""
    return COLOURS[place % len(COLOURS)], STYLES[place // len(COLOURS) % len(STYLES)]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure whose parts make room for each other; inches."""
    return Figure(figsize=(width, height), layout="constrained")


def draw(axes: Axes, results: Sequence[ArmResults], tag: str) -> None:
    """One curve: a line and a band an arm."""
    for result in results:
        curve = result.curve(tag)
        if curve is not None:
            (steps, interval), (colour, style) = curve, look(result.place)
            axes.plot(steps, interval.value, color=colour, lw=1.5, ls=style, label=result.arm.text)
            axes.fill_between(steps, interval.low, interval.high, color=colour, alpha=0.15, lw=0)
    axes.set_xlabel("environment steps")
    axes.grid(alpha=0.3)
    if not axes.lines:
        axes.text(0.5, 0.5, "no arm of this study logs this", ha="center", va="center", transform=axes.transAxes)


def mark_shifts(axes: Axes, results: Sequence[ArmResults]) -> None:
    """A vertical line where the environment changed for the first seed; none if that is all the time."""
    first = next((result.runs[0] for result in results if result.runs), None)
    for step in first.changes if first is not None else ():
        axes.axvline(step, color="0.3", lw=1, ls=(0, (4, 3)), zorder=0)


def legend_below(figure: Figure, results: Sequence[ArmResults]) -> None:
    """One legend of all arms, under the panels."""
    shown = [result for result in results if result.runs]
    handles = [
        matplotlib.lines.Line2D([], [], color=look(r.place)[0], ls=look(r.place)[1], lw=2, label=r.arm.text) for r in shown
    ]
    longest = max(len(result.arm.text) for result in shown)
    room = int(figure.get_figwidth() * 13)  # characters
    columns = max(1, min(len(shown), room // (longest + 8)))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize="small", frameon=False)


def save(figure: Figure, path: Path) -> None:
    """Write a PNG or SVG that depends on the data alone: no date, no version, the same names for its parts every time."""
    metadata = {"Software": None} if path.suffix == ".png" else {"Date": None, "Creator": None}
    with matplotlib.rc_context({"svg.hashsalt": "rl-rmsprop"}):
        figure.savefig(path, dpi=110, metadata=metadata)
