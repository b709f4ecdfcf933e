"""Thresholds from average run lengths: which statistic is exceeded once in `arl` updates on independent N(0, 1) noise."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache


def solve(run_length: Callable[[float], float], arl: float, high: float) -> float:
    """The threshold in [0, high] at which the increasing function `run_length` is `arl`, by bisection."""
    low = 0.0
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if run_length(middle) < arl else (low, middle)
    return high


@lru_cache
def cusum_threshold(arl: float, k: float) -> float:
    """H of a two-sided CUSUM with allowance k whose mean time between false alarms is `arl`.

    Siegmund (1985): one side has ARL (exp(2kb) − 2kb − 1)/(2k²) with b = h + 1.166, two sides half of that.

    >>> round(cusum_threshold(465, 0.5), 1)
    5.0
    """

    def two_sided(h: float) -> float:
        x = 2 * k * (h + 1.166)
        return (math.expm1(min(x, 700.0)) - x) / (4 * k * k)

    return solve(two_sided, arl, 20.0 / k + 20.0 * math.log(arl) / k)
