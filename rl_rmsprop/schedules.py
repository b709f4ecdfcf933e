"""Schedules: β as a function of the clock n, counted in optimizer updates from 1.

Every schedule maps a tensor of clocks (any shape, float64, n ≥ 1) to β in [0, 1) of the same shape, so that R runs with
clocks of their own are one call. A schedule is a frozen dataclass: it pickles, compares, prints, and has a text form.

Most of them are one idea, a *ramp*: with progress p = (n − 1) / (steps − 1), clipped to [0, 1],

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

from rl_rmsprop.kernels.backends import clip, dispatch

S = TypeVar("S", bound="Schedule")
R = TypeVar("R", bound="Ramp")


def check_beta(name: str, value: float) -> None:
    """ValueError unless `value` can be a decay."""
    if not 0.0 <= value < 1.0:
        raise ValueError(f"{name} must be in [0, 1), got {value}: β = 1 never forgets, and so never learns E; use 0.999 or so")


def check_positive(name: str, value: float | None, unit: str) -> None:
    """ValueError unless `value` is None or greater than 0."""
    if value is not None and not 0 < value < math.inf:
        raise ValueError(f"{name} must be greater than 0 and finite, in {unit}, got {value}")


class Schedule:
    """β as a function of the clock. Subclasses are frozen dataclasses that define `__call__`."""

    def __call__(self, n: Tensor) -> Tensor:
        """β at the clocks `n` (≥ 1, float64); values in [0, 1)."""
        raise TypeError(f"{type(self).__name__} must define __call__(n)")

    def resolve(self: S, horizon: int) -> S:
        """The same schedule with a missing length filled in: the whole training, `horizon` updates."""
        return self

    @property
    def unresolved(self) -> bool:
        """Whether a length is still missing."""
        return False


@dataclass(frozen=True)
class Constant(Schedule):
    """β itself, for ever."""

    beta: float
    """The decay, in [0, 1)."""

    def __post_init__(self) -> None:
        check_beta("beta", self.beta)

    def __call__(self, n: Tensor) -> Tensor:
        return torch.full_like(n, self.beta)


@dataclass(frozen=True)
class HalfLife(Schedule):
    """A constant β given by its half-life: a squared gradient counts half after `updates` updates, β = 2^(−1/updates)."""

    updates: float
    """Half-life in updates, > 0; 69 is β = 0.99."""

    def __post_init__(self) -> None:
        check_positive("updates", self.updates, "updates")

    def __call__(self, n: Tensor) -> Tensor:
        return torch.full_like(n, 2.0 ** (-1.0 / self.updates))


@dataclass(frozen=True)
class Ramp(Schedule):
    """From `start` to `end` in `steps` updates, then constant. Subclasses give the shape."""

    start: float
    """β at n = 1, in [0, 1)."""
    end: float
    """β from n = steps on, in [0, 1)."""
    steps: int | None = None
    """Updates from start to end; none is the whole training."""
    space: str = "beta"
    """What is interpolated: `beta`, or `window` for the logarithm of 1/(1 − β)."""

    def __post_init__(self) -> None:
        check_beta("start", self.start)
        check_beta("end", self.end)
        check_positive("steps", self.steps, "updates")
        if self.space not in SPACES:
            raise ValueError(f"space must be beta or window, got {self.space!r}")

    def shape(self, p: Tensor) -> Tensor:
        """How far on the way at progress p: from 0 at p = 0 to 1 at p = 1."""
        return p

    def resolve(self: R, horizon: int) -> R:
        return self if self.steps is not None else replace(self, steps=horizon)

    @property
    def unresolved(self) -> bool:
        return self.steps is None

    def __call__(self, n: Tensor) -> Tensor:
        if self.steps is None:
            raise ValueError(f"{self} has no length: give steps=… in updates, since no training length is known here")
        progress = ((n - 1) / max(self.steps - 1, 1)).clamp(0.0, 1.0)
        return interpolate(self.start, self.end, self.shape(progress), self.space)


SPACES = ("beta", "window")


def interpolate(start: float | Tensor, end: float | Tensor, share: Tensor, space: str = "beta") -> Tensor:
    """β at `share` (0 to 1) of the way from `start` to `end`, in β or in the logarithm of the window."""
    start, end = (torch.as_tensor(x, dtype=share.dtype, device=share.device) for x in (start, end))
    if space == "beta":
        return torch.lerp(start.expand_as(share), end.expand_as(share), share)
    log_forgetting = torch.lerp(torch.log1p(-start).expand_as(share), torch.log1p(-end).expand_as(share), share)
    return 0.0 - torch.expm1(log_forgetting)  # −expm1 would be −0.0 at β = 0, and its sign differ from batch to batch


@dataclass(frozen=True)
class Linear(Ramp):
    """A straight line from start to end."""


@dataclass(frozen=True)
class Cosine(Ramp):
    """Half a cosine from start to end: slow, fast, slow."""

    def shape(self, p: Tensor) -> Tensor:
        return (1 - torch.cos(math.pi * p)) / 2


@dataclass(frozen=True)
class Exponential(Ramp):
    """An approach to `end` that closes the same fraction of the gap at every update, 99 % of it within `steps`."""

    def shape(self, p: Tensor) -> Tensor:
        return (1 - 0.01**p) / 0.99


@dataclass(frozen=True)
class Polynomial(Ramp):
    """The progress to the power `power`."""

    power: float = 2.0
    """> 0; above 1 starts slowly, below 1 quickly."""

    def __post_init__(self) -> None:
        super().__post_init__()
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

    def __post_init__(self) -> None:
        Ramp(self.start, self.end, self.period, self.space)  # the same rules

    def __call__(self, n: Tensor) -> Tensor:
        return Linear(self.start, self.end, self.period, self.space)((n - 1) % self.period + 1)


@dataclass(frozen=True)
class Piecewise(Schedule):
    """Given values from given updates on: values[0] before at[0], values[k] from at[k − 1] on."""

    values: tuple[float, ...]
    """β of each piece, each in [0, 1); one more than `at`."""
    at: tuple[int, ...]
    """Updates at which the next value takes over, rising."""
    interpolate: bool = False
    """Straight lines from piece to piece instead of steps: values[0] at n = 1, values[k] at n = at[k − 1]."""

    def __post_init__(self) -> None:
        for value in self.values:
            check_beta("values", value)
        if len(self.values) != len(self.at) + 1:
            raise ValueError(
                f"piecewise needs one value more than changes, got {len(self.values)} values and {len(self.at)} in at"
            )
        if list(self.at) != sorted(set(self.at)) or any(a <= 1 for a in self.at):
            raise ValueError(f"at must rise from 2 updates or later, got {'/'.join(map(str, self.at))}")

    def __call__(self, n: Tensor) -> Tensor:
        values = torch.tensor(self.values, dtype=n.dtype, device=n.device)
        at = torch.tensor(self.at, dtype=n.dtype, device=n.device)
        piece = torch.bucketize(n, at, right=True)
        if not self.interpolate:
            return values[piece]
        knots = torch.cat([torch.ones_like(at[:1]), at])
        following = (piece + 1).clamp(max=len(self.at))
        share = ((n - knots[piece]) / (knots[following] - knots[piece]).clamp(min=1.0)).clamp(0.0, 1.0)
        return torch.lerp(values[piece], values[following], share)


@dataclass(frozen=True)
class Harmonic(Schedule):
    """β_n = 1 − 1/n, capped at `max`: E is the plain mean of all g² since the clock started, then an exponential one.

    The weight w that E has received is exactly 1 from the first update on, so no bias correction is needed.
    """

    max: float = 0.99
    """The cap, in [0, 1); 1/(1 − max) is the longest window in updates."""

    def __post_init__(self) -> None:
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

    def __post_init__(self) -> None:
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

    def __post_init__(self) -> None:
        if not 0 < self.gamma <= 1:
            raise ValueError(f"gamma must be in (0, 1], got {self.gamma}")
        check_beta("max", self.max)

    def __call__(self, n: Tensor) -> Tensor:
        return (1 - self.gamma / n).clamp(max=self.max)


@dataclass(frozen=True)
class Join(Schedule):
    """Schedules one after another, each with a clock of its own; all but the last are ramps with a length.

    Written with `+`: `linear:start=0,end=0.9,steps=500+cosine:start=0.9,end=0.999` warms up, then goes on.
    """

    parts: tuple[Schedule, ...]
    """At least two."""

    def __post_init__(self) -> None:
        for part in self.parts[:-1]:
            if not isinstance(part, Ramp) or part.steps is None:
                raise ValueError(f"every part before a + must be a ramp with steps=…, got {part}")

    def __call__(self, n: Tensor) -> Tensor:
        beta = self.parts[-1](torch.clamp(n - sum(self._lengths), min=1.0))
        stop = sum(self._lengths)
        for part, length in zip(reversed(self.parts[:-1]), reversed(self._lengths), strict=True):
            beta = torch.where(n <= stop, part(torch.clamp(n - (stop - length), min=1.0)), beta)
            stop -= length
        return beta

    def resolve(self, horizon: int) -> Join:
        rest = max(horizon - sum(self._lengths), 1)
        return replace(self, parts=(*self.parts[:-1], self.parts[-1].resolve(rest)))

    @property
    def unresolved(self) -> bool:
        return self.parts[-1].unresolved

    @property
    def _lengths(self) -> list[int]:
        return [part.steps for part in self.parts[:-1] if isinstance(part, Ramp) and part.steps is not None]


SCHEDULES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "half_life": HalfLife,
    "linear": Linear,
    "cosine": Cosine,
    "exponential": Exponential,
    "polynomial": Polynomial,
    "cyclic": Cyclic,
    "piecewise": Piecewise,
    "harmonic": Harmonic,
    "power": Power,
    "sc_rmsprop": ScRmsprop,
}
"""Name in texts → schedule."""
