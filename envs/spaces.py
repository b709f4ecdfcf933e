"""Which spaces the agents can learn in, and how observations of any of them become one vector of numbers.

    observation   a Box with one axis stays as it is; Discrete (one-hot), MultiDiscrete, MultiBinary, Box of any shape, and
                  Dict and Tuple of them are flattened by Gymnasium's own `flatten`
    action        Discrete; MultiDiscrete and MultiBinary, of any shape: several choices at once; a Box of floats with one axis

Images stay out: the networks here are perceptrons, to which two neighbouring pixels are as far apart as any two.
"""

from __future__ import annotations

from typing import Any, TypeGuard

import gymnasium as gym
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from gymnasium.spaces.utils import flatten_space
from gymnasium.wrappers import FlattenObservation
from numpy.typing import NDArray

from envs.parameters import is_float_box

ActionSpace = Discrete | MultiDiscrete | MultiBinary | Box

IMAGE_SIDE = 32
"""Height and width from which on a table of bytes counts as an image; a board of 19 × 19 fields is none."""


def check_spaces(env: gym.Env[Any, Any]) -> tuple[Box, ActionSpace]:
    """The observation space of `env` as a vector, and its action space; ValueError, with a remedy, if agents cannot use them.

    >>> check_spaces(gym.make("CartPole-v1"))[1]
    Discrete(2)
    >>> check_spaces(gym.make("FrozenLake-v1"))[0].shape  # one of 16 fields
    (16,)
    >>> check_spaces(gym.make("CarRacing-v3"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: observations must not be images, CarRacing-v3 has Box(0, 255, (96, 96, 3), uint8): ...
    """
    return vector_space(env.observation_space, name_of(env)), usable_actions(env.action_space, name_of(env))


def vector_space(space: gym.Space, name: str) -> Box:
    """The Box of the flattened observations of the environment called `name`; ValueError if there is none."""
    parts = list(leaves(space))
    if image := next(filter(is_image, parts), None):
        raise ValueError(
            f"observations must not be images, {name} has {image}: choose numbers, as --env-kwargs obs_type=ram does for Atari, "
            "or a --wrapper whose observation is a vector of features"
        )
    if other := next((part for part in parts if not isinstance(part, (Box, Discrete, MultiDiscrete, MultiBinary))), None):
        raise ValueError(
            "observation space must be a Box, Discrete, MultiDiscrete or MultiBinary, or a Dict or Tuple of them, "
            f"{name} has {other}: give a --wrapper that makes numbers of it"
        )
    flat = space if is_vector(space) else flatten_space(space)
    if flat.shape == (0,):
        raise ValueError(f"observation space must have at least one number, {name} has {space}: an agent would act blindly")
    assert isinstance(flat, Box)
    return flat


def usable_actions(space: gym.Space, name: str) -> ActionSpace:
    """The action space itself; ValueError unless agents can act in it."""
    if isinstance(space, (Discrete, MultiDiscrete, MultiBinary)) and 0 not in (space.shape or ()):
        return space
    if is_vector(space) and is_float_box(space) and space.shape != (0,):
        return space
    raise ValueError(
        f"action space must be Discrete, MultiDiscrete, MultiBinary, or a Box of floats with one axis, {name} has {space}: "
        "choose an environment with such actions, or a --wrapper that turns them into its own, a TransformAction of Gymnasium's"
    )


def with_vector_observations(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """The environment, its observations flattened unless they are vectors already; ValueError as `check_spaces`.

    >>> with_vector_observations(gym.make("FrozenLake-v1")).reset(seed=0)[0]
    array([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    """
    vector_space(env.observation_space, name_of(env))
    return env if is_vector(env.observation_space) else FlattenObservation(env)


def to_env_actions(space: ActionSpace, actions: NDArray) -> list[Any]:
    """The agents' actions [R, N, …] as this space has them, one an environment: numbers from the space's first, or arrays.

    >>> import numpy as np
    >>> to_env_actions(Discrete(3, start=-1), np.array([[0, 2]]))
    [-1, 1]
    """
    if isinstance(space, Discrete):
        return (actions.ravel() + space.start).tolist()
    actions = actions.reshape(-1, *space.shape)
    if isinstance(space, MultiDiscrete):
        actions = actions + space.start
    return list(actions.astype(space.dtype))  # a copy: environments may keep it


def name_of(env: gym.Env[Any, Any]) -> str:
    """How messages refer to the environment."""
    return env.spec.id if env.spec else type(env.unwrapped).__name__


def leaves(space: gym.Space) -> list[gym.Space]:
    """The spaces that a Dict or Tuple is made of, in its order; of any other space itself."""
    if isinstance(space, (Dict, Tuple)):
        parts = space.spaces.values() if isinstance(space, Dict) else space.spaces
        return [leaf for part in parts for leaf in leaves(part)]
    return [space]


def is_vector(space: gym.Space) -> TypeGuard[Box]:
    """Whether a space is a Box with one axis."""
    return isinstance(space, Box) and len(space.shape) == 1


def is_image(space: gym.Space) -> bool:
    """Whether a space is one of pixels: bytes with three axes or more, or with two long ones."""
    if not isinstance(space, Box) or space.dtype != "uint8":
        return False
    return len(space.shape) >= 3 or (len(space.shape) == 2 and min(space.shape) >= IMAGE_SIDE)
