"""What every detector is: a frozen dataclass that maps its state and one observation to an alarm."""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from rl_rmsprop.kernels.backends import State


class DetectorOutput(NamedTuple):
    """What a detector says after one observation."""

    state: State
    alarm: Tensor  # [R] bool
    statistic: Tensor  # [R] float64


class Detector:
    """Base of all detectors. Subclasses are frozen dataclasses."""

    listens: ClassVar[bool] = True
    """Whether the detector looks at a signal that the user chooses."""
    online: ClassVar[bool] = True
    """Whether it can run in an optimizer: its state is a dict of float64 tensors and `update` leaves the old one as it was."""
    usual_reaction: ClassVar[str] = "restart"
    """The reaction that goes with it where none is named."""

    @property
    def own_signal(self) -> str | None:
        """The one signal that the detector takes whatever the user chose, if it is so."""
        return None

    def init(self, keys: Tensor) -> State:
        """The state before the first observation. `keys` [R] (int64) names the runs; some controls draw from them."""
        return {"seen": torch.zeros(keys.shape, dtype=torch.float64, device=keys.device)}

    def update(self, state: State, x: Tensor) -> DetectorOutput:
        """Take one observation x [R] (float64)."""
        raise TypeError(f"{type(self).__name__} must define update(state, x)")

    @property
    def threshold(self) -> float:
        """The statistic above which an alarm is raised; NaN for controls."""
        return math.nan
