"""CUSUM, the default: the cumulative sum of what exceeds an allowance."""

from __future__ import annotations

from dataclasses import dataclass

from rl_rmsprop.detectors.sequential import SequentialTest
from rl_rmsprop.detectors.thresholds import cusum_threshold
from rl_rmsprop.kernels.backends import Array, clip, maximum, rows
from rl_rmsprop.schedules import check_positive


@dataclass(frozen=True)
class Cusum(SequentialTest):
    """Two-sided cumulative sum (Page 1954): S± ← max(0, S± ± e − k), alarm when the larger exceeds h.

    Most sensitive to a shift of 2k standard deviations, in either direction. h follows from `arl` by Siegmund's
    approximation, within 1 % of the exact value for independent N(0, 1) input with known parameters. Assumes residuals that
    are independent; what is left of skewness counts most, since h is reached by many moderate observations in a row.
    """

    k: float = 0.5
    """Allowance in standard deviations, > 0: half the shift that should be found fastest."""

    example = "cusum:arl=50000,max=0.99"

    def validate(self) -> None:
        super().validate()
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
