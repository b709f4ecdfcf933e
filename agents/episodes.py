"""Returns and lengths of episodes while they run, over rollouts: by the compiled kernel where it is built, else in NumPy.

Both add up in the order of time, with the same bits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rl_rmsprop.native import library


class Ended(NamedTuple):
    """Episodes that ended with a finite return, in order of time and environment; a row an episode."""

    time: NDArray[np.int64]  # [K]  steps before the last one, within the rollout
    environment: NDArray[np.int64]  # [K]  from 0 to R · N − 1
    episode_return: NDArray[np.float64]  # [K]
    length: NDArray[np.int64]  # [K]  steps


def track(rewards: NDArray, done: NDArray, valid: NDArray, returns: NDArray, lengths: NDArray) -> Ended:
    """Add a rollout [T, R, N] to the running `returns` and `lengths` [R, N], in place; returns the episodes that ended in it.

    >>> returns, lengths, no = np.zeros((1, 1)), np.zeros((1, 1), np.int64), np.zeros((3, 1, 1), bool)
    >>> done = no | np.array([False, True, False])[:, None, None]
    >>> track(np.ones((3, 1, 1), np.float32), done, ~no, returns, lengths).episode_return, returns
    (array([2.]), array([[1.]]))
    """
    return (track_natively if library.is_useful() else track_in_numpy)(rewards, done, valid, returns, lengths)


def track_natively(rewards: NDArray, done: NDArray, valid: NDArray, returns: NDArray, lengths: NDArray) -> Ended:
    """As `track`."""
    lib = library.load()
    assert lib is not None
    rewards, done, valid = np.ascontiguousarray(rewards, np.float32), np.ascontiguousarray(done), np.ascontiguousarray(valid)
    count = int(np.count_nonzero(done))
    ended = Ended(np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count), np.empty(count, np.int64))
    memory = (library.address(array) for array in (rewards, done, valid, returns, lengths, *ended))
    finite = lib.episodes(len(rewards), returns.size, *memory)
    return Ended(ended.time[:finite], ended.environment[:finite], ended.episode_return[:finite], ended.length[:finite])


def track_in_numpy(rewards: NDArray, done: NDArray, valid: NDArray, returns: NDArray, lengths: NDArray) -> Ended:
    """As `track`."""
    ended, any_done = [NONE], np.logical_or.reduce(done, (1, 2))
    with np.errstate(invalid="ignore"):  # infinities of both signs have no sum
        for t in range(len(done)):
            returns += rewards[t]
            lengths += valid[t]
            if any_done[t]:
                environment = np.flatnonzero(done[t] & np.isfinite(returns))
                row = returns.ravel()[environment], lengths.ravel()[environment]
                ended.append(Ended(np.full(len(environment), t), environment, *row))
                returns[done[t]] = 0.0
                lengths[done[t]] = 0
    return Ended(*map(np.concatenate, zip(*ended, strict=True)))


NONE = Ended(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))
