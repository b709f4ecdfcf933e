"""Two arms on the same seeds: the difference, how often one is better, and whether chance explains it.

The runs of two arms with the same seed start from the same weights and see the same environment noise, so they are compared
seed by seed: the spread between seeds, often larger than that between arms, cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rl_rmsprop.study.statistics.intervals import Interval, bootstrap, draw_counts, percentiles

EXACT = 14
"""Pairs up to which all 2ⁿ ways to flip signs are tried; beyond, `FLIPS` of them are drawn."""
FLIPS = 20_000
FEWEST_PAIRS = 6
"""Pairs below which there is no verdict: n differences of one sign come about by chance in 2^(1 − n) of cases, and that is
more than 5 % for n < 6."""


class Comparison(NamedTuple):
    """An arm against the baseline arm, on the seeds that both finished."""

    pairs: int
    difference: Interval
    """IQM of the differences between runs of the same seed."""
    improvement: Interval
    """Probability that a run of the arm is better than a run of the baseline."""
    p: float
    """Of the sign-flip test of no difference; NaN with fewer than `FEWEST_PAIRS` pairs."""


def compare(x: NDArray[np.float64], y: NDArray[np.float64], rng: np.random.Generator, better: int = 1) -> Comparison:
    """Compare scores x of an arm with y of the baseline, [n] both and in the order of seeds.

    `better` is 1 if more is better, −1 if less is. The difference is x − y in either case.
    """
    if len(x) == 0:
        nothing = Interval(*np.full(3, np.nan))
        return Comparison(0, nothing, nothing, float("nan"))
    p = sign_flip(x - y, rng) if len(x) >= FEWEST_PAIRS else float("nan")
    return Comparison(len(x), bootstrap(x - y, rng), probability_of_improvement(better * x, better * y, rng), p)


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
    seen = abs(float(d.sum())) - 1e-9 * float(np.abs(d).sum())
    if len(d) <= EXACT:
        signs = np.array(list(product((1.0, -1.0), repeat=len(d))))  # [2ⁿ, n]
        return float((np.abs(signs @ d) >= seen).mean())
    size = max(1, 2**21 // len(d))
    extreme = 0
    for start in range(0, FLIPS, size):
        signs = rng.choice((1.0, -1.0), (min(size, FLIPS - start), len(d)))
        extreme += int((np.abs(signs @ d) >= seen).sum())
    return (1 + extreme) / (1 + FLIPS)


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
