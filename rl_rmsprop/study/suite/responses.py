"""After changes of the environment: who survives, how soon runs recover, and whether detecting sooner means recovering sooner."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rl_rmsprop.study.statistics import intervals, ranks, stratified
from rl_rmsprop.study.statistics.intervals import Interval
from rl_rmsprop.study.suite import schema
from rl_rmsprop.study.suite.schema import FINISHED, Result
from rl_rmsprop.study.suite.suite import Cell, Suite


class Survival(NamedTuple):
    """The runs of one arm in one task with one setting."""

    task: str
    arm: str
    lr: float
    runs: int
    """Those that had learned something before a change; failed ones among them, as dead."""
    survivors: int
    """Those that survived every change."""
    share: Interval
    """With Wilson's interval."""


class Recovery(NamedTuple):
    """The responses of one arm in one task."""

    task: str
    arm: str
    drop: Interval
    """IQM over runs of the mean over changes."""
    recovery: Interval
    """Median steps to a recovery, over all changes (Kaplan–Meier)."""
    recovered: int
    changes: int


class Delay(NamedTuple):
    """Whether a detector that alarms sooner is followed by a sooner recovery."""

    task: str
    arm: str
    changes: int
    hits: float
    """Share of changes with an alarm before the next one."""
    delay: float
    """Median updates to the alarm, infinite if there is none after half of the changes."""
    recovery: float
    """Median steps to the recovery."""
    correlation: Interval
    """Spearman's, of delay and recovery over the changes of all runs; resampled over runs."""


# Survival -----------------------------------------------------------------------------------------------------------------


def alive(suite: Suite, task: str, arm: str) -> dict[int, float]:
    """Seed → 1 if the run survived every change that counts, else 0; without the runs for which that makes no sense.

    A run that failed is dead.
    """
    runs = suite.runs.get((task, arm), [])
    of = {run.seed: 0.0 if run.status != FINISHED else run.survived for run in runs}
    return {seed: math.nan if math.isnan(share) else float(share == 1.0) for seed, share in of.items() if share == share}


def survivals(suite: Suite, tasks: Sequence[str]) -> list[Survival]:
    """The share of survivors of every arm in every task, by lr."""
    rows = []
    for (task, arm), runs in in_tasks(suite, tasks):
        lived = alive(suite, task, arm)
        by_lr: dict[float, list[float]] = {}
        for run in (run for run in runs if run.seed in lived):
            by_lr.setdefault(schema.parse_setting(run.setting)[1], []).append(lived[run.seed])
        for lr, shares in sorted(by_lr.items()):
            survivors = int(sum(shares))
            rows.append(Survival(task, arm, lr, len(shares), survivors, intervals.share(survivors, len(shares))))
    return rows


def in_tasks(suite: Suite, tasks: Sequence[str]) -> list[tuple[Cell, list[Result]]]:
    """The runs of all arms in these tasks, task by task and in the order of the arms."""
    return [((task, arm), suite.runs[task, arm]) for task in tasks for arm in suite.arms if (task, arm) in suite.runs]


def survival_difference(suite: Suite, arms: Sequence[str], others: Mapping[str, Sequence[str]]) -> Interval:
    """Share of survivors of some arms minus that of `others` [task], mean over these tasks.

    A seed's share is the mean over the arms of a side that had something to lose; the two sides' runs of a seed are resampled
    together.
    """
    xs, ys = [], []
    for task, of_task in others.items():
        x, y = seed_shares(suite, task, arms), seed_shares(suite, task, of_task)
        shared = sorted(x.keys() & y.keys())
        if shared:
            xs.append(np.array([x[seed] for seed in shared]))
            ys.append(np.array([y[seed] for seed in shared]))
    return stratified.difference_of_means(xs, ys, np.random.default_rng(0))


def seed_shares(suite: Suite, task: str, arms: Sequence[str]) -> dict[int, float]:
    """Seed → share of these arms' runs with it that survived."""
    of_arms = [alive(suite, task, arm) for arm in arms]
    seeds = sorted({seed for of_arm in of_arms for seed in of_arm})
    return {seed: float(np.mean([of_arm[seed] for of_arm in of_arms if seed in of_arm])) for seed in seeds}


# Drop, recovery, delay ----------------------------------------------------------------------------------------------------


def per_change(runs: Sequence[Result], name: str) -> NDArray[np.float64]:
    """A joined number of the runs, [runs, most changes]; NaN where there is no change."""
    rows = [schema.separated(getattr(run, name)) for run in runs]
    filled = np.full((len(rows), max(map(len, rows), default=0)), np.nan)
    for row, values in zip(filled, rows, strict=True):
        row[: len(values)] = values
    return filled


def recoveries(suite: Suite, tasks: Sequence[str]) -> list[Recovery]:
    """Drop and recovery of every arm in every task with changes."""
    rows = []
    for (task, arm), runs in in_tasks(suite, tasks):
        finished = [run for run in runs if run.recoveries]
        if finished:
            times, watched = per_change(finished, "recoveries"), per_change(finished, "watched")
            unseen = np.isnan(times)
            times, watched = np.where(unseen, math.inf, times), np.where(unseen, -1.0, watched)
            drops = np.array([run.drop for run in finished if not math.isnan(run.drop)])
            drop = intervals.bootstrap(drops, np.random.default_rng(0), 2000) if len(drops) else stratified.UNKNOWN
            median = intervals.bootstrap_time(times, watched, np.random.default_rng(0))
            rows.append(Recovery(task, arm, drop, median, int(np.isfinite(times).sum()), int((~unseen).sum())))
    return rows


def delays(suite: Suite, tasks: Sequence[str]) -> list[Delay]:
    """Delay beside recovery of every arm with alarms, in every task with changes."""
    rows = []
    for (task, arm), runs in in_tasks(suite, tasks):
        detected = [run for run in runs if run.delays and run.recoveries]
        if detected:
            rows.append(delay_of(task, arm, per_change(detected, "delays"), per_change(detected, "recoveries")))
    return rows


def delay_of(task: str, arm: str, delay: NDArray[np.float64], recovery: NDArray[np.float64]) -> Delay:
    """The row of one arm in one task, from [runs, changes] each."""
    known = ~np.isnan(delay) & ~np.isnan(recovery)
    run = np.broadcast_to(np.arange(len(delay))[:, None], delay.shape)[known]
    x, y = delay[known], recovery[known]
    correlation = ranks.spearman_interval(x, y, run, np.random.default_rng(0))
    share = float(np.isfinite(x).mean()) if len(x) else math.nan
    return Delay(task, arm, len(x), share, median(x), median(y), correlation)


def median(x: NDArray[np.float64]) -> float:
    """The lower median, which is never a mean of a number and an infinite one; NaN of nothing."""
    return float(np.sort(x)[(len(x) - 1) // 2]) if len(x) else math.nan
