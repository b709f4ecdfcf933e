"""Profiles that draw random numbers: every run has its own path, from a separate generator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from envs.shifts.profiles.base import Clock, Profile, Trace, Values, check_length, regime_of
from rl_rmsprop.storage.snapshot import Snapshottable


@dataclass(frozen=True)
class Poisson(Profile):
    """The values in turn, each for an exponentially distributed time with mean `every` (rounded up): a Poisson process."""

    values: tuple[float, ...]
    """At least two, taken in turn, over and over."""
    every: float
    """Mean time between changes, > 0."""

    random = True

    def __post_init__(self) -> None:
        if len(self.values) < 2:
            raise ValueError(f"poisson needs at least 2 values, got {len(self.values)}: write values=9.8/25")
        check_length("every", self.every)

    def possible_values(self) -> tuple[float, ...]:
        return self.values

    def start(self, generators: Sequence[np.random.Generator]) -> Trace:
        return PoissonTrace(self, generators)


class PoissonTrace(Trace, Snapshottable):
    """Times of the changes of each run, drawn when they are needed."""

    STATE_ATTRIBUTES = ("_generators", "_count", "_next")

    def __init__(self, profile: Poisson, generators: Sequence[np.random.Generator]) -> None:
        self._profile, self._generators = profile, generators
        self._count = np.zeros(len(generators), np.int64)  # [R]  changes so far
        self._next = np.array([self._gap(g) for g in generators])  # [R]

    def _gap(self, generator: np.random.Generator) -> int:
        return math.ceil(generator.exponential(self._profile.every)) or 1

    def evaluate(self, t: Clock) -> tuple[Values, Clock]:
        for r in np.flatnonzero(t >= self._next).tolist():
            while t[r] >= self._next[r]:
                self._count[r] += 1
                self._next[r] += self._gap(self._generators[r])
        values = np.array(self._profile.values)[self._count % len(self._profile.values)]
        return values, regime_of(values, self._profile.values)

    def next_change(self, t: Clock) -> Clock:
        return self._next.copy()


@dataclass(frozen=True)
class Walk(Profile):
    """A Gaussian random walk between two reflecting walls: N(0, sd²) is added every `every`."""

    first: float
    """Initial value, between low and high."""
    low: float
    """The lower wall."""
    high: float
    """The upper wall, above low."""
    sd: float
    """Standard deviation of a step, > 0."""
    every: int = 1000
    """Time between steps, > 0."""

    continuous = True
    random = True

    def __post_init__(self) -> None:
        if not self.low <= self.first <= self.high or self.low == self.high:
            raise ValueError(
                f"walk needs low ≤ first ≤ high and low < high, got low {self.low:g}, first {self.first:g}, high {self.high:g}"
            )
        if not 0 < self.sd < math.inf:
            raise ValueError(f"sd must be greater than 0, in units of the parameter, got {self.sd}")
        check_length("every", self.every)

    def possible_values(self) -> tuple[float, ...]:
        return self.low, self.high

    @property
    def regimes(self) -> int:
        return 1

    def start(self, generators: Sequence[np.random.Generator]) -> Trace:
        return PeriodicTrace(self, generators)

    def next_value(self, value: float, generator: np.random.Generator) -> float:
        """The value after a step of the walk."""
        return reflect(value + generator.normal(0.0, self.sd), self.low, self.high)


@dataclass(frozen=True)
class Redrawn(Profile):
    """A new value every `every`, uniform between low and high, or uniform in its logarithm: each is a regime of its own.

    With `friction` of Ant-v5, low=0.02, high=2 and every=2000000 it is SlipperyAnt (Dohare et al., Nature 2024).
    """

    first: float
    """Initial value."""
    low: float
    """Smallest new value; above 0 if log."""
    high: float
    """Largest new value, above low."""
    every: int
    """Time between changes, > 0."""
    log: bool = True
    """Whether the logarithm is uniform, so that all orders of magnitude are alike."""

    continuous = True
    random = True
    regimes = 10_000

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.log and self.low <= 0):
            needs = "0 < low < high, or log=false" if self.log else "low < high"
            raise ValueError(f"redrawn needs {needs}, got low {self.low:g}, high {self.high:g}")
        check_length("every", self.every)

    def possible_values(self) -> tuple[float, ...]:
        return self.first, self.low, self.high

    def start(self, generators: Sequence[np.random.Generator]) -> Trace:
        return PeriodicTrace(self, generators)

    def next_value(self, value: float, generator: np.random.Generator) -> float:
        """A new value, whatever the last one was."""
        if not self.log:
            return float(generator.uniform(self.low, self.high))
        return min(self.high, max(self.low, math.exp(generator.uniform(math.log(self.low), math.log(self.high)))))


class PeriodicTrace(Trace, Snapshottable):
    """The value of each run, which changes every `every`; a regime's number is the count of changes, modulo those there are."""

    STATE_ATTRIBUTES = ("_generators", "_changes", "_value")

    def __init__(self, profile: Walk | Redrawn, generators: Sequence[np.random.Generator]) -> None:
        self._profile, self._generators = profile, generators
        self._changes = np.zeros(len(generators), np.int64)  # [R]  so far
        self._value = np.full(len(generators), profile.first)  # [R]

    def evaluate(self, t: Clock) -> tuple[Values, Clock]:
        due = t // self._profile.every
        for r in np.flatnonzero(due > self._changes).tolist():
            for _ in range(due[r] - self._changes[r]):
                self._value[r] = self._profile.next_value(self._value[r], self._generators[r])
        self._changes = np.maximum(self._changes, due)
        return self._value.copy(), self._changes % self._profile.regimes

    def next_change(self, t: Clock) -> Clock:
        return (t // self._profile.every + 1) * self._profile.every


def reflect(x: float, low: float, high: float) -> float:
    """`x` reflected at both ends of [low, high] until it lies inside."""
    span = high - low
    y = (x - low) % (2 * span)
    return low + (y if y <= span else 2 * span - y)
