"""The numbers of a report, an environment at a time: who is compared with whom, and what came out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from rl_rmsprop.study import statistics
from rl_rmsprop.study.inference import Comparison, compare, holm
from rl_rmsprop.study.metrics import METRICS, Metric
from rl_rmsprop.study.report.settings import ReportSettings
from rl_rmsprop.study.results import ArmResults, Run
from rl_rmsprop.study.scores import Response
from rl_rmsprop.study.statistics import Interval

FEW_SEEDS = 10
"""Seeds below which a report warns."""


@dataclass(frozen=True)
class Against:
    """An arm against the baseline."""

    result: ArmResults
    comparison: Comparison
    p_holm: float
    """Corrected over the environment's arms."""


@dataclass(frozen=True)
class Analysis:
    """One environment of a study."""

    env_id: str
    arms: tuple[ArmResults, ...]
    """In the study's order, those without a finished run included."""
    metric: Metric
    threshold: float
    """Return that counts as solved, NaN if there is none."""
    chosen: str | None
    """The baseline that was asked for."""

    @property
    def shown(self) -> tuple[ArmResults, ...]:
        """Arms with a finished run."""
        return tuple(result for result in self.arms if result.runs)

    def values(self, result: ArmResults) -> dict[int, float]:
        """Seed → the metric of that run."""
        return {run.seed: self.metric.of(run, self.threshold) for run in result.runs}

    @cached_property
    def averages(self) -> list[Interval]:
        """The arms' IQM of the metric."""
        return [result.average(list(self.values(result).values())) for result in self.arms]

    @cached_property
    def ranked(self) -> list[ArmResults]:
        """Arms from the best IQM to the worst; those without one are left out."""
        scored = [(r, float(average.value)) for r, average in zip(self.arms, self.averages, strict=True)]
        known = [(r, value) for r, value in scored if not math.isnan(value)]
        return [result for result, value in sorted(known, key=lambda pair: -self.metric.better * pair[1])]

    @cached_property
    def baseline(self) -> ArmResults | None:
        """The arm compared against: the one asked for; else the fixed β with the best IQM, which is hardest to beat; else the
        first. None if that arm has no score, or there is no other arm.
        """
        if len(self.arms) < 2:
            return None
        if self.chosen is not None:
            return next((r for r in self.ranked if r.arm.rule == self.chosen), None)
        fixed = [r for r in self.ranked if r.is_fixed]
        return fixed[0] if fixed else next((r for r in self.arms if r in self.ranked), None)

    @cached_property
    def against(self) -> list[Against]:
        """Every other arm against the baseline, p-values with Holm's correction over them."""
        if self.baseline is None:
            return []
        others = [result for result in self.shown if result is not self.baseline]
        compared = [self.paired(result, self.baseline) for result in others]
        corrected = holm([c.p for c in compared])
        return [Against(*parts) for parts in zip(others, compared, corrected, strict=True)]

    def paired(self, a: ArmResults, b: ArmResults) -> Comparison:
        """Two arms on the seeds that both have finished, by the metric."""
        first, second = self.values(a), self.values(b)
        seeds = [seed for seed in first if seed in second]
        x, y = (np.array([values[seed] for seed in seeds], dtype=float) for values in (first, second))
        return compare(x, y, np.random.default_rng(0), self.metric.better)

    def time_to_threshold(self, result: ArmResults) -> tuple[Interval, int]:
        """Median steps to the threshold, infinite if half of the runs never got there, and how many did."""
        times = np.array([run.steps_to(self.threshold) for run in result.runs])
        watched = np.array([run.end for run in result.runs])
        return statistics.bootstrap_time(times, watched, np.random.default_rng(0)), int(np.isfinite(times).sum())

    def gap(self, result: ArmResults) -> Interval:
        """Optimality gap (Agarwal et al. 2021): by how much final scores miss the threshold, 0 for those above it, on average."""
        return result.average([max(0.0, self.threshold - run.score) for run in result.runs], statistics.none)

    def collapses(self, result: ArmResults) -> Interval:
        """Share of runs that collapsed, of those with enough episodes to say."""
        known = [run.collapsed for run in result.runs if not math.isnan(run.collapsed)]
        return statistics.share(int(sum(known)), len(known))


def analyse(results: Sequence[ArmResults], settings: ReportSettings) -> list[Analysis]:
    """The study's environments, in its order."""
    return [
        Analysis(env_id, tuple(group), METRICS[settings.metric], settings.thresholds.get(env_id, math.nan), settings.baseline)
        for env_id, group in groupby(results, key=lambda result: result.env_id)
    ]


# All environments together ------------------------------------------------------------------------------------------------


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
            [(run.score - low) / (high - low) for run in analysis.arms[position].runs]
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

    def interval(values: np.ndarray, trim: statistics.Trim) -> Interval:
        return statistics.bootstrap(values, np.random.default_rng(0), trim=trim, strata=sizes)

    gaps = np.maximum(0.0, 1.0 - x)
    return Overall(
        result,
        interval(x, statistics.quarter),
        interval(x, statistics.half),
        interval(x, statistics.none),
        interval(gaps, statistics.none),
    )


# Changes of the environment -----------------------------------------------------------------------------------------------

MOST_ROWS = 6
"""Changes up to which each has rows of its own."""


@dataclass(frozen=True)
class Change:
    """How one arm took one change, or all of them where there are many."""

    step: float
    """Median over all runs of the step of the change; NaN for all together."""
    what: str
    """The values of what shifts from then on, of the first seed."""
    result: ArmResults
    drop: Interval
    recovery: Interval
    watched: float
    """Most steps for which a run was watched after it."""
    recovered: int
    runs: int
    regret: Interval


def changes(analysis: Analysis) -> list[Change]:
    """Every change and arm; every arm with the means over its changes if there are many, or not the same number in all runs."""
    counts = {len(run.changes) for result in analysis.shown for run in result.runs}
    if counts == {0} or not counts:
        return []
    one_by_one = len(counts) == 1 and max(counts) <= MOST_ROWS
    numbers: list[int | None] = list(range(max(counts))) if one_by_one else [None]
    return [change_of(result, k, median_step(analysis, k)) for k in numbers for result in analysis.shown]


def median_step(analysis: Analysis, k: int | None) -> float:
    """When the k-th change came; runs differ by less than a rollout unless the change itself is random."""
    return math.nan if k is None else float(np.median([run.changes[k] for r in analysis.shown for run in r.runs]))


def change_of(result: ArmResults, k: int | None, step: float) -> Change:
    """How an arm took its k-th change, or all of them."""
    runs = [run for run in result.runs if run.responses]
    taken = [run.responses if k is None else [run.responses[k]] for run in runs]
    times, watched = padded(taken)
    return Change(
        step,
        "all changes" if k is None or not runs else values_at(runs[0], k),
        result,
        result.average(means(taken, "drop")),
        statistics.bootstrap_time(times, watched, np.random.default_rng(0)),
        float(watched.max(initial=0.0)),
        int(np.isfinite(times).sum()),
        int((watched >= 0).sum()),
        result.average(means(taken, "regret")),
    )


def means(taken: Sequence[Sequence[Response]], name: str) -> list[float]:
    """Each run's mean of one number over its changes; what is not known is left out, and runs that know nothing."""
    known = [[x for r in responses if not math.isnan(x := getattr(r, name))] for responses in taken]
    return [float(np.mean(values)) for values in known if values]


def padded(taken: Sequence[Sequence[Response]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Recovery times and the steps watched [runs, most changes]; −1 steps where there is no change, or nothing before it."""
    shape = (len(taken), max(map(len, taken), default=0))
    times, watched = np.full(shape, math.inf), np.full(shape, -1.0)
    for i, responses in enumerate(taken):
        for k, r in enumerate(responses):
            if not math.isnan(r.before):
                times[i, k], watched[i, k] = r.recovery, r.watched
    return times, watched


def values_at(run: Run, k: int) -> str:
    """What shifts, with its value from the k-th change on: `gravity 25`."""
    names = [name for name in run.shifts if name not in ("update", "step", "regime")]
    return ", ".join(f"{name} {run.shifts[name][k]:g}" for name in names)
