"""The registered ids `Shifted/<id>`: Gymnasium's environments under shifts, for `gymnasium.make` and `make_vec`."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv

from envs.dynamics import FAMILIES
from envs.gymnasium_wrappers import Shifts, ShiftWrapper, VectorShiftWrapper

BASE_IDS = tuple(env_id for family in FAMILIES for env_id in family.env_ids)
"""Environments of Gymnasium that have a shifted twin."""


def make_shifted(base: str, shift: Shifts = (), n_envs: int = 1, shift_seed: int | None = None, **kwargs: Any) -> gym.Env:
    """The entry point of `Shifted/<id>`: Gymnasium's environment without time limit (the twin has it) under shifts."""
    env = gym.make(base, disable_env_checker=True, max_episode_steps=-1, **kwargs)
    return ShiftWrapper(env, shift, n_envs, shift_seed)


def make_shifted_cartpoles(
    base: str,
    num_envs: int = 1,
    shift: Shifts = (),
    n_envs: int | None = None,
    shift_seed: int | None = None,
    **kwargs: Any,
) -> gym.vector.VectorEnv:
    """The entry point of `make_vec("Shifted/CartPole-v1")`: all cart-poles in array operations; they are the run's `n_envs`."""
    if n_envs not in (None, num_envs):
        raise ValueError(f"n_envs must be num_envs, {num_envs}, or left out, got {n_envs}: {base} steps all its environments")
    return VectorShiftWrapper(CartPoleVectorEnv(num_envs=num_envs, **kwargs), shift, shift_seed)


def register() -> None:
    """Register the twins with Gymnasium; importing `envs` does it.

    >>> register()
    >>> gym.make("Shifted/CartPole-v1", shift="gravity:values=9.8/25,at=100").reset(seed=0)[1]["shift/gravity"]
    9.8
    """
    for base in BASE_IDS:
        if f"Shifted/{base}" not in gym.registry:
            spec = gym.spec(base)
            gym.register(
                f"Shifted/{base}",
                entry_point="envs.shifted_ids:make_shifted",
                vector_entry_point="envs.shifted_ids:make_shifted_cartpoles" if base == "CartPole-v1" else None,
                max_episode_steps=spec.max_episode_steps,
                reward_threshold=spec.reward_threshold,
                kwargs={"base": base},
            )
