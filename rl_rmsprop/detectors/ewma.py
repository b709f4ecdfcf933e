"""The exponentially weighted moving average, and its thresholds by Crowder's integral equation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from rl_rmsprop.detectors.sequential import SequentialTest
from rl_rmsprop.detectors.thresholds import solve
from rl_rmsprop.kernels.backends import Array

NODES = 80


@lru_cache
def ewma_threshold(arl: float, gain: float) -> float:
    """The limit of |Z|, in its own standard deviations √(gain/(2 − gain)), of Z ← (1 − gain)Z + gain·x.

    The run length L(z) from Z = z solves L(z) = 1 + ∫ L(y) φ((y − (1 − gain)z)/gain)/gain dy over the y within the limits
    (Crowder 1987), here on Gauss–Legendre nodes.

    >>> round(ewma_threshold(500, 0.1), 2)  # Lucas and Saccucci (1990): 2.814
    2.81
    """
    unit = math.sqrt(gain / (2 - gain))
    nodes, weights = np.polynomial.legendre.leggauss(NODES)

    def from_zero(limit: float) -> float:
        y, w = nodes * limit * unit, weights * limit * unit
        starts = np.append(y, 0.0)
        u = (y[None, :] - (1 - gain) * starts[:, None]) / gain
        kernel = w * np.exp(-u * u / 2) / (gain * math.sqrt(2 * math.pi))
        lengths = np.linalg.solve(np.eye(NODES) - kernel[:-1], np.ones(NODES))
        return float(1 + kernel[-1] @ lengths)

    return solve(from_zero, arl, 8.0) if arl < 1e9 else 8.0


@dataclass(frozen=True)
class Ewma(SequentialTest):
    """Exponentially weighted moving average (Roberts 1959): Z ← (1 − gain)Z + gain·e, alarm when |Z| is large.

    The statistic is |Z| in its own standard deviations √(gain/(2 − gain)). The threshold follows from `arl` by Crowder's
    integral equation for independent N(0, 1) input. Assumes independent residuals; a small gain averages more of them, so
    that their distribution matters less.
    """

    gain: float = 0.1
    """Weight of the newest observation, in [0.02, 1]; small gains are best at small shifts."""

    example = "ewma:arl=50000,gain=0.1"

    def validate(self) -> None:
        super().validate()
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
