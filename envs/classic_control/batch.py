"""R runs × N environments of classic control: episodes, autoreset and the time limit, for any of the equations beside this file.

Gymnasium's vector environments draw every initial state from one shared generator, so that an episode would depend on when others
ended; here it is drawn from the generator of its run, environment by environment.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.classic_control.equations import Equations, has_sines_of_c
from envs.core import Step
from envs.dynamics.base import Dynamics
from envs.spaces import check_spaces
from rl_rmsprop.native import library
from rl_rmsprop.seeding import seed_sequence
from rl_rmsprop.storage.snapshot import Snapshottable


class CompiledEnvironments(NamedTuple):
    """Environments for a function of the compiled kernel."""

    function: str
    structure: library.Environments
    arrays: tuple[NDArray, ...]  # whose memory it points to


class ClassicControlBatch(Snapshottable):
    """`EnvBatch` of such environments: next-step autoreset, one generator per run.

    >>> from envs.classic_control.cartpole import CartPoles
    >>> batch = ClassicControlBatch(CartPoles, seeds=(0, 1), envs_per_run=3)
    >>> batch.reset().shape, batch.step(np.ones((2, 3), np.int64)).rewards.sum()
    ((2, 3, 4), np.float32(6.0))
    """

    STATE_ATTRIBUTES = ("_equations", "_generators", "_lengths", "_done")

    def __init__(
        self, kind: type[Equations], seeds: Sequence[int], envs_per_run: int, max_episode_steps: int | None = None
    ) -> None:
        """`max_episode_steps`: after which an episode is truncated; by default as in Gymnasium."""
        self.runs, self.envs_per_run = len(seeds), envs_per_run
        self.max_episode_steps: int | None = max_episode_steps or kind.max_episode_steps
        self.observation_space, self.action_space = check_spaces(kind.gymnasium())
        count = self.runs * envs_per_run
        self._equations = kind(count)
        self._generators = [np.random.default_rng(seed_sequence(s, "env")) for s in seeds]
        # An array without axes: converting a Python number takes as long as the operation on it.
        self._time_limit = np.array(self.max_episode_steps)
        self._choices = np.array(getattr(self.action_space, "n", 0), np.uint64)
        self._lengths = np.zeros(count, np.int64)  # [R·N]  steps of the episode
        self._done = np.zeros(count, bool)  # [R·N]  whose next call only resets

    def reset(self) -> NDArray[np.float32]:
        everywhere = np.ones(len(self._done), bool)
        self._begin_episodes(everywhere)
        self._done[:] = False
        return self._observations(everywhere)

    def step(self, actions: NDArray) -> Step:
        resetting, valid = self._done, ~self._done
        rewards, terminated = self._equations.step(self._checked(actions))
        np.add(self._lengths, 1, self._lengths)
        truncated = self._lengths >= self._time_limit
        if np.count_nonzero(resetting):
            self._begin_episodes(resetting)
            rewards[resetting] = 0.0
            np.logical_and(terminated, valid, terminated)
            np.logical_and(truncated, valid, truncated)
        self._done = terminated | truncated
        return Step(self._observations(resetting), *map(self._per_run, (rewards, terminated, truncated, valid)))

    def truncate(self, which: NDArray[np.bool_]) -> None:
        self._done = self._done | which.ravel()

    def dynamics(self) -> Dynamics:
        return self._equations

    def compiled(self) -> CompiledEnvironments | None:
        """These environments as the compiled kernel steps them, in the memory of now; None where it would not have their bits."""
        values = list(self._equations.values.values())
        if not self._equations.compiled or not has_sines_of_c() or any(value.ndim for value in values):
            return None
        self._equations.state = np.ascontiguousarray(self._equations.state)
        interfaces = [generator.bit_generator.ctypes for generator in self._generators]
        numbers = np.array(values)
        generators = np.array([interface.state_address for interface in interfaces], np.uintp)
        uniform = ctypes.cast(interfaces[0].next_double, ctypes.c_void_p).value
        arrays = (self._equations.state, self._lengths, self._done, numbers, generators)
        structure = library.Environments(self.envs_per_run, int(self._time_limit), *map(library.address, arrays), uniform)
        return CompiledEnvironments(self._equations.compiled, structure, arrays)

    def close(self) -> None:
        """Nothing to free."""

    def _checked(self, actions: NDArray) -> NDArray:
        """The actions as [R·N], or [R·N, A] of a Box; ValueError for what is none."""
        space, shape = self.action_space, (self.runs, self.envs_per_run)
        if isinstance(space, gym.spaces.Box):
            if actions.shape != (*shape, *space.shape):
                raise ValueError(f"actions must be {[*shape, *space.shape]} numbers, got shape {actions.shape}")
            return actions.reshape(len(self._done), -1)
        flat = actions.ravel()
        unsigned = flat.astype(np.int64, copy=False).view(np.uint64)  # where a negative number is a large one
        if flat.shape != self._done.shape or np.count_nonzero(unsigned >= self._choices):
            raise ValueError(
                f"actions must be from 0 to {int(self._choices) - 1}, {list(shape)}, got shape {actions.shape}: {actions}"
            )
        return flat

    def _begin_episodes(self, which: NDArray[np.bool_]) -> None:
        """Draw new states of `which` environments [R·N]."""
        counts = which.reshape(self.runs, -1).sum(1)  # [R]
        states = [self._equations.start(self._generators[r], counts[r]) for r in np.flatnonzero(counts).tolist()]
        self._equations.state[:, which] = np.concatenate(states).T
        self._lengths[which] = 0

    def _per_run(self, array: NDArray) -> NDArray:  # [R·N] → [R, N]
        return array.reshape(self.runs, self.envs_per_run)

    def _observations(self, began: NDArray[np.bool_]) -> NDArray[np.float32]:  # [R, N, O]
        return self._equations.observations(began).reshape(self.runs, self.envs_per_run, -1)
