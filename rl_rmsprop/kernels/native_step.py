"""The update of R runs by the compiled kernel: E and θ of a parameter in one pass, where equations.py makes five.

equations.py is the definition; the two differ in the last bits, because torch's square root does from processor to processor.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rl_rmsprop.kernels.equations import Slot
from rl_rmsprop.native import library


def supports(tensors: Sequence[Tensor], group: dict[str, Any]) -> bool:
    """Whether `step` can update parameters: these, their g and E, are [R, P], single, on the CPU; one lr, and E alone divides."""
    if group["centered"] or group["momentum"] > 0 or isinstance(group["lr"], Tensor) or group["differentiable"]:
        return False
    return all([is_table(t) for t in tensors])


def is_table(t: Tensor) -> bool:
    """Whether a tensor [R, P] can be gone through row by row."""
    return t.dtype is torch.float32 and t.is_cpu and t.dim() == 2 and t.stride(1) == 1 and t.layout is torch.strided


def step(slot: Slot, group: dict[str, Any], beta: float | Tensor) -> None:
    """E ← βE + (1 − β)g² and θ ← θ − lr · g / (√(E/w) + ε), in place; β is a number or [R]."""
    lib = library.load()
    assert lib is not None  # else `supports` is false
    runs, size = slot.p.shape
    per_run = isinstance(beta, Tensor)
    decay = torch.as_tensor(beta, dtype=torch.float64).expand(runs)
    numbers = torch.stack([decay, 1 - decay, weights(slot, group, runs)]).float()  # [3, R]
    rows = [numbers.data_ptr() + k * runs * 4 for k in range(3)]
    arguments = library.Rmsprop(
        runs, size, slot.p.data_ptr(), slot.p.stride(0), slot.g.data_ptr(), slot.g.stride(0), slot.E.data_ptr(), slot.E.stride(0),
        rows[0], rows[1], rows[2] if group["bias_correction"] else None, group["lr"], group["eps"], group["eps_in_sqrt"], per_run,
    )  # fmt: skip
    lib.rmsprop_step(library.instruction_sets()[library.quickest()], ctypes.byref(arguments))


def weights(slot: Slot, group: dict[str, Any], runs: int) -> Tensor:
    """The w of each run [R]; 1 where E is not divided by it."""
    if group["bias_correction"] and slot.w is not None:
        return slot.w.expand(runs)
    return torch.ones(runs, dtype=torch.float64)
