"""How the dynamics of Gymnasium's environments take new values, at once and in the middle of an episode.

Setting an attribute is not enough: CartPole stores products of its masses, LunarLander builds its world at reset and has its
engines' power in the module, wind must not draw from the episode's random numbers. There is one file a family: its parameters,
and a Gymnasium wrapper with two methods, `get(name)` and `set(name, value)`, that changes nothing else. A new family is a
file and its place in FAMILIES.
"""

from __future__ import annotations

import gymnasium as gym

from envs.dynamics import acrobot, cartpole, lunar_lander, minatar, mountain_car, mujoco, pendulum
from envs.dynamics.base import DynamicsWrapper, Family, layers

FAMILIES = (
    cartpole.FAMILY,
    lunar_lander.FAMILY,
    acrobot.FAMILY,
    pendulum.FAMILY,
    mountain_car.FAMILY,
    mountain_car.CONTINUOUS_FAMILY,
    *mujoco.FAMILIES,
    minatar.FAMILY,
    minatar.RAMPING_FAMILY,
)
UNKNOWN = Family((), (), (), DynamicsWrapper)
BY_CLASS = {name: family for family in FAMILIES for name in family.classes}


def family_of(env: object) -> Family:
    """The family of `env`, by its class or the nearest of its bases."""
    return next((BY_CLASS[kind.__name__] for kind in type(env).__mro__ if kind.__name__ in BY_CLASS), UNKNOWN)


def is_dynamics(name: str) -> bool:
    """Whether a parameter belongs to the equations of motion rather than to the interface between agent and environment."""
    return any(parameter.name == name for family in FAMILIES for parameter in family.parameters)


def with_dynamics(env: gym.Env) -> gym.Env:
    """The environment with a `DynamicsWrapper` among its wrappers: as it is, if it has one already."""
    return env if any(isinstance(layer, DynamicsWrapper) for layer in layers(env)) else family_of(env.unwrapped).wrapper(env)
