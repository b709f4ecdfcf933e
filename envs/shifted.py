"""An `EnvBatch` whose environments shift, each run by its own clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.batch import EnvBatch, Step
from envs.shifts import CLOCKS, Shift, Shifter


class ShiftedBatch:
    """Any `EnvBatch` under shifts. The clock of a run counts the steps of its N environments; reset calls do not count."""

    def __init__(
        self,
        batch: EnvBatch,
        shifts: Sequence[Shift],
        seeds: Sequence[int],
        held_at: Mapping[str, NDArray[np.int64]] | None = None,
    ) -> None:
        """`seeds` are those of the runs. With `held_at`, counts [R] of every clock, time stands still there."""
        self._batch = batch
        self.runs, self.envs_per_run = batch.runs, batch.envs_per_run
        self.observation_space, self.action_space = batch.observation_space, batch.action_space
        self.max_episode_steps = batch.max_episode_steps
        spaces = (batch.observation_space, batch.action_space)
        self._shifter = Shifter(shifts, batch.dynamics(), spaces, seeds, batch.envs_per_run)
        self._held_at = held_at

    @property
    def counts(self) -> dict[str, NDArray[np.int64]]:
        """What every clock shows, [R] each."""
        return {clock: self._shifter.counts[clock].copy() for clock in CLOCKS}

    @property
    def regime(self) -> NDArray[np.int64]:
        """The true regime of every run [R] in its last step."""
        return self._shifter.regime

    @property
    def onsets(self) -> NDArray[np.int64]:
        """How often a change has begun in every run [R] so far."""
        return self._shifter.onsets

    @property
    def values(self) -> dict[str, NDArray[np.float64]]:
        """The value of every shifting parameter in the last step, [R, N] each."""
        return self._shifter.values

    def truth(self) -> dict[str, NDArray]:
        """What was in force in the last step, by the names of Gymnasium's infos, [R, N] each."""
        return self._shifter.truth()

    def count_update(self) -> None:
        """Tell the clock `updates` that every run has made one."""
        self._shifter.count_update()

    def reset(self) -> NDArray[np.float32]:
        self._hold()
        self._shifter.renew()
        return self._shifter.begin(self._batch.reset())

    def step(self, actions: NDArray[np.int64]) -> Step:
        self._hold()
        result = self._batch.step(self._shifter.before(actions))
        over = result.terminated | result.truncated
        observations, rewards = self._shifter.after(result.observations, result.rewards, over, result.valid)
        return result._replace(observations=observations, rewards=rewards)

    def _hold(self) -> None:
        if self._held_at is not None:
            self._shifter.skip_to(dict(self._held_at))

    def dynamics(self) -> Any:
        """What sets the equations of motion; the shifts go on setting theirs."""
        return self._batch.dynamics()

    def close(self) -> None:
        self._batch.close()
