"""Schedules whose window grows with the clock: E is a mean over all, or a fixed part, of what came before."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from rl_rmsprop.kernels.backends import clip, dispatch
from rl_rmsprop.schedules.base import Schedule, check_beta, check_positive


@dataclass(frozen=True)
class Harmonic(Schedule):
    """β_n = 1 − 1/n, capped at `max`: E is the plain mean of all g² since the clock started, then an exponential one.

    The weight w that E has received is exactly 1 from the first update on, so no bias correction is needed.
    """

    max: float = 0.99
    """The cap, in [0, 1); 1/(1 − max) is the longest window in updates."""

    example = "harmonic:max=0.99"

    def validate(self) -> None:
        check_beta("max", self.max)

    def __call__(self, n: Tensor) -> Tensor:
        (beta,) = dispatch(lambda _, n: (clip(1.0 - 1.0 / n, high=self.max),), {}, n)
        return beta


@dataclass(frozen=True)
class Power(Schedule):
    """β_n = 1 − n^(−c), capped at `max` (Adafactor, Shazeer & Stern 2018, has c = 0.8 and no cap)."""

    c: float = 0.8
    """> 0; 1 is the harmonic schedule."""
    max: float = 0.9999
    """The cap, in [0, 1)."""

    example = "power:c=0.8"

    def validate(self) -> None:
        check_positive("c", self.c, "no unit")
        check_beta("max", self.max)

    def __call__(self, n: Tensor) -> Tensor:
        return (1 - n**-self.c).clamp(max=self.max)


@dataclass(frozen=True)
class ScRmsprop(Schedule):
    """β_n = 1 − γ/n, capped at `max` (SC-RMSProp, Mukkamala & Hein 2017, has γ = 0.9 and no cap)."""

    gamma: float = 0.9
    """In (0, 1]; 1 is the harmonic schedule."""
    max: float = 0.9999
    """The cap, in [0, 1)."""

    example = "sc_rmsprop:gamma=0.9"

    def validate(self) -> None:
        if isinstance(self.gamma, bool) or not 0 < self.gamma <= 1:
            raise ValueError(f"gamma must be in (0, 1], got {self.gamma}")
        check_beta("max", self.max)

    def __call__(self, n: Tensor) -> Tensor:
        return (1 - self.gamma / n).clamp(max=self.max)
