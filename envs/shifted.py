"""An `EnvBatch` whose environments shift, each run by its own clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.core import EnvBatch, Step
from envs.dynamics.base import Dynamics
from envs.shifts.shift import CLOCKS, Shift, check_clocks, shifted_space
from envs.shifts.shifter import Shifter
from rl_rmsprop.storage.snapshot import Snapshottable


class ShiftedBatch(Snapshottable):
    """Any `EnvBatch` under shifts. The clock of a run counts the steps of its N environments; reset calls do not count.

    >>> from envs import make
    >>> from envs.shifts.shift import parse_all
    >>> batch = make("CartPole-v1", (0, 1), 3, parse_all("reward_scale:values=1/2,at=6"))
    >>> observations = batch.reset()
    >>> [batch.step(np.zeros((2, 3), np.int64)).rewards[0].tolist() for _ in range(3)]  # a call is 3 steps of each run
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]
    """

    STATE_ATTRIBUTES = ("_batch", "_shifter", "_last")

    def __init__(
        self,
        batch: EnvBatch,
        shifts: Sequence[Shift],
        seeds: Sequence[int],
        frozen_at: Mapping[str, NDArray[np.int64]] | None = None,
        noise_seeds: Sequence[int] | None = None,
    ) -> None:
        """`seeds` of the runs set random times, `noise_seeds` noise (None: the same).

        With `frozen_at`, counts [R] of every clock, the clocks stand still there.
        """
        self._batch = batch
        self.runs, self.envs_per_run = batch.runs, batch.envs_per_run
        self.observation_space = cast(gym.spaces.Box, shifted_space(batch.observation_space, shifts))
        self.action_space = batch.action_space
        self.max_episode_steps = batch.max_episode_steps
        self._shifter = Shifter(shifts, batch.dynamics(), batch.action_space, seeds, batch.envs_per_run, noise_seeds=noise_seeds)
        if frozen_at is not None:
            check_clocks(frozen_at)
            self._shifter.freeze(frozen_at)
        self._last = self._shifter.counts["steps"], self._shifter.changed

    @property
    def counts(self) -> dict[str, NDArray[np.int64]]:
        """The count of every clock, [R] each."""
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
        """The values in force in the last step, by the names of Gymnasium's infos, [R, N] each; shift/t is from before it."""
        steps, changed = self._last
        steps = np.repeat(steps[:, None], self.envs_per_run, 1)
        return self._shifter.truth() | {"shift/t": steps, "shift/changed": changed}

    def count_update(self) -> None:
        """Advance the clock `updates` of every run by one."""
        self._shifter.count_update()

    def reset(self) -> NDArray[np.float32]:
        self._shifter.before_reset()
        self._last = self._shifter.counts["steps"], self._shifter.changed
        return self._shifter.observe(self._batch.reset())

    def step(self, actions: NDArray) -> Step:
        shifter = self._shifter
        shifter.before_step()
        self._last = shifter.counts["steps"], shifter.changed
        observations, rewards, terminated, truncated, valid = self._batch.step(shifter.action(actions))
        shifter.after_step(terminated | truncated, valid)
        return Step(shifter.observe(observations), shifter.reward(rewards, valid), terminated, truncated, valid)

    def truncate(self, which: NDArray[np.bool_]) -> None:
        self._batch.truncate(which)
        self._shifter.truncate(which)

    def dynamics(self) -> Dynamics:
        """What sets the equations of motion; the shifts go on setting their parameters."""
        return self._batch.dynamics()

    def render(self) -> Any:
        """A picture of the first environment, where the batch within draws them; see `SerialBatch`."""
        return self._batch.render()  # type: ignore[attr-defined]  # of environments that are stepped one by one

    def close(self) -> None:
        self._batch.close()
