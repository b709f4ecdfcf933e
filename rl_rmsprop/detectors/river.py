"""River's detectors, for replaying recorded signals: ADWIN, KSWIN, Page–Hinkley through one adapter.

Their state is river's own Python objects, one per run, which no optimizer's checkpoint can hold. So they run offline only; an
`Adaptive` rule refuses them. They take the stream as it is: ADWIN's bound assumes values in a range of about 1.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from rl_rmsprop.detectors.base import Detector, DetectorOutput, Sensitivity, State


class River(Detector):
    """A detector of the package river, one object per run. Subclasses name it and hold its settings under river's names.

    The statistic is 1 at an alarm and 0 elsewhere. Not pure: `update` changes the objects in the state it is given.
    """

    online = False
    drift: ClassVar[str]
    """The class in river.drift."""

    def settings(self, key: int = 0) -> dict[str, Any]:
        """River's keyword arguments for the run with this key."""
        return asdict(self)  # type: ignore[call-overload]  # subclasses are dataclasses

    def init(self, keys: Tensor) -> State:
        try:
            from river import drift
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                f"{self.drift} is river's, which is not installed: pip install 'rl-rmsprop[river]'"
            ) from None
        make = getattr(drift, self.drift)
        streams = [make(**self.settings(key)) for key in keys.flatten().tolist()]
        return {**super().init(keys), "streams": streams}  # type: ignore[dict-item]  # why these detectors are offline only

    def update(self, state: State, x: Tensor) -> DetectorOutput:
        drifts = []
        for stream, value in zip(state["streams"], x.flatten().tolist(), strict=True):
            if math.isfinite(value):
                stream.update(value)
            drifts.append(math.isfinite(value) and stream.drift_detected)
        alarm = torch.tensor(drifts, device=x.device).reshape(x.shape)
        return DetectorOutput({**state, "seen": state["seen"] + 1.0}, alarm, alarm.double())

    @property
    def threshold(self) -> float:
        return 0.5


@dataclass(frozen=True)
class Adwin(River):
    """ADWIN (Bifet and Gavaldà 2007): keeps the newest observations, and drops the older ones when their mean differs."""

    drift = "ADWIN"

    delta: float = 0.002
    """Significance of each comparison."""
    clock: int = 32
    """Updates between comparisons."""
    max_buckets: int = 5
    """Buckets of each size."""
    min_window_length: int = 5
    """Observations in either part, at least."""
    grace_period: int = 10
    """Observations before the first comparison."""

    @property
    def sensitivity(self) -> Sensitivity | None:
        return Sensitivity("delta", loud=0.9999, quiet=1e-15)


@dataclass(frozen=True)
class Kswin(River):
    """KSWIN (Raab et al. 2020): a Kolmogorov–Smirnov test of the newest observations against older ones."""

    drift = "KSWIN"

    alpha: float = 0.005
    """Significance of each test."""
    window_size: int = 100
    """Observations kept."""
    stat_size: int = 30
    """The newest of them that are tested."""

    def settings(self, key: int = 0) -> dict[str, Any]:
        return {**super().settings(key), "seed": key}

    @property
    def sensitivity(self) -> Sensitivity | None:
        return Sensitivity("alpha", loud=0.9999, quiet=1e-15)


@dataclass(frozen=True)
class RiverPageHinkley(River):
    """River's Page–Hinkley test; `page_hinkley` with the same settings alarms at the same updates, and runs online."""

    drift = "PageHinkley"

    min_instances: int = 30
    """Observations before the first alarm."""
    delta: float = 0.005
    """Allowance in units of the stream."""
    limit: float = 50.0
    """River's threshold."""
    alpha: float = 0.9999
    """Decay of the sums per update."""

    def settings(self, key: int = 0) -> dict[str, Any]:
        settings = super().settings(key)
        return {"threshold": settings.pop("limit"), **settings}

    @property
    def sensitivity(self) -> Sensitivity | None:
        return Sensitivity("limit", loud=1e-2, quiet=1e6)
