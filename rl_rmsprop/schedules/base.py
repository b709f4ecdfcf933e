"""What every schedule is, and the checks of its settings, which the other parts of a rule share."""

from __future__ import annotations

import math
from typing import ClassVar, TypeVar

from torch import Tensor

from rl_rmsprop.grammar import Settings

S = TypeVar("S", bound="Schedule")

LARGEST = math.nextafter(1.0, 0.0)
"""The largest β below 1 in float64; rounding must not carry an interpolated β beyond it."""
LONGEST = 2**53
"""The largest clock: beyond it float64 cannot count."""


def check_beta(name: str, value: float) -> None:
    """ValueError unless `value` can be a decay rate."""
    if isinstance(value, bool) or not 0.0 <= value < 1.0:
        raise ValueError(f"{name} must be in [0, 1), got {value}: β = 1 never forgets, and so never learns E; use 0.999 or so")


def check_positive(name: str, value: float | None, unit: str) -> None:
    """ValueError unless `value` is None, or finite and greater than 0."""
    if value is not None and (isinstance(value, bool) or not 0 < value < math.inf):
        raise ValueError(f"{name} must be greater than 0 and finite, in {unit}, got {value}")


def check_updates(name: str, value: int | None, least: int = 1) -> None:
    """ValueError unless `value` is None, or a number of updates that a clock can count."""
    if value is not None and (isinstance(value, bool) or not least <= value <= LONGEST or value != int(value)):
        raise ValueError(f"{name} must be a whole number of updates from {least} to 2^53, got {value}")


class Schedule(Settings):
    """β as a function of the clock. Subclasses are frozen dataclasses that define `__call__`."""

    example: ClassVar[str] = ""
    """The text of one such schedule."""
    source: ClassVar[str] = ""
    """Where it was proposed, if that is worth a word."""

    def __call__(self, n: Tensor) -> Tensor:
        """β at the clocks `n` (≥ 1, float64); values in [0, 1)."""
        raise TypeError(f"{type(self).__name__} must define __call__(n)")

    def resolve(self: S, horizon: int, steps_per_update: float | None = None) -> S:
        """The same schedule with what is missing filled in: the whole training, `horizon` updates, or the steps of an update."""
        return self

    @property
    def unresolved(self) -> bool:
        """Whether something is still missing that `resolve` fills in."""
        return False
