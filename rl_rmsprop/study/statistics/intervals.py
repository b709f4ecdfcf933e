"""Statistics over runs: trimmed means and their percentile bootstrap. Axis 0 is the run.

The interquartile mean (Agarwal et al. 2021) drops the lowest and the highest quarter of the runs (⌊n/4⌋ each) and averages
the rest: less noisy than the median, and one collapsed run does not decide it. Mean and median are the same statistic with
another number of runs dropped, so one function has them all.

The bootstrap draws whole runs with replacement. A resample is a vector of counts c [n], how often each run was drawn, and
every column of x is evaluated on the same resamples. With x₍₁₎ ≤ … ≤ x₍ₙ₎, their counts summed up C_i = c₍₁₎ + … + c₍ᵢ₎, and
d runs dropped at each end, a resample's trimmed mean needs no sorting:

    Σ x₍ᵢ₎ (K_i − K_{i−1}) / m = x₍ₙ₎ − Σ_{i<n} (x₍ᵢ₊₁₎ − x₍ᵢ₎) K_i / m        K_i = clip(C_i, d, n − d) − d,   m = n − 2d
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
"""Resamples for the numbers in tables."""
LEVEL = 0.95
BLOCK = 2**22  # entries of a block of counts that are drawn at once


class Interval(NamedTuple):
    """A statistic with its 95 % confidence interval (NaN if there is none); arrays where the data had further axes."""

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


# Trimmed means ------------------------------------------------------------------------------------------------------------

Trim = Callable[[int], int]
"""Number of runs n → how many are dropped at each end."""


def none(n: int) -> int:
    """The mean drops nothing."""
    return 0


def quarter(n: int) -> int:
    """The interquartile mean drops a quarter at each end."""
    return n // 4


def half(n: int) -> int:
    """The median drops all but the middle one or two."""
    return (n - 1) // 2


def trimmed_mean(x: NDArray[np.float64], trim: Trim = quarter, axis: int = 0) -> NDArray[np.float64]:
    """Mean over `axis` without the `trim(n)` lowest and highest values; NaN where a value is NaN."""
    n = x.shape[axis]
    middle = np.take(np.sort(x, axis=axis), range(trim(n), n - trim(n)), axis=axis)
    # Sorting puts NaN last, where the upper quarter would take it for the best run and drop it.
    return np.where(np.isnan(x).any(axis), np.nan, middle.mean(axis=axis))


def iqm(x: NDArray[np.float64], axis: int = 0) -> NDArray[np.float64]:
    """Interquartile mean over `axis`; NaN where a value is NaN."""
    return trimmed_mean(x, quarter, axis)


# Bootstrap ----------------------------------------------------------------------------------------------------------------


def draw_counts(strata: Sequence[int], rng: np.random.Generator, resamples: int) -> NDArray[np.int16]:
    """How often each run is in each resample [n, B]; runs are drawn with replacement within strata of the given sizes.

    Drawn in blocks, so that many seeds do not need much memory at once.
    """
    counts = np.empty((sum(strata), resamples), np.int16)
    for n, last in zip(strata, np.cumsum(strata), strict=True):
        size = max(1, BLOCK // n)
        for start in range(0, resamples, size):
            some = min(size, resamples - start)
            bins = rng.integers(0, n, (some, n)) + n * np.arange(some)[:, None]  # a block of n bins for each resample
            counts[last - n : last, start : start + some] = np.bincount(bins.ravel(), minlength=n * some).reshape(some, n).T
    return counts


def resampled(x: NDArray[np.float64], counts: NDArray[np.int16], trim: Trim) -> NDArray[np.float64]:
    """The trimmed mean of every column of x [n, K] on every resample: [B, K]. The formula at the top of this file."""
    n, dropped = len(x), trim(len(x))
    order = np.argsort(x, axis=0, kind="stable")
    ordered = np.take_along_axis(x, order, 0)
    gaps = np.diff(ordered, axis=0) / (n - 2 * dropped)  # [n − 1, K]
    small = counts.astype(np.int8) if n < 128 else counts  # a count is at most n
    result = np.empty((counts.shape[1], x.shape[1]))
    for k in range(x.shape[1]):
        summed = small[order[:-1, k]]
        for i in range(1, n - 1):
            summed[i] += summed[i - 1]
        np.clip(summed, dropped, n - dropped, out=summed)
        result[:, k] = ordered[-1, k] - gaps[:, k] @ (summed - small.dtype.type(dropped)).astype(np.float64)
    return result


def bootstrap(
    x: NDArray[np.float64],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    trim: Trim = quarter,
    strata: Sequence[int] | None = None,
) -> Interval:
    """Trimmed mean over axis 0 (default: IQM) of x [n, …] with a 95 % percentile bootstrap interval over whole runs.

    `strata` are the sizes of groups of runs (environments) that follow each other in x; each keeps its size in every resample.
    Finite for constant samples (ten scores of 500 give [500, 500]), where the BCa interval is undefined. One run has no
    interval: its ends are NaN, and so are those of a column with a missing value.
    """
    value = trimmed_mean(x, trim)
    if len(x) == 1:
        return Interval(value, np.full_like(x[0], np.nan), np.full_like(x[0], np.nan))
    means = resampled(x.reshape(len(x), -1), draw_counts(strata or [len(x)], rng, resamples), trim)
    low, high = percentiles(means).reshape(2, *x.shape[1:])
    return Interval(value, low, high)


def percentiles(statistics: NDArray[np.float64]) -> NDArray[np.float64]:
    """The ends of the interval [2, …] of a statistic on all resamples [B, …]."""
    return np.quantile(statistics, ((1 - LEVEL) / 2, (1 + LEVEL) / 2), axis=0)


def share(successes: int, n: int) -> Interval:
    """A share of runs with Wilson's 95 % score interval: 0 of 10 is [0, 0.28], where a bootstrap would claim [0, 0]."""
    if n == 0:
        return Interval(*np.full(3, np.nan))
    z = 1.959963984540054  # the normal distribution's 97.5 % quantile
    p, scale = successes / n, 1 + z**2 / n
    centre, width = (p + z**2 / (2 * n)) / scale, z * math.sqrt(p * (1 - p) / n + (z / (2 * n)) ** 2) / scale
    return Interval(np.float64(p), np.float64(max(0.0, centre - width)), np.float64(min(1.0, centre + width)))  # type: ignore[arg-type]


# Times that may never come ------------------------------------------------------------------------------------------------


def median_time(times: NDArray[np.float64], watched: NDArray[np.float64]) -> NDArray[np.float64]:
    """The time by which half of the runs have got there (Kaplan and Meier 1958): infinite if half of them never do.

    Over the last axis. `times` are infinite for runs that had not got there when they were last seen, after `watched` steps;
    such a run counts as being on its way until then, and not as one that never gets there. A run with a negative `watched` was
    never seen and counts for nothing; NaN if none was.
    """
    arrived = np.isfinite(times)
    observed = np.where(arrived, times, watched)
    order = np.lexsort((~arrived, observed))  # who arrives at the very end counts before who is lost then
    observed, arrived = np.take_along_axis(observed, order, -1), np.take_along_axis(arrived, order, -1)
    at_risk = np.arange(times.shape[-1], 0, -1)
    still_out = np.cumprod(np.where(arrived, 1 - 1 / at_risk, 1.0), axis=-1)
    # Rounding in the product must not make half of them slightly more than half.
    median = np.where(still_out <= 0.5 + 1e-9, observed, np.inf).min(-1, initial=np.inf)
    return np.where((watched >= 0).any(-1), median, np.nan)


def bootstrap_time(
    times: NDArray[np.float64], watched: NDArray[np.float64], rng: np.random.Generator, resamples: int = 2000
) -> Interval:
    """`median_time` with a 95 % percentile interval over runs, whose ends may be infinite.

    Times are [n], or [n, C] of runs that were each seen C times.
    """
    value = median_time(times.reshape(-1), watched.reshape(-1))
    if len(times) < 2 or np.isnan(value):
        return Interval(value, np.full_like(value, np.nan), np.full_like(value, np.nan))
    rows = rng.integers(0, len(times), (resamples, len(times)))
    medians = np.sort(median_time(times[rows].reshape(resamples, -1), watched[rows].reshape(resamples, -1)))
    low, high = (medians[round(q * (resamples - 1))] for q in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))  # no mean of two: ∞ − ∞
    return Interval(value, low, high)


# Words --------------------------------------------------------------------------------------------------------------------


def number(interval: Interval, sign: bool = False, form: str = ".1f") -> str:
    """`value [low, high]`, by default with one decimal; the value alone if it has no interval, a dash if there is no value.

    >>> number(Interval(1.25, 1.0, 2.0)), number(Interval(3.0, math.nan, math.nan), sign=True)
    ('1.2 [1.0, 2.0]', '+3.0')
    """
    value, low, high = (f"{x:{'+' if sign else ''}z{form}}" for x in interval)  # z: no −0.0
    if math.isnan(interval.value):
        return "–"
    return value if math.isnan(interval.low) else f"{value} [{low}, {high}]"
