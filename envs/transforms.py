"""Changes of rewards, observations and actions on their way between agent and environment.

`values` are those in force, [R, N] by name of the parameter, and only of parameters that are not neutral everywhere. Where a
value is neutral nothing changes, not even a bit. `noise` holds a generator per run for each parameter that draws; a run without
noise draws nothing, so that it does not depend on the other runs.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.parameters import INTERFACE

Values = Mapping[str, NDArray[np.float64]]
Noise = Mapping[str, Sequence[np.random.Generator]]

NEUTRAL = {parameter.name: parameter.default for parameter in INTERFACE}
"""Values that change nothing."""
ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "reward_scale": np.multiply,
    "reward_sign": np.multiply,
    "reward_offset": np.add,
    "obs_gain": np.multiply,
    "obs_bias": np.add,
}
"""Parameter → the operation that applies its value, in the order of application."""


def change_rewards(rewards: NDArray, values: Values, noise: Noise) -> NDArray:
    """Rewards [R, N] after scale, sign, offset and noise, in that order."""
    if not values:
        return rewards
    dtype = rewards.dtype if np.issubdtype(rewards.dtype, np.floating) else float
    return add_noise(apply_arithmetic(rewards, values), "reward_noise", values, noise).astype(dtype)


def change_observations(observations: NDArray, values: Values, noise: Noise) -> NDArray:
    """Observations [R, N, …] after permutation, gain, bias, noise and dropout, in that order.

    Sensors are numbered through all axes of an observation, the last one fastest.
    """
    if not values:
        return observations
    x = observations.reshape(*observations.shape[:2], -1)  # [R, N, O]
    if "obs_permutation" in values:
        x = np.take_along_axis(x, permutations(values["obs_permutation"], x.shape[-1]), -1)
    x = add_noise(apply_arithmetic(x, values), "obs_noise", values, noise)
    if "obs_dropout" in values:
        x = np.where(np.arange(1, x.shape[-1] + 1) == broadcast(values["obs_dropout"], x), 0.0, x)
    return x.reshape(observations.shape).astype(observations.dtype)


def change_actions(actions: NDArray, values: Values, space: gym.Space, noise: Noise) -> NDArray:
    """Actions after permutation, sign and noise, in that order: [R, N] from 0 for Discrete, [R, N, …] for Box."""
    if not values:
        return actions
    if isinstance(space, gym.spaces.Discrete):
        return change_discrete_actions(actions, values, int(space.n), noise)
    assert isinstance(space, gym.spaces.Box)
    x = actions.astype(float)
    if "action_sign" in values:
        x = np.where(broadcast(values["action_sign"], x) < 0, space.low + space.high - x, x)
    x = add_noise(x, "action_noise", values, noise, (space.high - space.low) / 2)
    changed = np.any([broadcast(value != NEUTRAL[name], x) for name, value in values.items()], 0)
    return np.where(changed, np.clip(x, space.low, space.high), x).astype(np.result_type(actions.dtype, space.dtype))


def change_discrete_actions(actions: NDArray, values: Values, n: int, noise: Noise) -> NDArray:
    """The same for Discrete actions [R, N], numbered from 0."""
    if "action_permutation" in values:
        actions = np.take_along_axis(permutations(values["action_permutation"], n), actions[..., None], -1)[..., 0]
    if "action_sign" in values:
        actions = np.where(values["action_sign"] < 0, n - 1 - actions, actions)
    if "action_noise" in values:
        actions = actions.copy()
        for r in np.flatnonzero(values["action_noise"].any(1)).tolist():
            chance, choice = noise["action_noise"][r].random((2, actions.shape[1]))
            actions[r] = np.where(chance < values["action_noise"][r], (choice * n).astype(actions.dtype), actions[r])
    return actions


def apply_arithmetic(x: NDArray, values: Values) -> NDArray:
    """`x` [R, N, …] after the operations of ARITHMETIC whose parameters are in `values`."""
    for name, change in ARITHMETIC.items():
        if name in values:
            x = np.where(broadcast(values[name] != NEUTRAL[name], x), change(x, broadcast(values[name], x)), x)
    return x


def add_noise(x: NDArray, name: str, values: Values, noise: Noise, unit: Any = 1.0) -> NDArray:
    """`x` [R, N, …] with Gaussian noise whose standard deviation is the value of parameter `name`, in `unit`s [...]."""
    if name not in values:
        return x
    x, sd = x.astype(float), broadcast(values[name], x)
    for r in np.flatnonzero(values[name].any(1)).tolist():
        x[r] = np.where(sd[r] > 0, x[r] + sd[r] * unit * noise[name][r].standard_normal(x.shape[1:]), x[r])
    return x


def broadcast(values: NDArray, like: NDArray) -> NDArray:
    """Values [R, N] with as many axes as `like` [R, N, …]."""
    return values.reshape(*values.shape, *[1] * (like.ndim - 2))


def permutations(which: NDArray, n: int) -> NDArray[np.int64]:
    """The permutations of n places with the numbers `which` [...]: [..., n]."""
    distinct, place = np.unique(which, return_inverse=True)
    table = np.array([permutation(int(k), n) for k in distinct])
    return table[place.reshape(which.shape)]


@functools.cache
def permutation(k: int, n: int) -> tuple[int, ...]:
    """The k-th permutation of 0 … n − 1, in lexicographic order from 0, for k < n!.

    >>> [permutation(k, 3) for k in (0, 1, 5)]
    [(0, 1, 2), (0, 2, 1), (2, 1, 0)]
    """
    moved = movable_places(k, n)
    left, result = list(range(n - moved, n)), []
    for i in range(moved - 1, -1, -1):
        place, k = divmod(k, math.factorial(i))
        result.append(left.pop(place))
    return (*range(n - moved), *result)


def movable_places(k: int, n: int) -> int:
    """How many of the last places the k-th permutation of n can move: the smallest m ≤ n with k < m!."""
    return next((m for m in range(n) if k < math.factorial(m)), n)
