"""The episodes of the runs of a batch: their tables, and the means that the curves show."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agents.rollout import Episodes
from rl_rmsprop.storage.snapshot import Snapshottable
from rl_rmsprop.telemetry.csv_table import Table

MEAN_EPISODES = 100  # that rollout/ep_rew_mean averages over


class EpisodeRecord(Snapshottable):
    """Writes a row for each episode of R runs, and remembers the last MEAN_EPISODES of each run.

    `add` only collects, since each iteration of the training calls it; `write` does the work, for many episodes at a time.
    """

    STATE_ATTRIBUTES = ("_recent",)

    def __init__(self, tables: Sequence[Table]) -> None:
        """`tables` has one for each run."""
        self._tables = tables
        self._recent = [(deque[float](maxlen=MEAN_EPISODES), deque[int](maxlen=MEAN_EPISODES)) for _ in tables]
        self._waiting: list[Episodes] = []

    def add(self, episodes: Episodes, active: NDArray[np.bool_]) -> None:
        """Those of the runs that are active [R]."""
        of_active = active[episodes.run]
        if of_active.any():
            self._waiting.append(Episodes._make([column[of_active] for column in episodes]))

    def write(self) -> None:
        """Write all that have been added since the last time."""
        if not self._waiting:
            return
        together = Episodes._make(map(np.concatenate, zip(*self._waiting, strict=True)))
        self._waiting.clear()
        order = np.argsort(together.run, kind="stable")  # of a run, they stay in the order of time
        run, *columns = (column[order] for column in together)
        runs, begins = np.unique(run, return_index=True)
        ends = [*begins[1:].tolist(), len(run)]
        for r, begin, end in zip(runs.tolist(), begins.tolist(), ends, strict=True):
            steps, episode_returns, lengths = (column[begin:end].tolist() for column in columns)
            self._tables[r].add_columns(steps, episode_returns, lengths)
            for recent, values in zip(self._recent[r], (episode_returns, lengths), strict=True):
                recent.extend(values)

    def means(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean return and mean length of each run's last MEAN_EPISODES [R], NaN before its first; of what has been written."""
        returns, lengths = (
            np.array([sum(x) / len(x) if x else math.nan for x in of_runs]) for of_runs in zip(*self._recent, strict=True)
        )
        return returns, lengths
