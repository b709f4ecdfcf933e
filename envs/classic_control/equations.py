"""What an environment of classic control is in arrays: its state, its start, its equations and its end, for K of them at once.

    start   [count, S] states, from the generator of their run
    step    actions [K] → rewards [K], terminated [K]; the state [S, K] moves on
    observations   the state as the agent sees it, [K, O]

What R runs × N environments need beyond that (episodes, autoreset, time limit, snapshots) is in envs/classic_control/batch.py.
Every operation is the one of Gymnasium's own environment, in its order and precision, so that the bits are the same
(tests/test_classic_control.py).
"""

from __future__ import annotations

import math
from functools import cache
from typing import ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from rl_rmsprop.storage.snapshot import Snapshottable


class Equations(Snapshottable):
    """K environments of one kind. Subclasses define `start`, `step`, `observations` where it isn't the state, and `prepare`."""

    STATE_ATTRIBUTES: ClassVar[tuple[str, ...]] = ("state", "values")

    gymnasium: ClassVar[type[gym.Env]]
    """Gymnasium's own environment, which has the spaces."""
    max_episode_steps: ClassVar[int]
    """Steps after which Gymnasium's registered id truncates an episode."""
    size: ClassVar[int]
    """S, the numbers of a state."""
    usual: ClassVar[dict[str, float]]
    """The dynamics that can be set, by the names of envs/dynamics, and their values in Gymnasium."""
    compiled: ClassVar[str] = ""
    """The function of rl_rmsprop/native that acts in these environments, with the same bits; empty for none."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.state = np.zeros((self.size, count))
        self.values: dict[str, NDArray[np.float64]] = {name: np.array(value) for name, value in self.usual.items()}
        self.prepare()

    def start(self, generator: np.random.Generator, count: int) -> NDArray[np.float64]:
        """States at the start of `count` episodes of one run, [count, S]."""
        raise TypeError(f"{type(self).__name__} must define start(generator, count)")

    def step(self, actions: NDArray) -> tuple[NDArray, NDArray[np.bool_]]:
        """One step of all, with actions [K], or [K, A] of a Box: rewards [K] and who has terminated [K], in new memory."""
        raise TypeError(f"{type(self).__name__} must define step(actions)")

    def observations(self, began: NDArray[np.bool_]) -> NDArray[np.float32]:
        """What the agent sees, [K, O], in new memory; `began` are those at the start of an episode [K]."""
        return self.state.T.astype(np.float32, order="C")

    def prepare(self) -> None:
        """Compute what depends on `values` alone; called when they have changed."""

    def get(self, name: str) -> NDArray[np.float64]:
        """See `Dynamics`."""
        return np.broadcast_to(self.values[name], self.count)

    def set(self, name: str, values: NDArray[np.float64]) -> None:
        """See `Dynamics`."""
        self.values[name] = values.astype(float)
        self.prepare()

    def restore(self, saved: dict) -> None:
        super().restore(saved)
        self.prepare()


def square(x: NDArray) -> NDArray:
    """`x ** 2`, of each number as NumPy computes it of one alone: by C's pow, which in one of a thousand is not x·x."""
    if x.size > 1 and has_power_of_c(x.dtype):  # an array of one number is not computed by pow either
        with np.errstate(over="ignore"):
            return np.power(x, twos(x.shape, x.dtype))
    return one_by_one(x)


@cache
def has_power_of_c(dtype: np.dtype) -> bool:
    """Whether NumPy's power of arrays is C's on this processor: with AVX-512 it may be another one. Tried on many numbers."""
    x = np.random.default_rng(0).normal(size=2**15).astype(dtype)
    return np.array_equal(np.power(x, twos(x.shape, dtype)), one_by_one(x))


@cache
def has_sines_of_c() -> bool:
    """Whether NumPy's sine and cosine are C's on this processor, as compiled equations have them. Tried on many numbers."""
    x = np.random.default_rng(0).normal(size=2**15) * 2
    pairs = ((np.sin, math.sin), (np.cos, math.cos))
    return all(np.array_equal(of_array(x), [of_number(number) for number in x.tolist()]) for of_array, of_number in pairs)


@cache
def twos(shape: tuple[int, ...], dtype: np.dtype) -> NDArray:
    """An array of twos: for a single 2 NumPy computes x·x."""
    return np.full(shape, 2.0, dtype)


def one_by_one(x: NDArray) -> NDArray:
    """The square of one number after the other."""
    with np.errstate(over="ignore"):
        return np.array([number**2 for number in x.ravel()], dtype=x.dtype).reshape(x.shape)


def cosine(x: NDArray) -> NDArray[np.float64]:
    """`math.cos` of each number [K], which all must be finite or NaN."""
    return np.array([math.cos(number) for number in x.tolist()])
