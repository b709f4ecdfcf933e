"""Reactions: what an alarm, or the way to one, does to the clock, to β, and to E."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rl_rmsprop.grammar import Settings
from rl_rmsprop.schedules import check_beta, check_positive, interpolate


class Reaction(Settings):
    """What an alarm does. Subclasses are frozen dataclasses."""

    restarts: ClassVar[bool] = False
    """Whether an alarm starts the schedule's clock again at 1."""
    clears_E: ClassVar[bool] = False
    """Whether an alarm sets E and its weight to zero."""

    def beta(self, beta: Tensor, m: Tensor, nearness: Tensor) -> Tensor:
        """β [R] from the schedule's β.

        `m` [R] is the updates since the alarm (0 at the alarm, infinite before the first), `nearness` [R] the detector's
        statistic in units of its threshold: above 1 at an alarm, 0 for controls.
        """
        return beta


@dataclass(frozen=True)
class Usual(Reaction):
    """Stands for the usual reaction of a rule's detector; the rule takes that one when it is made."""


@dataclass(frozen=True)
class Restart(Reaction):
    """The schedule's clock starts again at 1. With the harmonic schedule E becomes the mean of g² since the alarm."""

    restarts = True


@dataclass(frozen=True)
class Drop(Reaction):
    """β drops to `low` and recovers, linearly in the logarithm of the window, to the schedule's value."""

    low: float = 0.5
    """β at the alarm, in [0, 1)."""
    recover: float = 100
    """Updates until β is the schedule's again, > 0."""

    def validate(self) -> None:
        check_beta("low", self.low)
        check_positive("recover", self.recover, "updates")

    def beta(self, beta: Tensor, m: Tensor, nearness: Tensor) -> Tensor:
        dropped = torch.minimum(beta, torch.full_like(beta, self.low))
        return interpolate(dropped, beta, (m / self.recover).clamp(max=1.0), "window")


@dataclass(frozen=True)
class Reset(Reaction):
    """E and its weight are set to zero; the clock keeps counting.

    With bias correction Ê is then the g² of this update; without it the next step is lr/√(1 − β) long.
    """

    clears_E = True


@dataclass(frozen=True)
class Soft(Reaction):
    """β bends towards `low` as the statistic nears its threshold, without waiting for an alarm (Trigg and Leach 1967).

        β = schedule − (schedule − low)·s^1.5,   s = (nearness − dead)₊/(1 − dead), at most 1

    After an alarm, while the statistic is 0, s falls from 1 to 0 within `recover` updates. A
    schedule below `low` is left as it is. With controls, which have no statistic, only the alarms count.
    """

    low: float = 0.5
    """β at the threshold and above, in [0, 1)."""
    dead: float = 0.5
    """Nearness up to which β is the schedule's, in [0, 1); tracking_signal is above 0.64 in 5 % of calm updates."""
    recover: float = 100
    """Updates after an alarm until β follows the statistic alone again, > 0."""

    def validate(self) -> None:
        check_beta("low", self.low)
        if isinstance(self.dead, bool) or not 0 <= self.dead < 1:
            raise ValueError(f"dead must be in [0, 1), got {self.dead}: at 1 β would only move at alarms, as with drop")
        check_positive("recover", self.recover, "updates")

    def beta(self, beta: Tensor, m: Tensor, nearness: Tensor) -> Tensor:
        near = (nearness - self.dead) / (1 - self.dead)
        s = torch.fmax(near, 1 - m / self.recover).clamp(0.0, 1.0)  # fmax: a NaN signal must not enter E
        return beta - (beta - self.low).clamp(min=0.0) * (s * s.sqrt())


REACTIONS: dict[str, type[Reaction]] = {"restart": Restart, "drop": Drop, "reset": Reset, "soft": Soft}
"""Name in texts → reaction."""
