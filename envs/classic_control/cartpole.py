"""CartPole-v1 in arrays: a cart on a track, that carries a pole.

Memory is reused: a step takes a third of the time of Gymnasium's `CartPoleVectorEnv`.

temp = (F + ml·θ̇²·sin θ) / M        θ̈ = (g·sin θ − cos θ·temp) / (l·(4/3 − m·cos²θ/M))        ẍ = temp − ml·θ̈·cos θ / M
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleEnv
from numpy.typing import NDArray

from envs.classic_control.equations import Equations

DIRECTION = np.array([-1.0, 1.0])
"""Action → direction of the push."""
FOUR_THIRDS = np.array(4.0 / 3.0)


class CartPoles(Equations):
    """State x, ẋ, θ, θ̇; 1 a step until the pole has fallen or the cart has left the track."""

    gymnasium = CartPoleEnv
    max_episode_steps = 500
    size = 4
    compiled = "act_in_cartpole"
    usual: ClassVar = {
        "gravity": 9.8,
        "force_mag": 10.0,
        "length": 0.5,
        "masspole": 0.1,
        "masscart": 1.0,
        "tau": 0.02,
        "push": 0.0,
    }

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self._limits = np.array([[2.4], [12 * 2 * math.pi / 360]])  # of |x| and |θ|
        self._ones = np.ones(count, np.float32)
        self._buffers = [np.empty(count) for _ in range(7)]
        self._pair, self._outside = np.empty((2, count)), np.empty((2, count), bool)

    def prepare(self) -> None:
        # Arrays, of no axes or [K]: converting a Python float takes as long as the operation on it.
        values = self.values
        self._total_mass = np.asarray(values["masspole"] + values["masscart"])
        self._polemass_length = np.asarray(values["masspole"] * values["length"])
        self._is_pushed = bool(np.count_nonzero(values["push"]))

    def start(self, generator: np.random.Generator, count: int) -> NDArray[np.float64]:
        return generator.uniform(-0.05, 0.05, (count, 4))

    def step(self, actions: NDArray) -> tuple[NDArray, NDArray[np.bool_]]:
        gravity, force_mag, length, masspole, _, tau, push = self.values.values()
        total_mass, polemass_length = self._total_mass, self._polemass_length
        position, velocity, pair = self.state[0::2], self.state[1::2], self._pair  # x, θ and ẋ, θ̇
        theta, theta_dot = self.state[2:]
        cos, sin, temp, theta_acc, denominator, force, work = self._buffers
        np.cos(theta, cos)
        np.sin(theta, sin)
        np.multiply(polemass_length, np.square(theta_dot, work), work)
        np.multiply(work, sin, work)
        np.multiply(force_mag, DIRECTION[actions], force)
        if self._is_pushed:
            np.add(force, push, force)
        np.divide(np.add(force, work, temp), total_mass, temp)
        np.multiply(gravity, sin, theta_acc)
        np.subtract(theta_acc, np.multiply(cos, temp, work), theta_acc)
        np.multiply(masspole, np.square(cos, denominator), denominator)
        np.subtract(FOUR_THIRDS, np.divide(denominator, total_mass, denominator), denominator)
        np.divide(theta_acc, np.multiply(length, denominator, denominator), theta_acc)
        np.multiply(np.multiply(polemass_length, theta_acc, work), cos, work)
        np.subtract(temp, np.divide(work, total_mass, work), temp)
        np.add(position, np.multiply(tau, velocity, pair), position)
        pair[0], pair[1] = temp, theta_acc
        np.add(velocity, np.multiply(tau, pair, pair), velocity)
        np.greater(np.abs(position, pair), self._limits, self._outside)
        return self._ones.copy(), np.logical_or(self._outside[0], self._outside[1])
