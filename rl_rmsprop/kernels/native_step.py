"""The update of R runs by the compiled kernel: E and θ of a parameter in one pass, where equations.py makes five.

equations.py is the definition; the two differ in the last bits, because torch's square root does from processor to processor.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rl_rmsprop.kernels.equations import Slot
from rl_rmsprop.native import library


def supports(tensors: Sequence[Tensor], group: dict[str, Any]) -> bool:
    """Whether `step` can update parameters: these, their g and E, are [R, P], single, on the CPU; one lr, and E alone divides."""
    return has_plain_options(group) and all([is_table(t) for t in tensors])


def has_plain_options(group: dict[str, Any]) -> bool:
    """Whether a step is along g, and as long as E and one lr say, a number or a tensor with one."""
    lr = group["lr"]
    is_number = not isinstance(lr, Tensor) or (lr.is_cpu and lr.numel() == 1)
    return is_number and not (group["centered"] or group["momentum"] > 0 or group["differentiable"])


def is_table(t: Tensor) -> bool:
    """Whether a tensor [R, P] can be gone through row by row."""
    return t.dtype is torch.float32 and t.is_cpu and t.dim() == 2 and t.stride(1) == 1 and t.layout is torch.strided


def step(slots: Sequence[Slot], group: dict[str, Any], beta: float | Tensor) -> None:
    """E ← βE + (1 − β)g² and θ ← θ − lr · g / (√(E/w) + ε) of every slot, in place; β is a number or [R]."""
    lib = library.load()
    assert lib is not None  # or the optimizer would have refused its kernel
    number, per_run = library.instruction_sets()[library.quickest()], isinstance(beta, Tensor)
    runs = len(slots[0].p)
    numbers = np.empty((3, runs), np.float32)  # β, 1 − β and w
    exact = beta.numpy() if isinstance(beta, Tensor) else beta
    numbers[0], numbers[1] = exact, 1 - exact
    decay, share, weight = (numbers.ctypes.data + k * numbers.strides[0] for k in range(3))
    for p, g, E, w, *_ in slots:
        if w is not None:
            numbers[2] = w.numpy()
        arguments = library.Rmsprop(
            runs, p.shape[1], p.data_ptr(), p.stride(0), g.data_ptr(), g.stride(0), E.data_ptr(), E.stride(0),
            decay, share, weight if w is not None and group["bias_correction"] else None,
            float(group["lr"]), group["eps"], group["eps_in_sqrt"], per_run,
        )  # fmt: skip
        lib.rmsprop_step(number, ctypes.byref(arguments))
        mark_changed(p)


def mark_changed(p: Tensor) -> None:
    """Let autograd refuse a gradient through values of p that it has stored, as after an operation of torch in place."""
    if not p.is_inference():
        torch.autograd.graph.increment_version(p)
