"""Figures over time: what the agents earned, what their optimizers did, which signals detectors saw."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from rl_rmsprop.study.report.plotting import WIDE, Paper, draw, legend_below, mark_shifts, new_figure, panels, put_below
from rl_rmsprop.study.results.recorded_signals import RecordedSignals
from rl_rmsprop.study.results.runs import ArmResults
from rl_rmsprop.study.results.scores import RETURN, RUNNING

PANELS = (
    ("optim/beta", "β, spaced by the log of its window 1/(1−β)", "window"),
    ("optim/E_q50", "E, median over parameters", "log"),
    ("optim/effective_lr_q50", "effective lr, median over parameters", "log"),
    ("detector/alarms", "alarms so far, per run", "count"),
)
"""Tag, title and scale of the panels of the optimizer figure."""


def learning_curves(results: Sequence[ArmResults], threshold: float = math.nan, paper: Paper = WIDE) -> Figure:
    """Return over training of all arms in one environment: IQM over seeds with its 95 % interval."""
    figure, (axes,) = panels(paper, 1, 4.5)
    draw(axes, results, RETURN)
    mark_shifts(axes, results)
    mark_threshold(axes, threshold)
    axes.set(title=paper.wrap(f"{results[0].env_id}: mean return of the last {RUNNING} episodes"), ylabel="return")
    legend_below(figure, results)
    return figure


def mark_threshold(axes: Axes, threshold: float) -> None:
    """A line at the return that counts as solved, where curves come near it."""
    low, high = axes.get_ylim()
    if not low < threshold < high + 0.1 * (high - low):
        return
    axes.axhline(threshold, color="0.5", lw=1, ls=":", zorder=0)
    axes.set_ylim(low, max(high, threshold + 0.06 * (high - low)))  # room for the words above the line
    place = axes.get_yaxis_transform()
    axes.text(0.005, threshold, f"{threshold:g}: solved", color="0.4", fontsize="small", va="bottom", transform=place)


def optimizer_curves(results: Sequence[ArmResults], paper: Paper = WIDE) -> Figure:
    """β, E, effective learning rate and alarms of all arms in one environment."""
    figure, grid = panels(paper, len(PANELS), 3.2, sharex=True)
    for axes, (tag, title, scale) in zip(grid, PANELS, strict=True):
        draw(axes, results, tag)
        mark_shifts(axes, results)
        axes.set_title(paper.wrap(title))
        set_scale(axes, scale)
    for axes in grid[: -paper.columns]:
        axes.set_xlabel("")
    figure.suptitle(results[0].env_id)
    legend_below(figure, results)
    return figure


def set_scale(axes: Axes, scale: str) -> None:
    """The vertical axis of a panel: `window` for β, `count`, or one of matplotlib's."""
    if scale == "window":
        window_scale(axes)
    elif scale == "count":
        axes.set_ylim(0, max(1.0, axes.get_ylim()[1]))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    else:
        axes.set_yscale(scale)


def window_scale(axes: Axes) -> None:
    """An axis for β on which 0.9, 0.99 and 0.999 are equally far apart, as their windows are by factors of ten."""
    to_height = lambda beta: -np.log10(np.clip(1 - beta, 1e-6, None))
    axes.set_yscale("function", functions=(to_height, lambda height: 1 - 10.0**-height))
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, 0.0) if low > 0.4 else 0.0, min(high, 0.9995))
    axes.set_yticks([beta for beta in (0, 0.5, 0.9, 0.99, 0.999) if axes.get_ylim()[0] <= beta <= axes.get_ylim()[1]])


def signal_curves(recording: RecordedSignals, signal: str, detector: str, alarms: NDArray[np.bool_], runs: int = 3) -> Figure:
    """A recorded signal of the first runs with true changes and a detector's alarms, and E: two rows, a column a run."""
    count = min(runs, len(recording.seeds))
    figure = new_figure(5 * count, 6)
    grid = figure.subplots(2, count, sharex="col", squeeze=False)
    x = recording.signal(signal).numpy()
    for r in range(count):
        steps = recording.arrays["step"][:, r]
        top, bottom = grid[:, r]
        top.plot(steps, x[:, r], lw=0.6, color="C0", label=signal)
        top.plot(steps[alarms[:, r]], x[alarms[:, r], r], "v", color="C3", ms=6, label=f"alarm of {detector}")
        top.set(title=f"seed {recording.seeds[r]}", ylabel=signal if r == 0 else None)
        squares = recording.arrays["squares"][:, r]
        bottom.plot(steps, np.median(squares, 1), lw=0.5, color="0.7", label="g², median of a sample")
        bottom.plot(steps, smoothed(np.median(squares, 1)), lw=1.5, color="C1", label="E of it, β = 0.99")
        bottom.set(yscale="log", xlabel="environment steps")
        for axes in (top, bottom):
            for step in steps[recording.shifted[:, r]]:
                axes.axvline(step, color="k", ls="--", lw=1, label="true change")
            axes.grid(alpha=0.3)
    figure.suptitle(f"{recording.env_id}, trained with {recording.arm}")
    lines = [line for axes in grid.flat for line in axes.lines]
    put_below(figure, list({str(line.get_label()): line for line in lines}.values()))
    return figure


def smoothed(x: NDArray[np.float64], beta: float = 0.99) -> NDArray[np.float64]:
    """E/w of a stream of squares [T]."""
    E = w = 0.0
    result = np.empty(len(x))
    for t, value in enumerate(x.tolist()):
        E, w = beta * E + (1 - beta) * value, beta * w + (1 - beta)
        result[t] = E / w
    return result
