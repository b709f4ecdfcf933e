"""CartPole-v1 for R runs × N environments in a few array operations, with one random generator per run.

The equations are those of Gymnasium's `CartPoleVectorEnv`, operation by operation and bit for bit (tests/test_envs.py), but in
memory that is reused: its step takes a third of the time. That class also draws every start from one shared generator, so that
an episode would depend on which other poles fell before; here a start is drawn from the generator of its run.

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
from envs.seeding import seed_sequence
from rl_rmsprop.storage.snapshot import Snapshottable, load_plain, to_plain

PUSH = np.array([-1.0, 1.0])
"""Action → direction."""
FOUR_THIRDS = np.array(4.0 / 3.0)


class CartPoles(Snapshottable):
    """The carts and poles themselves, K of them. What the equations use may be numbers or arrays [K]."""

    STATE_ATTRIBUTES = ("state",)

    def __init__(self, count: int) -> None:
        self.num_envs = count
        # Arrays of no axes, because a Python float takes an operation as long again.
        self.gravity, self.masscart, self.masspole, self.length = map(np.array, (9.8, 1.0, 0.1, 0.5))
        self.total_mass, self.polemass_length = np.array(self.masspole + self.masscart), np.array(self.masspole * self.length)
        self.force_mag, self.tau = np.array(10.0), np.array(0.02)
        self.state = np.zeros((4, count))  # x, ẋ, θ, θ̇
        self._limits = np.array([[2.4], [12 * 2 * math.pi / 360]])  # of |x| and |θ|
        self._room = [np.empty(count) for _ in range(7)]
        self._pair, self._beyond = np.empty((2, count)), np.empty((2, count), bool)

    def step(self, actions: NDArray) -> NDArray[np.bool_]:
        """Push all carts to the right (1) or left (0) for a moment; returns which poles have fallen or left the track [K]."""
        place, speed, pair = self.state[0::2], self.state[1::2], self._pair  # x, θ and ẋ, θ̇
        angle, turning = self.state[2:]
        cos, sin, temp, turn, below, force, work = self._room
        np.cos(angle, cos)
        np.sin(angle, sin)
        np.multiply(self.polemass_length, np.square(turning, work), work)
        np.multiply(work, sin, work)
        np.multiply(self.force_mag, PUSH[actions], force)
        np.divide(np.add(force, work, temp), self.total_mass, temp)
        np.multiply(self.gravity, sin, turn)
        np.subtract(turn, np.multiply(cos, temp, work), turn)
        np.multiply(self.masspole, np.square(cos, below), below)
        np.subtract(FOUR_THIRDS, np.divide(below, self.total_mass, below), below)
        np.divide(turn, np.multiply(self.length, below, below), turn)
        np.multiply(np.multiply(self.polemass_length, turn, work), cos, work)
        np.subtract(temp, np.divide(work, self.total_mass, work), temp)
        np.add(place, np.multiply(self.tau, speed, pair), place)
        pair[0], pair[1] = temp, turn
        np.add(speed, np.multiply(self.tau, pair, pair), speed)
        np.greater(np.abs(place, pair), self._limits, self._beyond)
        return np.logical_or(self._beyond[0], self._beyond[1])


class CartPoleBatch:
    """`EnvBatch` of CartPole-v1: Gymnasium's equations, next-step autoreset, one generator per run."""

    def __init__(self, seeds: Sequence[int], envs_per_run: int, max_episode_steps: int = 500) -> None:
        self.runs, self.envs_per_run = len(seeds), envs_per_run
        self.max_episode_steps: int | None = max_episode_steps
        one = CartPoleEnv()
        assert isinstance(one.observation_space, gym.spaces.Box)
        self.observation_space = one.observation_space
        self.action_space: gym.spaces.Discrete | gym.spaces.Box = gym.spaces.Discrete(2)
        self._limit = np.array(max_episode_steps)
        self._generators = [np.random.default_rng(seed_sequence(s, "env")) for s in seeds]
        self._poles = CartPoles(self.runs * envs_per_run)
        self._arrays: CartPoleArrays | None = None
        self._lengths = np.zeros(self._poles.num_envs, np.int64)  # [R·N]  steps of the episode
        self._over = np.zeros(self._poles.num_envs, bool)  # [R·N]  whose next call only resets

    def reset(self) -> NDArray[np.float32]:
        self._start(np.ones(self._poles.num_envs, bool))
        self._over[:] = False
        return self._seen()

    def step(self, actions: NDArray) -> Step:
        pushes = actions.ravel()
        if pushes.shape != self._over.shape or np.count_nonzero(pushes >> 1):
            raise ValueError(f"actions must be 0 or 1, [{self.runs}, {self.envs_per_run}], got shape {actions.shape}: {actions}")
        if self._arrays is not None:
            self._arrays.before_step(pushes)
        starting = self._over
        terminated = self._poles.step(pushes)
        np.add(self._lengths, 1, self._lengths)
        truncated = self._lengths >= self._limit
        if np.count_nonzero(starting):
            self._start(starting)
            terminated[starting] = truncated[starting] = False
        self._over = terminated | truncated
        valid = ~starting
        rewards = valid.astype(np.float32)  # 1 for every step, 0 for a reset
        return Step(self._seen(), *map(self._per_run, (rewards, terminated, truncated, valid)))

    def _start(self, which: NDArray[np.bool_]) -> None:
        """Begin an episode at `which` poles [R·N]: x, ẋ, θ and θ̇ uniform in [−0.05, 0.05), pole by pole."""
        counts = which.reshape(self.runs, -1).sum(1)  # [R]
        drawn = [self._generators[r].uniform(-0.05, 0.05, (counts[r], 4)) for r in np.flatnonzero(counts).tolist()]
        self._poles.state[:, which] = np.concatenate(drawn).T
        self._lengths[which] = 0

    def _per_run(self, array: NDArray) -> NDArray:  # [R·N] → [R, N]
        return array.reshape(self.runs, self.envs_per_run)

    def _seen(self) -> NDArray[np.float32]:
        """The observations [R, N, 4]."""
        return self._poles.state.T.astype(np.float32, order="C").reshape(self.runs, self.envs_per_run, 4)

    def snapshot(self) -> dict[str, Any]:
        """See `EnvBatch`: everything there is to a pole, its dynamics too where they can be set."""
        kept = (self._poles, self._generators, self._lengths, self._over, self._arrays)
        return dict(zip(("poles", "generators", "lengths", "over", "arrays"), map(to_plain, kept), strict=True))

    def restore(self, saved: dict[str, Any]) -> None:
        load_plain([self._poles, self._generators], [saved["poles"], saved["generators"]])
        self._lengths, self._over = saved["lengths"].copy(), saved["over"].copy()
        if saved["arrays"] is not None:
            load_plain(self.dynamics(), saved["arrays"])

    def dynamics(self) -> Dynamics:
        self._arrays = self._arrays or CartPoleArrays(self._poles)
        return self._arrays

    def close(self) -> None:
        """Nothing to free."""
