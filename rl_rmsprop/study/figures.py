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

from rl_rmsprop.study.results import ArmResults

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
    axes.set(title=f"{results[0].env_id}: return of the last 100 episodes", ylabel="return")
    return figure


def optimizer_curves(results: Sequence[ArmResults]) -> Figure:
    """β, E, effective learning rate and alarms of all arms in one environment."""
    figure, grid = plt.subplots(2, 2, figsize=(12, 7), layout="constrained", sharex=True)
    for axes, (tag, title, scale) in zip(grid.flat, PANELS, strict=True):
        draw(axes, results, tag)
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
