"""How good a detector is on recorded streams: hits and delays after true changes, alarms where nothing changed.

    alarms [T, R] of a shifted study, changes [T, R] → hits within 20, 50, 200 updates; delay
    alarms [T, R] of its unshifted twin → alarms per 1000 updates

Learning moves gradients by itself, so an alarm on a twin is not always false: one within `NEAR` updates of a change of the
gradient's scale, located afterwards with all of it, is counted apart. Detectors are compared at the same rate of alarms on
the twins: `tune` searches for the sensitivity at which a detector has it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rl_rmsprop.detectors import Detector

WITHIN = (20, 50, 200)
"""Updates after a change within which an alarm is a hit."""
NEAR = 20
"""Updates between an alarm and a change of the gradient's scale that count as one."""
PENALTY = 10.0
"""Penalty of a further change of scale in units of ln T: large, because gradients are correlated and have heavy tails."""

Alarms = NDArray[np.bool_]  # [T, R]

# Alarms ---------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def alarms_of(detector: Detector, x: Tensor, seeds: tuple[int, ...]) -> Alarms:
    """When a detector alarms on the signals x [T, R] of the runs with these seeds."""
    state = detector.init(torch.tensor(seeds))
    alarms = np.zeros(tuple(x.shape), bool)
    for t, row in enumerate(x):
        state, alarm, _ = detector.update(state, row)
        alarms[t] = alarm.numpy()
    return alarms


def rate(alarms: Alarms) -> float:
    """Alarms per 1000 updates of a run."""
    return float(alarms.sum() / alarms.size * 1000)


# After true changes ---------------------------------------------------------------------------------------------------


class Quality(NamedTuple):
    """How a detector responds to true changes; each change of each run counts once."""

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
    starts, alarm_times = np.flatnonzero(changes), np.flatnonzero(alarms)
    ends = [*starts, len(alarms)][1:]
    delays = []
    for start, end in zip(starts, ends, strict=True):
        hits = alarm_times[(alarm_times >= start) & (alarm_times < end)]
        delays.append(float(hits[0] - start) if len(hits) else math.inf)
    return delays


# Changes of the gradient's scale ----------------------------------------------------------------------------------------


def share_near(alarms: Alarms, changes: NDArray[np.bool_]) -> float:
    """Share of alarms that have a change within NEAR updates before or after; NaN without alarms."""
    return float(near(changes)[alarms].mean()) if alarms.any() else math.nan


def near(changes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Updates [T, R] that have a change within NEAR updates before or after."""
    result = changes.copy()
    for lag in range(1, NEAR + 1):
        result[lag:] |= changes[:-lag]
        result[:-lag] |= changes[lag:]
    return result


def scale_changes(log_norm: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where the level of ln ‖g‖² [T, R] changes, seen from the end of the stream: PELT with a penalty for Gaussian mean shifts.

    Killick et al. 2012; the penalty is PENALTY · ln T in units of the noise, which is a robust estimate from the differences of
    neighbours. ImportError without ruptures.
    """
    import ruptures

    changes = np.zeros(log_norm.shape, bool)
    for r, x in enumerate(log_norm.T):
        step = np.diff(x)
        noise = 1.4826 * np.median(np.abs(step - np.median(step))) / math.sqrt(2)
        y = (x - np.median(x)) / max(noise, 1e-12)
        cut = ruptures.KernelCPD(kernel="linear", min_size=NEAR).fit(y[:, None]).predict(pen=PENALTY * math.log(len(y)))
        changes[cut[:-1], r] = True
    return changes


# The same rate of alarms ------------------------------------------------------------------------------------------------


class Tuned(NamedTuple):
    """A detector at the sensitivity that gives the wanted rate of alarms on the twins, or comes nearest to it."""

    detector: Detector
    rate: float


def tune(detector: Detector, wanted: float, x: Tensor, seeds: tuple[int, ...], tries: int = 12) -> Tuned:
    """The detector with its sensitivity set so that it alarms `wanted` times per 1000 updates on the signals x [T, R].

    Bisects the logarithm of its setting from the value with the most alarms to that with the fewest. ValueError for a detector
    that has no such setting.
    """
    sensitivity = detector.sensitivity
    if sensitivity is None:
        raise ValueError(
            f"{detector} cannot be tuned to a rate of alarms: its class has no sensitivity; name the setting that makes it alarm "
            "more or less often there, as cusum does with arl"
        )
    loud, quiet = math.log(sensitivity.loud), math.log(sensitivity.quiet)
    best = Tuned(replace(detector, **{sensitivity.field: sensitivity.quiet}), math.inf)  # type: ignore[type-var]  # a dataclass
    for _ in range(tries):
        middle = (loud + quiet) / 2
        candidate = replace(detector, **{sensitivity.field: math.exp(middle)})  # type: ignore[type-var]
        measured = rate(alarms_of(candidate, x, seeds))
        if abs(measured - wanted) < abs(best.rate - wanted):
            best = Tuned(candidate, measured)
        if abs(measured - wanted) <= 0.02 * wanted:
            break
        loud, quiet = (middle, quiet) if measured > wanted else (loud, middle)
    return best
