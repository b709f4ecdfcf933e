"""Figures of a study: what the agents earned, and what their optimizers did."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rl_rmsprop.study.results import ArmResults
from rl_rmsprop.study.streams import Streams

PANELS = (
    ("optim/beta", "β (spaced by the logarithm of the window)", "window"),
    ("optim/E_q50", "E, median over parameters", "log"),
    ("optim/effective_lr_q50", "effective lr, median", "log"),
    ("detector/alarms", "alarms so far, per run", "linear"),
)
"""Tag, title and scale of the panels of the optimizer figure."""


def learning_curves(results: Sequence[ArmResults]) -> Figure:
    """Return over training of all arms in one environment: IQM over seeds with its 95 % interval."""
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    draw(axes, results, "rollout/ep_rew_mean")
    mark_shifts(axes, results)
    axes.set(title=f"{results[0].env_id}: return of the last 100 episodes", ylabel="return")
    return figure


def optimizer_curves(results: Sequence[ArmResults]) -> Figure:
    """β, E, effective learning rate and alarms of all arms in one environment."""
    figure, grid = plt.subplots(2, 2, figsize=(12, 7), layout="constrained", sharex=True)
    for axes, (tag, title, scale) in zip(grid.flat, PANELS, strict=True):
        draw(axes, results, tag)
        mark_shifts(axes, results)
        axes.set_title(title)
        if scale == "window":
            window_scale(axes)
        else:
            axes.set_yscale(scale)
    figure.suptitle(results[0].env_id)
    return figure


def window_scale(axes: Axes) -> None:
    """An axis for β on which 0.9, 0.99 and 0.999 are equally far apart, as their windows are by factors of ten."""
    to_height = lambda beta: -np.log10(np.clip(1 - beta, 1e-6, None))
    axes.set_yscale("function", functions=(to_height, lambda height: 1 - 10.0**-height))
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, 0.0) if low > 0.4 else 0.0, min(high, 0.9995))
    axes.set_yticks([beta for beta in (0, 0.5, 0.9, 0.99, 0.999) if axes.get_ylim()[0] <= beta <= axes.get_ylim()[1]])


def draw(axes: Axes, results: Sequence[ArmResults], tag: str) -> None:
    """One tag: a line and a band an arm, always in the arm's own colour."""
    for i, result in enumerate(results):
        curve = result.curve(tag)
        if curve is not None:
            steps, interval = curve
            axes.plot(steps, interval.value, color=f"C{i % 10}", lw=1.5, ls=("-", "--", ":")[i // 10 % 3], label=result.arm.rule)
            axes.fill_between(steps, interval.low, interval.high, color=f"C{i % 10}", alpha=0.15, lw=0)
    axes.set_xlabel("environment steps")
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(fontsize="small")
    else:
        axes.text(0.5, 0.5, "no arm of this study logs this", ha="center", va="center", transform=axes.transAxes)


MOST_LINES = 40


def mark_shifts(axes: Axes, results: Sequence[ArmResults]) -> None:
    """A vertical line where the environment changed for the first seed; none if that is all the time."""
    first = next((result.runs[0] for result in results if result.runs), None)
    if first is not None and 0 < len(first.shifts["step"]) <= MOST_LINES:
        for step in first.shifts["step"]:
            axes.axvline(step, color="k", lw=1, ls="--", alpha=0.6, zorder=0)


def signal_curves(streams: Streams, signal: str, detector: str, alarms: NDArray[np.bool_], runs: int = 3) -> Figure:
    """A recorded signal of the first runs with true changes and a detector's alarms, and E: two rows, a column a run."""
    shown = min(runs, len(streams.seeds))
    figure, grid = plt.subplots(2, shown, figsize=(5 * shown, 6), layout="constrained", sharex="col", squeeze=False)
    x = streams.signal(signal).numpy()
    for r in range(shown):
        steps = streams.arrays["step"][:, r]
        top, bottom = grid[:, r]
        top.plot(steps, x[:, r], lw=0.6, color="C0")
        top.plot(steps[alarms[:, r]], x[alarms[:, r], r], "v", color="C3", ms=6, label=f"alarm of {detector}")
        top.set(title=f"seed {streams.seeds[r]}", ylabel=signal if r == 0 else None)
        squares = streams.arrays["squares"][:, r]
        bottom.plot(steps, np.median(squares, 1), lw=0.5, color="0.7", label="g², median of a sample")
        bottom.plot(steps, smoothed(np.median(squares, 1)), lw=1.5, color="C1", label="E of it, β = 0.99")
        bottom.set(yscale="log", xlabel="environment steps")
        for axes in (top, bottom):
            for i, step in enumerate(steps[streams.shifted[:, r]]):
                axes.axvline(step, color="k", ls="--", lw=1, label="true change" if i == 0 else None)
            axes.grid(alpha=0.3)
            axes.legend(fontsize="small", loc="lower left")
    figure.suptitle(f"{streams.env_id}, trained with {streams.arm}")
    return figure


def smoothed(x: NDArray[np.float64], beta: float = 0.99) -> NDArray[np.float64]:
    """E/w of a stream of squares [T]."""
    E = w = 0.0
    result = np.empty(len(x))
    for t, value in enumerate(x.tolist()):
        E, w = beta * E + (1 - beta) * value, beta * w + (1 - beta)
        result[t] = E / w
    return result


def scores(results: Sequence[ArmResults]) -> Figure:
    """Final evaluation of every run (dots) and the arms' IQM with its interval."""
    shown = [result for result in results if result.runs]
    figure, axes = plt.subplots(figsize=(8, 0.6 + 0.45 * len(shown)), layout="constrained")
    for i, result in enumerate(shown):
        interval = result.score
        axes.plot([interval.low, interval.high], [i, i], color="C0", lw=6, alpha=0.35, solid_capstyle="butt")
        axes.plot([run.score for run in result.runs], [i] * len(result.runs), "o", color="0.35", ms=4, alpha=0.6)
        axes.plot(interval.value, i, "|", color="C0", ms=14, mew=2.5)
    axes.set_yticks(range(len(shown)), [result.arm.rule for result in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set(title=f"{results[0].env_id}: final evaluation, IQM and 95 % interval", xlabel="mean return")
    axes.grid(axis="x", alpha=0.3)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a PNG that depends on the data alone: no date, no version."""
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
