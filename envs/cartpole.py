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

from envs.batch import Step
from envs.physics import CartPoleArrays, Dynamics
from envs.seeding import seed_sequence
from rl_rmsprop.state import Kept, put_back, taken

PUSH = np.array([-1.0, 1.0])
"""Action → direction."""


class Poles(Kept):
    """The carts and poles themselves, K of them. What the equations use may be numbers or arrays [K]."""

    KEPT = ("state",)

    def __init__(self, count: int) -> None:
        self.num_envs = count
        self.gravity, self.masscart, self.masspole, self.length = 9.8, 1.0, 0.1, 0.5
        self.total_mass, self.polemass_length = self.masspole + self.masscart, self.masspole * self.length
        self.force_mag, self.tau = 10.0, 0.02
        self.state = np.zeros((4, count))  # x, ẋ, θ, θ̇
        self._limits = np.array([[2.4], [12 * 2 * math.pi / 360]])  # of |x| and |θ|
        self._room = [np.empty(count) for _ in range(6)]
        self._pair = np.empty((2, count))

    def step(self, actions: NDArray) -> NDArray[np.bool_]:
        """Push all carts to the right (1) or left (0) for a moment; returns which poles have fallen or left the track [K]."""
        place, speed = self.state[0::2], self.state[1::2]  # x, θ and ẋ, θ̇
        cos, sin, temp, turn, below, work = self._room
        np.cos(place[1], out=cos)
        np.sin(place[1], out=sin)
        np.multiply(self.polemass_length, np.square(speed[1], out=work), out=work)
        np.multiply(work, sin, out=work)
        force = self.force_mag * PUSH.take(actions)
        np.divide(np.add(force, work, out=temp), self.total_mass, out=temp)
        np.multiply(self.gravity, sin, out=turn)
        np.subtract(turn, np.multiply(cos, temp, out=work), out=turn)
        np.multiply(self.masspole, np.square(cos, out=below), out=below)
        np.subtract(4.0 / 3.0, np.divide(below, self.total_mass, out=below), out=below)
        np.divide(turn, np.multiply(self.length, below, out=below), out=turn)
        np.multiply(np.multiply(self.polemass_length, turn, out=work), cos, out=work)
        np.subtract(temp, np.divide(work, self.total_mass, out=work), out=temp)
        place += np.multiply(self.tau, speed, out=self._pair)
        self._pair[0], self._pair[1] = temp, turn
        speed += np.multiply(self.tau, self._pair, out=self._pair)
        np.abs(place, out=self._pair)
        return np.logical_or.reduce(self._pair > self._limits)


class CartPoleBatch:
    """`EnvBatch` of CartPole-v1: Gymnasium's equations, next-step autoreset, one generator per run."""

    def __init__(self, seeds: Sequence[int], envs_per_run: int, max_episode_steps: int = 500) -> None:
        self.runs, self.envs_per_run = len(seeds), envs_per_run
        self.max_episode_steps: int | None = max_episode_steps
        one = CartPoleEnv()
        assert isinstance(one.observation_space, gym.spaces.Box)
        self.observation_space = one.observation_space
        self.action_space: gym.spaces.Discrete | gym.spaces.Box = gym.spaces.Discrete(2)
        self._limit = max_episode_steps
        self._generators = [np.random.default_rng(seed_sequence(s, "env")) for s in seeds]
        self._poles = Poles(self.runs * envs_per_run)
        self._arrays: CartPoleArrays | None = None
        self._lengths = np.zeros(self._poles.num_envs, np.int64)  # [R·N]  steps of the episode
        self._over = np.zeros(self._poles.num_envs, bool)  # [R·N]  whose next call only resets

    def reset(self) -> NDArray[np.float32]:
        self._start(np.ones(self._poles.num_envs, bool))
        self._over[:] = False
        return self._seen()

    def step(self, actions: NDArray) -> Step:
        pushes = actions.ravel()
        if pushes.shape != self._over.shape or (pushes >> 1).any():
            raise ValueError(f"actions must be 0 or 1, [{self.runs}, {self.envs_per_run}], got shape {actions.shape}: {actions}")
        if self._arrays is not None:
            self._arrays.before_step(pushes)
        starting = self._over
        terminated = self._poles.step(pushes)
        self._lengths += 1
        truncated = self._lengths >= self._limit
        rewards = np.ones(len(starting), np.float32)
        if starting.any():
            self._start(starting)
            rewards[starting] = 0.0
            terminated[starting] = truncated[starting] = False
        self._over = terminated | truncated
        return Step(self._seen(), *map(self._per_run, (rewards, terminated, truncated, ~starting)))

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
        return dict(zip(("poles", "generators", "lengths", "over", "arrays"), map(taken, kept), strict=True))

    def restore(self, saved: dict[str, Any]) -> None:
        put_back([self._poles, self._generators], [saved["poles"], saved["generators"]])
        self._lengths, self._over = saved["lengths"].copy(), saved["over"].copy()
        if saved["arrays"] is not None:
            put_back(self.dynamics(), saved["arrays"])

    def dynamics(self) -> Dynamics:
        self._arrays = self._arrays or CartPoleArrays(self._poles)
        return self._arrays

    def close(self) -> None:
        """Nothing to free."""
