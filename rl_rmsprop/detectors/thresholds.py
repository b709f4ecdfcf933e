"""Thresholds from average run lengths: which statistic is exceeded once in `arl` updates on independent N(0, 1) noise."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np


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


NODES = 80


@lru_cache
def ewma_threshold(arl: float, gain: float) -> float:
    """The limit of |Z|, in its own standard deviations √(gain/(2 − gain)), of Z ← (1 − gain)Z + gain·x.

    The run length L(z) from Z = z solves L(z) = 1 + ∫ L(y) φ((y − (1 − gain)z)/gain)/gain dy over the y within the limits
    (Crowder 1987), here on Gauss–Legendre nodes.

    >>> round(ewma_threshold(500, 0.1), 2)  # Lucas and Saccucci (1990): 2.814
    2.81
    """
    unit = math.sqrt(gain / (2 - gain))
    nodes, weights = np.polynomial.legendre.leggauss(NODES)

    def from_zero(limit: float) -> float:
        y, w = nodes * limit * unit, weights * limit * unit
        starts = np.append(y, 0.0)
        u = (y[None, :] - (1 - gain) * starts[:, None]) / gain
        kernel = w * np.exp(-u * u / 2) / (gain * math.sqrt(2 * math.pi))
        lengths = np.linalg.solve(np.eye(NODES) - kernel[:-1], np.ones(NODES))
        return float(1 + kernel[-1] @ lengths)

    return solve(from_zero, arl, 8.0) if arl < 1e9 else 8.0


TRACKED: dict[float, dict[int, float]] = {
    0.05: {
        1: 0.0,
        10: 0.1481,
        30: 0.2492,
        100: 0.3676,
        300: 0.4582,
        1000: 0.536,
        3000: 0.593,
        10_000: 0.6447,
        30_000: 0.684,
        100_000: 0.7202,
        300_000: 0.7484,
        1_000_000: 0.7751,
    },
    0.1: {
        1: 0.0,
        10: 0.2786,
        30: 0.4278,
        100: 0.5681,
        300: 0.6627,
        1000: 0.7386,
        3000: 0.7897,
        10_000: 0.8327,
        30_000: 0.8638,
        100_000: 0.8898,
        300_000: 0.9094,
        1_000_000: 0.9256,
    },
    0.2: {
        1: 0.0,
        10: 0.4933,
        30: 0.6708,
        100: 0.7977,
        300: 0.8678,
        1000: 0.9157,
        3000: 0.9429,
        10_000: 0.9626,
        30_000: 0.9745,
        100_000: 0.9829,
        300_000: 0.9882,
        1_000_000: 0.9921,
    },
}
"""Gain → mean updates between false alarms → limit of the tracking signal, from `python -m tests.tracking_table`."""


def tracking_threshold(arl: float, gain: float) -> float:
    """The limit c of a tracking signal: ln(1 − c) between the entries of the table, and beyond, linearly in ln arl.

    >>> round(tracking_threshold(1000, 0.1), 4)
    0.7386
    """
    arls = list(TRACKED[gain])
    right = min(bisect.bisect_left(arls, arl), len(arls) - 1)
    (a, c), (b, d) = ((x, TRACKED[gain][x]) for x in arls[right - 1 : right + 1])
    share = math.log(arl / a) / math.log(b / a)
    return 1 - (1 - c) ** (1 - share) * (1 - d) ** share
