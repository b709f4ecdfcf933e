"""A device that is not there: tensors that behave as those of a GPU do, computed on the CPU.

    with pretended():  torch.zeros(3, device=DEVICE)  →  a `Remote`: no NumPy array has its memory, and no tensor of the CPU
                                                          may meet it in an operation, but for single numbers and copies

Torch calls the device `meta`, of whose tensors nobody can read a number: whatever gets past `Remote` has no values. What can go
wrong with devices goes wrong here: a tensor made or left on the other side, memory that is taken to be shared, `numpy()`.
What a GPU computes differently, its streams and its rounding, does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from rl_rmsprop.kernels import backends
from rl_rmsprop.laws import mixture

DEVICE = torch.device("meta")
COPIES = ("_to_copy", "copy_", "_foreach_copy_")
JOINS = ("cat", "stack")
STATE_ATTRIBUTES = (backends.cached_column, backends.scalar, mixture.decays)


class Remote(Tensor):
    """A tensor on the device; `inner` holds its numbers."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> Remote:
        how = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "dtype": inner.dtype, "device": DEVICE}
        made: Remote = torch.Tensor._make_wrapper_subclass(cls, inner.shape, **how)  # type: ignore[attr-defined]
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, args, kwargs or {})


class Functions(TorchFunctionMode):
    """Sees what torch would do with numbers of Python without asking anybody: tensors made of them, and lists of numbers."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor, torch.asarray) and kwargs.get("device") == DEVICE:
            return func(*args, **{**kwargs, "device": None}).to(DEVICE)
        if func is Tensor.tolist:
            return func(args[0].cpu())
        return func(*args, **kwargs)


class Mode(TorchDispatchMode):
    """Sees what is made on the device or copied to it, of which no `Remote` is an argument."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, args, kwargs or {})


def computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """One operation of torch; RuntimeError where a GPU's tensors could not take part in it."""
    name = func.overloadpacket.__name__
    given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    remote = [x for x in given if isinstance(x, Remote)]
    strangers = [x for x in given if not isinstance(x, Remote) and (x.dim() > 0 or name in JOINS)]
    if remote and strangers and name not in COPIES:
        raise RuntimeError(f"{name} of tensors on two devices, of shapes {[tuple(x.shape) for x in given]}")
    wanted = kwargs.get("device")
    if wanted == DEVICE:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    result = func(*tree_map(numbers, args), **tree_map(numbers, kwargs))
    known = {id(numbers(x)): x for x in given}  # what an operation returns of its arguments, it has changed in place
    away = wanted == DEVICE if wanted is not None else bool(remote)

    def placed(x: Any) -> Any:
        if not isinstance(x, Tensor) or id(x) in known:
            return known.get(id(x), x)
        return Remote(x) if away else x

    return tree_map(placed, result)


def numbers(x: Any) -> Any:
    """A tensor with the same numbers on the CPU, in the same memory."""
    return x.inner if isinstance(x, Remote) else x


@contextmanager
def pretended() -> Iterator[torch.device]:
    """Within it the device is there. Tensors that are kept from call to call are made anew: others use `meta` as it is."""
    for kept in STATE_ATTRIBUTES:
        kept.cache_clear()
    try:
        with Functions(), Mode():
            yield DEVICE
    finally:
        for kept in STATE_ATTRIBUTES:
            kept.cache_clear()
