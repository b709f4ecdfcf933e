"""What `reset` and `step` of anybody's environment return, as arrays.

Gymnasium asks a step for an observation, a reward, terminated, truncated and an info. Many environments return some of these as
arrays, lists or tensors of one element, which count as that element, as in Stable-Baselines3. Whatever else does not fit is an
`InvalidTransition`, which names the wrong value.
"""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

NUMBERS = frozenset({float, int, np.float64, np.float32})
BOOLS = frozenset({bool, np.bool_})
"""Types that NumPy converts as they are; other values are converted one by one."""


class InvalidTransition(ValueError):
    """An environment returned something that is no observation, reward, terminated or truncated."""


class EnvironmentFailure(RuntimeError):
    """An environment raised an error while it was stepped, or returned an `InvalidTransition`; the message says which and when.

    >>> raise EnvironmentFailure("Walk-v0 failed in step 31 (environment 0 of seed 3): ZeroDivisionError: …")
    Traceback (most recent call last):
    envs.transitions.EnvironmentFailure: Walk-v0 failed in step 31 (environment 0 of seed 3): ZeroDivisionError: …
    """


class Transitions(NamedTuple):
    """Results of K environments' steps."""

    observations: NDArray[np.float32]  # [K, O]
    rewards: NDArray[np.float32]  # [K]
    terminated: NDArray[np.bool_]  # [K]
    truncated: NDArray[np.bool_]  # [K]


def stack(results: Sequence[tuple[Any, ...]], shape: tuple[int, ...]) -> Transitions:
    """The results of K environments' steps as arrays; InvalidTransition, or what NumPy raises, if one of them does not fit."""
    observations, rewards, terminated, truncated, _ = zip(*results, strict=True)
    stacked = np.array(observations, np.float32)
    if stacked.shape[1:] != shape:
        raise InvalidTransition(f"observation must have its space's shape {shape}, got {stacked.shape[1:]}")
    if not NUMBERS.issuperset(map(type, rewards)):
        rewards = tuple(map(as_number, rewards))
    if not BOOLS.issuperset(map(type, terminated + truncated)):
        terminated = tuple(as_bool(x, "terminated") for x in terminated)
        truncated = tuple(as_bool(x, "truncated") for x in truncated)
    return Transitions(stacked, np.array(rewards, np.float32), np.array(terminated, bool), np.array(truncated, bool))


def check_reset(result: Any, shape: tuple[int, ...]) -> NDArray:
    """The observation that a reset returned; InvalidTransition unless it has this shape and comes with an info."""
    if not (isinstance(result, (tuple, list)) and len(result) == 2):
        raise InvalidTransition(f"reset must return two values, observation and info, got {described(result)}")
    return as_observation(result[0], shape)


def check_step(result: Any, shape: tuple[int, ...]) -> bool:
    """Whether the step that returned `result` ended an episode; InvalidTransition unless its values can be used."""
    if not (isinstance(result, (tuple, list)) and len(result) == 5):
        hint = ": that is the API of the old gym" if isinstance(result, tuple) and len(result) == 4 else ""
        values = "observation, reward, terminated, truncated and info"
        raise InvalidTransition(f"step must return five values, {values}, got {described(result)}{hint}")
    observation, reward, terminated, truncated, _ = result
    as_observation(observation, shape)
    as_number(reward)
    return as_bool(terminated, "terminated") | as_bool(truncated, "truncated")


def as_observation(value: Any, shape: tuple[int, ...]) -> NDArray:
    """An observation as an array; InvalidTransition unless it is of real numbers and this shape."""
    try:
        array = np.asarray(value)
    except Exception as error:  # whatever the class of a foreign object raises
        raise InvalidTransition(f"observation must be an array of real numbers, got {described(value)}: {error}") from error
    if array.dtype.kind not in "biuf":
        raise InvalidTransition(f"observation must be an array of real numbers, got {described(value)}")
    if array.shape != shape:
        raise InvalidTransition(f"observation must have its space's shape {shape}, got {array.shape}")
    return array


def as_number(value: Any) -> float:
    """A reward as a float; InvalidTransition unless it is a number, or an array, list or tensor of one.

    >>> as_number(1), as_number(np.array([2.5])), as_number([np.float32(0.5)])
    (1.0, 2.5, 0.5)
    """
    element = only_element(value)
    if not isinstance(element, Real):
        raise InvalidTransition(f"reward must be one number, got {described(value)}")
    return float(element)


def as_bool(value: Any, name: str) -> bool:
    """`terminated` or `truncated` as a bool; InvalidTransition unless it is True, False, 1, 0, or an array or list of one.

    >>> as_bool(np.array([False]), "terminated"), as_bool([True], "terminated"), as_bool(np.int64(1), "truncated")
    (False, True, True)
    """
    element = only_element(value)
    if not (isinstance(element, Real) and element in (0, 1)):
        raise InvalidTransition(f"{name} must be True or False, got {described(value)}")
    return bool(element)


def only_element(value: Any) -> Any:
    """The element of an array, list or tensor of one, as a number of Python's; anything else as it is."""
    if isinstance(value, (list, tuple)):
        return only_element(value[0]) if len(value) == 1 else value
    try:
        return value.item()
    except (AttributeError, ValueError, RuntimeError):  # no array; NumPy's and torch's errors for several elements
        return value


def described(value: Any) -> str:
    """A value in a message: how many there are, the shape, or a short form of it.

    >>> described(np.zeros(2)), described((1, 2)), described(None), described("late")
    ('ndarray of shape (2,)', '2 values', 'None', "'late'")
    """
    if isinstance(value, (list, tuple)):
        return f"{len(value)} values"
    if getattr(value, "shape", ()):
        return f"{type(value).__name__} of shape {tuple(value.shape)}"
    return " ".join(reprlib.repr(value).split())


def reason(error: BaseException) -> str:
    """Why an environment failed: what was wrong with the values that it returned, or class and message of what it raised."""
    return str(error) if isinstance(error, InvalidTransition) else f"{type(error).__name__}: {error}"
