"""Scores of one run, from its episodes: what it earned, when it got there, and how it responded to changes of its environment.

The running return R_k is the mean return of the last `RUNNING` episodes when the k-th has ended. All times are environment
steps of the run, on which the end of every episode is known.

    mean return         time average of R over the training: what an episode earned, averaged over the environment steps
    steps to threshold  when the mean of the last 100 episodes first reached the threshold, as Gymnasium defines solved
    collapsed           whether the mean of 100 consecutive episodes lost more than half of what it had gained
    before              at a change: mean return of the last 20 episodes that ended before it
    drop                before − mean return of the first 20 episodes that began after it
    recovery            steps from the change until 20 consecutive episodes earned 90 % of before again: before − 0.1 |before|
    regret              before − time average of R from the change to the next one or the end: mean loss per episode
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RETURN = "return"
"""In place of a tag: the running return, from every episode."""
GRID = 200
"""Points of a curve that is aggregated over runs."""
RUNNING = 20
"""Episodes of the running return: few, because a hundred long ones are a large part of a training."""
PLATEAU = 100
"""Episodes whose mean counts as a level that was held."""
RECOVERED = 0.1
"""Share of the level before a change that may be missing when it counts as regained."""


class Episodes(NamedTuple):
    """The episodes of a run, in the order in which they ended; [K] each."""

    step: Array
    """When it ended."""
    earned: Array
    """Its return."""
    length: Array
    """Steps of its own environment."""

    def where(self, mask: NDArray[np.bool_]) -> Episodes:
        """Those that the mask [K] picks."""
        return Episodes(self.step[mask], self.earned[mask], self.length[mask])


class Response(NamedTuple):
    """How a run responded to one change of its environment."""

    step: float
    """The end of the rollout in which the environment changed."""
    watched: float
    """Steps from there to the next change, or to the end of the training."""
    before: float
    drop: float
    recovery: float
    """Infinite if it did not recover while watched; 0 if its first episodes were good enough."""
    regret: float


def running_mean(x: Array, count: int) -> Array:
    """Mean of the last `count` values at every place, of all values so far where there are fewer."""
    total = np.concatenate([[0.0], np.cumsum(x)])
    stop = np.arange(1, len(x) + 1)
    start = np.maximum(stop - count, 0)
    return (total[stop] - total[start]) / (stop - start)


def time_average(step: Array, value: Array, start: float, end: float) -> float:
    """Mean over the steps from `start` to `end` of values that hold from their step to the next; the first one from `start`."""
    if not len(step) or end <= start:
        return math.nan
    edges = np.clip(np.concatenate([[start], step[1:], [end]]), start, end)
    return float(np.diff(edges) @ value / (end - start))


def mean_return(episodes: Episodes, end: float) -> float:
    """Time average of the running return over a training of `end` steps; NaN if no episode ended."""
    return time_average(episodes.step, running_mean(episodes.earned, RUNNING), 0.0, end)


def steps_to(episodes: Episodes, threshold: float) -> float:
    """When the mean return of the last 100 episodes first was `threshold` or more; infinite if it never was."""
    running = running_mean(episodes.earned, PLATEAU)[PLATEAU - 1 :]
    hits = np.flatnonzero(running >= threshold)
    return float(episodes.step[PLATEAU - 1 + hits[0]]) if len(hits) else math.inf


def collapsed(episodes: Episodes, changes: Sequence[float] = ()) -> float:
    """1 if the run lost more than half of what it had gained, else 0; NaN with fewer than two hundred episodes.

    Gained is its best mean over 100 consecutive episodes so far, above its first such mean. A gain counts if it is more than
    two standard deviations of the first hundred returns: luck of an untrained policy is no gain. After each change of the
    environment the best starts again, so that the cost of a change does not count as a collapse.
    """
    if len(episodes.earned) < 2 * PLATEAU:
        return math.nan
    first = episodes.earned[:PLATEAU]
    for phase in np.split(episodes.earned, np.searchsorted(episodes.step, changes, side="right")):
        running = running_mean(phase, PLATEAU)[PLATEAU - 1 :]
        gained = np.maximum.accumulate(running) - first.mean()
        if ((gained > 2 * first.std()) & (running < first.mean() + gained / 2)).any():
            return 1.0
    return 0.0


def responses(episodes: Episodes, changes: Sequence[float], end: float, n_envs: int, rollout: int) -> list[Response]:
    """How a run responded to each of its changes; NaN where no episode ended before or after.

    A change is known to have come within the `rollout` steps before its step. An episode of length L in one of `n_envs`
    environments began about n_envs · L steps before it ended; those that a change divides count on neither side.
    """
    began = episodes.step - n_envs * episodes.length
    result = []
    for k, (change, stop) in enumerate(zip(changes, [*changes, end][1:], strict=True)):
        previous = changes[k - 1] if k else -math.inf
        earlier = episodes.earned[(began >= previous) & (episodes.step <= change - rollout)][-RUNNING:]
        later = episodes.where((began >= change) & (episodes.step <= stop))
        result.append(response(earlier, later, change, stop))
    return result


def response(earlier: Array, later: Episodes, change: float, stop: float) -> Response:
    """How a run responded to one change, from the returns before it and the episodes after it."""
    if not len(earlier):
        return Response(change, stop - change, *(math.nan,) * 4)
    before = float(earlier.mean())
    R = running_mean(later.earned, RUNNING)
    drop = before - float(later.earned[:RUNNING].mean()) if len(R) else math.nan
    hits = np.flatnonzero(R[RUNNING - 1 :] >= before - RECOVERED * abs(before))
    recovery = math.inf
    if len(hits):
        recovery = float(later.step[RUNNING - 1 + hits[0]] - change) if hits[0] else 0.0
    return Response(change, stop - change, before, drop, recovery, before - time_average(later.step, R, change, stop))
