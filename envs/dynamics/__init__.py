"""How the dynamics of Gymnasium's environments take new values, at once and in the middle of an episode.

Setting an attribute is not enough: CartPole stores products of its masses, LunarLander builds its world at reset and has its
engines' power in the module, wind must not draw from the episode's random numbers. One file a family knows this: its parameters,
and a Gymnasium wrapper with two methods, `get(name)` and `set(name, value)`, that changes nothing by itself.
"""

from __future__ import annotations

from typing import NamedTuple

import gymnasium as gym

from envs.dynamics import acrobot, cartpole, lunar_lander, pendulum
from envs.dynamics.base import DynamicsWrapper, layers
from envs.dynamics.parameter import Parameter


class Family(NamedTuple):
    """Environments with the same equations of motion."""

    parameters: tuple[Parameter, ...]
    wrapper: type[DynamicsWrapper]


FAMILIES: dict[str, Family] = {
    "CartPoleEnv": Family(cartpole.PARAMETERS, cartpole.CartPoleDynamics),
    "CartPoleVectorEnv": Family(cartpole.PARAMETERS, cartpole.CartPoleDynamics),
    "LunarLander": Family(lunar_lander.PARAMETERS, lunar_lander.LunarLanderDynamics),
    "AcrobotEnv": Family(acrobot.PARAMETERS, acrobot.AcrobotDynamics),
    "PendulumEnv": Family(pendulum.PARAMETERS, pendulum.PendulumDynamics),
}
"""Class of Gymnasium's environment → what can change in its dynamics, and how."""

UNKNOWN = Family((), DynamicsWrapper)


def family_of(env: object) -> Family:
    """The family of `env`, by its class or the nearest of its bases."""
    return next((FAMILIES[kind.__name__] for kind in type(env).__mro__ if kind.__name__ in FAMILIES), UNKNOWN)


def is_dynamics(name: str) -> bool:
    """Whether a parameter belongs to the equations of motion rather than to what passes between agent and environment."""
    return any(parameter.name == name for family in FAMILIES.values() for parameter in family.parameters)


def with_dynamics(env: gym.Env) -> gym.Env:
    """The environment with a `DynamicsWrapper` among its wrappers: as it is, if it has one already."""
    return env if any(isinstance(layer, DynamicsWrapper) for layer in layers(env)) else family_of(env.unwrapped).wrapper(env)
