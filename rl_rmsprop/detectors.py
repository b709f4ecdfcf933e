"""Detectors: has the level of a signal shifted? One answer per run and update, in constant time and memory.

    (state, x [R]) → (state, alarm [R], statistic [R])           state: a dict of tensors [R]

A detector is a frozen dataclass; its state is a dict of float64 tensors of the shape of the signal ([] for one stream, [R]
for R runs), so that it is saved with the optimizer and runs never mix. Alarms are raised when `statistic > threshold`.

Two kinds. *Sequential tests* (cusum, page_hinkley) work on standardised input: `Standardizer` learns location, scale and
lag-one correlation of the stream as it goes. Their threshold is given as `arl`, the average run length: the mean number of
updates between false alarms on a stationary stream. *Controls* (never, periodic, random, oracle) ignore the signal; they are
what an honest comparison needs beside a detector.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from rl_rmsprop.schedules import check_positive

State = dict[str, Tensor]


class Verdict(NamedTuple):
    """What a detector says after one observation."""

    state: State
    alarm: Tensor  # [R] bool
    statistic: Tensor  # [R] float64


class Detector:
    """Base of all detectors. Subclasses are frozen dataclasses."""

    listens: bool = True
    """Whether the detector looks at the signal at all."""

    def init(self, keys: Tensor) -> State:
        """The state before the first observation. `keys` [R] (int64) names the runs; random controls draw from them."""
        return {"seen": torch.zeros(keys.shape, dtype=torch.float64, device=keys.device)}

    def update(self, state: State, x: Tensor) -> Verdict:
        """Take one observation x [R] (float64)."""
        raise TypeError(f"{type(self).__name__} must define update(state, x)")

    @property
    def threshold(self) -> float:
        """The statistic above which an alarm is raised; NaN for controls."""
        return math.nan


# Standardised input ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Standardizer:
    """Makes a stream look like independent N(0, 1) noise while nothing shifts.

    Location m and scale s are running means, over all observations at first and over the last `memory` later:

        z = clip((x − m)/s, ±4),   m ← m + a·s·z,   s from the mean of |x − m| (1.2533 · mean absolute deviation)
        e = (z_t − φ z_{t−1}) / sqrt(1 − φ²)         φ: running lag-one autocorrelation of z, clipped to [0, 0.95]

    Absolute deviations and the clip keep single spikes from moving the scale; the subtraction whitens a first-order
    autoregressive stream, on which a raw test alarms constantly. A shift much slower than `memory` is followed and not seen.
    """

    burn_in: int
    """Updates during which only location and scale are learned."""
    memory: float
    """Updates over which they are averaged afterwards."""

    def init(self, like: Tensor) -> State:
        zero = torch.zeros_like(like)
        return {"m": zero, "d": zero, "z": zero, "cov": zero, "var": zero}

    def __call__(self, state: State, x: Tensor, seen: Tensor) -> tuple[State, Tensor]:
        """One observation x [R], the `seen`-th (≥ 1): new state and residual e [R]."""
        a = 1 / seen.clamp(max=self.memory)
        scale = 1.2533 * state["d"]
        known = seen > 2  # before that there is no scale to divide by
        z = torch.where(known, ((x - state["m"]) / (scale + 1e-12)).clamp(-4.0, 4.0), 0.0)
        step = torch.where(seen > 10, scale * z, x - state["m"])
        m = state["m"] + a * step
        deviation = torch.where(seen > 10, torch.minimum((x - state["m"]).abs(), 4 * scale), (x - state["m"]).abs())
        b = 1 / (seen - 1).clamp(min=1.0, max=self.memory)  # the first observation has no deviation
        d = torch.where(seen > 1, state["d"] + b * (deviation - state["d"]), 0.0)
        cov = state["cov"] + a * (z * state["z"] - state["cov"])
        var = state["var"] + a * (z * z - state["var"])
        phi = (cov / (var + 1e-12)).clamp(0.0, 0.95)
        residual = (z - phi * state["z"]) / (1 - phi * phi).sqrt()
        return {"m": m, "d": d, "z": z, "cov": cov, "var": var}, residual


@dataclass(frozen=True)
class SequentialTest(Detector):
    """Shared settings of tests on standardised input."""

    arl: float = 50_000
    """Mean number of updates between false alarms on a stationary stream, > 1. Five per cent of runs of T updates see a
    false alarm if arl = 20·T."""
    burn_in: int = 100
    """Updates before the first alarm is possible, and after an alarm before the next; the level is learned anew in them."""
    memory: float = 500
    """Updates over which the stream's level and scale are averaged; at least burn_in."""
    standardize: bool = True
    """Learn location, scale and correlation of the stream; false takes x as N(0, 1) noise already."""

    def __post_init__(self) -> None:
        if not 1 < self.arl < math.inf:
            raise ValueError(f"arl must be greater than 1 update and finite, got {self.arl}")
        if not (self.burn_in >= 2 or not self.standardize) or self.burn_in < 0:
            raise ValueError(f"burn_in must be at least 2 updates, got {self.burn_in}: scale cannot be learned from less")
        check_positive("memory", self.memory, "updates")

    @property
    def _standardizer(self) -> Standardizer:
        return Standardizer(self.burn_in, max(self.memory, self.burn_in))

    def init(self, keys: Tensor) -> State:
        state = super().init(keys)
        own = self._standardizer.init(state["seen"]) if self.standardize else {}
        return state | own | self._start(state["seen"])

    def update(self, state: State, x: Tensor) -> Verdict:
        seen = state["seen"] + 1
        own: State = {}
        if self.standardize:
            own, x = self._standardizer(state, x, seen)
        test, statistic = self._accumulate(state, x, seen)
        ready = seen > (self.burn_in if self.standardize else 0)
        alarm = ready & (statistic > self.threshold)
        # After an alarm everything is learned anew: the old level is what the alarm has just refuted.
        fresh = self.init(torch.zeros_like(seen, dtype=torch.int64))
        forget = alarm | (~ready if self.standardize else torch.zeros_like(ready))
        start = self._start(seen)
        new = {k: torch.where(forget if k in start else alarm, fresh[k], v) for k, v in {**own, **test}.items()}
        return Verdict({"seen": torch.where(alarm, 0.0, seen), **new}, alarm, torch.where(ready, statistic, 0.0))

    def _start(self, like: Tensor) -> State:
        """The test's own state before the first observation."""
        raise TypeError(f"{type(self).__name__} must define _start")

    def _accumulate(self, state: State, x: Tensor, seen: Tensor) -> tuple[State, Tensor]:
        """The test's new state and its statistic."""
        raise TypeError(f"{type(self).__name__} must define _accumulate")


@dataclass(frozen=True)
class Cusum(SequentialTest):
    """Two-sided cumulative sum (Page 1954): S± ← max(0, S± ± x − k), alarm when the larger exceeds h.

    Most sensitive to a shift of 2k standard deviations, in either direction. h follows from `arl` by Siegmund's
    approximation, within 1 % of the exact value for independent N(0, 1) input with known parameters.
    """

    k: float = 0.5
    """Allowance in standard deviations, > 0: half the shift that should be found fastest."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("k", self.k, "standard deviations")

    @property
    def threshold(self) -> float:
        return cusum_threshold(self.arl, self.k)

    def _start(self, like: Tensor) -> State:
        return {"up": torch.zeros_like(like), "down": torch.zeros_like(like)}

    def _accumulate(self, state: State, x: Tensor, seen: Tensor) -> tuple[State, Tensor]:
        up = (state["up"] + x - self.k).clamp(min=0.0)
        down = (state["down"] - x - self.k).clamp(min=0.0)
        return {"up": up, "down": down}, torch.maximum(up, down)


@lru_cache
def cusum_threshold(arl: float, k: float) -> float:
    """H of a two-sided CUSUM with allowance k whose mean time between false alarms is `arl` on N(0, 1) noise.

    Siegmund (1985): one side has ARL (exp(2kb) − 2kb − 1)/(2k²) with b = h + 1.166, two sides half of that.

    >>> round(cusum_threshold(465, 0.5), 1)
    5.0
    """
    low, high = 0.0, 20.0 / k + 20.0 * math.log(arl) / k

    def two_sided(h: float) -> float:
        x = 2 * k * (h + 1.166)
        return (math.expm1(min(x, 700.0)) - x) / (4 * k * k)

    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if two_sided(middle) < arl else (low, middle)
    return high


@dataclass(frozen=True)
class PageHinkley(SequentialTest):
    """Page–Hinkley test for a rise or fall of the mean: the sum of (x − running mean ∓ delta) against its extreme so far.

    With `threshold` given it is river's detector of the same settings (river's defaults: delta 0.005, threshold 50,
    alpha 0.9999, min_samples 30, on raw input). Without, the threshold follows from `arl` as for CUSUM with allowance
    delta, which the sum minus its minimum is, but for the running mean.
    """

    delta: float = 0.25
    """Allowance in standard deviations (of raw units with standardize=false), > 0."""
    limit: float | None = None
    """The threshold itself, > 0, in place of arl."""
    alpha: float = 1.0
    """Decay of the sums per update, in (0, 1]."""
    min_samples: int = 30
    """Observations before the first alarm."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("delta", self.delta, "standard deviations")
        check_positive("limit", self.limit, "units of the signal")
        if not 0 < self.alpha <= 1:
            raise ValueError(f"alpha must be in (0, 1], got {self.alpha}")

    @property
    def threshold(self) -> float:
        return cusum_threshold(self.arl, self.delta) if self.limit is None else self.limit

    def _start(self, like: Tensor) -> State:
        zero = torch.zeros_like(like)
        return {"count": zero, "mean": zero, "rise": zero, "fall": zero, "lowest": zero + math.inf, "highest": zero - 1.0}

    def _accumulate(self, state: State, x: Tensor, seen: Tensor) -> tuple[State, Tensor]:
        count = state["count"] + 1
        mean = state["mean"] + (x - state["mean"]) / count
        rise = self.alpha * state["rise"] + (x - mean - self.delta)
        fall = self.alpha * state["fall"] + (x - mean + self.delta)
        lowest = torch.minimum(state["lowest"], rise)
        highest = torch.maximum(state["highest"], fall)
        statistic = torch.where(count >= self.min_samples, torch.maximum(rise - lowest, highest - fall), 0.0)
        new = {"count": count, "mean": mean, "rise": rise, "fall": fall, "lowest": lowest, "highest": highest}
        return new, statistic


# Controls -------------------------------------------------------------------------------------------------------------


class Control(Detector):
    """A detector that ignores the signal."""

    listens = False

    def update(self, state: State, x: Tensor) -> Verdict:
        seen = state["seen"] + 1
        return Verdict({**state, "seen": seen}, self.fires(state, seen), torch.zeros_like(seen))

    def fires(self, state: State, n: Tensor) -> Tensor:
        """Whether the n-th update (from 1) alarms, [R] bool."""
        raise TypeError(f"{type(self).__name__} must define fires(state, n)")


@dataclass(frozen=True)
class Never(Control):
    """No alarm, ever: what is left of an adaptive rule without its detector."""

    def fires(self, state: State, n: Tensor) -> Tensor:
        return torch.zeros_like(n, dtype=torch.bool)


@dataclass(frozen=True)
class Periodic(Control):
    """An alarm every `every` updates."""

    every: int = 1000
    """Updates between alarms, at least 1."""

    def __post_init__(self) -> None:
        check_positive("every", self.every, "updates")

    def fires(self, state: State, n: Tensor) -> Tensor:
        return n % self.every == 0


@dataclass(frozen=True)
class Oracle(Control):
    """Alarms at given updates: the true times of the shifts, where they are known."""

    at: tuple[int, ...]
    """Updates, each at least 1."""

    def __post_init__(self) -> None:
        for update in self.at:
            check_positive("at", update, "updates")

    def fires(self, state: State, n: Tensor) -> Tensor:
        return torch.isin(n, torch.tensor(self.at, dtype=n.dtype, device=n.device))


@dataclass(frozen=True)
class Random(Control):
    """Alarms at random updates, each with probability 1/every, independent between runs.

    The draw is a hash of the run's key and the update's number: no generator, and the same run alarms at the same updates
    whatever batch it is in.
    """

    every: float = 1000
    """Mean number of updates between alarms, at least 1."""

    def __post_init__(self) -> None:
        if not 1 <= self.every < math.inf:
            raise ValueError(f"every must be at least 1 update, got {self.every}")

    def init(self, keys: Tensor) -> State:
        return {**super().init(keys), "key": keys.double()}

    def fires(self, state: State, n: Tensor) -> Tensor:
        return hashed_uniform(state["key"].long(), n.long()) < 1 / self.every


def hashed_uniform(key: Tensor, n: Tensor) -> Tensor:
    """A number in [0, 1) from two integers, by the 32-bit finalizer of MurmurHash3 applied to each in turn."""
    mask = 0xFFFFFFFF
    h = torch.full_like(n, 0x9E3779B9)
    for word in (key, n):
        h = (h ^ word) & mask
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
            h = ((h ^ (h >> shift)) * factor) & mask
        h = h ^ (h >> 16)
    return h.double() / 2**32


DETECTORS: dict[str, type[Detector]] = {
    "cusum": Cusum,
    "page_hinkley": PageHinkley,
    "never": Never,
    "periodic": Periodic,
    "oracle": Oracle,
    "random": Random,
}
"""Name in texts → detector."""
