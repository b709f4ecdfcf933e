"""MountainCar-v0 and MountainCarContinuous-v0 in arrays: an engine too weak for the hill cos 3x.

ẋ ← clip(ẋ + F − G cos 3x)        x ← clip(x + ẋ)        F is the push of the action; against the wall on the left ẋ is 0
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from gymnasium.envs.classic_control.continuous_mountain_car import Continuous_MountainCarEnv
from gymnasium.envs.classic_control.mountain_car import MountainCarEnv
from numpy.typing import NDArray

from envs.classic_control.equations import Equations, cosine, square

LOW, HIGH, MAX_SPEED = -1.2, 0.6, 0.07
"""Ends of the road, and the largest speed."""


class Cars(Equations):
    """Base of both: state x, ẋ, at rest somewhere in the valley at the start."""

    size = 2

    def start(self, generator: np.random.Generator, count: int) -> NDArray[np.float64]:
        return np.stack((generator.uniform(-0.6, -0.4, count), np.zeros(count)), 1)


class MountainCars(Cars):
    """−1 a step until x reaches 0.5."""

    gymnasium = MountainCarEnv
    max_episode_steps = 200
    usual: ClassVar = {"force": 0.001, "gravity": 0.0025}

    def step(self, actions: NDArray) -> tuple[NDArray, NDArray[np.bool_]]:
        position, velocity = self.state
        velocity = velocity + ((actions - 1) * self.values["force"] + cosine(3 * position) * -self.values["gravity"])
        velocity = np.clip(velocity, -MAX_SPEED, MAX_SPEED)
        position = np.clip(position + velocity, LOW, HIGH)
        velocity[(position == LOW) & (velocity < 0)] = 0.0
        self.state = np.stack((position, velocity))
        return np.full(self.count, -1.0, np.float32), (position >= 0.5) & (velocity >= 0.0)


class ContinuousMountainCars(Cars):
    """100 for reaching 0.45, and −0.1 u² a step.

    Gymnasium computes in the precision of the state, which is single but for the first one of an episode; and of the push, which
    is single but for an action beyond ±1, in whose place it takes a number of Python's.
    """

    gymnasium = Continuous_MountainCarEnv
    max_episode_steps = 999
    usual: ClassVar = {"power": 0.0015}
    STATE_ATTRIBUTES = (*Equations.STATE_ATTRIBUTES, "_is_first")

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self._is_first = np.ones(count, bool)

    def step(self, actions: NDArray) -> tuple[NDArray, NDArray[np.bool_]]:
        u, first = actions[:, 0].astype(np.float32), self._is_first
        state = self._moved(self.state.astype(np.float32), u)
        if np.count_nonzero(first):
            state = np.where(first, self._moved(self.state, u), state)
        position, velocity = state
        terminated = (position >= state.dtype.type(0.45)) & (velocity >= 0)
        self.state = state.astype(np.float32).astype(np.float64)
        self._is_first = np.zeros(self.count, bool)
        return (np.where(terminated, 100.0, 0.0) - square(u.astype(np.float64)) * 0.1).astype(np.float32), terminated

    def _moved(self, state: NDArray, u: NDArray[np.float32]) -> NDArray:
        """The next state, in the precision of this one."""
        low, high, max_speed = (state.dtype.type(x) for x in (LOW, HIGH, MAX_SPEED))
        position, velocity = state
        slope = 0.0025 * cosine(3 * position)
        power, force = self.values["power"], np.clip(u, -1, 1)
        single = force * power.astype(np.float32) - slope.astype(np.float32)
        velocity = velocity + np.where(abs(u) > 1, force.astype(np.float64) * power - slope, single).astype(state.dtype)
        velocity = np.clip(velocity, -max_speed, max_speed)
        position = np.clip(position + velocity, low, high)
        velocity[(position == low) & (velocity < 0)] = 0.0
        return np.stack((position, velocity))

    def observations(self, began: NDArray[np.bool_]) -> NDArray[np.float32]:
        self._is_first = self._is_first | began
        return super().observations(began)
