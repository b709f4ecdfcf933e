"""What can shift: the parameters of each environment's dynamics, and of reward, observation and action everywhere.

A `Parameter` says what a number means, what it usually is, which values are possible, and over which range the tests follow
its effect. Physical quantities are in the units of Gymnasium's source.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import gymnasium as gym
import numpy as np

T = TypeVar("T")


@dataclass(frozen=True)
class Parameter:
    """One number that can shift."""

    name: str
    meaning: str
    default: float
    low: float
    """The smallest possible value."""
    high: float
    """The largest possible value."""
    tested: tuple[float, float]
    """The range that the tests cover."""
    whole: bool = False
    """Whether only whole numbers make sense."""
    choices: tuple[float, ...] = ()
    """The only possible values, where they are few."""

    def check(self, value: float) -> None:
        """ValueError unless the parameter can take this value."""
        if self.choices and value not in self.choices:
            raise ValueError(f"{self.name} must be {' or '.join(f'{c:g}' for c in self.choices)}, got {value:g}: {self.meaning}")
        if not (self.low <= value <= self.high and math.isfinite(value)):
            raise ValueError(f"{self.name} must be from {self.low:g} to {self.high:g}, got {value:g}: {self.meaning}")
        if self.whole and value != int(value):
            raise ValueError(f"{self.name} must be a whole number, got {value:g}: {self.meaning}")


CARTPOLE = (
    Parameter("gravity", "acceleration of gravity, m/s²", 9.8, -100, 1000, (1, 50)),
    Parameter("force_mag", "force of a push, N; its sign swaps the two actions", 10, -1000, 1000, (-20, 30)),
    Parameter("length", "half the length of the pole, m", 0.5, 0.01, 100, (0.1, 3)),
    Parameter("masspole", "mass of the pole, kg", 0.1, 0.001, 1000, (0.02, 3)),
    Parameter("masscart", "mass of the cart, kg", 1, 0.001, 1000, (0.2, 20)),
    Parameter("tau", "time between two states, s", 0.02, 0.0001, 1, (0.005, 0.08)),
    Parameter("push", "constant force on the cart, N, to the right", 0, -1000, 1000, (-9, 9)),
)
LUNAR_LANDER = (
    Parameter("gravity", "acceleration of gravity; down is negative", -10, -12, 0, (-11.9, -2)),
    Parameter("wind_power", "largest sideways force of the wind; it blows in gusts", 0, 0, 100, (0, 30)),
    Parameter("turbulence_power", "largest torque of the wind", 0, 0, 100, (0, 10)),
    Parameter("main_engine_power", "strength of the main engine", 13, 0, 1000, (2, 40)),
    Parameter("side_engine_power", "strength of the two side engines", 0.6, 0, 100, (0, 4)),
    Parameter("failed_engine", "engine that does not fire: 0 none, 1 left, 2 main, 3 right", 0, 0, 3, (0, 3), whole=True),
)
ACROBOT = (
    Parameter("link_mass_1", "mass of the inner link, kg; its moment of inertia stays", 1, 0.01, 100, (0.3, 3)),
    Parameter("link_mass_2", "mass of the outer link, kg; its moment of inertia stays", 1, 0.01, 100, (0.3, 3)),
    Parameter("link_length_1", "length of the inner link, m; its centre of mass stays in the middle", 1, 0.01, 100, (0.3, 3)),
    Parameter("link_length_2", "length of the outer link, m; its centre of mass stays in the middle", 1, 0.01, 100, (0.3, 3)),
    Parameter("torque", "torque of the two outer actions, Nm; its sign swaps them", 1, -100, 100, (-2, 3)),
)
PENDULUM = (
    Parameter("g", "acceleration of gravity, m/s²", 10, -100, 1000, (1, 30)),
    Parameter("m", "mass of the pendulum, kg", 1, 0.01, 1000, (0.3, 3)),
    Parameter("l", "length of the pendulum, m", 1, 0.01, 100, (0.3, 3)),
    Parameter("max_torque", "largest torque, Nm; the action space stays", 2, 0, 1000, (0.2, 2)),
)
REWARD = (
    Parameter("reward_scale", "rewards are multiplied by it", 1, 0, 1e9, (0, 100)),
    Parameter("reward_sign", "1, or −1: what was good is bad", 1, -1, 1, (-1, 1), choices=(1, -1)),
    Parameter("reward_offset", "added to every reward", 0, -1e9, 1e9, (-10, 10)),
    Parameter("reward_noise", "standard deviation of Gaussian noise on every reward", 0, 0, 1e9, (0, 10)),
)
OBSERVATION = (
    Parameter(
        "obs_permutation",
        "the k-th reordering of the sensors, in lexicographic order; 0 is none",
        0,
        0,
        1e9,
        (0, 23),
        whole=True,
    ),
    Parameter("obs_gain", "observations are multiplied by it", 1, -1e6, 1e6, (-1, 10)),
    Parameter("obs_bias", "added to every sensor", 0, -1e6, 1e6, (-2, 2)),
    Parameter("obs_noise", "standard deviation of Gaussian noise on every sensor", 0, 0, 1e6, (0, 2)),
    Parameter("obs_dropout", "number of the sensor, from 1, that reads 0; 0 is none", 0, 0, 1e6, (0, 4), whole=True),
)
ACTION = (
    Parameter(
        "action_permutation",
        "the k-th reordering of the actions, in lexicographic order; 0 is none",
        0,
        0,
        1e9,
        (0, 23),
        whole=True,
    ),
    Parameter(
        "action_sign", "1, or −1: actions run in reverse order, or with the other sign", 1, -1, 1, (-1, 1), choices=(1, -1)
    ),
    Parameter(
        "action_noise",
        "chance of a random action; of a Box, sd of noise in half ranges",
        0,
        0,
        1,
        (0, 1),
    ),
)
ANYWHERE = (*REWARD, *OBSERVATION, *ACTION)
"""Parameters of what passes between agent and environment, whatever the environment."""
NEEDS = {
    "obs_": "observations must be a Box of floats",
    "action_permutation": "actions must be Discrete",
    "action_": "actions must be Discrete, or a bounded Box of floats",
}
"""Beginning of a parameter's name → what it needs of an environment's spaces."""

DYNAMICS: dict[str, tuple[Parameter, ...]] = {
    "CartPoleEnv": CARTPOLE,
    "CartPoleVectorEnv": CARTPOLE,
    "LunarLander": LUNAR_LANDER,
    "AcrobotEnv": ACROBOT,
    "PendulumEnv": PENDULUM,
}
"""Class of Gymnasium's environment → parameters of its dynamics."""


def parameters_of(env: gym.Env | gym.vector.VectorEnv) -> dict[str, Parameter]:
    """Everything that can shift in this environment, by name."""
    inner: Any = env.unwrapped
    one = inner.envs[0].unwrapped if isinstance(inner, gym.vector.SyncVectorEnv) else inner
    seen = getattr(env, "single_observation_space", env.observation_space)
    acted: Any = getattr(env, "single_action_space", env.action_space)
    observation = OBSERVATION if is_float_box(seen) else ()
    choices = isinstance(acted, gym.spaces.Discrete)
    bounded = is_float_box(acted) and bool(np.isfinite(acted.low).all() and np.isfinite(acted.high).all())
    action = [p for p in ACTION if choices or (bounded and p.name != "action_permutation")]
    return {p.name: p for p in (*(family_of(one, DYNAMICS) or ()), *REWARD, *observation, *action)}


def is_float_box(space: gym.Space) -> bool:
    """Whether a space is a Box of floats."""
    return isinstance(space, gym.spaces.Box) and np.issubdtype(space.dtype, np.floating)


def family_of(env: object, table: Mapping[str, T]) -> T | None:
    """The entry of a table for the class of `env` or the nearest of its bases, None if it is of no known family."""
    return next((table[kind.__name__] for kind in type(env).__mro__ if kind.__name__ in table), None)


def find(name: str, known: dict[str, Parameter], where: str) -> Parameter:
    """The parameter of this name; ValueError with the nearest one if there is none."""
    if name not in known:
        if need := next((need for start, need in NEEDS.items() if name.startswith(start)), None):
            raise ValueError(f"{where} cannot shift {name}: {need}")
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "known are " + ", ".join(known)
        raise ValueError(f"{where} has no parameter {name!r} that can shift: {hint}")
    return known[name]
