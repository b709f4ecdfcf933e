"""From an environment's id to an `EnvBatch` of R runs × N environments."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import gymnasium as gym

from envs.batch import EnvBatch, SerialBatch, check_spaces
from envs.cartpole import CartPoleBatch


def make(env_id: str, seeds: Sequence[int], envs_per_run: int) -> EnvBatch:
    """Environments for the runs with these seeds: CartPole-v1 in array operations, any other registered id one by one.

    `seeds` are the runs' seeds, all different and ≥ 0; `envs_per_run` is N ≥ 1. Raises ValueError for an id that is not
    registered (naming the nearest one) and for spaces that the agents cannot use.
    """
    if envs_per_run < 1:
        raise ValueError(f"environments per run must be at least 1, got {envs_per_run}")
    if env_id == "CartPole-v1":
        return CartPoleBatch(seeds, envs_per_run)
    check_env_id(env_id)
    return SerialBatch(env_id, seeds, envs_per_run)


def check_env_id(env_id: str) -> None:
    """Raise ValueError, with a remedy, unless `env_id` is registered, installed and has spaces the agents can use."""
    try:
        env = gym.make(env_id, disable_env_checker=True)
    except gym.error.DependencyNotInstalled as error:
        raise ValueError(f"environment {env_id} needs a package that is not installed: {error}") from error
    except ModuleNotFoundError as error:  # of the form module:id
        raise ValueError(f"environment must be in a module that can be imported, got {env_id!r}: {error}") from error
    except gym.error.Error as error:
        near = difflib.get_close_matches(env_id, gym.registry, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else "rl-rmsprop envs lists the known ones"
        raise ValueError(f"environment must be a registered Gymnasium id, got {env_id!r}: {hint}") from error
    try:
        check_spaces(env)
    finally:
        env.close()
