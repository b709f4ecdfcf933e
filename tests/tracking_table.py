"""The table of thresholds of the tracking signal, by simulation: `python -m tests.tracking_table` (a minute).

The mean time to an alarm at threshold c is 1 + Σ_t P(largest statistic within t updates ≤ c), summed out for short average run
lengths. For long ones the largest of T updates is below c with probability exp(−T/A), so that the threshold of average run
length A is a quantile over runs of that maximum.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from rl_rmsprop.detectors.tracking_signal import TRACKED

SHORT = 100  # updates; up to this average run length time since the start matters
LONGEST = 30_000  # updates; beyond, the quantile is that of fewer runs


def largest(gain: float, runs: int, seed: int) -> Iterator[Tensor]:
    """The largest statistic so far [runs], after each update of independent N(0, 1) noise."""
    noise = torch.Generator().manual_seed(seed)
    error = torch.zeros(runs, dtype=torch.float64)
    size = torch.full_like(error, math.sqrt(2 / math.pi))
    so_far = torch.zeros_like(error)
    while True:
        x = torch.randn(runs, generator=noise, dtype=torch.float64)
        error += gain * (x - error)
        size += gain * (x.abs() - size)
        so_far = torch.maximum(so_far, error.abs() / size)
        yield so_far


def short_limits(gain: float, arls: list[int], runs: int = 4000) -> dict[int, float]:
    """Average run length → threshold, by the mean time to the alarm."""
    updates = 12 * SHORT
    maxima = torch.stack([m for _, m in zip(range(updates), largest(gain, runs, seed=2), strict=False)])
    limits = {}
    for arl in arls:
        low, high = 0.0, 1.0
        while high - low > 1e-5:
            middle = (low + high) / 2
            low, high = (middle, high) if 1 + (maxima <= middle).double().mean(1).sum() < arl else (low, middle)
        limits[arl] = round(high, 4)
    return limits


def long_limits(gain: float, arls: list[int], runs: int = 10_000) -> dict[int, float]:
    """Average run length → threshold, by quantiles of the maximum."""
    limits = {}
    for t, maxima in zip(range(1, min(max(arls), LONGEST) + 1), largest(gain, runs, seed=1), strict=False):
        limits |= {arl: round(maxima.quantile(math.exp(-t / arl)).item(), 4) for arl in arls if min(arl, LONGEST) == t}
    return limits


if __name__ == "__main__":
    torch.set_num_threads(1)
    for gain, table in TRACKED.items():
        short = short_limits(gain, [arl for arl in table if 1 < arl <= SHORT])
        print(f"{gain}: { ({1: 0.0} | short | long_limits(gain, [arl for arl in table if arl > SHORT])) },")
