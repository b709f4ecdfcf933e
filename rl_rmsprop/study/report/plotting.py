"""What all figures share: paper, the colours of arms, curves with bands, true changes, files that depend on the data alone.

Colours are those that TensorBoard's Custom Scalars tab gives to the runs of the arms (`_agg/…`, which are first in its order of
runs, see aggregates.py), in the order of the arms: Paul Tol's vibrant scheme, which people with any colour vision can tell apart.
Only its grey is darker here, since TensorBoard's is hardly seen on white. TensorBoard's Time Series tab has another palette, and
TensorBoard has no line styles.

Figures are made through matplotlib's objects, without pyplot's global state.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rl_rmsprop.study.results.runs import ArmResults

COLOURS = ("#ff7043", "#0077bb", "#cc3311", "#33bbee", "#ee3377", "#009988", "#8a8a8a")
"""The arms' colours by place."""
Style = str | tuple[float, tuple[float, ...]]
STYLES: tuple[Style, ...] = ("-", "--", ":", "-.", (0, (3, 1, 1, 1, 1, 1)), (0, (1, 4)))
"""Line styles, as matplotlib has them: every seven arms the next, so that 42 arms can be told apart."""


class Paper(NamedTuple):
    """What a figure is drawn on."""

    width: float
    """Inches."""
    columns: int
    """Panels beside each other, at most."""

    def wrap(self, title: str) -> str:
        """A title in lines that fit."""
        return textwrap.fill(title, int(self.width * 10), break_long_words=False)

    def wrap_label(self, label: str) -> str:
        """An arm's label that stands beside an axis, broken behind a comma or colon where there is little room."""
        longest = int(self.width * 4)
        lines = [""]
        for part in label.replace(",", ",\n").replace(":", ":\n").split("\n"):
            if lines[-1] and len(lines[-1] + part) > longest:
                lines.append("")
            lines[-1] += part
        return "\n".join(lines)


LEGEND_ROW = 0.19
"""Inches of a row of a legend."""
WIDE, NARROW = Paper(11.0, 2), Paper(4.6, 1)
"""Paper for a desk's screen and for a phone's."""


def look(place: int) -> tuple[str, Style]:
    """Colour and line style of the arm at this place of its study, the same in every figure."""
    return COLOURS[place % len(COLOURS)], STYLES[place // len(COLOURS) % len(STYLES)]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure whose parts make room for each other; inches."""
    return Figure(figsize=(width, height), layout="constrained")


def panels(paper: Paper, count: int, height: float, sharex: bool = False, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels, each of this height, in as many columns as the paper has room for."""
    columns = min(count, paper.columns)
    rows = -(-count // columns)
    figure = new_figure(paper.width, height * rows)
    grid = list(figure.subplots(rows, columns, sharex=sharex, sharey=sharey, squeeze=False).flat)
    for axes in grid:
        axes.locator_params(axis="x", nbins=int(paper.width / columns))  # so that their labels do not meet
    return figure, grid


def draw(axes: Axes, results: Sequence[ArmResults], tag: str) -> None:
    """One curve: a line and a band an arm, as steps where values hold from one point to the next."""
    for result in results:
        curve = result.curve(tag)
        if curve is not None:
            (steps, interval), (colour, style) = curve, look(result.place)
            stairs = result.is_stepwise(tag)
            axes.plot(
                steps, interval.value, color=colour, lw=1.5, ls=style, label=result.arm.label,
                drawstyle="steps-post" if stairs else "default",
            )  # fmt: skip
            axes.fill_between(steps, interval.low, interval.high, color=colour, alpha=0.15, lw=0, step="post" if stairs else None)
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
    looks = {result.arm.label: look(result.place) for result in results if result.runs}
    line = matplotlib.lines.Line2D
    handles = [line([], [], color=colour, ls=style, lw=2, label=label) for label, (colour, style) in looks.items()]
    put_below(figure, handles)


def put_below(figure: Figure, handles: Sequence[matplotlib.artist.Artist]) -> None:
    """A legend of these lines under the panels, in as many columns as there is room for; the figure grows by its further rows."""
    longest = max(len(str(handle.get_label())) for handle in handles)
    width = int(figure.get_figwidth() * 13)  # characters
    columns = max(1, min(len(handles), width // (longest + 8)))
    rows = -(-len(handles) // columns)
    figure.set_figheight(figure.get_figheight() + LEGEND_ROW * max(0, rows - 2))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize="small", frameon=False)


def save(figure: Figure, path: Path) -> None:
    """Write a PNG or SVG that depends on the data alone: no date, no version, the same names for its parts every time."""
    metadata = {"Software": None} if path.suffix == ".png" else {"Date": None, "Creator": None}
    with matplotlib.rc_context({"svg.hashsalt": "rl-rmsprop"}):
        figure.savefig(path, dpi=110, metadata=metadata)
