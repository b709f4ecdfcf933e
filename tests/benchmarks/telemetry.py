"""What looking costs Stable-Baselines3's A2C on CartPole-v1, with our callback's defaults: a part of the benchmarks.

Two trainings beside each other differ by more than this costs. So every call of ours within a training is timed, and set beside
the rest of `learn`; the clock's own time counts as ours. A turn is 500 updates, which hold five measurements.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import torch
from stable_baselines3 import A2C

from rl_rmsprop import AdaptiveRMSprop, OptimizerTelemetry
from rl_rmsprop.integrations.sb3 import Ear, OptimizerCallback
from rl_rmsprop.telemetry.gradient_norm import NormBeforeClipping
from tests.benchmarks.timing import Row, spread

STEPS = 2500
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "torch's RMSprop": {"optimizer_class": torch.optim.RMSprop},
    "AdaptiveRMSprop, β = 0.99": {"optimizer_class": AdaptiveRMSprop},
    "Adam": {"optimizer_class": torch.optim.Adam},
}
OURS = (
    (OptimizerCallback, ("_on_step", "_on_rollout_end")), (Ear, ("_tell",)), (OptimizerTelemetry, ("_begin", "_end")),
    (NormBeforeClipping, ("_accumulated",)),
)  # fmt: skip
"""All that is called while a model learns; none of them calls another."""


class Clock:
    """Adds up the time of functions."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function."""

        def call(*arguments: Any) -> Any:
            begun = time.perf_counter()
            result = function(*arguments)
            self.seconds += time.perf_counter() - begun
            return result

        return call


def rows(repeats: int) -> list[Row]:
    """A row for each optimizer."""
    torch.set_num_threads(1)
    found = []
    for name, policy in OPTIMIZERS.items():
        clock, shares, totals = Clock(), [], []
        patches = [
            mock.patch.object(kind, method, clock.timed(getattr(kind, method))) for kind, names in OURS for method in names
        ]
        for patch in patches:
            patch.start()
        model = A2C("MlpPolicy", "CartPole-v1", policy_kwargs=policy, seed=0, device="cpu")
        callback = OptimizerCallback()
        for _ in range(2 * repeats + 1):
            clock.seconds, begun = 0.0, time.perf_counter()
            model.learn(STEPS, callback=callback, reset_num_timesteps=False)
            total = time.perf_counter() - begun
            shares.append(100 * clock.seconds / (total - clock.seconds))
            totals.append(total)
        for patch in patches:
            patch.stop()
        own = f"{1e3 * statistics.median(totals[1:]) / (STEPS / 5):.2f} ms an update"
        found.append(Row(f"telemetry of an SB3 A2C, {name}", spread(shares[1:]), "%", "the rest of learn", own, "≤ 1"))
    return found
