"""Figures of scores: every run and the arms' averages, differences seed by seed, performance profiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rl_rmsprop.study.report.analysis import Analysis
from rl_rmsprop.study.report.plotting import legend_below, look, new_figure
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


def name_rows(axes: Axes, results: Sequence[ArmResults]) -> None:
    """The arms' names beside their rows, the first on top."""
    axes.set_yticks(range(len(results)), [result.arm.text for result in results])
    axes.set_ylim(len(results) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)


def scores(found: Analysis) -> Figure:
    """Area and final evaluation of every run, and the arms' IQM with its interval."""
    shown = found.shown
    figure = new_figure(11, 1.1 + 0.42 * len(shown))
    left, right = figure.subplots(1, 2, sharey=True)
    for row, result in enumerate(shown):
        forest(left, result.place, row, result.mean_return, [run.mean_return for run in result.runs])
        forest(right, result.place, row, result.final_return, [run.final_return for run in result.runs])
    name_rows(left, shown)
    right.grid(axis="x", alpha=0.3)
    left.set(title="mean return over training", xlabel="return per episode")
    right.set(title="final evaluation", xlabel="mean return")
    figure.suptitle(f"{found.env_id}: every run, IQM and 95 % interval")
    return figure


def differences(found: Analysis) -> Figure:
    """Every arm minus the baseline, seed by seed."""
    assert found.baseline is not None
    figure = new_figure(9, 1.1 + 0.42 * len(found.against))
    axes = figure.subplots()
    base = found.values(found.baseline)
    for row, against in enumerate(found.against):
        own = found.values(against.result)
        dots = [own[seed] - base[seed] for seed in own if seed in base]
        forest(axes, against.result.place, row, against.comparison.difference, dots)
    axes.axvline(0, color="0.3", lw=1)
    name_rows(axes, [against.result for against in found.against])
    better = "right" if found.metric.better > 0 else "left"
    title = f"{found.env_id}: {found.metric.label}, difference from {found.baseline.arm.text} (better: {better})"
    axes.set(title=title, xlabel=f"difference{found.metric.unit}, every seed a dot; IQM and 95 % interval")
    return figure


def profiles(found: Analysis) -> Figure:
    """Performance profiles (Agarwal et al. 2021): share of runs that reach each level of the metric."""
    figure = new_figure(9, 4.8)
    axes = figure.subplots()
    every = {result.place: np.array(list(found.values(result).values())) for result in found.shown}
    known = np.concatenate(list(every.values()))
    known = known[~np.isnan(known)]
    margin = 0.02 * float(np.ptp(known)) + 1e-9 if len(known) else 1.0
    levels = np.linspace(known.min() - margin, known.max() + margin, PROFILE_POINTS) if len(known) else np.arange(2.0)
    for result in found.shown:
        colour, style = look(result.place)
        reached = profile(every[result.place], levels, found.metric.better)
        axes.plot(levels, reached.value, color=colour, ls=style, lw=1.5, drawstyle="steps-mid")
        axes.fill_between(levels, reached.low, reached.high, color=colour, alpha=0.12, lw=0, step="mid")
    axes.set(ylim=(-0.02, 1.02), ylabel="share of runs", title=f"{found.env_id}: performance profiles")
    axes.set_xlabel(f"{found.metric.label}, {'at least' if found.metric.better > 0 else 'at most'}")
    axes.grid(alpha=0.3)
    legend_below(figure, found.shown)
    return figure


def profile(x: NDArray[np.float64], levels: NDArray[np.float64], better: int) -> Interval:
    """Share of scores x [n] at least as good as each level [K], with its pointwise bootstrap interval."""
    reached = better * x[:, None] >= better * levels  # [n, K]
    return bootstrap(reached.astype(np.float64), np.random.default_rng(0), 2000, intervals.none)
