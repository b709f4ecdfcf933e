"""Arms over all environments of a study together, in returns that are scaled to a common range.

    x' = (x − low) / (high − low)        low: an untrained policy, the mean of the first episodes of all runs
                                         high: the return that counts as solved, or the best arm's IQM where none does

Each environment then weighs the same. Averages are over all runs of all environments, resampled within each (stratified
bootstrap, Agarwal et al. 2021).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rl_rmsprop.study.report.analysis import Analysis
from rl_rmsprop.study.results.runs import ArmResults, Run
from rl_rmsprop.study.statistics import intervals
from rl_rmsprop.study.statistics.intervals import Interval

FIRST_EPISODES = 20
"""Episodes at the start of each run in which the policy counts as untrained."""


@dataclass(frozen=True)
class Scale:
    """How the returns of one environment are scaled."""

    env_id: str
    low: float
    high: float
    is_solved: bool
    """Whether `high` is the return that counts as solved."""

    def scaled(self, x: float) -> float:
        """0 for an untrained policy, 1 for `high`."""
        return (x - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Overall:
    """One arm over all environments, in scaled returns."""

    result: ArmResults
    mean_return: Interval
    """IQM over training."""
    final: Interval
    """IQM of the final evaluation; NaN without one, as the three below."""
    median: Interval
    mean: Interval
    gap: Interval
    """By how much final returns miss 1, those above counting 0, on average."""


def scales(analyses: Sequence[Analysis]) -> list[Scale]:
    """The scales of all environments that have one: a return that counts as solved, or an arm clearly better than untrained.

    Where the interval of the best arm reaches down to the untrained policy, a scale between the two would measure noise.
    """
    result = []
    for analysis in (a for a in analyses if a.shown):
        low, best = untrained(analysis), best_average(analysis)
        if analysis.threshold > low:
            result.append(Scale(analysis.env_id, low, analysis.threshold, is_solved=True))
        elif best.value > low and not best.low <= low:  # one seed has no interval
            result.append(Scale(analysis.env_id, low, float(best.value), is_solved=False))
    return result


def untrained(analysis: Analysis) -> float:
    """Mean return of the first episodes of every run of every arm: the policy has hardly learned."""
    firsts = [run.episodes.earned[:FIRST_EPISODES] for result in analysis.arms for run in result.runs]
    return float(np.concatenate(firsts).mean()) if any(len(x) for x in firsts) else math.nan


def best_average(analysis: Analysis) -> Interval:
    """The best IQM of the final evaluation, or over training where there was none; of arms that are no controls."""
    arms = [result for result in analysis.shown if not result.is_control] or analysis.shown
    averages = [result.final_return if analysis.is_evaluated else result.mean_return for result in arms]
    return max(averages, key=lambda average: -math.inf if math.isnan(average.value) else float(average.value))


def overall(analyses: Sequence[Analysis], scaling: Sequence[Scale]) -> list[Overall]:
    """Arms with runs in all environments that have a scale; empty with fewer than two of these."""
    if len(scaling) < 2:
        return []
    by_env = {analysis.env_id: analysis for analysis in analyses}
    rows = []
    for position, result in enumerate(analyses[0].arms):
        groups = [(scale, by_env[scale.env_id].arms[position].runs) for scale in scaling]
        if all(runs for _, runs in groups):
            rows.append(over_environments(result, groups))
    return rows


def over_environments(result: ArmResults, groups: Sequence[tuple[Scale, Sequence[Run]]]) -> Overall:
    """The averages of one arm's scaled returns, a group of runs an environment."""
    sizes = [len(runs) for _, runs in groups]
    during = np.array([scale.scaled(run.mean_return) for scale, runs in groups for run in runs])
    final = np.array([scale.scaled(run.final_return) for scale, runs in groups for run in runs])

    def interval(x: np.ndarray, trim: intervals.Trim = intervals.quarter) -> Interval:
        return intervals.bootstrap(x, np.random.default_rng(0), trim=trim, strata=sizes)

    return Overall(
        result,
        interval(during),
        interval(final),
        interval(final, intervals.half),
        interval(final, intervals.none),
        interval(np.maximum(0.0, 1.0 - final), intervals.none),
    )
