"""An update without some runs: what they were before it is saved, and put back after it.

On the CPU only their rows are copied, so that one run of many costs next to nothing. On another device everything is: to know
which rows, it would have to wait for the device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rl_rmsprop.kernels import equations
from rl_rmsprop.kernels.equations import broadcast_runs

GROUP_STATES = ("rule_state", "lr_rule_state")
"""Entries of a group that an update exchanges for others: dicts of tensors, [] or [R, …]."""


def missing_runs(mask: Tensor) -> list[int]:
    """The runs that a mask on the CPU, [] or [R] bool, leaves out: the places where it is false."""
    return list(np.flatnonzero(~mask.numpy()))


def runs_to_update(grads: Sequence[Tensor], runs: int | None, mask: Tensor | None) -> Tensor | None:
    """Which runs of `mask` (default: all) have finite gradients with finite squares, [] or [R] bool; None if all have.

    The gradients of other runs do not count, and cost nothing.
    """
    on_cpu = all([g.is_cpu for g in grads])  # elsewhere to ask takes longer than to copy
    if mask is None:
        return None if on_cpu and equations.surely_finite(grads) else equations.all_finite(grads, runs)
    if on_cpu and mask.is_cpu and equations.surely_finite_runs(grads, len(mask), missing_runs(mask)):
        return mask
    finite = equations.all_finite(grads, runs)
    return finite & mask.to(finite.device)


def raise_if_nonfinite(groups: Sequence[dict[str, Any]], runs: int | None, mask: Tensor | None) -> None:
    """FloatingPointError naming a parameter whose gradient, or its square, is not finite in the runs of the mask."""
    for group in groups:
        for i, p in enumerate(group["params"]):
            if p.grad is None:
                continue
            finite = equations.all_finite([p.grad], runs)
            if not (finite if mask is None else finite | ~mask.to(finite.device)).all():
                names = group.get("param_names")
                name = names[i] if names else f"{i} of shape {tuple(p.shape)}"
                raise FloatingPointError(
                    f"gradients and their squares must be finite, that of parameter {name} is not: "
                    "lower lr, clip the gradient, or use nonfinite='skip'"
                )


class UpdateSnapshot:
    """What an update changes: parameters and their states, β, rules and detectors, the last surprise."""

    def __init__(
        self,
        tensors: Sequence[Tensor],
        groups: Sequence[dict[str, Any]],
        surprise: dict[int, Tensor],
        mask: Tensor,
        missing: list[int],
        memory: SavedRows,
    ) -> None:
        """Before the update of `tensors`, which is to stay where `mask` ([] or [R] bool) is true.

        If all is on the CPU, `missing` are the other runs and `memory` is for their rows.
        """
        self._mask = mask
        self._groups = groups
        self._states = [{name: group[name] for name in GROUP_STATES if name in group} for group in groups]
        self._alphas = [group["alpha"] for group in groups]
        self._surprise, self._last_surprise = surprise, dict(surprise)
        self._rows: SavedRows | None = None
        self._tensors: list[tuple[Tensor, Tensor]] = []
        if mask.is_cpu and all([t.is_cpu for t in tensors]):
            self._rows = memory
            memory.save([t for t in tensors if t.dim()], missing)  # `step`, a number, counts the updates of any run
        else:
            self._tensors = [(t, t.clone()) for t in tensors]

    def restore(self) -> None:
        """After the update: as if there had been none where the mask is false."""
        if self._rows is not None:
            self._rows.restore()
        for t, old in self._tensors:
            t.copy_(self._choose(t, old) if t.dim() else torch.where(self._mask.any().to(t.device), t, old))
        for group, states, alpha in zip(self._groups, self._states, self._alphas, strict=True):
            for name, state in states.items():
                group[name] = {key: self._choose(new, state[key]) for key, new in group[name].items()}
            if isinstance(group["alpha"], Tensor):
                group["alpha"] = self._choose(group["alpha"], alpha)
        for index, x in self._surprise.items():
            self._surprise[index] = self._choose(x, self._last_surprise.get(index, math.nan))

    def _choose(self, new: Tensor, old: Tensor | float) -> Tensor:
        """The new value where the mask is true."""
        old = old.to(new.device) if isinstance(old, Tensor) else old  # where the parameters have been moved
        return torch.where(broadcast_runs(self._mask.to(new.device), new), new, old)


class SavedRows:
    """Copies of some rows of tensors on the CPU; views and memory serve again while rows and tensors are the same.

    NumPy copies a row in a microsecond, torch in five.
    """

    NUMPY_DTYPES = (torch.float32, torch.float64)

    def __init__(self) -> None:
        self._key: object = None
        self._views: list[Any] = []
        self._copies: list[Any] = []

    def save(self, tensors: Sequence[Tensor], rows: list[int]) -> None:
        """Copy these rows of each tensor."""
        key = (rows, [(t.data_ptr(), t.stride()) for t in tensors])  # no other tensor has this memory as long as there are views
        if key != self._key:
            arrays = [t.detach().numpy() if t.dtype in self.NUMPY_DTYPES else t.detach() for t in tensors]
            self._views = [x[row : row + 1] for x in arrays for row in rows]
            self._copies = [view.clone() if isinstance(view, Tensor) else view.copy() for view in self._views]
            self._key = key
        for view, copy in zip(self._views, self._copies, strict=True):
            copy[...] = view

    def restore(self) -> None:
        """Make the rows what they were."""
        for view, copy in zip(self._views, self._copies, strict=True):
            view[...] = copy
