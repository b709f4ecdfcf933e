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

import torch
from torch import Tensor

from rl_rmsprop.detectors.base import Detector, DetectorOutput, Sensitivity, State
from rl_rmsprop.detectors.standardizer import Standardizer
from rl_rmsprop.kernels.backends import Array, column, dispatch, where
from rl_rmsprop.schedules import check_positive

LARGEST = 1e150
"""Observations from here on count as not finite: their squares would not be."""


@dataclass(frozen=True)
class SequentialTest(Detector):
    """Shared settings of tests on standardised input."""

    arl: float = 50_000
    """Mean number of updates between false alarms on a stationary stream, > 1. Five per cent of runs of T updates see a
    false alarm if arl = 20·T."""
    burn_in: int = 20
    """Updates before the first alarm is possible, and after an alarm before the next; the level is estimated in them."""
    memory: float = 1000
    """Updates over which the stream's level, scale and correlation are averaged; at least burn_in. A shift much slower than
    this is followed and not seen."""
    standardize: bool = True
    """Learn level, drift, scale and correlation of the stream; false takes x as N(0, 1) noise already, and has no burn-in."""

    def validate(self) -> None:
        if not 1 < self.arl < math.inf:
            raise ValueError(f"arl must be greater than 1 update and finite, got {self.arl}")
        if not (self.burn_in >= 2 or not self.standardize) or self.burn_in < 0:
            raise ValueError(f"burn_in must be at least 2 updates, got {self.burn_in}: scale cannot be learned from less")
        check_positive("memory", self.memory, "updates")

    @property
    def sensitivity(self) -> Sensitivity | None:
        return Sensitivity("arl", loud=5.0, quiet=1e9)

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
        return DetectorOutput(*dispatch(self._step, state, x))

    def _step(self, state: dict[str, Array], x: Array) -> tuple[dict[str, Array], Array, Array]:
        """One update; a run whose observation is not finite keeps its state."""
        step = self._learned if self.standardize else self._known
        valid = abs(x) < LARGEST
        if not isinstance(x, Tensor):  # on a device the question would make it wait
            if valid.all():
                return step(state, x)
            if not valid.any():
                return state, valid, math.nan * x
        new, alarm, statistic = step(state, where(valid, x, 0.0))
        return {name: where(valid, new[name], state[name]) for name in new}, alarm & valid, where(valid, statistic, math.nan)

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
        new = {  # after an alarm all estimates start again: the alarm has just refuted the old level
            "seen": where(alarm, 0.0, seen),
            "test": where(alarm | learning, column(self._start, x), test),
            "level": where(alarm, column(Standardizer.start, x), level),
        }
        return new, alarm, statistic
