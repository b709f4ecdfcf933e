"""What a step costs with more runs, wider networks, more environments and more seeds: a part of `python -m tests.benchmarks`.

A2C on CartPole-v1, 64-64 tanh, eight environments of sixteen steps where nothing else is said; one process, one torch thread.
Memory is the peak of a fresh process, files included.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import torch

from rl_rmsprop.study.training.train import train_batch
from tests.benchmarks.timing import Row, spread
from tests.benchmarks.training import A2C_8X16, CORES, ours, ours_on_all_cores, spec

RUNS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
WIDTHS = (64, 128, 256, 512, 1024)
ENVIRONMENTS = (1, 2, 8, 32, 128)
SEEDS = (16, 64, 256)
STEPS = 1_000_000
"""Environment steps of a measurement with networks of 64 units, all runs together."""


def rows(repeats: int) -> list[Row]:
    """One row for every size: microseconds for a step of one environment."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    few = min(repeats, 3)
    found = []
    for runs in RUNS:
        steps = max(2_048, min(100_000, STEPS // runs))
        found.append(cost(f"by runs in a batch: {runs}", [ours("CartPole-v1", A2C_8X16, runs, steps) for _ in range(few)]))
    for width in WIDTHS:
        agent = replace(A2C_8X16, hidden=(width, width))
        steps = max(1_024, 100_000 * 64**2 // width**2)
        found.append(cost(f"16 runs, by units a layer: {width}", [ours("CartPole-v1", agent, 16, steps) for _ in range(few)]))
    for n in ENVIRONMENTS:
        agent = replace(A2C_8X16, n_envs=n)
        steps = max(2_048, min(100_000, 12_500 * n))
        found.append(cost(f"16 runs, by environments of each: {n}", [ours("CartPole-v1", agent, 16, steps) for _ in range(few)]))
    for seeds in SEEDS:
        rates = [ours_on_all_cores("CartPole-v1", A2C_8X16, seeds, 2 * STEPS // seeds) for _ in range(few)]
        found.append(cost(f"{CORES} cores, by seeds: {seeds}", rates))
    low, high = (spread([peak_memory(runs) for _ in range(few)]).median for runs in (32, 288))
    found.append(Row("memory of a further run of CartPole-v1, files included", spread([(high - low) / 256]), "MB", bar="≤ 2"))
    return found


def cost(what: str, rates: list[float]) -> Row:
    """A row of microseconds a step from steps a second."""
    return Row(what, spread([1e6 / rate for rate in rates]), "µs/step", own=f"{spread(rates).median:,.0f} steps/s")


def peak_memory(runs: int) -> float:
    """MB that a fresh process needs at most to train this many CartPole runs with all files."""
    code = f"from tests.benchmarks.scale import memory_of; print(memory_of({runs}))"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def memory_of(runs: int) -> float:
    """Train here and return the peak resident size in MB (getrusage would include the process that forked this one)."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        train_batch(spec("CartPole-v1", A2C_8X16, range(runs), 20_000, folder))
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6
