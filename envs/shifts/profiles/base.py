"""The base of all profiles: a value and a regime as functions of the clock of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Clock = NDArray[np.int64]  # [R]
Values = NDArray[np.float64]  # [R]

NEVER = np.iinfo(np.int64).max
"""A clock that no run reaches."""
LONGEST = 2**53
"""Times and lengths are shorter than this; beyond it a float is not exact, and neither is a text."""


class Trace:
    """A profile followed in R runs."""

    def evaluate(self, t: Clock) -> tuple[Values, Clock]:
        """Value and regime of every run at its clock t [R]; clocks never go back."""
        raise TypeError(f"{type(self).__name__} must define evaluate(t)")

    def next_change(self, t: Clock) -> Clock:
        """The first clock after t, that of the last `evaluate`, at which value or regime may differ; NEVER if none."""
        return t + 1

    def in_progress(self, t: Clock) -> NDArray[np.bool_]:
        """Whether a change that began before t is in progress, so that the next value is no new change."""
        return np.zeros(t.shape, bool)


@dataclass(frozen=True)
class Profile(Trace):
    """Base of all profiles. Subclasses are frozen dataclasses; times and lengths are in units of the shift's clock.

    A profile that draws nothing is its own trace: all runs follow the same function of the clock.
    """

    continuous = False
    """Whether it passes through values between the given ones."""
    random = False
    """Whether it draws random numbers, so that runs differ."""

    def possible_values(self) -> tuple[float, ...]:
        """The values that can occur; of a continuous profile the extremes."""
        raise TypeError(f"{type(self).__name__} must define possible_values()")

    @property
    def regimes(self) -> int:
        """How many regimes there are."""
        return len(set(self.possible_values()))

    def start(self, generators: Sequence[np.random.Generator]) -> Trace:
        """The profile in R runs, with a generator each."""
        return self

    def evaluate(self, t: Clock) -> tuple[Values, Clock]:
        return self.value(t), self.regime(t)

    def value(self, t: Clock) -> Values:
        """The value at each clock, where it is a function of the clock alone."""
        raise TypeError(f"{type(self).__name__} must define value(t), or start(generators)")

    def regime(self, t: Clock) -> Clock:
        """The regime at each clock: the first place of the value among the possible ones."""
        return regime_of(self.value(t), self.possible_values())


def regime_of(value: Values, values: Sequence[float]) -> Clock:
    """The place of each value among the distinct `values`, in their order."""
    distinct = np.array(list(dict.fromkeys(values)))
    return (value[:, None] == distinct).argmax(1)


def check_count(values: Sequence[float], count: int, name: str) -> None:
    """ValueError unless there are `count` values."""
    if len(values) != count:
        raise ValueError(f"{name} needs {count} values, got {len(values)}: write values=9.8/25")


def check_length(name: str, value: float) -> None:
    """ValueError unless `value` can be a length of time."""
    if not 0 < value < LONGEST:
        raise ValueError(f"{name} must be greater than 0 and less than 2⁵³, in units of the clock, got {value}")


def check_rising(at: Sequence[int], name: str = "at") -> None:
    """ValueError unless the times rise from 0 or later."""
    if list(at) != sorted(set(at)) or any(not 0 <= a < LONGEST for a in at):
        raise ValueError(f"{name} must rise from 0 or later, below 2⁵³, got {'/'.join(map(str, at))}")


def check_period(period: int) -> None:
    """ValueError unless `period` can be the length of a wave."""
    if not 2 <= period < LONGEST:
        raise ValueError(f"period must be at least 2 and less than 2⁵³, in units of the clock, got {period}")
