"""How the arms responded to the changes of an environment: drop, recovery and regret, a change and arm at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rl_rmsprop.study.report.analysis import Analysis
from rl_rmsprop.study.results.runs import ArmResults, Run
from rl_rmsprop.study.results.scores import Response
from rl_rmsprop.study.statistics import intervals
from rl_rmsprop.study.statistics.intervals import Interval

MOST_ROWS = 6
"""Changes up to which each has rows of its own."""


@dataclass(frozen=True)
class Change:
    """How one arm responded to one change, or all of them where there are many."""

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
    """How an arm responded to its k-th change, or all of them."""
    runs = [run for run in result.runs if run.responses]
    responses = [run.responses if k is None else [run.responses[k]] for run in runs]
    times, watched = padded(responses)
    return Change(
        step,
        "all changes" if k is None or not runs else values_at(runs[0], k),
        result,
        result.average(means(responses, "drop")),
        intervals.bootstrap_time(times, watched, np.random.default_rng(0)),
        float(watched.max(initial=0.0)),
        int(np.isfinite(times).sum()),
        int((watched >= 0).sum()),
        result.average(means(responses, "regret")),
    )


def means(responses: Sequence[Sequence[Response]], name: str) -> list[float]:
    """Each run's mean of one number over its changes; what is not known is left out, and runs that know nothing."""
    known = [[x for r in of_run if not math.isnan(x := getattr(r, name))] for of_run in responses]
    return [float(np.mean(values)) for values in known if values]


def padded(responses: Sequence[Sequence[Response]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Recovery times and the steps watched [runs, most changes]; −1 steps where there is no change, or nothing before it."""
    shape = (len(responses), max(map(len, responses), default=0))
    times, watched = np.full(shape, math.inf), np.full(shape, -1.0)
    for i, of_run in enumerate(responses):
        for k, r in enumerate(of_run):
            if not math.isnan(r.before):
                times[i, k], watched[i, k] = r.recovery, r.watched
    return times, watched


def values_at(run: Run, k: int) -> str:
    """What shifts, with its value from the k-th change on: `gravity 25`."""
    names = [name for name in run.shifts if name not in ("update", "step", "regime")]
    return ", ".join(f"{name} {run.shifts[name][k]:g}" for name in names)
