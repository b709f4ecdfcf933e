"""Checks that agents can train in an environment, by doing what a training does for a few steps."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit
from numpy.typing import NDArray

from envs.envpool import check_envpool
from envs.parameters import parameters_of
from envs.registration import make_env
from envs.shifts.shift import Shift, check
from envs.spaces import check_spaces
from envs.transitions import check_reset, check_step, reason
from envs.watch import calling

BACKENDS = ("gymnasium", "envpool")
"""Whose environments are stepped."""
STEPS = 16
"""Steps that the check takes at most; it stops at an episode's end."""


def check_env_id(
    env_id: str,
    shifts: Sequence[Shift] = (),
    backend: str = BACKENDS[0],
    kwargs: Mapping[str, Any] | None = None,
    wrappers: Sequence[str] = (),
) -> None:
    """Raise ValueError, with a remedy, unless `env_id` is registered, installed, fit for the agents, and able to shift so.

    It is made with the arguments `kwargs`, inside `wrappers`, as in `make_env`.

    The environment is reset and stepped up to 16 times with random actions: two resets with the same seed must show the same
    observation, or no run could ever be repeated, and what `reset` and `step` return must be what Gymnasium asks for (see
    envs/transitions.py). A reset or a step that does not come back is reported to whoever is `watching`, see envs/watch.py.

    >>> check_env_id("CartPole-v1")
    >>> check_env_id("CartPol-v1")
    Traceback (most recent call last):
    ValueError: environment must be a registered Gymnasium id, got 'CartPol-v1': did you mean CartPole-v1?
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    env = make_env(env_id, kwargs, wrappers)
    try:
        space, _ = check_spaces(env)
        check(shifts, parameters_of(env), env, env_id)
        check_episode(without_outer_wrappers(env), env_id, space.shape)
    finally:
        env.close()
    if backend == "envpool":
        check_envpool(env_id, shifts, bool(kwargs or wrappers))


def check_episode(env: gym.Env, env_id: str, shape: tuple[int, ...]) -> None:
    """ValueError unless an episode can begin, begins the same with the same seed, and can be stepped."""
    first, second = (first_observation(env, env_id, shape, 0) for _ in range(2))
    if not np.array_equal(first, second, equal_nan=True):
        raise ValueError(
            f"an environment must depend on its seed alone, {env_id} began differently at two reset(seed=0): "
            "draw from self.np_random only"
        )
    space = copy.deepcopy(env.action_space)  # environments may share one
    space.seed(0)
    for step in range(1, STEPS + 1):
        action = space.sample()
        try:
            with calling(env_id, f"step {step} of an episode"):
                done = check_step(env.step(int(action) if isinstance(space, gym.spaces.Discrete) else action), shape)
        except (Exception, SystemExit) as error:  # an environment is anybody's code
            raise ValueError(f"environment {env_id} failed in step {step}: {reason(error)}") from error
        if done:
            break
    first_observation(env, env_id, shape)


def first_observation(env: gym.Env, env_id: str, shape: tuple[int, ...], seed: int | None = None) -> NDArray[Any]:
    """The observation of a reset; ValueError if it raises or returns something else."""
    try:
        with calling(env_id, "a reset"):
            return np.array(check_reset(env.reset(seed=seed), shape))
    except (Exception, SystemExit) as error:
        raise ValueError(f"environment {env_id} cannot begin an episode: {reason(error)}") from error


def without_outer_wrappers(env: gym.Env) -> gym.Env:
    """The environment as its author returned it, whose mistakes Gymnasium's own wrappers would hide behind theirs."""
    while isinstance(env, (TimeLimit, OrderEnforcing, PassiveEnvChecker)):
        env = env.env
    return env
