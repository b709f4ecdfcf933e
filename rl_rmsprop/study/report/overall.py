"""Arms over all environments of a study together, in scores where 0 is an untrained policy and 1 is solved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rl_rmsprop.study.report.analysis import Analysis
from rl_rmsprop.study.results.runs import ArmResults
from rl_rmsprop.study.statistics import intervals
from rl_rmsprop.study.statistics.intervals import Interval


@dataclass(frozen=True)
class Overall:
    """One arm over all environments, in scores where 0 is an untrained policy and 1 is solved."""

    result: ArmResults
    iqm: Interval
    median: Interval
    mean: Interval
    gap: Interval


def overall(analyses: Sequence[Analysis]) -> list[Overall]:
    """Arms over all environments, final scores, runs resampled within each environment (stratified bootstrap).

    A score is (x − u)/(threshold − u), u the mean of the first 100 episodes of all runs. Empty for a single environment, or
    where one has no threshold above u.
    """
    if len(analyses) < 2:
        return []
    scales = [(untrained(a), a.threshold) for a in analyses]
    if not all(high > low for low, high in scales):
        return []
    found = []
    for position, result in enumerate(analyses[0].arms):
        groups = [
            [(run.final_return - low) / (high - low) for run in analysis.arms[position].runs]
            for analysis, (low, high) in zip(analyses, scales, strict=True)
        ]
        if all(groups):
            found.append(over_environments(result, groups))
    return found


def untrained(analysis: Analysis) -> float:
    """Mean return of the first 100 episodes of every run of every arm: the policy has hardly learned."""
    firsts = [run.episodes.earned[:100] for result in analysis.arms for run in result.runs]
    return float(np.concatenate(firsts).mean()) if any(len(x) for x in firsts) else math.nan


def over_environments(result: ArmResults, groups: Sequence[Sequence[float]]) -> Overall:
    """The averages of one arm's normalised scores, a group an environment."""
    x = np.concatenate([np.array(group) for group in groups])
    sizes = [len(group) for group in groups]

    def interval(values: np.ndarray, trim: intervals.Trim) -> Interval:
        return intervals.bootstrap(values, np.random.default_rng(0), trim=trim, strata=sizes)

    gaps = np.maximum(0.0, 1.0 - x)
    return Overall(
        result,
        interval(x, intervals.quarter),
        interval(x, intervals.half),
        interval(x, intervals.none),
        interval(gaps, intervals.none),
    )
