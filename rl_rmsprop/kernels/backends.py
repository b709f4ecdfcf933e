"""One text of the equations for three carriers: numbers, NumPy's arrays and torch's tensors, all float64 or bool.

    one stream [] on the CPU     NumPy's numbers       0.1 µs an operation
    R streams [R] on the CPU     NumPy's arrays        1 µs
    any other device             torch's tensors       nothing waits for the device

A call of torch costs 2 to 5 µs, and a detector is fifty of them. NumPy works on the memory of the tensors. Equations that are
written in operators and in the functions below have the same bits under all three, but for torch's square root on the CPU, which
is MKL's and wrong in the last bit of 1 in 100 numbers. What holds several numbers a stream has them along its first axis, so
that the rows of [K, R] are arrays and those of [K] are numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

State = dict[str, Tensor]
"""Name → tensor: what a detector or a rule keeps from one update to the next, one entry a run."""

Array = Any
"""A number, an array or a tensor."""


def dispatch(equations: Callable[..., tuple[Any, ...]], state: State, *inputs: Tensor) -> tuple[Any, ...]:
    """`equations(state, *inputs)`, worked out by the fastest carrier; inputs are [] or [R], results inputs' like or states."""
    if inputs[0].device.type != "cpu":
        return equations(state, *inputs)
    with np.errstate(all="ignore"):  # a diverged run is no news
        found = equations({k: as_numpy(v) for k, v in state.items()}, *[as_numpy(x) for x in inputs])
    return tuple([{k: as_tensor(v) for k, v in x.items()} if isinstance(x, dict) else as_tensor(x) for x in found])


NUMBERS = {torch.float64: np.float64, torch.int64: np.int64, torch.bool: np.bool}
"""By dtype: the way by `item` takes a third of the time."""


def as_numpy(x: Tensor) -> Array:
    """The number of a tensor [], or else an array of its memory."""
    kind = NUMBERS.get(x.dtype)
    return x.numpy()[()] if x.dim() or kind is None else kind(x.item())


def as_tensor(x: Array) -> Tensor:
    """A tensor with memory of its own."""
    return torch.from_numpy(np.array(x))


@lru_cache(maxsize=64)
def scalar(value: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A number as a tensor, [], not to be changed: a call with a list of tensors would make one for each of them."""
    return torch.tensor(value, dtype=dtype, device=device)


def library(x: Array) -> ModuleType:
    """The module that knows x."""
    return torch if isinstance(x, Tensor) else np


def where(mask: Array, yes: Array | float, no: Array) -> Array:
    """`yes` where the mask says so, else `no`; of several rows each."""
    if isinstance(mask, (bool, np.bool)):
        return yes if mask else no
    return library(mask).where(mask, yes, no)


def clip(x: Array, low: float | None = None, high: float | None = None) -> Array:
    """X, but not below `low` nor above `high`; NaN stays."""
    if isinstance(x, np.float64):
        x = np.float64(low) if low is not None and x < low else x
        return np.float64(high) if high is not None and x > high else x
    return x.clip(low, high)


def maximum(a: Array, b: Array) -> Array:
    """The larger of both; NaN if one of them is."""
    return library(a).maximum(a, b)


def minimum(a: Array, b: Array) -> Array:
    """The smaller of both; NaN if one of them is."""
    return library(a).minimum(a, b)


def sqrt(x: Array) -> Array:
    """The square root."""
    return library(x).sqrt(x)


def rows(*values: Array) -> Array:
    """Numbers of every stream along a new first axis."""
    return torch.stack(values) if isinstance(values[0], Tensor) else np.array(values)


def column(values: tuple[float, ...], x: Array) -> Array:
    """The same numbers for every stream along a new first axis, not to be changed: [K] beside a number, [K, 1] beside [R]."""
    return cached_column(values, x.ndim, library(x), x.device)


@lru_cache
def cached_column(values: tuple[float, ...], axes: int, xp: ModuleType, device: Any) -> Array:
    """As `column`, for arrays of this library, number of axes and device."""
    return xp.asarray(values, dtype=xp.float64, device=device).reshape(-1, *[1] * axes)
