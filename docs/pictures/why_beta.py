"""The picture of README.md and the table behind it, from the studies of flip.toml.

    python docs/pictures/why_beta.py runs/flip runs/flip-matched

A run *comes back* if its final greedy evaluation, in the flipped environment, earns at least BACK; it is *lost* below LOST: its
policy pushes in one direction whatever it sees, and never changes again.
"""

from __future__ import annotations

import csv
import math
import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from rl_rmsprop.study.report.curve_figures import window_scale
from rl_rmsprop.study.report.plotting import COLOURS, save
from rl_rmsprop.study.results.runs import ArmResults, load_results
from rl_rmsprop.study.spec.study import load_study
from rl_rmsprop.study.statistics.intervals import number, share

HERE = Path(__file__).parent
SHOWN = ("0.99", "cusum:arl=50000,max=0.99", "asymmetric:rise=0.5,fall=0.99")
ROWS = (("rollout/ep_rew_mean", "return, a line a run"), ("optim/beta", "β"), ("optim/effective_lr_q50", "effective lr, median"))
BACK, LOST = 400.0, 100.0
HEAD = (
    "study", "arm", "lr", "runs", "back", "share back", "lost", "mean return over training", "final evaluation", "alarms a run",
)  # fmt: skip


def main(arguments: list[str]) -> None:
    """Write why_beta.png and why_beta.csv."""
    studies = {name: load_study(Path(folder)) for name, folder in zip(("one lr", "equal steps"), arguments, strict=True)}
    results = {name: load_results(study) for name, study in studies.items()}
    with (HERE / "why_beta.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEAD)
        for name, study in studies.items():
            for arm in results[name]:
                writer.writerow([name, arm.arm.text, f"{study.choice(arm.env_id, arm.arm).lr:.2g}", *row(arm)])
    draw([arm for arm in results["one lr"] if arm.arm.text in SHOWN])


def row(arm: ArmResults) -> list[object]:
    """How the runs of an arm ended, and what they earned."""
    if not arm.runs:
        raise ValueError(f"{arm.arm.text} has no finished run: train the studies of flip.toml first")
    finals = [run.final_return for run in arm.runs]
    back, lost = sum(final >= BACK for final in finals), sum(final < LOST for final in finals)
    chance = number(share(back, len(finals)), form=".2f")
    scores = [number(arm.mean_return, form=".0f"), number(arm.final_return, form=".0f")]
    return [len(finals), back, chance, lost, *scores, "" if math.isnan(arm.alarms) else f"{arm.alarms:.1f}"]


def draw(arms: list[ArmResults]) -> None:
    """A column an arm: returns, β with its alarms, effective learning rate."""
    figure = Figure(figsize=(9.6, 5.6), layout="constrained")
    grid = figure.subplots(len(ROWS), len(arms), sharex=True, sharey="row")
    for column, arm in zip(grid.T, arms, strict=True):
        finals = [run.final_return for run in arm.runs]
        lost = sum(final < LOST for final in finals)
        back = sum(final >= BACK for final in finals)
        column[0].set_title(f"{arm.arm.label}\n{back} of {len(finals)} runs come back, {lost} are lost", fontsize="medium")
        for axes, (tag, _) in zip(column, ROWS, strict=True):
            curves(axes, arm, tag)
            for change in arm.runs[0].changes:
                axes.axvline(change, color="0.3", lw=1, ls=(0, (4, 3)), zorder=0)
            axes.grid(alpha=0.3)
        column[-1].set_xlabel("environment steps (dashed: the flip)", fontsize="small")
        column[-1].set_xticks([0, 100_000, 200_000, 300_000], ["0", "100k", "200k", "300k"])
    for axes, (_, title) in zip(grid[:, 0], ROWS, strict=True):
        axes.set_ylabel(title, fontsize="small")
    grid[1, 0].set_ylim(0.5, 0.9985)
    window_scale(grid[1, 0])
    grid[2, 0].set_yscale("log")
    save(figure, HERE / "why_beta.png")
    with Image.open(HERE / "why_beta.png") as picture:  # a palette makes the file a third as large
        picture.convert("RGB").quantize(96, dither=Image.Dither.NONE).save(HERE / "why_beta.png", optimize=True)


def curves(axes: Axes, arm: ArmResults, tag: str) -> None:
    """Every run's return, those in red that are lost; of all else the interquartile mean over runs with its interval."""
    if tag == ROWS[0][0]:
        for run in arm.runs:
            steps, values = run.series(tag)
            lost = run.final_return < LOST
            axes.plot(
                steps, values, lw=0.9, color=COLOURS[2] if lost else COLOURS[1], alpha=0.9 if lost else 0.25, zorder=2 + lost
            )
        return
    curve = arm.curve(tag)
    if curve is None:
        raise ValueError(f"{arm.arm.text} has no {tag}: train the study of flip.toml")
    steps, interval = curve
    axes.plot(steps, interval.value, lw=1.3, color=COLOURS[1])
    axes.fill_between(steps, interval.low, interval.high, color=COLOURS[1], alpha=0.2, lw=0)
    if tag == "optim/beta":
        alarms = arm.curve("detector/alarms")
        if alarms is not None:
            alarm_counts(axes, alarms[0], alarms[1].value)


def alarm_counts(axes: Axes, steps: NDArray[np.float64], alarms: NDArray[np.float64]) -> None:
    """Alarms of an average run within each tenth of the training, as numbers at the bottom."""
    edges = np.linspace(0, steps[-1], 11)
    counts = np.diff(np.interp(edges, steps, alarms))
    place = axes.get_xaxis_transform()
    for left, right, count in zip(edges[:-1], edges[1:], counts, strict=True):
        axes.text((left + right) / 2, 0.03, f"{count:.1f}", ha="center", fontsize="xx-small", color=COLOURS[2], transform=place)
    axes.text(0.01, 0.13, "alarms a run", fontsize="xx-small", color=COLOURS[2], transform=axes.transAxes)


if __name__ == "__main__":
    main(sys.argv[1:])
