"""CartPole-v1 for R runs × N environments in a few array operations, with one random generator per run.

The physics is Gymnasium's own `CartPoleVectorEnv` over all R · N poles. That class draws every start from one shared
generator, so an episode would depend on which other poles fell before; here a start is drawn from the generator of its run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import gymnasium as gym
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from numpy.typing import NDArray

from envs.batch import Step
from envs.physics import CartPoleArrays, Dynamics
from envs.seeding import seed_sequence
from rl_rmsprop.state import Kept, put_back, taken


class RunGenerators(Kept):
    """Stands in for the vector environment's generator; draws each pole's start from the generator of its run."""

    KEPT = ("_generators",)

    def __init__(self, seeds: Sequence[int], envs_per_run: int) -> None:
        self._generators = [np.random.default_rng(seed_sequence(s, "env")) for s in seeds]
        self._envs_per_run = envs_per_run
        self.starting = np.ones(len(seeds) * envs_per_run, bool)  # [R·N]  the poles that the next draw is for

    def uniform(self, low: float, high: float, size: tuple[int, int]) -> NDArray[np.float64]:
        """Start states [4, number of starting poles], uniform in [low, high), in the order of the poles."""
        if not size[1]:  # no pole starts in most calls
            return np.empty(size)
        counts = self.starting.reshape(-1, self._envs_per_run).sum(1)  # [R]
        draws = [self._generators[r].uniform(low, high, (counts[r], size[0])) for r in np.flatnonzero(counts)]
        return np.concatenate(draws).T


class Pushes(gym.spaces.MultiDiscrete):
    """The actions 0 and 1 of all poles; the check that Gymnasium makes at every step, at a tenth of its time."""

    def contains(self, x: object) -> bool:
        """Whether x is an array of as many actions."""
        return isinstance(x, np.ndarray) and x.shape == self.shape and not ((x != 0) & (x != 1)).any()


class CartPoleBatch:
    """`EnvBatch` of CartPole-v1: Gymnasium's vector physics, next-step autoreset, one generator per run."""

    def __init__(self, seeds: Sequence[int], envs_per_run: int, max_episode_steps: int = 500) -> None:
        self.runs, self.envs_per_run = len(seeds), envs_per_run
        self.max_episode_steps: int | None = max_episode_steps
        self._poles = CartPoleVectorEnv(num_envs=self.runs * envs_per_run, max_episode_steps=max_episode_steps)
        self._poles.action_space = Pushes(self._poles.action_space.nvec)  # type: ignore[attr-defined]  # all of them 2
        self._poles.np_random = self._generators = RunGenerators(seeds, envs_per_run)  # type: ignore[assignment]
        self._arrays: CartPoleArrays | None = None
        self.observation_space = cast(gym.spaces.Box, self._poles.single_observation_space)
        self.action_space: gym.spaces.Discrete | gym.spaces.Box = cast(gym.spaces.Discrete, self._poles.single_action_space)

    def reset(self) -> NDArray[np.float32]:
        self._generators.starting = np.ones(self.runs * self.envs_per_run, bool)
        observations, _ = self._poles.reset()
        return self._per_run(np.ascontiguousarray(observations))

    def step(self, actions: NDArray) -> Step:
        if self._arrays is not None:
            self._arrays.before_step(actions.ravel())
        starting = self._generators.starting = self._poles.prev_done.copy()
        observations, rewards, terminated, truncated, _ = self._poles.step(actions.ravel())
        arrays = (np.ascontiguousarray(observations), rewards, terminated, truncated, ~starting)
        return Step(*map(self._per_run, arrays))

    def snapshot(self) -> dict[str, Any]:
        """See `EnvBatch`: everything there is to a pole, its dynamics too where they can be set."""
        poles = {name: taken(getattr(self._poles, name)) for name in ("state", "steps", "prev_done")}
        return {"poles": poles, "generators": taken(self._generators), "arrays": taken(self._arrays)}

    def restore(self, saved: dict[str, Any]) -> None:
        for name, value in saved["poles"].items():
            setattr(self._poles, name, value.copy())
        put_back(self._generators, saved["generators"])
        if saved["arrays"] is not None:
            put_back(self.dynamics(), saved["arrays"])

    def dynamics(self) -> Dynamics:
        self._arrays = self._arrays or CartPoleArrays(self._poles)
        return self._arrays

    def close(self) -> None:
        self._poles.close()

    def _per_run(self, array: NDArray) -> NDArray:  # [R·N, …] → [R, N, …]
        return array.reshape(self.runs, self.envs_per_run, *array.shape[1:])
