"""What can shift in an environment: its dynamics (see envs/dynamics), and everywhere reward, observation and action.

A `Parameter` has a meaning, a default, a range of possible values, and the range over which the tests cover its effect.
Physical quantities are in the units of Gymnasium's source.
"""

from __future__ import annotations

import difflib
from typing import Any

import gymnasium as gym
import numpy as np

from envs.dynamics import family_of
from envs.dynamics.parameter import Parameter

REWARD = (
    Parameter("reward_scale", "rewards are multiplied by it", 1, 0, 1e9, (0, 100)),
    Parameter("reward_sign", "1, or −1: rewards change their sign", 1, -1, 1, (-1, 1), choices=(1, -1)),
    Parameter("reward_offset", "added to every reward", 0, -1e9, 1e9, (-10, 10)),
    Parameter("reward_noise", "standard deviation of Gaussian noise on every reward", 0, 0, 1e9, (0, 10)),
)
OBSERVATION = (
    Parameter(
        "obs_permutation",
        "the k-th permutation of the sensors, in lexicographic order; 0 is none",
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
        "the k-th permutation of the actions, in lexicographic order; 0 is none",
        0,
        0,
        1e9,
        (0, 23),
        whole=True,
    ),
    Parameter("action_sign", "1, or −1: actions in reverse order, or of the other sign", 1, -1, 1, (-1, 1), choices=(1, -1)),
    Parameter(
        "action_noise",
        "chance of a random action; of a Box, sd of noise in half ranges",
        0,
        0,
        1,
        (0, 1),
    ),
)
INTERFACE = (*REWARD, *OBSERVATION, *ACTION)
"""Parameters of the interface between agent and environment, the same in every environment."""
NEEDS = {
    "obs_": "observations must be a Box of floats",
    "action_permutation": "actions must be Discrete",
    "action_": "actions must be Discrete, or a bounded Box of floats",
}
"""Beginning of a parameter's name → its requirement on the environment's spaces."""


def parameters_of(env: gym.Env | gym.vector.VectorEnv) -> dict[str, Parameter]:
    """Everything that can shift in this environment, by name."""
    inner: Any = env.unwrapped
    single = inner.envs[0].unwrapped if isinstance(inner, gym.vector.SyncVectorEnv) else inner
    observation_space = getattr(env, "single_observation_space", env.observation_space)
    space: Any = getattr(env, "single_action_space", env.action_space)
    observation = OBSERVATION if is_float_box(observation_space) else ()
    discrete = isinstance(space, gym.spaces.Discrete)
    bounded = is_float_box(space) and bool(np.isfinite(space.low).all() and np.isfinite(space.high).all())
    action = [p for p in ACTION if discrete or (bounded and p.name != "action_permutation")]
    return {p.name: p for p in (*family_of(single).parameters, *REWARD, *observation, *action)}


def is_float_box(space: gym.Space) -> bool:
    """Whether a space is a Box of floats."""
    return isinstance(space, gym.spaces.Box) and np.issubdtype(space.dtype, np.floating)


def find(name: str, known: dict[str, Parameter], where: str) -> Parameter:
    """The parameter of this name; ValueError with the nearest name if there is none."""
    if name not in known:
        if need := next((need for start, need in NEEDS.items() if name.startswith(start)), None):
            raise ValueError(f"{where} cannot shift {name}: {need}")
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "known are " + ", ".join(known)
        raise ValueError(f"{where} has no parameter {name!r} that can shift: {hint}")
    return known[name]
