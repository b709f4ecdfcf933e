"""What the safety costs: checkpoints, and keeping what a simulator needs to be lived through again."""

from __future__ import annotations

import tempfile
import time
from typing import Any

import numpy as np

import envs
from rl_rmsprop.storage import checkpoint
from rl_rmsprop.study.execution.local_pool import CHECKPOINT_EVERY
from rl_rmsprop.study.spec.arms import make_arm
from rl_rmsprop.study.spec.presets import make_agent
from rl_rmsprop.study.training.batch import Batch
from rl_rmsprop.study.training.origin import origin
from tests.builders import batch_of
from tests.faults.table import Row


def checkpoints(count: int) -> Row:
    """Snapshot, write, fsync, remove the oldest: of 32 runs of CartPole-v1, taken every minute."""
    arm, agent = make_arm("cusum:arl=50000,max=0.99"), make_agent("a2c", "CartPole-v1", {})
    with tempfile.TemporaryDirectory() as folder:
        spec = batch_of(folder, "CartPole-v1", "a2c", agent, arm, tuple(range(32)), 500_000)
        batch, seconds = Batch(spec), []
        with batch.recorder:
            for update in batch.training:
                batch.recorder.take(update)
                if update.iteration % 20 == 0:
                    begun = time.perf_counter()
                    checkpoint.save(spec.checkpoints, update.iteration, {"origin": origin(spec), **batch.snapshot()})
                    seconds.append(time.perf_counter() - begun)
                if len(seconds) == count:
                    break
        size = sum(path.stat().st_size for path in checkpoint.generations(spec.checkpoints)[0].iterdir())
    median, p99 = np.quantile(seconds, (0.5, 0.99))
    share = median / CHECKPOINT_EVERY
    figure = f"{share:.2%}; one takes {median * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms, {size / 2**20:.1f} MiB"
    return Row("checkpoints of 32 CartPole runs, share of training time", "≤ 3 %", figure, share <= 0.03)


def replaying(steps: int) -> Row:
    """Time of LunarLander-v3's steps within and without taking note of what they are given, measured in the same steps.

    Two trainings beside each other would differ by more than this costs.
    """
    batch = envs.SerialBatch("LunarLander-v3", (0, 1), 8)
    note, times = batch._log.step, []

    def timed(*arguments: Any) -> None:
        begun = time.perf_counter()
        note(*arguments)
        times.append(time.perf_counter() - begun)

    batch._log.step = timed  # type: ignore[method-assign, assignment]
    batch.reset()
    actions = np.random.default_rng(0).integers(0, 4, (steps, 2, 8))
    shares = []
    for action in actions:
        begun = time.perf_counter()
        batch.step(action)
        shares.append(times[-1] / (time.perf_counter() - begun - times[-1]))
    share = float(np.median(shares))
    return Row("taking note of LunarLander's episodes, share of its steps' time", "≤ 3 %", f"{share:.1%}", share <= 0.03)


def rows(quick: bool) -> list[Row]:
    """Both; a quick check saves a tenth as often."""
    return [checkpoints(10 if quick else 100), replaying(500 if quick else 5000)]
