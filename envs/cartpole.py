"""CartPole-v1 for R runs × N environments in a few array operations, with one random generator per run.

The equations are those of Gymnasium's `CartPoleVectorEnv`, operation by operation and bit for bit (tests/test_envs.py), but in
memory that is reused: a step takes a third of the time. That class also draws every initial state from one shared generator, so
that an episode would depend on when others ended; here an initial state is drawn from the generator of its run.

    temp = (F + ml·θ̇²·sin θ) / M        θ̈ = (g·sin θ − cos θ·temp) / (l·(4/3 − m·cos²θ/M))        ẍ = temp − ml·θ̈·cos θ / M
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleEnv
from numpy.typing import NDArray

from envs.core import Step
from envs.dynamics.base import Dynamics
from envs.dynamics.cartpole import CartPoleArrays
from rl_rmsprop.seeding import seed_sequence
from rl_rmsprop.storage.snapshot import Snapshottable, load_plain, to_plain

DIRECTION = np.array([-1.0, 1.0])
"""Action → direction of the push."""
FOUR_THIRDS = np.array(4.0 / 3.0)


class CartPoles(Snapshottable):
    """State and equations of motion of K cart-poles. The constants of the equations may be numbers or arrays [K]."""

    STATE_ATTRIBUTES = ("state",)

    def __init__(self, count: int) -> None:
        self.num_envs = count
        # Arrays without axes: converting a Python float takes as long as the operation on it.
        self.gravity, self.masscart, self.masspole, self.length = map(np.array, (9.8, 1.0, 0.1, 0.5))
        self.total_mass, self.polemass_length = np.array(self.masspole + self.masscart), np.array(self.masspole * self.length)
        self.force_mag, self.tau = np.array(10.0), np.array(0.02)
        self.state = np.zeros((4, count))  # x, ẋ, θ, θ̇
        self._limits = np.array([[2.4], [12 * 2 * math.pi / 360]])  # of |x| and |θ|
        self._buffers = [np.empty(count) for _ in range(7)]
        self._pair, self._outside = np.empty((2, count)), np.empty((2, count), bool)

    def step(self, actions: NDArray) -> NDArray[np.bool_]:
        """One step, with each cart pushed to the right (1) or left (0); returns which poles have fallen or left the track [K]."""
        position, velocity, pair = self.state[0::2], self.state[1::2], self._pair  # x, θ and ẋ, θ̇
        theta, theta_dot = self.state[2:]
        cos, sin, temp, theta_acc, denominator, force, work = self._buffers
        np.cos(theta, cos)
        np.sin(theta, sin)
        np.multiply(self.polemass_length, np.square(theta_dot, work), work)
        np.multiply(work, sin, work)
        np.multiply(self.force_mag, DIRECTION[actions], force)
        np.divide(np.add(force, work, temp), self.total_mass, temp)
        np.multiply(self.gravity, sin, theta_acc)
        np.subtract(theta_acc, np.multiply(cos, temp, work), theta_acc)
        np.multiply(self.masspole, np.square(cos, denominator), denominator)
        np.subtract(FOUR_THIRDS, np.divide(denominator, self.total_mass, denominator), denominator)
        np.divide(theta_acc, np.multiply(self.length, denominator, denominator), theta_acc)
        np.multiply(np.multiply(self.polemass_length, theta_acc, work), cos, work)
        np.subtract(temp, np.divide(work, self.total_mass, work), temp)
        np.add(position, np.multiply(self.tau, velocity, pair), position)
        pair[0], pair[1] = temp, theta_acc
        np.add(velocity, np.multiply(self.tau, pair, pair), velocity)
        np.greater(np.abs(position, pair), self._limits, self._outside)
        return np.logical_or(self._outside[0], self._outside[1])


class CartPoleBatch:
    """`EnvBatch` of CartPole-v1: Gymnasium's equations, next-step autoreset, one generator per run.

    >>> batch = CartPoleBatch(seeds=(0, 1), envs_per_run=3)
    >>> batch.reset().shape, batch.step(np.ones((2, 3), np.int64)).rewards.sum()
    ((2, 3, 4), np.float32(6.0))
    """

    def __init__(self, seeds: Sequence[int], envs_per_run: int, max_episode_steps: int = 500) -> None:
        self.runs, self.envs_per_run = len(seeds), envs_per_run
        self.max_episode_steps: int | None = max_episode_steps
        space = CartPoleEnv().observation_space
        assert isinstance(space, gym.spaces.Box)
        self.observation_space = space
        self.action_space: gym.spaces.Discrete | gym.spaces.Box = gym.spaces.Discrete(2)
        self._time_limit = np.array(max_episode_steps)
        self._generators = [np.random.default_rng(seed_sequence(s, "env")) for s in seeds]
        self._poles = CartPoles(self.runs * envs_per_run)
        self._dynamics: CartPoleArrays | None = None
        self._lengths = np.zeros(self._poles.num_envs, np.int64)  # [R·N]  steps of the episode
        self._done = np.zeros(self._poles.num_envs, bool)  # [R·N]  whose next call only resets

    def reset(self) -> NDArray[np.float32]:
        self._begin_episodes(np.ones(self._poles.num_envs, bool))
        self._done[:] = False
        return self._observations()

    def step(self, actions: NDArray) -> Step:
        flat = actions.ravel()
        if flat.shape != self._done.shape or np.count_nonzero(flat >> 1):
            raise ValueError(f"actions must be 0 or 1, [{self.runs}, {self.envs_per_run}], got shape {actions.shape}: {actions}")
        if self._dynamics is not None:
            self._dynamics.before_step(flat)
        resetting = self._done
        terminated = self._poles.step(flat)
        np.add(self._lengths, 1, self._lengths)
        truncated = self._lengths >= self._time_limit
        if np.count_nonzero(resetting):
            self._begin_episodes(resetting)
            terminated[resetting] = truncated[resetting] = False
        self._done = terminated | truncated
        valid = ~resetting
        rewards = valid.astype(np.float32)  # 1 for every step, 0 for a reset
        return Step(self._observations(), *map(self._per_run, (rewards, terminated, truncated, valid)))

    def truncate(self, which: NDArray[np.bool_]) -> None:
        self._done = self._done | which.ravel()

    def _begin_episodes(self, which: NDArray[np.bool_]) -> None:
        """Draw new states of `which` poles [R·N]: x, ẋ, θ and θ̇ uniform in [−0.05, 0.05), pole by pole."""
        counts = which.reshape(self.runs, -1).sum(1)  # [R]
        states = [self._generators[r].uniform(-0.05, 0.05, (counts[r], 4)) for r in np.flatnonzero(counts).tolist()]
        self._poles.state[:, which] = np.concatenate(states).T
        self._lengths[which] = 0

    def _per_run(self, array: NDArray) -> NDArray:  # [R·N] → [R, N]
        return array.reshape(self.runs, self.envs_per_run)

    def _observations(self) -> NDArray[np.float32]:  # [R, N, 4]
        return self._poles.state.T.astype(np.float32, order="C").reshape(self.runs, self.envs_per_run, 4)

    def snapshot(self) -> dict[str, Any]:
        """See `EnvBatch`; the dynamics too, if they can be set."""
        parts = (self._poles, self._generators, self._lengths, self._done, self._dynamics)
        return dict(zip(("poles", "generators", "lengths", "done", "dynamics"), map(to_plain, parts), strict=True))

    def restore(self, saved: dict[str, Any]) -> None:
        load_plain([self._poles, self._generators], [saved["poles"], saved["generators"]])
        self._lengths, self._done = saved["lengths"].copy(), saved["done"].copy()
        if saved["dynamics"] is not None:
            load_plain(self.dynamics(), saved["dynamics"])

    def dynamics(self) -> Dynamics:
        self._dynamics = self._dynamics or CartPoleArrays(self._poles)
        return self._dynamics

    def close(self) -> None:
        """Nothing to free."""
