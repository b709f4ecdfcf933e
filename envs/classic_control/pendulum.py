"""Pendulum-v1 in arrays: θ̈ = 3g/(2l) · sin θ + 3/(ml²) · u, with cost θ² + 0.1 θ̇² + 0.001 u², where θ = 0 is upright."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from gymnasium.envs.classic_control.pendulum import PendulumEnv
from numpy.typing import NDArray

from envs.classic_control.equations import Equations, square

MAX_SPEED, DT = 8, 0.05
START = np.array([np.pi, 1.0])
"""Largest θ and θ̇ at the start of an episode."""


class Pendulums(Equations):
    """State θ, θ̇; an episode never terminates. Torques are in single precision, as Gymnasium gets them."""

    gymnasium = PendulumEnv
    max_episode_steps = 200
    size = 2
    usual: ClassVar = {"g": 10.0, "m": 1.0, "l": 1.0, "max_torque": 2.0}

    def prepare(self) -> None:
        g, m, length, max_torque = self.values.values()
        self._of_gravity = 3 * g / (2 * length)
        self._of_torque = (3.0 / (m * square(length))).astype(np.float32)
        self._max_torque = max_torque.astype(np.float32)

    def start(self, generator: np.random.Generator, count: int) -> NDArray[np.float64]:
        return generator.uniform(-START, START, (count, 2))

    def step(self, actions: NDArray) -> tuple[NDArray, NDArray[np.bool_]]:
        theta, velocity = self.state
        u = np.clip(actions[:, 0].astype(np.float32), -self._max_torque, self._max_torque)
        angle = (theta + np.pi) % (2 * np.pi) - np.pi
        costs = square(angle) + 0.1 * square(velocity) + np.float32(0.001) * square(u)
        velocity = velocity + (self._of_gravity * np.sin(theta) + self._of_torque * u) * DT
        velocity = np.clip(velocity, -MAX_SPEED, MAX_SPEED)
        self.state = np.stack((theta + velocity * DT, velocity))
        return (-costs).astype(np.float32), np.zeros(self.count, bool)

    def observations(self, began: NDArray[np.bool_]) -> NDArray[np.float32]:
        out = np.empty((self.count, 3), np.float32)
        theta, velocity = self.state
        out.T[:] = np.cos(theta), np.sin(theta), velocity
        return out
