"""Figures of a study: what the agents earned, and what their optimizers did."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rl_rmsprop.study.results import ArmResults

PANELS = (
    ("optim/beta", "β", "linear"),
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
        axes.set(title=title, yscale=scale)
    figure.suptitle(results[0].env_id)
    return figure


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
        axes.plot([run.score for run in result.runs], [i] * len(result.runs), ".", color="0.6", ms=5)
        axes.plot([interval.low, interval.high], [i, i], color="C0", lw=3, alpha=0.6)
        axes.plot(interval.value, i, "|", color="C0", ms=14, mew=2.5)
    axes.set_yticks(range(len(shown)), [result.arm.rule for result in shown])
    axes.invert_yaxis()
    axes.set(title=f"{results[0].env_id}: final evaluation, IQM and 95 % interval", xlabel="mean return")
    axes.grid(axis="x", alpha=0.3)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a PNG that depends on the data alone: no date, no version."""
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
