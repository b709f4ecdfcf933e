"""Survival: whether a run kept half of what it had learned when its environment changed.

    before    mean return of the last 20 episodes that ended before the change
    after     mean return of the last 20 episodes that began after it and ended before the next one, or before the end
    low, high the returns that count as 0 and as 1

    a run had learned    before − low ≥ 0.1 (high − low)
    and survived         after − low ≥ ½ (before − low)

A change that comes before the run had learned is not counted, nor is one after which no episode ended: NaN. The share of a run is
over the changes that count. `low` is the same for all arms, so that what a policy earns by chance is nobody's merit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rl_rmsprop.study.results.scores import RUNNING, Episodes

KEPT = 0.5
"""Share of what it had learned that a survivor has in the end."""
LEARNED = 0.1
"""Share of the scale above `low` from which a run has learned something that it can lose."""


def survived(before: float, after: float, low: float, high: float) -> float:
    """1 if a run with these levels survived, else 0; NaN where the question makes no sense.

    >>> survived(300, 160, 20, 500), survived(300, 159, 20, 500), survived(60, 500, 20, 500)
    (1.0, 0.0, nan)
    """
    gained = before - low
    if math.isnan(before) or math.isnan(after) or gained < LEARNED * (high - low):
        return math.nan
    return float(after - low >= KEPT * gained)


def last_levels(episodes: Episodes, changes: Sequence[float], end: float, n_envs: int) -> list[float]:
    """The mean return of the last episodes of the phase after each change; NaN where none lies within it.

    An episode of length L in one of `n_envs` environments began about n_envs · L steps before it ended.
    """
    began, levels = episodes.step - n_envs * episodes.length, []
    for start, stop in zip(changes, [*changes, end][1:], strict=True):
        earned = episodes.earned[(began >= start) & (episodes.step <= stop)][-RUNNING:]
        levels.append(float(np.mean(earned)) if len(earned) else math.nan)
    return levels


def mean_of_known(values: Sequence[float]) -> float:
    """The mean of what is known; NaN if nothing is.

    >>> mean_of_known([1.0, math.nan, 0.0]), mean_of_known([])
    (0.5, nan)
    """
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
