"""Sequential tests: a statistic that grows while the mean of the standardised stream is off, and a threshold given as `arl`.

    x → residual e → rows of numbers [K, R] → statistic; alarm when it exceeds the threshold, then everything starts again

`arl` is the mean number of updates from the end of the burn-in to a false alarm on a stationary stream. Exactly so where e is
independent N(0, 1) noise (`standardize=false` on such a stream). With the standardizer (the default), measured within a factor
of two on independent noise with Gaussian and heavy tails (t₃), first-order autoregressions up to φ = 0.9, and drifts of up to
one standard deviation in 2000 updates; on skewed noise (Gumbel) twice too often at arl = 50000. The price: a shift of
half a standard deviation is found three times as late as with known parameters, one of 2 by a tenth. All of this is measured by
`python -m tests.benchmarks.detectors`. A drift much faster than that is a shift, and is alarmed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import ClassVar

import torch
from torch import Tensor

from rl_rmsprop.detectors.base import Detector, DetectorOutput, State
from rl_rmsprop.detectors.standardizer import TINY, Standardizer
from rl_rmsprop.detectors.thresholds import TRACKED, cusum_threshold, ewma_threshold, tracking_threshold
from rl_rmsprop.kernels.backends import Array, clip, column, dispatch, maximum, minimum, rows, where
from rl_rmsprop.schedules import check_positive


@dataclass(frozen=True)
class SequentialTest(Detector):
    """Shared settings of tests on standardised input."""

    arl: float = 50_000
    """Mean number of updates between false alarms on a stationary stream, > 1. Five per cent of runs of T updates see a
    false alarm if arl = 20·T."""
    burn_in: int = 20
    """Updates before the first alarm is possible, and after an alarm before the next; the level is learned anew in them."""
    memory: float = 1000
    """Updates over which the stream's level, scale and correlation are averaged; at least burn_in. A shift much slower than
    this is followed and not seen."""
    standardize: bool = True
    """Learn level, drift, scale and correlation of the stream; false takes x as N(0, 1) noise already, and has no burn-in."""

    def __post_init__(self) -> None:
        if not 1 < self.arl < math.inf:
            raise ValueError(f"arl must be greater than 1 update and finite, got {self.arl}")
        if not (self.burn_in >= 2 or not self.standardize) or self.burn_in < 0:
            raise ValueError(f"burn_in must be at least 2 updates, got {self.burn_in}: scale cannot be learned from less")
        check_positive("memory", self.memory, "updates")

    @property
    def _start(self) -> tuple[float, ...]:
        """The test's rows before the first observation, K numbers."""
        raise TypeError(f"{type(self).__name__} must define _start")

    def _accumulate(self, test: Array, e: Array) -> tuple[Array, Array]:
        """The test's new rows [K, R] and its statistic [R]."""
        raise TypeError(f"{type(self).__name__} must define _accumulate")

    @property
    def _standardizer(self) -> Standardizer:
        return Standardizer(max(self.memory, self.burn_in))

    def init(self, keys: Tensor) -> State:
        state = super().init(keys)
        none = torch.zeros_like(state["seen"])
        state["test"] = column(self._start, none) + none
        if self.standardize:
            state["level"] = column(Standardizer.start, none) + none
        return state

    def update(self, state: State, x: Tensor) -> DetectorOutput:
        return DetectorOutput(*dispatch(self._learned if self.standardize else self._known, state, x))

    def _known(self, state: dict[str, Array], x: Array) -> tuple[dict[str, Array], Array, Array]:
        """One update of a stream that is N(0, 1) noise until it shifts."""
        test, statistic = self._accumulate(state["test"], x)
        alarm = statistic > self.threshold
        return {"seen": state["seen"] + 1.0, "test": where(alarm, column(self._start, x), test)}, alarm, statistic

    def _learned(self, state: dict[str, Array], x: Array) -> tuple[dict[str, Array], Array, Array]:
        """One update of a stream of unknown level, scale and correlation."""
        seen = state["seen"] + 1.0
        level, e = self._standardizer(state["level"], x, seen)
        test, statistic = self._accumulate(state["test"], e)
        learning = seen <= self.burn_in
        statistic = where(learning, 0.0, statistic)
        alarm = statistic > self.threshold
        new = {  # after an alarm everything is learned anew: the old level is what the alarm has just refuted
            "seen": where(alarm, 0.0, seen),
            "test": where(alarm | learning, column(self._start, x), test),
            "level": where(alarm, column(Standardizer.start, x), level),
        }
        return new, alarm, statistic


@dataclass(frozen=True)
class Cusum(SequentialTest):
    """Two-sided cumulative sum (Page 1954): S± ← max(0, S± ± e − k), alarm when the larger exceeds h.

    Most sensitive to a shift of 2k standard deviations, in either direction. h follows from `arl` by Siegmund's
    approximation, within 1 % of the exact value for independent N(0, 1) input with known parameters. Assumes residuals that
    are independent; what is left of skewness counts most, since h is reached by many moderate observations in a row.
    """

    k: float = 0.5
    """Allowance in standard deviations, > 0: half the shift that should be found fastest."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("k", self.k, "standard deviations")

    @property
    def threshold(self) -> float:
        return cusum_threshold(self.arl, self.k)

    @property
    def _start(self) -> tuple[float, ...]:
        return (0.0, 0.0)

    def _accumulate(self, test: Array, e: Array) -> tuple[Array, Array]:
        rise, fall = test
        rise = clip(rise - self.k + e, low=0.0)
        fall = clip(fall - self.k - e, low=0.0)
        return rows(rise, fall), maximum(rise, fall)


@dataclass(frozen=True)
class PageHinkley(SequentialTest):
    """Page–Hinkley test for a rise or fall of the mean: the sum of (x − running mean ∓ delta) against its extreme so far.

    With `limit` given it is river's detector of the same settings (river's defaults: delta 0.005, threshold 50,
    alpha 0.9999, min_samples 30, on raw input). Without, the threshold follows from `arl` as for CUSUM with allowance
    delta, which the sum minus its minimum is, but for the running mean. Assumes what `cusum` does.
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

    @property
    def _start(self) -> tuple[float, ...]:
        return (0.0, 0.0, 0.0, 0.0, math.inf, -1.0)

    def _accumulate(self, test: Array, e: Array) -> tuple[Array, Array]:
        count, mean, rise, fall, lowest, highest = test
        count = count + 1.0
        mean = mean + (e - mean) / count
        rise = self.alpha * rise + (e - mean - self.delta)
        fall = self.alpha * fall + (e - mean + self.delta)
        lowest, highest = minimum(lowest, rise), maximum(highest, fall)
        statistic = where(count >= self.min_samples, maximum(rise - lowest, highest - fall), 0.0)
        return rows(count, mean, rise, fall, lowest, highest), statistic


@dataclass(frozen=True)
class Ewma(SequentialTest):
    """Exponentially weighted moving average (Roberts 1959): Z ← (1 − gain)Z + gain·e, alarm when |Z| is large.

    The statistic is |Z| in its own standard deviations √(gain/(2 − gain)). The threshold follows from `arl` by Crowder's
    integral equation for independent N(0, 1) input. Assumes independent residuals; a small gain averages more of them, so
    that their distribution matters less.
    """

    gain: float = 0.1
    """Weight of the newest observation, in [0.02, 1]; small gains are best at small shifts."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.02 <= self.gain <= 1:
            raise ValueError(f"gain must be in [0.02, 1], got {self.gain}: for a longer memory use cusum with a small k")
        if self.arl > 1e9:
            raise ValueError(f"arl of ewma must be at most 1e9 updates, got {self.arl}: use never for no alarms at all")

    @property
    def threshold(self) -> float:
        return ewma_threshold(self.arl, self.gain)

    @property
    def _start(self) -> tuple[float, ...]:
        return (0.0,)

    def _accumulate(self, test: Array, e: Array) -> tuple[Array, Array]:
        Z = test + self.gain * (e - test)
        return Z, abs(Z[0]) * math.sqrt((2 - self.gain) / self.gain)


@dataclass(frozen=True)
class TrackingSignal(SequentialTest):
    """Tracking signal (Trigg and Leach 1967): |mean of e| / mean of |e|, both with the weight `gain` on the newest residual.

    In [0, 1]: near 0 on noise that changes its sign (0.23 on average with gain 0.1), towards 1 while residuals keep it. Meant
    for the reaction `soft`, its usual one, which bends β by the statistic itself. The threshold follows from `arl` by a table
    of simulations with independent N(0, 1) input: within 10 % in `arl` up to a million, extrapolated beyond. Assumes
    independent residuals, but not their scale.
    """

    usual_reaction: ClassVar[str] = "soft"

    gain: float = 0.1
    """Weight of the newest residual: 0.05, 0.1 or 0.2, for which thresholds are tabulated."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gain not in TRACKED:
            raise ValueError(f"gain must be one of {', '.join(map(str, TRACKED))}, got {self.gain}: others have no threshold")

    @property
    def threshold(self) -> float:
        return tracking_threshold(self.arl, self.gain)

    @property
    def _start(self) -> tuple[float, ...]:
        return (0.0, math.sqrt(2 / math.pi))  # the mean of |e|: from 0 the first statistic would be 1

    def _accumulate(self, test: Array, e: Array) -> tuple[Array, Array]:
        error, size = new = test + self.gain * (rows(e, abs(e)) - test)
        return new, abs(error) / (size + TINY)


BETS = (0.15, 0.35, 1.0, 3.0)


@dataclass(frozen=True)
class ShiryaevRoberts(SequentialTest):
    """The e-detector of Shiryaev and Roberts (Shin, Ramdas and Rinaldo 2024): false alarms no oftener than promised.

        M_b ← (1 + M_b) · (1 + b·e)²/(1 + b²)       for bets b = ±0.15, ±0.35, ±1, ±3;   alarm when their mean exceeds `arl`

    If, given the past, e has mean 0 and a second moment of at most 1, each factor has a mean of at most 1, M_b − n is a
    supermartingale and the mean time to an alarm is at least `arl`: for every distribution, and without independence. So the
    guarantee is exact with standardize=false for every stream in [−1, 1] and for every one of unit variance, heavy tails
    included, whose mean given the past is 0. With the standardizer it is as good as the estimated prediction. The price is
    delay: 1.3 to 1.5 times that of `cusum`. A growth of the variance counts as a shift too.
    """

    @property
    def threshold(self) -> float:
        return self.arl

    @property
    def _start(self) -> tuple[float, ...]:
        return (0.0,) * (2 * len(BETS))

    def _accumulate(self, test: Array, e: Array) -> tuple[Array, Array]:
        bets = (*BETS, *(-b for b in BETS))
        b = column(bets, e)
        shares = column(tuple(1 / (1 + b * b) for b in bets), e)
        M = (1.0 + test) * (1.0 + b * e) ** 2 * shares
        # One after the other: a sum over an axis is ordered by the number of runs.
        return M, reduce(add, M) / len(bets)
