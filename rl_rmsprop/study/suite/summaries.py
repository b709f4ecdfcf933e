"""Arms over tasks: averages, ranks, performance profiles, and how well they predict beside what they earn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rl_rmsprop.study.statistics import intervals, ranks, stratified
from rl_rmsprop.study.statistics.intervals import Interval, iqm
from rl_rmsprop.study.suite import families
from rl_rmsprop.study.suite.schema import FAILED, parse_setting
from rl_rmsprop.study.suite.suite import Suite

LEVELS = 61
"""Points of a profile."""


class Average(NamedTuple):
    """One arm over the tasks of a selection."""

    over: str
    arm: str
    family: str
    tasks: int
    runs: int
    failed: int
    iqm: Interval
    """Over runs × tasks."""
    mean_of_tasks: Interval
    """Mean over tasks of their IQMs."""
    rank: float
    """Mean over tasks of its rank among the arms of this selection that are no controls; NaN for controls."""


class TaskAverage(NamedTuple):
    """One arm in one task."""

    task: str
    arm: str
    lr: float
    rule: str
    runs: int
    failed: int
    score: Interval
    """IQM of the normalised area."""
    mean_return: float
    """The same as a return."""
    final: float
    """IQM of the final evaluation over the runs that finished."""
    tuned: float
    """What its best draw scored on the tuning seeds."""


class Ranking(NamedTuple):
    """Friedman's test over the tasks of a selection."""

    over: str
    arms: tuple[str, ...]
    """From the best mean rank to the worst."""
    ranks: tuple[float, ...]
    tasks: int
    statistic: float
    p: float
    critical_difference: float


class Profile(NamedTuple):
    """Share of runs × tasks with a score above a level."""

    over: str
    arm: str
    level: float
    share: Interval


class Foresight(NamedTuple):
    """How well an arm predicts g², beside what it earns."""

    task: str
    arm: str
    regret: float
    score: float
    """IQM of the normalised area."""


def averages(suite: Suite) -> list[Average]:
    """Every arm over every selection in all of whose tasks it has runs, the best first."""
    rows = []
    for over, tasks in suite.selections.items():
        ranking = rank(suite, over, tasks)
        by_arm = dict(zip(ranking.arms, ranking.ranks, strict=True)) if ranking else {}
        of_selection = [average(suite, over, tasks, arm, by_arm.get(arm, math.nan)) for arm in suite.complete(tasks)]
        rows += sorted(of_selection, key=lambda row: -row.iqm.value)
    return rows


def average(suite: Suite, over: str, tasks: Sequence[str], arm: str, mean_rank: float) -> Average:
    """One row."""
    groups = [suite.group(task, arm) for task in tasks]
    failed = sum(run.status == FAILED for task in tasks for run in suite.runs[task, arm])
    over_runs = stratified.over_runs(groups, np.random.default_rng(0))
    of_tasks = stratified.mean_of_tasks(groups, np.random.default_rng(0))
    return Average(
        over, arm, families.family(suite.arms[arm]), len(tasks), sum(map(len, groups)), failed, over_runs, of_tasks, mean_rank
    )


def task_averages(suite: Suite) -> list[TaskAverage]:
    """Every arm in every task, in the tasks' order, the best first."""
    rows = []
    for task in suite.task:
        of_task = [task_average(suite, task, arm) for arm in suite.arms if (task, arm) in suite.runs]
        rows += sorted(of_task, key=lambda row: -row.score.value)
    return rows


def task_average(suite: Suite, task: str, arm: str) -> TaskAverage:
    """One row."""
    runs, x = suite.runs[task, arm], suite.group(task, arm)
    rule, lr = parse_setting(runs[0].setting)
    score = stratified.over_runs([x], np.random.default_rng(0))
    low, high = suite.task[task].low, suite.task[task].high
    finals = np.array([run.final for run in runs if not math.isnan(run.final)])
    failed = sum(run.status == FAILED for run in runs)
    final = float(iqm(finals)) if len(finals) else math.nan
    return TaskAverage(
        task, arm, lr, rule, len(x), failed, score, low + float(score.value) * (high - low), final, suite.tuned_score(task, arm)
    )


def rank(suite: Suite, over: str, tasks: Sequence[str]) -> Ranking | None:
    """The arms' mean ranks over tasks, controls left out: they repeat their arms. None with fewer than two tasks or arms."""
    arms = [arm for arm in suite.complete(tasks) if families.family(suite.arms[arm]) != families.CONTROL]
    if len(tasks) < 2 or len(arms) < 2:
        return None
    table = np.array([[float(iqm(suite.group(task, arm))) for arm in arms] for task in tasks])
    test = ranks.friedman(table)
    order = np.argsort(test.mean_ranks, kind="stable").tolist()
    of_arms = tuple(float(test.mean_ranks[i]) for i in order)
    return Ranking(over, tuple(arms[i] for i in order), of_arms, len(tasks), test.statistic, test.p, test.critical_difference)


def rankings(suite: Suite) -> list[Ranking]:
    """The ranking of every selection that has one."""
    found = [rank(suite, over, tasks) for over, tasks in suite.selections.items()]
    return [ranking for ranking in found if ranking is not None]


def profiles(suite: Suite, over: str) -> list[Profile]:
    """The performance profile of every arm over a selection, on levels from the worst score of all to the best."""
    tasks = suite.selections.get(over, [])
    arms = suite.complete(tasks)
    groups = {arm: [suite.group(task, arm) for task in tasks] for arm in arms}
    if not groups:
        return []
    everything = np.concatenate([x for of_arm in groups.values() for x in of_arm])
    levels = np.linspace(everything.min(), everything.max(), LEVELS)
    rows = []
    for arm, of_arm in groups.items():
        share = stratified.profile(of_arm, levels, np.random.default_rng(0))
        columns = zip(levels.tolist(), *(part.tolist() for part in share), strict=True)
        rows += [Profile(over, arm, level, Interval(*values)) for level, *values in columns]
    return rows


# Forecasts ----------------------------------------------------------------------------------------------------------------


def foresights(suite: Suite) -> list[Foresight]:
    """The arms whose forecasts were scored and that have runs in the same task."""
    known = [row for row in suite.forecasts if (row.task, row.arm) in suite.scores]
    return [Foresight(r.task, r.arm, r.regret, float(iqm(suite.group(r.task, r.arm)))) for r in known]


def foresight_correlation(rows: Sequence[Foresight]) -> Interval:
    """Rank correlation of regret and score over arms, mean over tasks; its interval resamples tasks.

    −1: the better a rule predicts, the more it earns.
    """
    by_task: dict[str, list[Foresight]] = {}
    for row in rows:
        by_task.setdefault(row.task, []).append(row)
    of_tasks = np.array([
        ranks.spearman(np.array([row.regret for row in some]), np.array([row.score for row in some])) for some in by_task.values()
    ])  # fmt: skip
    return mean_interval(of_tasks[~np.isnan(of_tasks)])


def mean_interval(x: NDArray[np.float64]) -> Interval:
    """The mean of one number of each task [n] with its bootstrap interval over tasks; unknown without any."""
    return stratified.over_runs([x], np.random.default_rng(0), intervals.none) if len(x) else stratified.UNKNOWN
