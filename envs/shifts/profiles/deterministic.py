"""Profiles that are functions of the clock alone: all runs follow the same one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.shifts.profiles.base import NEVER, Clock, Profile, Values, check_count, check_length, check_period, check_rising


@dataclass(frozen=True)
class Abrupt(Profile):
    """Piecewise constant: values[0] before at[0], values[k] from at[k − 1] on."""

    values: tuple[float, ...]
    """One more than `at`."""
    at: tuple[int, ...]
    """Times of the changes, rising."""

    def __post_init__(self) -> None:
        check_rising(self.at)
        if len(self.values) != len(self.at) + 1:
            raise ValueError(
                f"values needs one entry more than at, got {len(self.values)} and {len(self.at)}: values=9.8/25,at=1000"
            )

    def possible_values(self) -> tuple[float, ...]:
        return self.values

    def value(self, t: Clock) -> Values:
        return np.array(self.values)[np.searchsorted(self.at, t, side="right")]

    def next_change(self, t: Clock) -> Clock:
        return np.array([*self.at, NEVER])[np.searchsorted(self.at, t, side="right")]


@dataclass(frozen=True)
class Ramp(Profile):
    """From values[0] at at[0] to values[1] at at[1], linearly; regimes before, during and after."""

    values: tuple[float, ...]
    """First and last."""
    at: tuple[int, ...]
    """Begin and end."""

    continuous = True

    def __post_init__(self) -> None:
        check_count(self.values, 2, "ramp")
        check_rising(self.at)
        if len(self.at) != 2:
            raise ValueError(f"at must give begin and end of the ramp, got {len(self.at)} times: at=1000/5000")

    def possible_values(self) -> tuple[float, ...]:
        return self.values

    @property
    def regimes(self) -> int:
        return 3

    def value(self, t: Clock) -> Values:
        return np.interp(t, self.at, self.values)

    def regime(self, t: Clock) -> Clock:
        return (t > self.at[0]).astype(np.int64) + (t >= self.at[1])

    def next_change(self, t: Clock) -> Clock:
        return np.where(t < self.at[1], np.maximum(t, self.at[0]) + 1, NEVER)

    def in_progress(self, t: Clock) -> NDArray[np.bool_]:
        return (t > self.at[0]) & (t < self.at[1])


@dataclass(frozen=True)
class Pulse(Profile):
    """Values[1] for `length` from `at` on, values[0] before and after: a temporary disturbance."""

    values: tuple[float, ...]
    """Undisturbed and disturbed."""
    at: int
    """Begin, at least 0."""
    length: int
    """How long it lasts, > 0."""

    def __post_init__(self) -> None:
        check_count(self.values, 2, "pulse")
        check_rising((self.at,))
        check_length("length", self.length)

    def possible_values(self) -> tuple[float, ...]:
        return self.values

    def value(self, t: Clock) -> Values:
        return np.where((t >= self.at) & (t < self.at + self.length), self.values[1], self.values[0])

    def next_change(self, t: Clock) -> Clock:
        return np.where(t < self.at, self.at, np.where(t < self.at + self.length, self.at + self.length, NEVER))


@dataclass(frozen=True)
class Recurring(Profile):
    """The values in turn, each for `every`, over and over: A-B-A-B, or A-B-C-A."""

    values: tuple[float, ...]
    """At least two."""
    every: int
    """How long each value lasts, > 0."""
    begin: int = 0
    """When the first turn begins; the first value holds before as well."""

    def __post_init__(self) -> None:
        if len(self.values) < 2:
            raise ValueError(f"recurring needs at least 2 values, got {len(self.values)}: write values=9.8/25")
        check_length("every", self.every)
        check_rising((self.begin,), "begin")

    def possible_values(self) -> tuple[float, ...]:
        return self.values

    def value(self, t: Clock) -> Values:
        return np.array(self.values)[np.maximum(t - self.begin, 0) // self.every % len(self.values)]

    def next_change(self, t: Clock) -> Clock:
        return self.begin + (np.maximum(t - self.begin, 0) // self.every + 1) * self.every


@dataclass(frozen=True)
class Square(Profile):
    """A square wave: values[0] for the first `duty` of each period, rounded to a whole time, values[1] for the rest."""

    values: tuple[float, ...]
    """First and second."""
    period: int
    """Length of a whole wave, at least 2."""
    duty: float = 0.5
    """Share of the first value, in (0, 1)."""
    begin: int = 0
    """When the first wave begins; values[0] holds before."""

    def __post_init__(self) -> None:
        check_count(self.values, 2, "square")
        check_period(self.period)
        if not (0 < self.duty < 1 and 0 < self._first < self.period):
            raise ValueError(
                f"duty must leave time for both values in a period of {self.period}, between 0 and 1, got {self.duty}"
            )
        check_rising((self.begin,), "begin")

    def possible_values(self) -> tuple[float, ...]:
        return self.values

    def value(self, t: Clock) -> Values:
        return np.where(self._phase(t) < self._first, self.values[0], self.values[1])

    def next_change(self, t: Clock) -> Clock:
        phase = self._phase(t)
        return np.maximum(t, self.begin) - phase + np.where(phase < self._first, self._first, self.period)

    @property
    def _first(self) -> int:
        return round(self.duty * self.period)

    def _phase(self, t: Clock) -> Clock:
        return np.maximum(t - self.begin, 0) % self.period


@dataclass(frozen=True)
class Sine(Profile):
    """A cosine wave between values[0] and values[1] that begins at values[0]."""

    values: tuple[float, ...]
    """The two extremes."""
    period: int
    """Length of a whole wave, at least 2."""
    begin: int = 0
    """When the first wave begins; values[0] holds before."""

    continuous = True

    def __post_init__(self) -> None:
        check_count(self.values, 2, "sine")
        check_period(self.period)
        check_rising((self.begin,), "begin")

    def possible_values(self) -> tuple[float, ...]:
        return self.values

    @property
    def regimes(self) -> int:
        return 2

    def value(self, t: Clock) -> Values:
        phase = np.maximum(t - self.begin, 0) % self.period / self.period
        share = (1 - np.cos(2 * math.pi * phase)) / 2
        return (1 - share) * self.values[0] + share * self.values[1]  # exact at both ends

    def regime(self, t: Clock) -> Clock:
        return (t > self.begin).astype(np.int64)

    def next_change(self, t: Clock) -> Clock:
        return np.maximum(t, self.begin) + 1

    def in_progress(self, t: Clock) -> NDArray[np.bool_]:
        return t > self.begin


@dataclass(frozen=True)
class NoChange(Profile):
    """No change: the parameter stays as the environment has it. The control for a shift."""

    def possible_values(self) -> tuple[float, ...]:
        return ()

    @property
    def regimes(self) -> int:
        return 1
