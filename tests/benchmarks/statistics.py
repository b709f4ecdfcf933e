"""How long the statistics of a large study take: `python -m tests.benchmarks.statistics`.

Ten arms of thirty seeds: curves of 500 points, ten thousand resamples each; and every arm against the first.
"""

from __future__ import annotations

import time

import numpy as np

from rl_rmsprop.study.statistics.comparison import compare
from rl_rmsprop.study.statistics.intervals import bootstrap, trimmed_mean

ARMS, SEEDS, POINTS, RESAMPLES = 10, 30, 500, 10_000


def main() -> None:
    """Print processor seconds."""
    rng = np.random.default_rng(0)
    curves = rng.normal(100, 15, (ARMS, SEEDS, POINTS))
    start = time.process_time()
    for curve in curves:
        bootstrap(curve, rng, RESAMPLES)
    print(f"IQM of {ARMS} × {SEEDS} × {POINTS}, {RESAMPLES} resamples: {time.process_time() - start:.1f} s")
    start = time.process_time()
    rows = rng.integers(0, SEEDS, (RESAMPLES // 100, SEEDS))
    for curve in curves:
        trimmed_mean(curve[rows], axis=1)
    print(f"the same by sorting every resample: {100 * (time.process_time() - start):.1f} s (a hundredth of it measured)")
    start = time.process_time()
    first, *others = ({seed: float(x) for seed, x in enumerate(curve[:, 0])} for curve in curves)
    for scores in others:
        compare(scores, first, rng)
    print(f"{ARMS - 1} comparisons with intervals and sign flips: {time.process_time() - start:.1f} s")


if __name__ == "__main__":
    main()
