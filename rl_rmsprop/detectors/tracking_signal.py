"""The tracking signal, and its thresholds by simulation."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass

from rl_rmsprop.detectors.sequential import SequentialTest
from rl_rmsprop.detectors.standardizer import TINY
from rl_rmsprop.kernels.backends import Array, rows
from rl_rmsprop.reactions import Soft

TRACKED: dict[float, dict[int, float]] = {
    0.05: {
        1: 0.0,
        10: 0.1481,
        30: 0.2492,
        100: 0.3676,
        300: 0.4582,
        1000: 0.536,
        3000: 0.593,
        10_000: 0.6447,
        30_000: 0.684,
        100_000: 0.7202,
        300_000: 0.7484,
        1_000_000: 0.7751,
    },
    0.1: {
        1: 0.0,
        10: 0.2786,
        30: 0.4278,
        100: 0.5681,
        300: 0.6627,
        1000: 0.7386,
        3000: 0.7897,
        10_000: 0.8327,
        30_000: 0.8638,
        100_000: 0.8898,
        300_000: 0.9094,
        1_000_000: 0.9256,
    },
    0.2: {
        1: 0.0,
        10: 0.4933,
        30: 0.6708,
        100: 0.7977,
        300: 0.8678,
        1000: 0.9157,
        3000: 0.9429,
        10_000: 0.9626,
        30_000: 0.9745,
        100_000: 0.9829,
        300_000: 0.9882,
        1_000_000: 0.9921,
    },
}
"""Gain → mean updates between false alarms → limit of the tracking signal, from `python -m tests.tracking_table`."""


def tracking_threshold(arl: float, gain: float) -> float:
    """The limit c of a tracking signal: ln(1 − c) between the entries of the table, and beyond, linearly in ln arl.

    >>> round(tracking_threshold(1000, 0.1), 4)
    0.7386
    """
    arls = list(TRACKED[gain])
    right = min(bisect.bisect_left(arls, arl), len(arls) - 1)
    (a, c), (b, d) = ((x, TRACKED[gain][x]) for x in arls[right - 1 : right + 1])
    share = math.log(arl / a) / math.log(b / a)
    return 1 - (1 - c) ** (1 - share) * (1 - d) ** share


@dataclass(frozen=True)
class TrackingSignal(SequentialTest):
    """Tracking signal (Trigg and Leach 1967): |mean of e| / mean of |e|, both with the weight `gain` on the newest residual.

    In [0, 1]: near 0 on noise that changes its sign (0.23 on average with gain 0.1), towards 1 while residuals keep it. Meant
    for the reaction `soft`, its usual one, which bends β by the statistic itself. The threshold follows from `arl` by a table
    of simulations with independent N(0, 1) input: within 10 % in `arl` up to a million, extrapolated beyond. Assumes
    independent residuals, but not their scale.
    """

    gain: float = 0.1
    """Weight of the newest residual: 0.05, 0.1 or 0.2, for which thresholds are tabulated."""

    example = "tracking_signal:low=0.5"
    usual_reaction = Soft

    def validate(self) -> None:
        super().validate()
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
