"""When a parameter changes and to what: its value as a function of the clock of a run.

    profile: t [R] → value [R], regime [R]

t counts what the shift's clock counts (environment steps, episodes or updates of the run) from 0 at the start of training;
it never restarts at an episode's end. A regime is a number for the value in force: recurring values have the same number. A
profile that passes through values in between has regimes before, during and after instead.
Profiles that draw random numbers draw from a generator of each run that is used for nothing else, so that the times of the
changes depend neither on the environment's randomness nor on the policy's.
"""

from __future__ import annotations

import math
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
    """A profile under way in R runs."""

    def look(self, t: Clock) -> tuple[Values, Clock]:
        """Value and regime of every run at its clock t [R]; clocks never go back."""
        raise TypeError(f"{type(self).__name__} must define look(t)")

    def until(self, t: Clock) -> Clock:
        """The next clock at which value or regime may be another, later than t, the clock of the last `look`; NEVER if none."""
        return t + 1

    def moving(self, t: Clock) -> NDArray[np.bool_]:
        """Whether a change that began before goes on at t, so that the next value is no new change."""
        return np.zeros(t.shape, bool)


@dataclass(frozen=True)
class Profile(Trace):
    """Base of all profiles. Subclasses are frozen dataclasses; times and lengths are in units of the shift's clock.

    A profile that draws nothing is its own trace: all runs follow the same function of the clock.
    """

    continuous = False
    """Whether values between the given ones occur."""
    random = False
    """Whether it draws random numbers, so that runs differ."""

    def reached(self) -> tuple[float, ...]:
        """The values that can occur; of a continuous profile the extremes."""
        raise TypeError(f"{type(self).__name__} must define reached()")

    @property
    def regimes(self) -> int:
        """How many regimes there are."""
        return len(set(self.reached()))

    def start(self, generators: Sequence[np.random.Generator]) -> Trace:
        """The profile in R runs, with a generator each."""
        return self

    def look(self, t: Clock) -> tuple[Values, Clock]:
        return self.value(t), self.regime(t)

    def value(self, t: Clock) -> Values:
        """The value at each clock, where it is a function of the clock alone."""
        raise TypeError(f"{type(self).__name__} must define value(t), or start(generators)")

    def regime(self, t: Clock) -> Clock:
        """The regime at each clock: by the first place of the value among those given."""
        return number_of(self.value(t), self.reached())


def number_of(value: Values, values: Sequence[float]) -> Clock:
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
    """ValueError unless a wave can be this long."""
    if not 2 <= period < LONGEST:
        raise ValueError(f"period must be at least 2 and less than 2⁵³, in units of the clock, got {period}")


# Functions of the clock -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Abrupt(Profile):
    """Given values from given times on: values[0] before at[0], values[k] from at[k − 1] on. A/B/A comes back to A."""

    values: tuple[float, ...]
    """One more than `at`."""
    at: tuple[int, ...]
    """When the next value takes over, rising."""

    def __post_init__(self) -> None:
        check_rising(self.at)
        if len(self.values) != len(self.at) + 1:
            raise ValueError(
                f"values needs one entry more than at, got {len(self.values)} and {len(self.at)}: values=9.8/25,at=1000"
            )

    def reached(self) -> tuple[float, ...]:
        return self.values

    def value(self, t: Clock) -> Values:
        return np.array(self.values)[np.searchsorted(self.at, t, side="right")]

    def until(self, t: Clock) -> Clock:
        return np.array([*self.at, NEVER])[np.searchsorted(self.at, t, side="right")]


@dataclass(frozen=True)
class Ramp(Profile):
    """From values[0] at at[0] to values[1] at at[1], in a straight line; regimes before, during and after."""

    values: tuple[float, ...]
    """From and to."""
    at: tuple[int, ...]
    """Begin and end."""

    continuous = True

    def __post_init__(self) -> None:
        check_count(self.values, 2, "ramp")
        check_rising(self.at)
        if len(self.at) != 2:
            raise ValueError(f"at must give begin and end of the ramp, got {len(self.at)} times: at=1000/5000")

    def reached(self) -> tuple[float, ...]:
        return self.values

    @property
    def regimes(self) -> int:
        return 3

    def value(self, t: Clock) -> Values:
        return np.interp(t, self.at, self.values)

    def regime(self, t: Clock) -> Clock:
        return (t > self.at[0]).astype(np.int64) + (t >= self.at[1])

    def until(self, t: Clock) -> Clock:
        return np.where(t < self.at[1], np.maximum(t, self.at[0]) + 1, NEVER)

    def moving(self, t: Clock) -> NDArray[np.bool_]:
        return (t > self.at[0]) & (t < self.at[1])


@dataclass(frozen=True)
class Pulse(Profile):
    """Values[1] for `length` from `at` on, values[0] before and after: a disturbance that passes."""

    values: tuple[float, ...]
    """Usual and disturbed."""
    at: int
    """Begin, at least 0."""
    length: int
    """How long it lasts, > 0."""

    def __post_init__(self) -> None:
        check_count(self.values, 2, "pulse")
        check_rising((self.at,))
        check_length("length", self.length)

    def reached(self) -> tuple[float, ...]:
        return self.values

    def value(self, t: Clock) -> Values:
        return np.where((t >= self.at) & (t < self.at + self.length), self.values[1], self.values[0])

    def until(self, t: Clock) -> Clock:
        return np.where(t < self.at, self.at, np.where(t < self.at + self.length, self.at + self.length, NEVER))


@dataclass(frozen=True)
class Recurring(Profile):
    """The values one after another, each for `every`, over and over: A-B-A-B, or A-B-C-A."""

    values: tuple[float, ...]
    """At least two."""
    every: int
    """How long each value lasts, > 0."""
    begin: int = 0
    """When the first value's turn begins; it holds before as well."""

    def __post_init__(self) -> None:
        if len(self.values) < 2:
            raise ValueError(f"recurring needs at least 2 values, got {len(self.values)}: write values=9.8/25")
        check_length("every", self.every)
        check_rising((self.begin,), "begin")

    def reached(self) -> tuple[float, ...]:
        return self.values

    def value(self, t: Clock) -> Values:
        return np.array(self.values)[np.maximum(t - self.begin, 0) // self.every % len(self.values)]

    def until(self, t: Clock) -> Clock:
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

    def reached(self) -> tuple[float, ...]:
        return self.values

    def value(self, t: Clock) -> Values:
        return np.where(self._phase(t) < self._first, self.values[0], self.values[1])

    def until(self, t: Clock) -> Clock:
        phase = self._phase(t)
        return np.maximum(t, self.begin) - phase + np.where(phase < self._first, self._first, self.period)

    @property
    def _first(self) -> int:
        return round(self.duty * self.period)

    def _phase(self, t: Clock) -> Clock:
        return np.maximum(t - self.begin, 0) % self.period


@dataclass(frozen=True)
class Sine(Profile):
    """To and fro between values[0] and values[1] in a cosine wave that begins at values[0]."""

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

    def reached(self) -> tuple[float, ...]:
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

    def until(self, t: Clock) -> Clock:
        return np.maximum(t, self.begin) + 1

    def moving(self, t: Clock) -> NDArray[np.bool_]:
        return t > self.begin


# Random ---------------------------------------------------------------------------------------------------------------------


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

    def reached(self) -> tuple[float, ...]:
        return self.values

    def start(self, generators: Sequence[np.random.Generator]) -> Trace:
        return Events(self, generators)


class Events(Trace):
    """Times of the changes of each run, drawn as far as they are needed."""

    def __init__(self, profile: Poisson, generators: Sequence[np.random.Generator]) -> None:
        self._profile, self._generators = profile, generators
        self._count = np.zeros(len(generators), np.int64)  # [R]  changes so far
        self._next = np.array([self._gap(g) for g in generators])  # [R]

    def _gap(self, generator: np.random.Generator) -> int:
        return math.ceil(generator.exponential(self._profile.every)) or 1

    def look(self, t: Clock) -> tuple[Values, Clock]:
        for r in np.flatnonzero(t >= self._next).tolist():
            while t[r] >= self._next[r]:
                self._count[r] += 1
                self._next[r] += self._gap(self._generators[r])
        values = np.array(self._profile.values)[self._count % len(self._profile.values)]
        return values, number_of(values, self._profile.values)

    def until(self, t: Clock) -> Clock:
        return self._next.copy()


@dataclass(frozen=True)
class Walk(Profile):
    """A Gaussian random walk between two walls that reflect it: every `every`, plus N(0, sd²)."""

    first: float
    """Where it begins, between low and high."""
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

    def reached(self) -> tuple[float, ...]:
        return self.low, self.high

    @property
    def regimes(self) -> int:
        return 1

    def start(self, generators: Sequence[np.random.Generator]) -> Trace:
        return Wanderer(self, generators)


class Wanderer(Trace):
    """Where each run's walk is, stepped as far as it is needed."""

    def __init__(self, profile: Walk, generators: Sequence[np.random.Generator]) -> None:
        self._profile, self._generators = profile, generators
        self._steps = np.zeros(len(generators), np.int64)  # [R]
        self._value = np.full(len(generators), profile.first)  # [R]

    def look(self, t: Clock) -> tuple[Values, Clock]:
        walk = self._profile
        due = t // walk.every
        for r in np.flatnonzero(due > self._steps).tolist():
            for _ in range(due[r] - self._steps[r]):
                self._value[r] = reflect(self._value[r] + self._generators[r].normal(0.0, walk.sd), walk.low, walk.high)
        self._steps = np.maximum(self._steps, due)
        return self._value.copy(), np.zeros_like(t)

    def until(self, t: Clock) -> Clock:
        return (t // self._profile.every + 1) * self._profile.every


def reflect(x: float, low: float, high: float) -> float:
    """X folded back into [low, high] by mirrors at both ends."""
    span = high - low
    y = (x - low) % (2 * span)
    return low + (y if y <= span else 2 * span - y)


@dataclass(frozen=True)
class Still(Profile):
    """No change: the parameter stays as the environment has it. The control beside a shift."""

    def reached(self) -> tuple[float, ...]:
        return ()

    @property
    def regimes(self) -> int:
        return 1


PROFILES: dict[str, type[Profile]] = {
    "abrupt": Abrupt,
    "ramp": Ramp,
    "square": Square,
    "sine": Sine,
    "walk": Walk,
    "poisson": Poisson,
    "recurring": Recurring,
    "pulse": Pulse,
    "none": Still,
}
"""Name in texts → profile."""
