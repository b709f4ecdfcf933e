"""Environments of EnvPool, which are written in C++: LunarLander-v3 steps twice as fast as Gymnasium's (make bench).

    pip install 'rl-rmsprop[envpool]'
    rl-rmsprop train --env LunarLander-v3 --backend envpool

They are the same environments, but not the same episodes: EnvPool draws terrain, first push and the engines' scatter from a
generator of its own, so that no seed gives an episode of Gymnasium's (tests/test_envpool.py compares their returns). The
state of an environment can be neither saved nor set. So dynamics cannot shift (rewards, observations and actions can), and
interrupted runs start again. Final evaluations are in Gymnasium's environments.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.core import Step
from envs.dynamics import is_dynamics
from envs.dynamics.base import Dynamics
from envs.episode_replay import NotReplayable
from envs.shifts.shift import Shift
from envs.spaces import check_spaces, is_vector
from rl_rmsprop.seeding import seed_sequence

INSTALL = "pip install 'rl-rmsprop[envpool]', or --backend gymnasium"


class EnvPoolBatch:
    """`EnvBatch` of any flat environment of EnvPool, stepped in this thread, with a seed for each environment."""

    def __init__(self, env_id: str, seeds: Sequence[int], envs_per_run: int) -> None:
        self.runs, self.envs_per_run = len(seeds), envs_per_run
        env_seeds = [
            int(seed_sequence(s, "env", n).generate_state(1)[0]) >> 1 for s in seeds for n in range(envs_per_run)
        ]  # int32
        with warnings.catch_warnings():  # of bounds that lose digits as float32
            warnings.simplefilter("ignore")
            self._pool = import_envpool().make(
                env_id, env_type="gymnasium", num_envs=len(env_seeds), num_threads=1, seed=0, env_seed=env_seeds
            )
        env = gym.make(env_id, disable_env_checker=True)
        self.observation_space, self.action_space = check_spaces(env)  # EnvPool's own bounds are not reliable
        env.close()
        self.max_episode_steps: int | None = self._pool.spec.config.max_episode_steps
        self._shape = (len(env_seeds), *(self.action_space.shape if isinstance(self.action_space, gym.spaces.Box) else ()))

    def reset(self) -> NDArray[np.float32]:
        observations, _ = self._pool.reset()
        return self._per_run(observations.astype(np.float32))

    def step(self, actions: NDArray) -> Step:
        observations, rewards, terminated, truncated, info = self._pool.step(actions.reshape(self._shape))
        valid = info["elapsed_step"] > 0  # an environment whose episode is over is reset by its next step
        step = (observations.astype(np.float32), rewards.astype(np.float32), terminated, truncated, valid)  # MuJoCo's are float64
        return Step(*map(self._per_run, step))

    def _per_run(self, array: NDArray) -> NDArray:  # [R·N, …] → [R, N, …], in memory that EnvPool does not write to again
        return array.reshape(self.runs, self.envs_per_run, *array.shape[1:]).copy()

    def truncate(self, which: NDArray[np.bool_]) -> None:
        raise RuntimeError("EnvPool's environments end their episodes themselves, by their time limits")

    def dynamics(self) -> Dynamics:
        return FixedDynamics()

    def snapshot(self) -> dict[str, Any]:
        raise NotReplayable("EnvPool's environments cannot be saved: their runs start again")

    def restore(self, saved: dict[str, Any]) -> None:
        raise NotReplayable("EnvPool's environments cannot be saved: their runs start again")

    def close(self) -> None:
        self._pool.close()


def is_plain(space: gym.Space) -> bool:
    """Whether actions of a space need no translation: a Box, or one choice that is numbered from 0."""
    return isinstance(space, gym.spaces.Box) or (isinstance(space, gym.spaces.Discrete) and space.start == 0)


class FixedDynamics:
    """`Dynamics` of environments that have none to set."""

    def get(self, name: str) -> NDArray[np.float64]:
        raise AttributeError(f"EnvPool's environments do not show their {name}")

    def set(self, name: str, values: NDArray[np.float64]) -> None:
        raise AttributeError(f"EnvPool's environments cannot change {name}")


def import_envpool() -> Any:
    """EnvPool itself; ValueError with a remedy if it is not installed."""
    try:
        import envpool
    except ImportError as error:
        raise ValueError(f"backend envpool needs a package that is not installed ({error}): {INSTALL}") from error
    return envpool


def check_envpool(env_id: str, shifts: Sequence[Shift], is_altered: bool = False) -> None:
    """ValueError unless EnvPool has the environment, with spaces that need no translation, and can shift it so.

    `is_altered` is whether it is made with arguments or wrappers of its own, which EnvPool has none of.
    """
    known = import_envpool().list_all_envs()
    if env_id not in known:
        raise ValueError(f"backend envpool must have the environment, and has no {env_id}: leave --backend out")
    if is_altered:
        raise ValueError(f"backend envpool makes {env_id} as it is, without --env-kwargs and --wrapper: leave --backend out")
    spec = gym.make(env_id, disable_env_checker=True)
    spec.close()
    for space, fits in ((spec.observation_space, is_vector), (spec.action_space, is_plain)):
        if not fits(space):
            raise ValueError(f"backend envpool takes vectors and single choices, {env_id} has {space}: leave --backend out")
    for shift in shifts:
        if is_dynamics(shift.parameter):
            raise ValueError(
                f"shifts must be of rewards, observations or actions with backend envpool, got {shift.parameter}: "
                "leave --backend out to change the dynamics"
            )
