"""Two arms over tasks: which is better how often, by how much, and whether chance explains it; verdicts on hypotheses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rl_rmsprop.study.statistics import stratified
from rl_rmsprop.study.statistics.comparison import holm
from rl_rmsprop.study.statistics.intervals import Interval
from rl_rmsprop.study.suite.suite import Suite

Choice = Mapping[str, str]
"""Task → text of the arm that stands for a family there."""


class Versus(NamedTuple):
    """One arm, or the best of a family, against another."""

    hypothesis: str
    over: str
    """Which tasks: a selection of the suite."""
    arm: str
    against: str
    tasks: int
    pairs: int
    """Runs of the same task and seed."""
    improvement: Interval
    """P(a run of the arm scores more), mean over tasks."""
    difference: Interval
    """Mean over tasks of the difference of the IQMs."""
    p: float
    p_holm: float = math.nan
    """Corrected over the comparisons of its hypothesis."""


class Answer(NamedTuple):
    """What the data say on one part of a hypothesis."""

    hypothesis: str
    """H1 … H7."""
    question: str
    quantity: str
    """What the number is."""
    estimate: Interval
    bar: float
    """What it must exceed."""
    verdict: str
    tasks: int

    @classmethod
    def of(cls, hypothesis: str, question: str, quantity: str, estimate: Interval, bar: float, tasks: int) -> Answer:
        """The answer that an interval gives."""
        return cls(hypothesis, question, quantity, estimate, bar, verdict(estimate, bar), tasks)


def verdict(estimate: Interval, bar: float) -> str:
    """supported if the whole interval lies above the bar, refuted if it lies below, else undecided; no data without one.

    >>> verdict(Interval(0.6, 0.55, 0.65), 0.5), verdict(Interval(0.6, 0.45, 0.75), 0.5), verdict(stratified.UNKNOWN, 0.5)
    ('supported', 'undecided', 'no data')
    """
    if any(math.isnan(x) for x in estimate):
        return "no data"
    return "supported" if estimate.low > bar else "refuted" if estimate.high < bar else "undecided"


def compare(suite: Suite, hypothesis: str, over: str, arm: str, against: str, x: Choice, y: Choice) -> Versus | None:
    """Compare what stands for two families in the tasks that both have; `arm` and `against` name them. None without a task."""
    tasks = [task for task in x if task in y and x[task] != y[task] and shared_seeds(suite, task, x[task], y[task])]
    if not tasks:
        return None
    rng = np.random.default_rng(0)  # a fixed stream: the same tables give the same page
    xs, ys = ([suite.group(task, choice[task]) for task in tasks] for choice in (x, y))
    paired = [paired_scores(suite, task, x[task], y[task]) for task in tasks]
    a, b = [pair[0] for pair in paired], [pair[1] for pair in paired]
    return Versus(
        hypothesis, over, arm, against, len(tasks), sum(map(len, a)), stratified.improvement(xs, ys, rng),
        stratified.difference(a, b, rng), stratified.paired_p(a, b, rng),
    )  # fmt: skip


def shared_seeds(suite: Suite, task: str, arm: str, other: str) -> list[int]:
    """The seeds of which both arms have a run."""
    return sorted(suite.scores.get((task, arm), {}).keys() & suite.scores.get((task, other), {}).keys())


def paired_scores(suite: Suite, task: str, arm: str, other: str) -> tuple[np.ndarray, np.ndarray]:
    """The scores of two arms in a task, of the same seeds in the same order."""
    seeds = shared_seeds(suite, task, arm, other)
    one, two = (np.array([suite.scores[task, text][seed] for seed in seeds]) for text in (arm, other))
    return one, two


def always(tasks: Sequence[str], arm: str) -> Choice:
    """The same arm in every task."""
    return dict.fromkeys(tasks, arm)


def corrected(rows: Sequence[Versus]) -> list[Versus]:
    """The same with Holm's correction over all of them."""
    return [row._replace(p_holm=p) for row, p in zip(rows, holm([row.p for row in rows]), strict=True)]
