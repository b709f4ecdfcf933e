"""What type checkers must know of the public interface: read by mypy and pyright (`make lint`), and run by a test."""

from __future__ import annotations

from typing import Any, assert_type

import torch
from torch import Tensor

import rl_rmsprop
from rl_rmsprop import Adaptive, AdaptiveRMSprop, Asymmetric, OptimizerTelemetry, detectors, presets, reset_state, schedules
from rl_rmsprop.telemetry.watch import Alarm, Watch


def use() -> dict[str, float]:
    """A few updates; returns what was measured."""
    model = torch.nn.Linear(2, 1)
    rule = Adaptive(detectors.Cusum(arl=1000.0), schedules.Harmonic(max=0.99))
    assert_type(rule.signal, str)
    optimizer = AdaptiveRMSprop(model.parameters(), lr=1e-3, alpha=rule)
    AdaptiveRMSprop(model.parameters(), alpha=0.9)
    AdaptiveRMSprop(model.parameters(), alpha="asymmetric:rise=0.9,fall=0.999")
    AdaptiveRMSprop(model.parameters(), alpha=Asymmetric(rise=0.9, fall=0.999))
    AdaptiveRMSprop(model.parameters(), **presets("a3c"))
    telemetry = OptimizerTelemetry(optimizer, every=1)
    assert_type(telemetry.watch("cusum:arl=1000,signal=grad_norm", callback=alarmed), Watch)
    loss: Tensor = model(torch.ones(2)).sum()
    loss.backward()
    optimizer.step()
    assert_type(optimizer.stats()["beta"], Any)
    assert_type(telemetry.values(), dict[str, float])
    telemetry.log(lambda step, values: None, step=1)
    optimizer.reset("E")
    reset_state(torch.optim.Adam(model.parameters()))
    assert_type(rl_rmsprop.__version__, str)
    return telemetry.values()


def alarmed(alarm: Alarm) -> None:
    """A callback of a watched detector."""
    assert_type(alarm.update, int)


if __name__ == "__main__":
    use()
