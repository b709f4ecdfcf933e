"""The table of thresholds of the tracking signal, by simulation: `python -m tests.tracking_table` (a minute).

The largest statistic that independent N(0, 1) noise reaches within T updates is below the threshold of average run length A
with probability exp(−T/A), so that threshold is a quantile over runs of that maximum.
"""

from __future__ import annotations

import math

import torch

from rl_rmsprop.detectors.thresholds import TRACKED

LONGEST = 30_000  # updates; beyond, the quantile is that of fewer runs


def limits(gain: float, arls: list[int], runs: int = 10_000, seed: int = 1) -> dict[int, float]:
    """Average run length → threshold."""
    noise = torch.Generator().manual_seed(seed)
    error = torch.zeros(runs, dtype=torch.float64)
    size = torch.full_like(error, math.sqrt(2 / math.pi))
    largest = torch.zeros_like(error)
    found = {}
    for t in range(1, min(max(arls), LONGEST) + 1):
        x = torch.randn(runs, generator=noise, dtype=torch.float64)
        error += gain * (x - error)
        size += gain * (x.abs() - size)
        largest = torch.maximum(largest, error.abs() / size)
        found |= {arl: round(largest.quantile(math.exp(-t / arl)).item(), 4) for arl in arls if min(arl, LONGEST) == t}
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    for gain, table in TRACKED.items():
        print(f"{gain}: {limits(gain, list(table))},")
