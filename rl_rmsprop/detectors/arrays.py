"""One text of the equations for two libraries: NumPy where tensors are on the CPU, torch on every other device.

A call of NumPy on a thousand numbers costs 1 µs, one of torch 2 to 5, and a detector is forty of them. NumPy works on the memory
of the tensors, so nothing is copied; torch alone knows other devices, where nothing here waits for them. Equations that are
written in operators, in what both name alike (`library`) and in the functions below have the same bits under either, but for
torch's square root on the CPU, which is MKL's and wrong in the last bit of 1 in 100 numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rl_rmsprop.detectors.base import State, Verdict

Array = Any
"""A tensor or a NumPy array, float64 or bool."""


def by_fastest(
    step: Callable[[dict[str, Array], Array], tuple[dict[str, Array], Array, Array]], state: State, x: Tensor
) -> Verdict:
    """`step(state, x)` → new state, alarm [R], statistic [R], with NumPy if x is on the CPU; one stream [] is a batch of one."""
    if x.device.type != "cpu":
        return Verdict(*step(state, x))
    batch: Any = ... if x.dim() else (..., None)
    with np.errstate(all="ignore"):  # a diverged run is no news
        new, alarm, statistic = step({k: v.numpy()[batch] for k, v in state.items()}, x.numpy()[batch])
    return Verdict({k: as_tensor(v, x) for k, v in new.items()}, as_tensor(alarm, x), as_tensor(statistic, x))


def as_tensor(array: Array, like: Tensor) -> Tensor:
    """The tensor with the memory of an array, without the last axis if it is one stream's."""
    return torch.from_numpy(array if like.dim() else array[..., 0] if array.ndim > 1 else array.reshape(()))


def library(x: Array) -> ModuleType:
    """The module of x's functions: where, sqrt, stack, minimum, maximum."""
    return torch if isinstance(x, Tensor) else np


def copied(x: Array) -> Array:
    """A copy of x, to be changed in place."""
    return x.clone() if isinstance(x, Tensor) else x.copy()


def put(x: Array, value: Array | float, where: Array) -> None:
    """Set x to `value` in place where the mask says so; the mask and the value are broadcast to x."""
    if isinstance(x, Tensor):
        x.copy_(torch.where(where, value, x))
    else:
        np.copyto(x, value, where=where)


def column(values: tuple[float, ...], x: Array) -> Array:
    """Numbers along a new first axis, to be combined with x: [K, 1, …]."""
    return cached_column(values, x.ndim, library(x), x.device)


@lru_cache
def cached_column(values: tuple[float, ...], axes: int, xp: ModuleType, device: Any) -> Array:
    """As `column`, for arrays of this library, number of axes and device; not to be changed."""
    return xp.asarray(values, dtype=xp.float64, device=device).reshape(-1, *[1] * axes)
