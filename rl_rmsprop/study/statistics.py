"""Statistics over seeds: interquartile mean, percentile bootstrap, area under a curve. Axis 0 is the run.

The interquartile mean (Agarwal et al. 2021) drops the lowest and the highest quarter of the runs (⌊n/4⌋ each) and averages
the rest: less noisy than the median, and one collapsed run does not decide it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000


class Interval(NamedTuple):
    """A statistic with its 95 % confidence interval (NaN if there is none); arrays where the data had further axes."""

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def iqm(x: NDArray[np.float64], axis: int = 0) -> NDArray[np.float64]:
    """Interquartile mean over `axis`; NaN where a value is NaN."""
    n = x.shape[axis]
    drop = n // 4
    middle = np.take(np.sort(x, axis=axis), range(drop, n - drop), axis=axis)
    # Sorting puts NaN last, where the upper quarter would take it for the best run and drop it.
    return np.where(np.isnan(x).any(axis), np.nan, middle.mean(axis=axis))


def bootstrap(x: NDArray[np.float64], rng: np.random.Generator, resamples: int = RESAMPLES) -> Interval:
    """IQM over axis 0 with a 95 % percentile bootstrap interval over whole runs.

    Finite for constant samples (ten scores of 500 give [500, 500]), where the BCa interval is undefined. One run has no
    interval: its ends are NaN.
    """
    if len(x) == 1:
        return Interval(iqm(x), np.full_like(x[0], np.nan), np.full_like(x[0], np.nan))
    rows = rng.integers(0, len(x), (resamples, len(x)))
    low, high = np.quantile(iqm(x[rows], axis=1), (0.025, 0.975), axis=0)
    return Interval(iqm(x), low, high)


def number(interval: Interval, sign: bool = False) -> str:
    """`value [low, high]` with one decimal; the value alone if it has no interval, a dash if there is no value.

    >>> number(Interval(1.25, 1.0, 2.0)), number(Interval(3.0, math.nan, math.nan), sign=True)
    ('1.2 [1.0, 2.0]', '+3.0')
    """
    form = "{:+.1f}" if sign else "{:.1f}"
    if math.isnan(interval.value):
        return "–"
    value = form.format(interval.value)
    return value if math.isnan(interval.low) else f"{value} [{form.format(interval.low)}, {form.format(interval.high)}]"


def area_under_curve(step: NDArray[np.float64], value: NDArray[np.float64]) -> float:
    """Mean height of a curve over its steps (trapezoids), points without a value left out; NaN with fewer than two points."""
    known = ~np.isnan(value)
    if known.sum() < 2:
        return float("nan")
    x, y = step[known], value[known]
    return float(np.trapezoid(y, x) / (x[-1] - x[0]))
