"""Arms over several tasks: groups of runs, one a task, each resampled within itself (stratified bootstrap, Agarwal et al. 2021).

    over runs × tasks     IQM of all runs of all tasks together
    mean over tasks       mean of the tasks' IQMs, so that each task weighs the same, however many runs it has
    P(X > Y)              mean over tasks of the share of all pairs of runs in which x is greater, ties counting half
    difference            mean over tasks of IQM(x) − IQM(y), the two arms' runs of a seed resampled together
    p                     sign-flip test of the mean of all differences between runs of the same task and seed

The first and the third are those of rliable, with its intervals: there, the runs of two arms are resampled apart. A group is an
array [n] of scores on one scale for all tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import starmap

import numpy as np
from numpy.typing import NDArray

from rl_rmsprop.study.statistics.comparison import FEWEST_PAIRS, sign_flip
from rl_rmsprop.study.statistics.intervals import (
    Interval,
    Trim,
    bootstrap,
    draw_counts,
    iqm,
    none,
    percentiles,
    quarter,
    resampled,
    trimmed_mean,
)

Group = NDArray[np.float64]
"""The scores of one arm's runs in one task, [n]."""
RESAMPLES = 10_000
"""Resamples of a number that a table has for every arm."""
UNKNOWN = Interval(*np.full(3, np.nan))


def over_runs(groups: Sequence[Group], rng: np.random.Generator, trim: Trim = quarter, resamples: int = RESAMPLES) -> Interval:
    """IQM over runs × tasks with its stratified bootstrap interval; unknown without runs."""
    if not groups:
        return UNKNOWN
    return bootstrap(np.concatenate(groups), rng, resamples, trim, [len(group) for group in groups])


def mean_of_tasks(groups: Sequence[Group], rng: np.random.Generator, resamples: int = RESAMPLES) -> Interval:
    """Mean over tasks of the IQM over their runs."""
    if not groups:
        return UNKNOWN
    value = np.asarray(np.mean([iqm(group) for group in groups]))
    if min(map(len, groups)) < 2:
        return Interval(value, *UNKNOWN[1:])
    drawn = [resampled(group[:, None], draw_counts([len(group)], rng, resamples), quarter)[:, 0] for group in groups]
    return Interval(value, *percentiles(np.mean(drawn, 0)))


def superiority(x: Group, y: Group) -> NDArray[np.float64]:
    """1 where x_i > y_j, ½ where they are equal, else 0: [n, m].

    >>> superiority(np.array([1.0, 2.0]), np.array([1.0])).tolist()
    [[0.5], [1.0]]
    """
    return (x[:, None] > y).astype(np.float64) + 0.5 * (x[:, None] == y)


def improvement(xs: Sequence[Group], ys: Sequence[Group], rng: np.random.Generator, resamples: int = RESAMPLES) -> Interval:
    """Mean over tasks of P(X > Y) + ½ P(X = Y); xs and ys are the two arms' groups in the same tasks."""
    if not xs:
        return UNKNOWN
    tables = list(starmap(superiority, zip(xs, ys, strict=True)))  # [n, m] each
    value = np.asarray(np.mean([G.mean() for G in tables]))
    if min(map(min, (G.shape for G in tables))) < 2:
        return Interval(value, *UNKNOWN[1:])
    total = np.zeros(resamples)
    for G in tables:
        of_x, of_y = (draw_counts([n], rng, resamples).T.astype(np.float64) for n in G.shape)  # [B, n], [B, m]
        total += ((of_x @ G) * of_y).sum(1) / G.size
    return Interval(value, *percentiles(total / len(tables)))


def difference(
    xs: Sequence[Group], ys: Sequence[Group], rng: np.random.Generator, trim: Trim = quarter, resamples: int = RESAMPLES
) -> Interval:
    """Mean over tasks of IQM(x) − IQM(y), or of another trimmed mean; x_i and y_i of a group are of the same seed."""
    if not xs:
        return UNKNOWN
    value = np.asarray(np.mean([trimmed_mean(x, trim) - trimmed_mean(y, trim) for x, y in zip(xs, ys, strict=True)]))
    if min(map(len, xs)) < 2:
        return Interval(value, *UNKNOWN[1:])
    total = np.zeros(resamples)
    for x, y in zip(xs, ys, strict=True):
        counts = draw_counts([len(x)], rng, resamples)
        total += (resampled(x[:, None], counts, trim) - resampled(y[:, None], counts, trim))[:, 0]
    return Interval(value, *percentiles(total / len(xs)))


def difference_of_means(xs: Sequence[Group], ys: Sequence[Group], rng: np.random.Generator) -> Interval:
    """Mean over tasks of mean(x) − mean(y), as of shares, whose IQM is 0 or 1."""
    return difference(xs, ys, rng, none)


def paired_p(xs: Sequence[Group], ys: Sequence[Group], rng: np.random.Generator) -> float:
    """Two-sided p of the sign-flip test over the pairs of all tasks; NaN with too few pairs."""
    pairs = sum(map(len, xs))
    return sign_flip(np.concatenate(list(xs)) - np.concatenate(list(ys)), rng) if pairs >= FEWEST_PAIRS else float("nan")


def profile(groups: Sequence[Group], levels: NDArray[np.float64], rng: np.random.Generator) -> Interval:
    """Share of runs × tasks with a score above each level [K], with its pointwise stratified interval."""
    above = (np.concatenate(groups)[:, None] > levels).astype(np.float64)
    return bootstrap(above, rng, 1000, none, [len(group) for group in groups])
