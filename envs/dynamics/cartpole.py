"""What can change in CartPole's equations of motion: gravity, forces, masses, the length of the pole, the time step."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from numpy.typing import NDArray

from envs.dynamics.base import DynamicsWrapper, Family
from envs.dynamics.parameter import Parameter

PARAMETERS = (
    Parameter("gravity", "acceleration of gravity, m/s²", 9.8, -100, 1000, (1, 50)),
    Parameter("force_mag", "force of a push, N; its sign swaps the two actions", 10, -1000, 1000, (-20, 30)),
    Parameter("length", "half the length of the pole, m", 0.5, 0.01, 100, (0.1, 3)),
    Parameter("masspole", "mass of the pole, kg", 0.1, 0.001, 1000, (0.02, 3)),
    Parameter("masscart", "mass of the cart, kg", 1, 0.001, 1000, (0.2, 20)),
    Parameter("tau", "time between two states, s", 0.02, 0.0001, 1, (0.005, 0.08)),
    Parameter("push", "constant force on the cart, N, to the right", 0, -1000, 1000, (-9, 9)),
)


class CartPoleDynamics(DynamicsWrapper):
    """CartPole: products of masses and lengths are updated; a constant push is added to the force of either action."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self._forces = {"push": 0.0}

    def get(self, name: str) -> float:
        return self._forces[name] if name in self._forces else float(getattr(self.env.unwrapped, name))

    def set(self, name: str, value: float) -> None:
        set_cartpole(self.env.unwrapped, self._forces, name, value)

    def step(self, action: Any) -> Any:
        if self._forces["push"]:
            self.env.unwrapped.force_mag = force_with_push(self._forces, np.asarray(action))  # type: ignore[attr-defined]
        return self.env.step(action)


FAMILY = Family(("CartPoleEnv", "CartPoleVectorEnv"), ("CartPole-v1",), PARAMETERS, CartPoleDynamics)


class CartPoleArrays:
    """`Dynamics` of the K cart-poles of one CartPoleVectorEnv, whose equations take numbers or arrays [K]."""

    def __init__(self, poles: CartPoleVectorEnv) -> None:
        self._poles = poles
        self._forces: dict[str, Any] = {"push": np.zeros(poles.num_envs)}
        self._any_push = False

    def get(self, name: str) -> NDArray[np.float64]:
        value = self._forces[name] if name in self._forces else getattr(self._poles, name)
        return np.broadcast_to(np.asarray(value, float), self._poles.num_envs)

    def set(self, name: str, values: NDArray[np.float64]) -> None:
        set_cartpole(self._poles, self._forces, name, values.astype(float))
        self._any_push = bool(self._forces["push"].any())

    def before_step(self, actions: NDArray[np.int64]) -> None:
        """To be called with the actions of every step: the push needs them."""
        if self._any_push:
            self._poles.force_mag = force_with_push(self._forces, actions)


def set_cartpole(env: Any, forces: dict[str, Any], name: str, value: Any) -> None:
    """Set a number or an array of CartPole; push and force_mag are kept in `forces`, to be added once the action is known."""
    if name in ("push", "force_mag"):
        forces.setdefault("force_mag", env.force_mag)
        forces[name] = value
        env.force_mag = forces["force_mag"]
        return
    setattr(env, name, value)
    env.total_mass = env.masspole + env.masscart
    env.polemass_length = env.masspole * env.length


def force_with_push(forces: dict[str, Any], actions: NDArray) -> Any:
    """The force_mag that makes the force of action 1 F + push, and that of action 0 −F + push."""
    return forces["force_mag"] + np.where(actions == 1, 1.0, -1.0) * forces["push"]
