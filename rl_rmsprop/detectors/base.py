"""What every detector is: a frozen dataclass that maps its state and one observation to an alarm."""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from rl_rmsprop.grammar import Settings
from rl_rmsprop.kernels.backends import State
from rl_rmsprop.reactions import Reaction, Restart


class DetectorOutput(NamedTuple):
    """What a detector says after one observation."""

    state: State
    alarm: Tensor  # [R] bool
    statistic: Tensor  # [R] float64; NaN where there was no observation


class Sensitivity(NamedTuple):
    """The setting that makes a detector alarm more or less often."""

    field: str
    loud: float
    """The value with the most alarms."""
    quiet: float
    """The value with the fewest."""


class Detector(Settings):
    """Base of all detectors. Subclasses are frozen dataclasses."""

    example: ClassVar[str] = ""
    """The text of a rule with such a detector; empty where it needs files."""
    source: ClassVar[str] = ""
    """Where it was proposed, unless the first sentence says so."""
    listens: ClassVar[bool] = True
    """Whether the detector looks at a signal that the user chooses."""
    online: ClassVar[bool] = True
    """Whether it can run in an optimizer: its state is a dict of float64 tensors that `update` does not change in place."""
    usual_reaction: ClassVar[type[Reaction]] = Restart
    """The reaction of rules that name none."""

    @property
    def own_signal(self) -> str | None:
        """The one signal that the detector takes whatever the user chose, if it is so."""
        return None

    @property
    def sensitivity(self) -> Sensitivity | None:
        """The setting that makes it alarm more or less often; None if it has none."""
        return None

    @property
    def threshold(self) -> float:
        """The statistic above which an alarm is raised; NaN for controls."""
        return math.nan

    def check_files(self) -> None:
        """ValueError if a file that the detector needs cannot be read; `init` reads it."""

    def init(self, keys: Tensor) -> State:
        """The state before the first observation. `keys` [R] (int64) names the runs; some controls depend on them."""
        return {"seen": torch.zeros(keys.shape, dtype=torch.float64, device=keys.device)}

    def update(self, state: State, x: Tensor) -> DetectorOutput:
        """Take one observation x [R] (float64); where it is not finite, the run's state stays as it is and nothing alarms."""
        raise TypeError(f"{type(self).__name__} must define update(state, x)")
