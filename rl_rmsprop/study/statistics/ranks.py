"""Ranks: of arms over tasks (Friedman's test, Nemenyi's critical difference), and of one quantity by another (Spearman).

    rank of arm a in task t     1 for the best score, means for ties
    Friedman (1937)             χ² = (k−1) Σ_a (R̄_a − (k+1)/2)² / [mean over tasks of Σ_a (r_ta − (k+1)/2)² / N],  k − 1 degrees
    Nemenyi (1963)              two mean ranks differ if by more than  q √(k(k+1)/(6N))
                                q = the 95 % quantile of the range of k standard normal variables, over √2

as in Demšar (2006), with the correction for ties. The range's distribution, with φ and Φ of the normal one, is
P(range ≤ x) = k ∫ φ(z) [Φ(z) − Φ(z − x)]^{k−1} dz.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rl_rmsprop.study.statistics.intervals import LEVEL, Interval, draw_counts, percentiles

Z = np.linspace(-9.0, 9.0, 1801)
"""Where the integral over a standard normal variable is evaluated; beyond, it is below 1e-18."""
RESAMPLES = 2000


def ranks(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks of x [n] from 1 for the smallest, equal ones their mean.

    >>> ranks(np.array([3.0, 1.0, 3.0])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


class Friedman(NamedTuple):
    """Whether some arms rank better than others over tasks."""

    mean_ranks: NDArray[np.float64]
    """Of each arm [k], 1 the best."""
    statistic: float
    p: float
    critical_difference: float
    """Of two mean ranks."""


def friedman(scores: NDArray[np.float64]) -> Friedman:
    """The test of scores [tasks N, arms k], more being better. Statistic and p are NaN if all arms tie, or there is one arm."""
    tasks, arms = scores.shape
    table = np.stack([ranks(-row) for row in scores])  # [N, k]
    means, spread = table.mean(0), ((table - (arms + 1) / 2) ** 2).sum()
    critical = critical_difference(arms, tasks) if arms > 1 else math.nan
    if spread == 0:
        return Friedman(means, math.nan, math.nan, critical)
    statistic = float((arms - 1) * tasks**2 * ((means - (arms + 1) / 2) ** 2).sum() / spread)
    return Friedman(means, statistic, chi2_tail(statistic, arms - 1), critical)


def critical_difference(arms: int, tasks: int) -> float:
    """Nemenyi's: by how much two mean ranks must differ."""
    return range_quantile(LEVEL, arms) / math.sqrt(2) * math.sqrt(arms * (arms + 1) / (6 * tasks))


def range_quantile(probability: float, k: int) -> float:
    """The quantile of the range of k ≥ 2 standard normal variables (the studentized range with infinitely many degrees)."""
    low, high = 0.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if range_probability(middle, k) < probability else (low, middle)
    return (low + high) / 2


def range_probability(x: float, k: int) -> float:
    """P(range of k standard normal variables ≤ x), by the trapezoidal rule, exact to rounding for so smooth a function."""
    density = np.exp(-(Z**2) / 2) / math.sqrt(2 * math.pi)
    return float(k * np.trapezoid(density * (normal(Z) - normal(Z - x)) ** (k - 1), Z))


def normal(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """The normal distribution's Φ."""
    return np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in z.tolist()])


def chi2_tail(x: float, degrees: int) -> float:
    """P(χ² > x) with a whole number of degrees of freedom: a finite sum (Abramowitz and Stegun, 26.4.4 and 26.4.5)."""
    half, odd = x / 2, degrees % 2
    if half <= 0:
        return 1.0
    powers = np.arange(degrees // 2) + odd / 2
    terms = [math.exp(power * math.log(half) - half - math.lgamma(power + 1)) for power in powers.tolist()]
    return min(1.0, (math.erfc(math.sqrt(half)) if odd else 0.0) + math.fsum(terms))


# Rank correlation ---------------------------------------------------------------------------------------------------------


def spearman(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Rank correlation of x [n] and y [n], infinite values ranking last; NaN if one of them is constant, or n < 3."""
    a, b = ranks(x), ranks(y)
    if len(x) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    return float(np.corrcoef(a, b)[0, 1])


def spearman_interval(x: NDArray[np.float64], y: NDArray[np.float64], clusters: NDArray, rng: np.random.Generator) -> Interval:
    """The rank correlation with its percentile interval over `clusters` [n], such as runs, which are drawn whole.

    With c_j how often j was drawn, the rank of x_i in a resample is Σ_j c_j ([x_j < x_i] + ½ [x_j = x_i]) + ½.
    """
    value = spearman(x, y)
    _, cluster = np.unique(clusters, return_inverse=True)
    runs = int(cluster.max(initial=-1)) + 1
    if math.isnan(value) or runs < 3:
        return Interval(*np.array([value, math.nan, math.nan]))
    c = draw_counts([runs], rng, RESAMPLES)[cluster].astype(np.float64)  # [n, B]
    a, b = (((v < v[:, None]) + 0.5 * (v == v[:, None])) @ c for v in (x, y))  # [n, B]
    a, b = a - (c * a).sum(0) / c.sum(0), b - (c * b).sum(0) / c.sum(0)
    variances = (c * a * a).sum(0) * (c * b * b).sum(0)
    known = variances > 1e-9  # a resample of one value has no correlation
    low, high = percentiles((c * a * b).sum(0)[known] / np.sqrt(variances[known]))
    return Interval(np.float64(value), low, high)  # type: ignore[arg-type]
