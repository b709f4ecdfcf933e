"""The numbers of a report, an environment at a time: who is compared with whom, and what came out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np

from rl_rmsprop.study.report.settings import ReportSettings
from rl_rmsprop.study.results.metrics import METRICS, Metric
from rl_rmsprop.study.results.runs import ArmResults
from rl_rmsprop.study.statistics import intervals
from rl_rmsprop.study.statistics.comparison import Comparison, compare, holm
from rl_rmsprop.study.statistics.intervals import Interval


@dataclass(frozen=True)
class VersusBaseline:
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
    requested_baseline: str | None
    """Text of the baseline that was asked for."""

    @property
    def shown(self) -> tuple[ArmResults, ...]:
        """Arms with a finished run."""
        return tuple(result for result in self.arms if result.runs)

    @property
    def updates(self) -> int:
        """Optimizer updates of each run."""
        return self.arms[0].updates

    @cached_property
    def is_evaluated(self) -> bool:
        """Whether runs had a final evaluation."""
        return any(not math.isnan(run.final_return) for result in self.shown for run in result.runs)

    def values(self, result: ArmResults) -> dict[int, float]:
        """Seed → the metric of that run."""
        return {run.seed: self.metric.of(run, self.threshold) for run in result.runs}

    @cached_property
    def averages(self) -> list[Interval]:
        """The arms' IQM of the metric."""
        return [result.average(list(self.values(result).values())) for result in self.arms]

    def average(self, result: ArmResults) -> Interval:
        """The arm's IQM of the metric."""
        return self.averages[self.arms.index(result)]

    def printed(self, result: ArmResults) -> str:
        """The arm's IQM of the metric as tables show it."""
        return f"{self.average(result).value:z{self.metric.form}}"

    @cached_property
    def ranked(self) -> list[ArmResults]:
        """Arms from the best IQM to the worst; those without one are left out."""
        scored = [(r, float(average.value)) for r, average in zip(self.arms, self.averages, strict=True)]
        known = [(r, value) for r, value in scored if not math.isnan(value)]
        return [result for result, value in sorted(known, key=lambda pair: -self.metric.better * pair[1])]

    @cached_property
    def candidates(self) -> list[ArmResults]:
        """The ranked arms that can be named best: all but controls, or all if there are only controls."""
        return [result for result in self.ranked if not result.is_control] or self.ranked

    @cached_property
    def leaders(self) -> list[ArmResults]:
        """The best candidate, and those whose IQM is the same number as it is printed."""
        return [result for result in self.candidates if self.printed(result) == self.printed(self.candidates[0])]

    @cached_property
    def baseline(self) -> ArmResults | None:
        """The arm compared against: the one asked for; else the fixed β with the best IQM, which is hardest to beat; else the
        first. None if that arm has no score, or there is no other arm.
        """
        if len(self.arms) < 2:
            return None
        if self.requested_baseline is not None:
            return next((r for r in self.ranked if r.arm.text == self.requested_baseline), None)
        fixed = [r for r in self.ranked if r.arm.is_fixed]
        return fixed[0] if fixed else next((r for r in self.arms if r in self.ranked), None)

    @cached_property
    def comparisons(self) -> list[VersusBaseline]:
        """Every other arm against the baseline, p-values with Holm's correction over them."""
        if self.baseline is None:
            return []
        others = [result for result in self.shown if result is not self.baseline]
        compared = [self.paired(result, self.baseline) for result in others]
        corrected = holm([c.p for c in compared])
        return [VersusBaseline(*parts) for parts in zip(others, compared, corrected, strict=True)]

    @cached_property
    def close_to_best(self) -> list[ArmResults]:
        """Candidates behind the leaders whose interval of the difference from the best holds 0; none with too few seeds for a
        test.
        """
        behind = [(result, self.paired(self.leaders[0], result)) for result in self.candidates if result not in self.leaders]
        tested = [(result, versus.difference) for result, versus in behind if not math.isnan(versus.p)]
        return [result for result, difference in tested if difference.low <= 0 <= difference.high]

    def paired(self, a: ArmResults, b: ArmResults) -> Comparison:
        """Two arms by the metric, seed by seed."""
        return compare(self.values(a), self.values(b), np.random.default_rng(0), self.metric.better)

    def time_to_threshold(self, result: ArmResults) -> tuple[Interval, int]:
        """Median steps to the threshold, infinite if half of the runs never got there, and how many did."""
        times = np.array([run.steps_to(self.threshold) for run in result.runs])
        watched = np.array([run.end for run in result.runs])
        return intervals.bootstrap_time(times, watched, np.random.default_rng(0)), int(np.isfinite(times).sum())

    def gap(self, result: ArmResults) -> Interval:
        """Optimality gap (Agarwal et al. 2021): mean of how much final returns miss the threshold, 0 for those above."""
        return result.average([max(0.0, self.threshold - run.final_return) for run in result.runs], intervals.none)

    def collapses(self, result: ArmResults) -> Interval:
        """Share of runs that collapsed, of those with enough episodes to say."""
        known = [run.collapsed for run in result.runs if not math.isnan(run.collapsed)]
        return intervals.share(int(sum(known)), len(known))


def analyse(results: Sequence[ArmResults], settings: ReportSettings) -> list[Analysis]:
    """The study's environments, in its order."""
    return [
        Analysis(env_id, tuple(group), METRICS[settings.metric], settings.thresholds.get(env_id, math.nan), settings.baseline)
        for env_id, group in groupby(results, key=lambda result: result.env_id)
    ]
