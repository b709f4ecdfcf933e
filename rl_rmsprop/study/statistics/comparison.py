"""Two arms on the same seeds: by how much one is better, how often, and whether chance explains it.

x and y are the scores of an arm and of the baseline, a run a seed. Runs of two arms with the same seed start from the same
weights and see the same environment noise, so they are compared seed by seed: the spread between seeds, often larger than that
between arms, cancels.

    difference     IQM(x) − IQM(y): of the very numbers by which arms are ranked, so that the arm that ranks first leads over all
    its interval   percentile bootstrap over seeds: a resample draws a seed's runs of both arms together
    P(better)      P(X > Y) + ½ P(X = Y) for a run of each, whatever their seeds
    p              sign-flip test of the mean of d_i = x_i − y_i over the seeds i that both arms finished

The IQM of the differences d_i is another statistic, which can have the other sign: with y = (0, 10, 20, 30) and x = (29, 9, 19,
28) the IQMs are 23.5 and 15, yet three of four d_i are negative and their IQM is −1. The test is of the mean, since an IQM does
not change when the sign of one of many equal differences does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rl_rmsprop.study.statistics.intervals import RESAMPLES, Interval, draw_counts, iqm, percentiles, quarter, resampled

EXACT = 14
"""Pairs up to which all 2ⁿ ways to flip signs are tried; beyond, `FLIPS` of them are drawn."""
FLIPS = 20_000
FEWEST_PAIRS = 6
"""Pairs below which there is no test: n differences of one sign come about by chance in 2^(1 − n) of cases, and that is more than
5 % for n < 6."""
SIGNIFICANT = 0.05
"""Corrected p below which a difference is called one."""


class Comparison(NamedTuple):
    """An arm against the baseline arm."""

    pairs: int
    """Seeds that both finished."""
    difference: Interval
    """IQM of the arm minus IQM of the baseline."""
    improvement: Interval
    """Probability that a run of the arm is better than a run of the baseline."""
    mean: float
    """Mean difference of runs of the same seed, which p is about."""
    p: float
    """Of the sign-flip test of no difference; NaN with fewer than `FEWEST_PAIRS` pairs."""


def compare(x: Mapping[int, float], y: Mapping[int, float], rng: np.random.Generator, better: int = 1) -> Comparison:
    """Compare the scores x of an arm with y of the baseline, both by seed.

    `better` is 1 if more is better, −1 if less is. Differences are x − y in either case.
    """
    shared = [seed for seed in x if seed in y]
    a, b = (np.array([scores[seed] for seed in shared], dtype=float) for scores in (x, y))  # [pairs]
    if not shared:
        unknown = Interval(*np.full(3, np.nan))
        return Comparison(0, unknown, unknown, float("nan"), float("nan"))
    p = sign_flip(a - b, rng) if len(shared) >= FEWEST_PAIRS else float("nan")
    alone = [np.array([scores[seed] for seed in scores if seed not in shared], dtype=float) for scores in (x, y)]
    difference = difference_of_iqms(np.concatenate([a, alone[0]]), np.concatenate([b, alone[1]]), len(shared), rng)
    improvement = probability_of_improvement(better * a, better * b, rng)
    return Comparison(len(shared), difference, improvement, float((a - b).mean()), p)


def difference_of_iqms(
    x: NDArray[np.float64], y: NDArray[np.float64], pairs: int, rng: np.random.Generator, resamples: int = RESAMPLES
) -> Interval:
    """IQM(x) − IQM(y) of scores x [n] and y [m], the first `pairs` of both being those of the same seeds, with its interval.

    A resample draws `pairs` seeds for both arms, and for each arm as many of the runs without a partner as there are. An arm
    with a single run has no interval.
    """
    value = iqm(x) - iqm(y)
    if min(len(x), len(y)) < 2:
        return Interval(value, np.full_like(value, np.nan), np.full_like(value, np.nan))
    strata = [size for size in (pairs, len(x) - pairs, len(y) - pairs) if size]
    counts = draw_counts(strata, rng, resamples)  # [pairs + rest of x + rest of y, B]
    of_y = np.concatenate([counts[:pairs], counts[len(x) :]])
    differences = resampled(x[:, None], counts[: len(x)], quarter) - resampled(y[:, None], of_y, quarter)
    return Interval(value, *percentiles(differences[:, 0]))


def probability_of_improvement(
    x: NDArray[np.float64], y: NDArray[np.float64], rng: np.random.Generator, resamples: int = 10_000
) -> Interval:
    """P(X > Y) + ½ P(X = Y) over all pairs of a run of x [n] and one of y [n] (Mann–Whitney's U / n²), with its interval.

    Seeds are resampled, both arms' runs of a seed together: with counts c and G_ij = 1 if x_i > y_j the value is cᵀGc / n².
    """
    n = len(x)
    G = (x[:, None] > y).astype(np.float64) + 0.5 * (x[:, None] == y)  # [n, n]
    G[np.isnan(x)] = np.nan
    G[:, np.isnan(y)] = np.nan
    if n == 1:
        return Interval(G.mean(), np.float64("nan"), np.float64("nan"))  # type: ignore[arg-type]
    counts = draw_counts([n], rng, resamples).T.astype(np.float64)  # [B, n]
    return Interval(G.mean(), *percentiles(((counts @ G) * counts).sum(1) / n**2))


def sign_flip(d: NDArray[np.float64], rng: np.random.Generator) -> float:
    """Two-sided p of the sign-flip test (Fisher 1935): if the arms do not differ, a seed's difference d_i may as well be −d_i.

    p is the share of all 2ⁿ choices of signs whose |mean| is at least that seen: the mean and not the IQM, which does not move
    when one of many equal differences is turned. Exact up to `EXACT` pairs; beyond, `FLIPS` choices are drawn and the one seen
    counts with them, so that p is never 0. NaN if a difference is.
    """
    if np.isnan(d).any():
        return float("nan")
    # Rounding must not make the choice seen, or one equal to it, smaller than itself.
    observed = abs(float(d.sum())) - 1e-9 * float(np.abs(d).sum())
    if len(d) <= EXACT:
        signs = np.array(list(product((1.0, -1.0), repeat=len(d))))  # [2ⁿ, n]
        return float((np.abs(signs @ d) >= observed).mean())
    size = max(1, 2**21 // len(d))
    extreme = 0
    for start in range(0, FLIPS, size):
        signs = rng.choice((1.0, -1.0), (min(size, FLIPS - start), len(d)))
        extreme += int((np.abs(signs @ d) >= observed).sum())
    return (1 + extreme) / (1 + FLIPS)


def smallest_p(pairs: int, comparisons: int) -> float:
    """The smallest p that so many pairs can reach after Holm's correction for so many comparisons: all differences of one sign.

    >>> smallest_p(6, 1), smallest_p(6, 5), smallest_p(3, 9)
    (0.03125, 0.15625, 1.0)
    """
    return min(1.0, comparisons * 2.0 ** (1 - pairs))


def pairs_needed(comparisons: int) -> int:
    """The fewest pairs with which a p below `SIGNIFICANT` can be reached after the correction for so many comparisons.

    >>> [pairs_needed(m) for m in (1, 2, 5, 11)]
    [6, 7, 8, 9]
    """
    return next(n for n in range(FEWEST_PAIRS, 64) if smallest_p(n, comparisons) < SIGNIFICANT)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's (1979) adjusted p-values: the k-th smallest of m times m − k + 1, never below a smaller one's, at most 1.

    NaN stays NaN and is not counted: what was not tested needs no correction.

    >>> [round(q, 3) for q in holm([0.04, 0.01, 0.03])]
    [0.06, 0.03, 0.06]
    """
    values = np.asarray(p, dtype=float)
    tested = np.flatnonzero(~np.isnan(values))
    order = tested[np.argsort(values[tested], kind="stable")]
    adjusted = np.full(len(values), np.nan)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * (len(order) - np.arange(len(order)))))
    return [float(q) for q in adjusted]
