"""Ramps: from one β to another in a number of updates.

With progress p = (n − 1) / (steps − 1), clipped to [0, 1],

    β_n = start + (end − start) · shape(p)             space = beta
    ln(1 − β_n) interpolated in the same way           space = window      (the window is 1/(1 − β) updates)

Linear in β is not linear in memory: from 0.5 to 0.99 half-way in β is 0.745, a window of 4; half-way in the logarithm of the
window is 0.929, a window of 14. `steps=None` means the whole training and is filled in by `resolve`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from rl_rmsprop.kernels.backends import scalar
from rl_rmsprop.schedules.base import LARGEST, Schedule, check_beta, check_positive, check_updates

R = TypeVar("R", bound="Ramp")

SPACES = ("beta", "window")


def check_space(space: str) -> None:
    """ValueError unless β can be interpolated in `space`."""
    if space not in SPACES:
        raise ValueError(f"space must be {' or '.join(SPACES)}, got {space!r}")


def interpolate(start: float | Tensor, end: float | Tensor, share: Tensor, space: str = "beta") -> Tensor:
    """β at `share` (0 to 1) of the way from `start` to `end`, in β or in the logarithm of the window, never 1 by rounding."""
    start, end = (x if isinstance(x, Tensor) else scalar(x, share.dtype, share.device) for x in (start, end))
    if space == "beta":
        return torch.lerp(start.expand_as(share), end.expand_as(share), share).clamp(max=LARGEST)
    log_forgetting = torch.lerp(torch.log1p(-start).expand_as(share), torch.log1p(-end).expand_as(share), share)
    # Not −expm1: it is −0.0 at β = 0, and of equal numbers with two signs a minimum takes either, by place in the batch.
    return (0.0 - torch.expm1(log_forgetting)).clamp(max=LARGEST)


@dataclass(frozen=True)
class Ramp(Schedule):
    """From `start` to `end` in `steps` updates, then constant. Subclasses give the shape."""

    start: float = 0.5
    """β at n = 1, in [0, 1)."""
    end: float = 0.99
    """β from n = steps on, in [0, 1)."""
    steps: int | None = None
    """Updates from start to end; none is the whole training."""
    space: str = "beta"
    """What is interpolated: `beta`, or `window` for the logarithm of 1/(1 − β)."""

    def validate(self) -> None:
        check_beta("start", self.start)
        check_beta("end", self.end)
        check_updates("steps", self.steps)
        check_space(self.space)

    def shape(self, p: Tensor) -> Tensor:
        """How far on the way at progress p: from 0 at p = 0 to 1 at p = 1."""
        return p

    def resolve(self: R, horizon: int, steps_per_update: float | None = None) -> R:
        return self if self.steps is not None else replace(self, steps=horizon)

    @property
    def unresolved(self) -> bool:
        return self.steps is None

    def __call__(self, n: Tensor) -> Tensor:
        if self.steps is None:
            raise ValueError(f"{self} has no length: give steps=… in updates, since no training length is known here")
        progress = ((n - 1) / max(self.steps - 1, 1)).clamp(0.0, 1.0)
        return interpolate(self.start, self.end, self.shape(progress), self.space)


@dataclass(frozen=True)
class Linear(Ramp):
    """A straight line from start to end."""

    example = "linear:start=0.5,end=0.99"


@dataclass(frozen=True)
class Cosine(Ramp):
    """Half a cosine from start to end: slow, fast, slow."""

    example = "cosine:start=0.5,end=0.99"

    def shape(self, p: Tensor) -> Tensor:
        return (1 - torch.cos(math.pi * p)) / 2


@dataclass(frozen=True)
class Exponential(Ramp):
    """An approach to `end` that closes the same fraction of the gap at every update, 99 % of it within `steps`."""

    example = "exponential:start=0.5,end=0.99"

    def shape(self, p: Tensor) -> Tensor:
        return (1 - 0.01**p) / 0.99


@dataclass(frozen=True)
class Polynomial(Ramp):
    """The progress to the power `power`."""

    power: float = 2.0
    """> 0; above 1 starts slowly, below 1 quickly."""

    example = "polynomial:start=0.5,end=0.99,power=2"

    def validate(self) -> None:
        super().validate()
        check_positive("power", self.power, "no unit")

    def shape(self, p: Tensor) -> Tensor:
        return p**self.power


@dataclass(frozen=True)
class Cyclic(Schedule):
    """A linear ramp from start to end that begins again every `period` updates (a saw-tooth, as in warm restarts)."""

    start: float
    """β at the beginning of a period, in [0, 1)."""
    end: float
    """β at the end of a period, in [0, 1)."""
    period: int
    """Updates from one restart to the next, at least 1."""
    space: str = "beta"
    """What is interpolated: `beta` or `window`."""

    example = "cyclic:start=0.5,end=0.99,period=250"

    def validate(self) -> None:
        check_beta("start", self.start)
        check_beta("end", self.end)
        check_updates("period", self.period)
        check_space(self.space)

    def __call__(self, n: Tensor) -> Tensor:
        share = (n - 1) % self.period / max(self.period - 1, 1)
        return interpolate(self.start, self.end, share, self.space)
