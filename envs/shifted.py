"""An `EnvBatch` whose environments shift, each run by its own clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.core import EnvBatch, Step
from envs.dynamics.base import Dynamics
from envs.shifts.shift import CLOCKS, Shift, widened
from envs.shifts.shifter import Shifter
from rl_rmsprop.storage.snapshot import Snapshottable


class ShiftedBatch(Snapshottable):
    """Any `EnvBatch` under shifts. The clock of a run counts the steps of its N environments; reset calls do not count."""

    STATE_ATTRIBUTES = ("_batch", "_shifter", "_last")

    def __init__(
        self,
        batch: EnvBatch,
        shifts: Sequence[Shift],
        seeds: Sequence[int],
        held_at: Mapping[str, NDArray[np.int64]] | None = None,
        noise_seeds: Sequence[int] | None = None,
    ) -> None:
        """`seeds` of the runs set random times, `noise_seeds` noise (None: the same).

        With `held_at`, counts [R] of every clock, time stands still there.
        """
        self._batch = batch
        self.runs, self.envs_per_run = batch.runs, batch.envs_per_run
        self.observation_space = cast(gym.spaces.Box, widened(batch.observation_space, shifts))
        self.action_space = batch.action_space
        self.max_episode_steps = batch.max_episode_steps
        self._shifter = Shifter(shifts, batch.dynamics(), batch.action_space, seeds, batch.envs_per_run, noise_seeds=noise_seeds)
        if held_at is not None:
            if set(held_at) != set(CLOCKS):
                raise ValueError(f"held_at must give {', '.join(CLOCKS)}, got {', '.join(held_at) or 'nothing'}")
            self._shifter.hold(held_at)
        self._last = self._shifter.counts["steps"], self._shifter.changed

    @property
    def counts(self) -> dict[str, NDArray[np.int64]]:
        """What every clock shows, [R] each."""
        return {clock: self._shifter.counts[clock].copy() for clock in CLOCKS}

    @property
    def regime(self) -> NDArray[np.int64]:
        """The true regime of every run [R] in its last step."""
        return self._shifter.regime

    @property
    def values(self) -> dict[str, NDArray[np.float64]]:
        """The value of every shifting parameter in the last step, [R, N] each."""
        return self._shifter.values

    @property
    def onsets(self) -> NDArray[np.int64]:
        """How often a change has begun in every run [R] so far."""
        return self._shifter.onsets

    def truth(self) -> dict[str, NDArray]:
        """What was in force in the last step, by the names of Gymnasium's infos, [R, N] each; shift/t is from before it."""
        steps, changed = self._last
        wide = np.repeat(steps[:, None], self.envs_per_run, 1)
        return self._shifter.truth() | {"shift/t": wide, "shift/changed": changed}

    def count_update(self) -> None:
        """Tell the clock `updates` that every run has made one."""
        self._shifter.count_update()

    def reset(self) -> NDArray[np.float32]:
        self._shifter.renew()
        self._last = self._shifter.counts["steps"], self._shifter.changed
        return self._shifter.see(self._batch.reset())

    def step(self, actions: NDArray) -> Step:
        shifter = self._shifter
        shifter.advance()
        self._last = shifter.counts["steps"], shifter.changed
        observations, rewards, terminated, truncated, valid = self._batch.step(shifter.act(actions))
        shifter.after(terminated | truncated, valid)
        return Step(shifter.see(observations), shifter.pay(rewards, valid), terminated, truncated, valid)

    def dynamics(self) -> Dynamics:
        """What sets the equations of motion; the shifts go on setting theirs."""
        return self._batch.dynamics()

    def close(self) -> None:
        self._batch.close()
