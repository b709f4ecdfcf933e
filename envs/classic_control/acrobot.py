"""Acrobot-v1 in arrays: two links, of which the inner one hangs from a fixed joint; the outer joint has a motor.

    d₁ = m₁c₁² + m₂(l₁² + c₂² + 2 l₁c₂ cos θ₂) + 2I       d₂ = m₂(c₂² + l₁c₂ cos θ₂) + I
    φ₂ = m₂c₂g cos(θ₁ + θ₂ − π/2)
    φ₁ = −m₂l₁c₂ θ̇₂² sin θ₂ − 2m₂l₁c₂ θ̇₂θ̇₁ sin θ₂ + (m₁c₁ + m₂l₁) g cos(θ₁ − π/2) + φ₂
    θ̈₂ = (τ + d₂φ₁/d₁ − m₂l₁c₂ θ̇₁² sin θ₂ − φ₂) / (m₂c₂² + I − d₂²/d₁)        θ̈₁ = −(d₂θ̈₂ + φ₁)/d₁

with centres of mass c = l/2, integrated over 0.2 s by one step of the classical Runge–Kutta method (Sutton and Barto's book).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from gymnasium.envs.classic_control.acrobot import AcrobotEnv
from numpy.typing import NDArray

from envs.classic_control.equations import Equations, square

GRAVITY, INERTIA, DT = 9.8, AcrobotEnv.LINK_MOI, AcrobotEnv.dt
MAX_VELOCITIES = np.array([[AcrobotEnv.MAX_VEL_1], [AcrobotEnv.MAX_VEL_2]])
TORQUE = np.array([-1.0, 0.0, 1.0])
"""Action → torque, in units of the largest."""
TURNS = 1000
"""Turns that an angle is brought back by; one further off has diverged."""


class Acrobots(Equations):
    """State θ₁, θ₂, θ̇₁, θ̇₂; −1 a step until the tip is a link's length above the joint."""

    gymnasium = AcrobotEnv
    max_episode_steps = 500
    size = 4
    usual: ClassVar = {"link_mass_1": 1.0, "link_mass_2": 1.0, "link_length_1": 1.0, "link_length_2": 1.0, "torque": 1.0}

    def prepare(self) -> None:
        m1, m2, l1, l2, self._torque = self.values.values()
        c1, c2 = np.asarray(l1 / 2), np.asarray(l2 / 2)
        c1_c1, c2_c2, l1_l1 = map(square, (c1, c2, l1))
        self._d1 = m1 * c1_c1, m2, l1_l1 + c2_c2, 2 * l1 * c2
        self._d2 = m2, c2_c2, l1 * c2
        self._coupling, self._coriolis = m2 * l1 * c2, 2 * m2 * l1 * c2
        self._weight_1, self._weight_2 = (m1 * c1 + m2 * l1) * GRAVITY, m2 * c2 * GRAVITY
        self._inertia_2 = m2 * c2_c2 + INERTIA

    def start(self, generator: np.random.Generator, count: int) -> NDArray[np.float64]:
        return generator.uniform(-0.1, 0.1, (count, 4)).astype(np.float32).astype(np.float64)  # in single precision, as there

    def step(self, actions: NDArray) -> tuple[NDArray, NDArray[np.bool_]]:
        torque, y, half = self._torque * TORQUE[actions], self.state, DT / 2.0
        k1 = self._derivatives(y, torque)
        k2 = self._derivatives(y + half * k1, torque)
        k3 = self._derivatives(y + half * k2, torque)
        k4 = self._derivatives(y + DT * k3, torque)
        y = y + DT / 6.0 * (k1 + 2 * k2 + 2 * k3 + k4)
        y[:2] = wrapped(y[:2])
        np.clip(y[2:], -MAX_VELOCITIES, MAX_VELOCITIES, out=y[2:])
        self.state = y
        terminated = -np.cos(y[0]) - np.cos(y[1] + y[0]) > 1.0
        return np.where(terminated, np.float32(0.0), np.float32(-1.0)), terminated

    def _derivatives(self, y: NDArray, torque: NDArray) -> NDArray:
        """Of the state by time, [4, K]."""
        theta_1, theta_2, velocity_1, velocity_2 = y
        cos, cos_1, cos_12 = np.cos(np.array((theta_2, theta_1 - np.pi / 2, theta_1 + theta_2 - np.pi / 2.0)))
        sin, (square_1, square_2) = np.sin(theta_2), square(y[2:])
        of_link_1, m2, sum_of_squares, product = self._d1
        d1 = of_link_1 + m2 * (sum_of_squares + product * cos) + INERTIA + INERTIA
        m2, c2_c2, l1_c2 = self._d2
        d2 = m2 * (c2_c2 + l1_c2 * cos) + INERTIA
        phi_2 = self._weight_2 * cos_12
        phi_1 = -self._coupling * square_2 * sin - self._coriolis * velocity_2 * velocity_1 * sin + self._weight_1 * cos_1 + phi_2
        acceleration_2 = torque + d2 / d1 * phi_1 - self._coupling * square_1 * sin - phi_2
        acceleration_2 /= self._inertia_2 - square(d2) / d1
        return np.array((velocity_1, velocity_2, -(d2 * acceleration_2 + phi_1) / d1, acceleration_2))

    def observations(self, began: NDArray[np.bool_]) -> NDArray[np.float32]:
        out = np.empty((self.count, 6), np.float32)
        self._observe(self.state, out)
        if np.count_nonzero(began):  # Gymnasium's first state of an episode is in single precision, and so are its cosines
            first = np.empty((np.count_nonzero(began), 6), np.float32)
            self._observe(self.state[:, began].astype(np.float32), first)
            out[began] = first
        return out

    @staticmethod
    def _observe(state: NDArray, out: NDArray[np.float32]) -> None:
        theta_1, theta_2, *velocities = state
        out.T[:] = np.cos(theta_1), np.sin(theta_1), np.cos(theta_2), np.sin(theta_2), *velocities


def wrapped(angles: NDArray) -> NDArray:
    """Angles brought to [−π, π] turn by turn, as Gymnasium does it; NaN where a thousand turns are too few."""
    for _ in range(TURNS):
        above, below = angles > np.pi, angles < -np.pi
        if not (np.count_nonzero(above) or np.count_nonzero(below)):
            return angles
        angles = np.where(above, angles - 2 * np.pi, np.where(below, angles + 2 * np.pi, angles))
    return np.where(abs(angles) > np.pi, np.nan, angles)
