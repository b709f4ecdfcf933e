"""The e-detector of Shiryaev and Roberts, whose rate of false alarms is guaranteed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add

from rl_rmsprop.detectors.sequential import SequentialTest
from rl_rmsprop.kernels.backends import Array, column

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

    example = "e_sr:arl=50000"

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
