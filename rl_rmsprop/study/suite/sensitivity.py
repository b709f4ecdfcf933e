"""What the tuning's draws say: how much an arm depends on lr, what tuning for each task gains (Φ), what the variance is due to.

Draw k has the same factor on the preset's lr in every task and for every arm, and is in the k-th part of the range of no other:
the draws of one arm are its curve over lr, and those of all arms in all tasks are a full table.

    area     mean over the range of ln lr of the score, by the trapezoidal rule: a rule that needs the right lr has a small one
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rl_rmsprop.study.results.sensitivity import Response, Sensitivity, sensitivities
from rl_rmsprop.study.statistics import stratified, variance
from rl_rmsprop.study.statistics.intervals import Interval, iqm
from rl_rmsprop.study.suite import families
from rl_rmsprop.study.suite.suite import Suite, Tuning


class Area(NamedTuple):
    """The area under the curves of one arm over lr."""

    over: str
    arm: str
    tasks: int
    area: Interval
    """Mean over tasks, resampled over tuning seeds."""


class Part(NamedTuple):
    """One term of the variance of the draws' scores."""

    group: str
    """The tasks of one table: those with equally many draws and seeds."""
    arms: str
    """all arms, or fixed: where the rule is β."""
    term: str
    degrees: int
    share: Interval
    corrected: float


class Phi(NamedTuple):
    """Φ of an arm over tasks with the same draws."""

    group: str
    arm: str
    tuned_for_each: float
    one_for_all: float
    phi: float


# Curves over lr -----------------------------------------------------------------------------------------------------------


def area(tuning: Tuning) -> NDArray[np.float64]:
    """The mean height of an arm's curve over ln lr in one task, for each of its tuning seeds [S]."""
    order = np.argsort(tuning.lr, kind="stable")
    x = np.log(tuning.lr[order])
    if len(x) < 2 or x[-1] == x[0]:
        return tuning.scores.mean(0)
    heights: NDArray[np.float64] = np.trapezoid(tuning.scores[order], x, axis=0) / (x[-1] - x[0])
    return heights


def areas(suite: Suite, over: str, tasks: Sequence[str]) -> list[Area]:
    """The area of every arm that was tuned in all of these tasks."""
    rows = []
    for arm in tuned_in_all(suite, tasks):
        groups = [area(suite.tuning[task, arm]) for task in tasks]
        rows.append(Area(over, arm, len(tasks), stratified.difference_of_means(groups, zeros(groups), np.random.default_rng(0))))
    return rows


def zeros(groups: Sequence[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Groups of the same sizes, of zeros: a difference from them is a mean."""
    return [np.zeros(len(group)) for group in groups]


def area_difference(suite: Suite, tasks: Sequence[str], arm: str, others: Sequence[str]) -> Interval:
    """Area of an arm minus that of the best of `others`, mean over tasks; seeds of both are resampled together."""
    xs, ys = [], []
    for task in tasks:
        candidates = [area(suite.tuning[task, other]) for other in others if (task, other) in suite.tuning]
        if (task, arm) in suite.tuning and candidates:
            xs.append(area(suite.tuning[task, arm]))
            ys.append(max(candidates, key=lambda heights: heights.mean()))
    return stratified.difference_of_means(xs, ys, np.random.default_rng(0))


def tuned_in_all(suite: Suite, tasks: Sequence[str]) -> list[str]:
    """The arms that were tuned in all of these tasks."""
    return [arm for arm in suite.arms if tasks and all((task, arm) in suite.tuning for task in tasks)]


def same_draws(suite: Suite, tasks: Sequence[str]) -> dict[str, list[str]]:
    """Tasks in groups with the same number of draws and tuning seeds, by a name for each group: only they have the same draws."""
    groups: dict[tuple[int, int], list[str]] = {}
    for task in tasks:
        shapes = {tuning.scores.shape for (name, _), tuning in suite.tuning.items() if name == task}
        if len(shapes) == 1:
            groups.setdefault(shapes.pop(), []).append(task)
    return {f"{draws} draws × {seeds} seeds, {len(some)} tasks": some for (draws, seeds), some in groups.items()}


# Φ ------------------------------------------------------------------------------------------------------------------------


def phis(suite: Suite, tasks: Sequence[str]) -> list[Phi]:
    """Φ of every arm that was tuned in all tasks of a group; none in groups of one task."""
    rows = []
    for name, group in same_draws(suite, tasks).items():
        if len(group) > 1:
            arms = tuned_in_all(suite, group)
            found = sensitivities([response(suite, task, arm) for task in group for arm in arms])
            rows += [phi_of(name, row) for row in found]
    return rows


def phi_of(group: str, row: Sensitivity) -> Phi:
    """A row of the table."""
    return Phi(group, row.arm, row.tuned_for_each, row.one_for_all, row.phi)


def response(suite: Suite, task: str, arm: str) -> Response:
    """An arm's curve in a task, as studies have it for an environment; a draw with a failed run has no score."""
    tuning = suite.tuning[task, arm]
    order = np.argsort(tuning.lr, kind="stable")
    score = np.where(tuning.failed, math.nan, iqm(tuning.scores, axis=1))
    return Response(task, arm, suite.place(arm), tuning.number[order], tuning.lr[order], score[order], tuning.update_rms[order])


# Variance -----------------------------------------------------------------------------------------------------------------

LR_TERMS, RULE_TERMS = ("lr", "task×lr"), ("rule", "task×rule")


def table(suite: Suite, tasks: Sequence[str], arms: Sequence[str]) -> NDArray[np.float64]:
    """The scores of all draws [tasks, arms, draws, seeds]."""
    return np.stack([np.stack([suite.tuning[task, arm].scores for arm in arms]) for task in tasks])


class VarianceTable(NamedTuple):
    """The scores of all draws of some arms in some tasks."""

    y: NDArray[np.float64]  # [tasks, arms, draws, seeds]
    drawn: list[dict[str, float]]
    """The shares of its terms on resampled tables."""


@lru_cache(maxsize=1)  # the tables of numbers and the hypotheses ask for the same ones
def variance_tables(suite: Suite, tasks: tuple[str, ...]) -> dict[tuple[str, str], VarianceTable]:
    """Group of tasks, and which arms → the table of their draws; only tables with at least two arms and two draws."""
    tables = {}
    for name, group in same_draws(suite, tasks).items():
        arms = tuned_in_all(suite, group)
        fixed = [arm for arm in arms if families.family(suite.arms[arm]) == families.FIXED]
        for which, some in (("all", arms), ("fixed", fixed)):
            if len(some) > 1 and suite.tuning[group[0], some[0]].scores.shape[0] > 1:
                y = table(suite, group, some)
                tables[name, which] = VarianceTable(y, variance.resampled_shares(y, np.random.default_rng(0)))
    return tables


def parts(suite: Suite, tasks: Sequence[str]) -> list[Part]:
    """What the variance of the draws' scores is due to."""
    rows = []
    for (name, which), (y, drawn) in variance_tables(suite, tuple(tasks)).items():
        for term in variance.decompose(y):
            share = variance.share_of((term.name,), y, drawn)
            rows.append(Part(name, which, term.name, term.degrees, share, term.corrected))
    return rows


def lr_over_rule(of: VarianceTable) -> Interval:
    """Share of the variance that lr explains, alone and in single tasks, minus that of the rule."""
    return variance.share_of(LR_TERMS, of.y, of.drawn, RULE_TERMS)
