"""Any Gymnasium environment, R runs × N of them stepped one after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import OrderEnforcing
from numpy.typing import NDArray

from envs.core import Step, check_spaces
from envs.dynamics import with_dynamics
from envs.dynamics.base import Dynamics
from envs.episode_replay import EpisodeLog, LoggedDynamics, live
from envs.seeding import seed_sequence


class SerialBatch:
    """Any Gymnasium environment with a flat Box observation and Discrete or flat Box actions, stepped one after another.

    R · N separate environments, each with a generator of its own, so that a run is the same in every batch.
    Python-side cost per environment step is about 1 µs, against the 29 µs that LunarLander-v3 itself needs.
    """

    def __init__(self, env_id: str, seeds: Sequence[int], envs_per_run: int, kwargs: dict[str, Any] | None = None) -> None:
        self.runs, self.envs_per_run = len(seeds), envs_per_run
        self._envs: list[gym.Env] = [
            trusting(gym.make(env_id, disable_env_checker=True, **(kwargs or {}))) for _ in range(self.runs * envs_per_run)
        ]
        self._seeds: list[int | None] = [
            int(seed_sequence(s, "env", n).generate_state(1)[0]) for s in seeds for n in range(envs_per_run)
        ]
        first = self._envs[0]
        self.observation_space, self.action_space = check_spaces(first)
        self.max_episode_steps = first.spec.max_episode_steps if first.spec else None
        self._over = np.zeros(len(self._envs), bool)
        self._diary = EpisodeLog(len(self._envs))
        self._physics: LoggedDynamics | None = None

    def reset(self) -> NDArray[np.float32]:
        # A seed is given once; later resets go on with the environment's own generator, as Gymnasium advises.
        seen = [self._diary.begin(i, env, seed) for i, (env, seed) in enumerate(zip(self._envs, self._seeds, strict=True))]
        self._seeds = [None] * len(self._envs)
        self._over[:] = False
        observations = np.array(seen, np.float32)
        self._diary.step([None] * len(self._envs), observations)
        return observations.reshape(self.runs, self.envs_per_run, -1)

    def step(self, actions: NDArray[np.int64]) -> Step:
        valid = ~self._over
        sent = self._sent(actions)
        moments = [
            (self._diary.begin(i, env), 0.0, False, False, None) if over else env.step(action)
            for i, (env, action, over) in enumerate(zip(self._envs, sent, self._over.tolist(), strict=True))
        ]
        seen, rewards, terminated, truncated, _ = zip(*moments, strict=True)
        observations = np.array(seen, np.float32)
        self._diary.step(sent, observations)
        died, cut = np.array(terminated, bool), np.array(truncated, bool)
        self._over = died | cut
        shape = (self.runs, self.envs_per_run)
        return Step(
            observations.reshape(*shape, -1),
            np.array([float(reward) for reward in rewards], np.float32).reshape(shape),
            died.reshape(shape),
            cut.reshape(shape),
            valid.reshape(shape),
        )

    def snapshot(self) -> dict[str, Any]:
        return {"lives": self._diary.snapshot(self._envs), "over": self._over.copy()}

    def restore(self, saved: dict[str, Any]) -> None:
        lives = [
            live(env, life, self._physics.of(i) if self._physics else None)
            for i, (env, life) in enumerate(zip(self._envs, saved["lives"], strict=True))
        ]
        self._diary.restore(saved["lives"], lives)
        self._seeds = [None] * len(self._envs)
        self._over = saved["over"].copy()

    def _sent(self, actions: NDArray) -> Sequence[Any]:
        """An action for each environment, as its space has it: numbers from the space's first, or arrays."""
        if isinstance(self.action_space, gym.spaces.Discrete):
            return (actions.ravel() + self.action_space.start).tolist()
        return list(actions.reshape(len(self._envs), -1).astype(self.action_space.dtype))  # a copy: environments may keep it

    def dynamics(self) -> Dynamics:
        self._envs = [with_dynamics(env) for env in self._envs]
        self._physics = self._physics or LoggedDynamics(self._envs, self._diary)
        return self._physics

    def close(self) -> None:
        for env in self._envs:
            env.close()


def trusting(env: gym.Env) -> gym.Env:
    """Without Gymnasium's check in every step that a reset has come first: 2 % of LunarLander's time, and here one always has."""
    if isinstance(env, OrderEnforcing):
        return trusting(env.env)
    if isinstance(env, gym.Wrapper):
        env.env = trusting(env.env)
    return env
