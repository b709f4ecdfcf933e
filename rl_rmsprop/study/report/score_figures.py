"""Figures of scores: every run and the arms' averages, differences seed by seed, performance profiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rl_rmsprop.study.report.analysis import Analysis
from rl_rmsprop.study.report.plotting import WIDE, Paper, legend_below, look, panels
from rl_rmsprop.study.results.runs import ArmResults
from rl_rmsprop.study.statistics import intervals
from rl_rmsprop.study.statistics.intervals import Interval, bootstrap

PROFILE_POINTS = 200


def forest(axes: Axes, place: int, row: int, interval: Interval, dots: Sequence[float]) -> None:
    """One row: every run a dot, the interval a bar, the average a stroke."""
    colour, _ = look(place)
    axes.plot([interval.low, interval.high], [row, row], color=colour, lw=7, alpha=0.35, solid_capstyle="butt")
    axes.plot(dots, np.full(len(dots), row), "o", color="0.35", ms=3.5, alpha=0.5, mew=0)
    axes.plot(interval.value, row, "|", color=colour, ms=15, mew=2.5)


def name_rows(axes: Axes, results: Sequence[ArmResults], paper: Paper) -> None:
    """The arms' names beside their rows, the first on top."""
    axes.set_yticks(range(len(results)), [paper.wrap_label(result.arm.label) for result in results])
    axes.set_ylim(len(results) - 0.5, -0.5)


def height(rows: int) -> float:
    """Inches of a panel with so many rows."""
    return 1.3 + 0.42 * rows


def scores(analysis: Analysis, paper: Paper = WIDE) -> Figure:
    """Mean return and final evaluation of every run, and the arms' IQM with its interval."""
    shown = analysis.shown
    during = ("mean return over training", [(r.mean_return, [run.mean_return for run in r.runs]) for r in shown])
    final = ("final evaluation", [(r.final_return, [run.final_return for run in r.runs]) for r in shown])
    kinds = [during, final] if analysis.is_evaluated else [during]
    figure, grid = panels(paper, len(kinds), height(len(shown)), sharey=True)
    for axes, (title, rows) in zip(grid, kinds, strict=True):
        for row, (result, (average, dots)) in enumerate(zip(shown, rows, strict=True)):
            forest(axes, result.place, row, average, dots)
        axes.set(title=title, xlabel="mean return")
        axes.grid(axis="x", alpha=0.3)
    name_rows(grid[0], shown, paper)
    figure.suptitle(paper.wrap(f"{analysis.env_id}: every run, IQM and 95 % interval"))
    return figure


def differences(analysis: Analysis, paper: Paper = WIDE) -> Figure:
    """Every arm minus the baseline: each seed, and the difference of the IQMs."""
    assert analysis.baseline is not None
    figure, (axes,) = panels(paper, 1, height(len(analysis.comparisons)))
    base = analysis.values(analysis.baseline)
    for row, versus in enumerate(analysis.comparisons):
        values = analysis.values(versus.result)
        dots = [values[seed] - base[seed] for seed in values if seed in base]
        forest(axes, versus.result.place, row, versus.comparison.difference, dots)
    axes.axvline(0, color="0.3", lw=1)
    name_rows(axes, [versus.result for versus in analysis.comparisons], paper)
    axes.grid(axis="x", alpha=0.3)
    better = "right" if analysis.metric.better > 0 else "left"
    title = f"{analysis.env_id}: {analysis.metric.label}, difference from {analysis.baseline.arm.label}"
    axes.set(title=paper.wrap(title), xlabel=f"difference{analysis.metric.unit} (better: {better})")
    return figure


def profiles(analysis: Analysis, paper: Paper = WIDE) -> Figure:
    """Performance profiles (Agarwal et al. 2021): share of runs that reach each level of the metric."""
    figure, (axes,) = panels(paper, 1, 4.2)
    every = {result.place: np.array(list(analysis.values(result).values())) for result in analysis.shown}
    known = np.concatenate(list(every.values()))
    known = known[~np.isnan(known)]
    margin = 0.02 * float(np.ptp(known)) + 1e-9 if len(known) else 1.0
    levels = np.linspace(known.min() - margin, known.max() + margin, PROFILE_POINTS) if len(known) else np.arange(2.0)
    for result in analysis.shown:
        colour, style = look(result.place)
        reached = profile(every[result.place], levels, analysis.metric.better)
        axes.plot(levels, reached.value, color=colour, ls=style, lw=1.5, drawstyle="steps-mid")
        axes.fill_between(levels, reached.low, reached.high, color=colour, alpha=0.12, lw=0, step="mid")
    axes.set(ylim=(-0.02, 1.02), ylabel="share of runs", title=paper.wrap(f"{analysis.env_id}: performance profiles"))
    axes.set_xlabel(f"{analysis.metric.label}, {'at least' if analysis.metric.better > 0 else 'at most'}")
    axes.grid(alpha=0.3)
    legend_below(figure, analysis.shown)
    return figure


def profile(x: NDArray[np.float64], levels: NDArray[np.float64], better: int) -> Interval:
    """Share of scores x [n] at least as good as each level [K], with its pointwise bootstrap interval."""
    reached = better * x[:, None] >= better * levels  # [n, K]
    return bootstrap(reached.astype(np.float64), np.random.default_rng(0), 2000, intervals.none)
