"""How good a detector is on recorded streams: hits and delays after true changes, alarms where nothing changed.

    alarms [T, R] of a shifted study, changes [T, R] → hits within 20, 50, 200 updates; delay
    alarms [T, R] of its unshifted twin → alarms per 1000 updates

Learning moves gradients by itself, so an alarm on a twin is not always false: one within `NEAR` updates of a change of the
gradient's scale, found afterwards in the whole stream, is counted apart. Detectors are compared at the same rate of alarms on
the twins: `matched` finds the sensitivity at which a detector has it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rl_rmsprop.detectors import Detector

WITHIN = (20, 50, 200)
"""Updates after a change within which an alarm is a hit."""
NEAR = 20
"""Updates between an alarm and a change of the gradient's scale that are taken for one."""

Alarms = NDArray[np.bool_]  # [T, R]


@torch.no_grad()
def alarms_of(detector: Detector, x: Tensor, seeds: tuple[int, ...]) -> Alarms:
    """When a detector alarms on the signals x [T, R] of the runs with these seeds."""
    state = detector.init(torch.tensor(seeds))
    result = np.zeros(tuple(x.shape), bool)
    for t, row in enumerate(x):
        state, alarm, _ = detector.update(state, row)
        result[t] = alarm.numpy()
    return result


class Quality(NamedTuple):
    """A detector's answers to true changes; each change of each run counts once."""

    changes: int
    hits: tuple[float, ...]
    """Share of changes with an alarm within 20, 50, 200 updates."""
    delay_median: float
    """Median of the updates to the first alarm, a change without one counting as infinite."""
    delay_q90: float


def quality(alarms: Alarms, changes: NDArray[np.bool_]) -> Quality:
    """Delays are counted from the change (0: in the very update) to the first alarm before the next change."""
    delays = np.array([d for r in range(alarms.shape[1]) for d in delays_of(alarms[:, r], changes[:, r])])
    if not len(delays):
        return Quality(0, tuple(math.nan for _ in WITHIN), math.nan, math.nan)
    hits = tuple(float((delays < within).mean()) for within in WITHIN)
    ordered = np.sort(delays)
    return Quality(len(delays), hits, *(float(ordered[math.ceil(q * len(delays)) - 1]) for q in (0.5, 0.9)))


def delays_of(alarms: NDArray[np.bool_], changes: NDArray[np.bool_]) -> list[float]:
    """Updates from each change of one run [T] to the first alarm before the next change, infinite without one."""
    starts, rings = np.flatnonzero(changes), np.flatnonzero(alarms)
    ends = [*starts, len(alarms)][1:]
    result = []
    for start, end in zip(starts, ends, strict=True):
        answers = rings[(rings >= start) & (rings < end)]
        result.append(float(answers[0] - start) if len(answers) else math.inf)
    return result


def rate(alarms: Alarms) -> float:
    """Alarms per 1000 updates of a run."""
    return float(alarms.sum() / alarms.size * 1000)


def explained(alarms: Alarms, changes: NDArray[np.bool_]) -> float:
    """Share of alarms that have a change within NEAR updates before or after; NaN without alarms."""
    return float(near(changes)[alarms].mean()) if alarms.any() else math.nan


def near(changes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Updates [T, R] that have a change within NEAR updates before or after."""
    result = changes.copy()
    for shift in range(1, NEAR + 1):
        result[shift:] |= changes[:-shift]
        result[:-shift] |= changes[shift:]
    return result


def scale_changes(log_norm: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where the level of ln ‖g‖² [T, R] changes, seen from the end of the stream: PELT with a penalty for Gaussian mean shifts.

    Killick et al. 2012; penalty 3 · ln T in units of the noise, robust, with its autocorrelation: what is left after white
    noise of the same long-run variance. ImportError without ruptures.
    """
    import ruptures

    found = np.zeros(log_norm.shape, bool)
    for r, x in enumerate(log_norm.T):
        step = np.diff(x)
        noise = 1.4826 * np.median(np.abs(step - np.median(step))) / math.sqrt(2)
        y = (x - np.median(x)) / max(noise, 1e-12)
        cut = ruptures.KernelCPD(kernel="linear", min_size=NEAR).fit(y[:, None]).predict(pen=PENALTY * math.log(len(y)))
        found[cut[:-1], r] = True
    return found


PENALTY = 10.0
"""Penalty of a further change in units of ln T: large, because gradients are correlated and have heavy tails."""


@dataclass(frozen=True)
class Matched:
    """A detector at the sensitivity that gives the wanted rate of alarms on the twins, or comes nearest to it."""

    detector: Detector
    rate: float


def matched(
    family: Callable[[float], Detector],
    wanted: float,
    x: Tensor,
    seeds: tuple[int, ...],
    bounds: tuple[float, float],
    tries: int = 12,
) -> Matched:
    """Bisect the logarithm of a knob between `bounds`, from most alarms to fewest, until alarms per 1000 updates are `wanted`."""
    loud, quiet = (math.log(b) for b in bounds)
    best = Matched(family(bounds[1]), math.inf)
    for _ in range(tries):
        middle = (loud + quiet) / 2
        detector = family(math.exp(middle))
        got = rate(alarms_of(detector, x, seeds))
        if abs(got - wanted) < abs(best.rate - wanted):
            best = Matched(detector, got)
        if abs(got - wanted) <= 0.02 * wanted:
            break
        loud, quiet = (middle, quiet) if got > wanted else (loud, middle)
    return best
