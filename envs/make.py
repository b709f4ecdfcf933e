"""From an environment's id to an `EnvBatch` of R runs × N environments."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping, Sequence

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.cartpole import CartPoleBatch
from envs.core import EnvBatch, check_spaces
from envs.envpool import EnvPoolBatch, check_envpool
from envs.parameters import parameters_of
from envs.serial import SerialBatch
from envs.shifted import ShiftedBatch
from envs.shifts.shift import Shift, check

BACKENDS = ("gymnasium", "envpool")
"""Whose environments are stepped."""


def make(
    env_id: str,
    seeds: Sequence[int],
    envs_per_run: int,
    shifts: Sequence[Shift] = (),
    *,
    held_at: Mapping[str, NDArray[np.int64]] | None = None,
    shift_seeds: Sequence[int] | None = None,
    backend: str = BACKENDS[0],
) -> EnvBatch:
    """Environments for the runs with these seeds: CartPole-v1 in array operations, any other registered id one by one.

    With the backend `envpool` they are all EnvPool's, see envs/envpool.py.

    `seeds` are the runs' seeds, ≥ 0 (runs with the same one see the same randomness); `envs_per_run` is N ≥ 1. `shifts` change
    the environments over the run, see envs/shifts/shift.py; with `held_at`, counts [R] of every clock, time stands still there (for
    evaluation), and `shift_seeds` are then the seeds of the training runs, from which random times come; noise comes from
    `seeds`. Raises ValueError for an id that is not registered (naming the nearest one), for spaces that the agents cannot use,
    and for shifts that are not possible.
    """
    if envs_per_run < 1:
        raise ValueError(f"environments per run must be at least 1, got {envs_per_run}")
    check_env_id(env_id, shifts, backend)
    batch: EnvBatch
    if backend == "envpool":
        batch = EnvPoolBatch(env_id, seeds, envs_per_run)
    elif env_id == "CartPole-v1":
        batch = CartPoleBatch(seeds, envs_per_run)
    else:
        batch = SerialBatch(env_id, seeds, envs_per_run)
    return ShiftedBatch(batch, shifts, seeds if shift_seeds is None else shift_seeds, held_at, seeds) if shifts else batch


def check_env_id(env_id: str, shifts: Sequence[Shift] = (), backend: str = BACKENDS[0]) -> None:
    """Raise ValueError, with a remedy, unless `env_id` is registered, installed, fit for the agents, and able to shift so.

    Two resets with the same seed must look the same: no run in another environment could ever be repeated.
    """
    env = make_one(env_id)
    try:
        space, _ = check_spaces(env)
        check(shifts, parameters_of(env), env, env_id)
        first, second = (started(env, env_id) for _ in range(2))
    finally:
        env.close()
    if np.shape(first) != space.shape:
        raise ValueError(f"observations of {env_id} must have its space's shape {space.shape}, got {np.shape(first)}")
    if not np.array_equal(first, second, equal_nan=True):
        raise ValueError(
            f"an environment must depend on its seed alone, {env_id} began differently at two reset(seed=0): "
            "draw from self.np_random only"
        )
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    if backend == "envpool":
        check_envpool(env_id, shifts)


def started(env: gym.Env, env_id: str) -> NDArray:
    """What the environment shows first, with the seed 0; ValueError if it cannot begin."""
    try:
        return np.array(env.reset(seed=0)[0], float)
    except Exception as error:  # an environment is anybody's code
        raise ValueError(f"environment {env_id} cannot begin an episode: {type(error).__name__}: {error}") from error


def make_one(env_id: str) -> gym.Env:
    """One environment from Gymnasium; ValueError with a remedy if there is none of that id."""
    try:
        with warnings.catch_warnings():  # which of the versions is the newest is said below, in one line
            warnings.simplefilter("ignore")
            return gym.make(env_id, disable_env_checker=True)
    except gym.error.DependencyNotInstalled as error:
        raise ValueError(f"environment {env_id} needs a package that is not installed: {error}") from error
    except gym.error.Error as error:
        near = difflib.get_close_matches(env_id, gym.registry, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else "rl-rmsprop envs lists the known ones"
        raise ValueError(f"environment must be a registered Gymnasium id, got {env_id!r}: {hint}") from error
    except Exception as error:  # a module that is not there, or an environment that is anybody's code
        if ":" in env_id and isinstance(error, ImportError):
            raise ValueError(f"environment must be in a module that can be imported, got {env_id!r}: {error}") from error
        raise ValueError(f"environment {env_id!r} cannot be made: {type(error).__name__}: {error}") from error
