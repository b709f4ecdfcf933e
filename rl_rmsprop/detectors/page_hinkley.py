"""The Page–Hinkley test, river's and with a threshold by `arl`."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rl_rmsprop.detectors.base import Sensitivity
from rl_rmsprop.detectors.sequential import SequentialTest
from rl_rmsprop.detectors.thresholds import cusum_threshold
from rl_rmsprop.kernels.backends import Array, maximum, minimum, rows, where
from rl_rmsprop.schedules import check_positive


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

    example = "page_hinkley:arl=50000,max=0.99"
    source = "Page 1954, Hinkley 1971"

    def validate(self) -> None:
        super().validate()
        check_positive("delta", self.delta, "standard deviations")
        check_positive("limit", self.limit, "units of the signal")
        if not 0 < self.alpha <= 1:
            raise ValueError(f"alpha must be in (0, 1], got {self.alpha}")

    @property
    def sensitivity(self) -> Sensitivity | None:
        return super().sensitivity if self.limit is None else Sensitivity("limit", loud=1e-2, quiet=1e6)

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
