"""An update without some runs: what they were before it is saved, and put back after it.

On the CPU only their rows are copied, so that one run of many costs next to nothing. On another device everything is: to know
which rows, it would have to wait for the device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rl_rmsprop.kernels import equations
from rl_rmsprop.kernels.backends import State
from rl_rmsprop.kernels.equations import broadcast_runs


def runs_to_update(grads: Sequence[Tensor], runs: int | None, mask: Tensor | None) -> Tensor | None:
    """Which runs of `mask` (default: all) have finite gradients with finite squares, [] or [R] bool; None if all have.

    The gradients of other runs do not count, and cost nothing.
    """
    on_cpu = all([g.is_cpu for g in grads])  # elsewhere to ask takes longer than to copy
    if mask is None:
        return None if on_cpu and equations.surely_finite(grads) else equations.all_finite(grads, runs)
    if on_cpu and equations.surely_finite_runs(grads, mask):
        return mask
    finite = equations.all_finite(grads, runs)
    return finite & mask.to(finite.device)


class UpdateSnapshot:
    """What an update changes: parameters and their states, β, rules and detectors, the last surprise."""

    def __init__(
        self,
        params: Sequence[Tensor],
        states: Sequence[State],
        groups: Sequence[dict[str, Any]],
        surprise: dict[int, Tensor],
        mask: Tensor,
    ) -> None:
        """Before the update of `params`; `mask` ([] or [R] bool) is true where the update is to stay."""
        self._mask = mask
        self._groups, self._rules = groups, [(group.get("rule_state"), group["alpha"]) for group in groups]
        self._surprise, self._last_surprise = surprise, dict(surprise)
        self._rows: list[TensorRows] = []
        self._tensors: list[tuple[Tensor, Tensor]] = []
        tensors = [t for p, state in zip(params, states, strict=True) for t in (p, *state.values())]
        if mask.is_cpu and all([p.is_cpu for p in params]):
            rows = (~mask).nonzero().squeeze(1)
            self._rows = [TensorRows(t, rows) for t in tensors if t.dim()]  # `step`, a number, counts the updates of any run
        else:
            self._tensors = [(t, t.clone()) for t in tensors]

    def restore(self) -> None:
        """After the update: as if there had been none where the mask is false."""
        for rows in self._rows:
            rows.restore()
        for t, old in self._tensors:
            t.copy_(self._choose(t, old) if t.dim() else torch.where(self._mask.any().to(t.device), t, old))
        for group, (state, alpha) in zip(self._groups, self._rules, strict=True):
            if state is not None:
                group["rule_state"] = {name: self._choose(new, state[name]) for name, new in group["rule_state"].items()}
            if isinstance(group["alpha"], Tensor):
                group["alpha"] = self._choose(group["alpha"], alpha)
        for index, x in self._surprise.items():
            self._surprise[index] = self._choose(x, self._last_surprise.get(index, math.nan))

    def _choose(self, new: Tensor, old: Tensor | float) -> Tensor:
        """The new value where the mask is true."""
        return torch.where(broadcast_runs(self._mask.to(new.device), new), new, old)


class TensorRows:
    """Some rows of a tensor on the CPU, through NumPy where it has the dtype: torch takes three times as long for one row."""

    NUMPY_DTYPES = (torch.float32, torch.float64)

    def __init__(self, tensor: Tensor, rows: Tensor) -> None:
        has_array = tensor.dtype in self.NUMPY_DTYPES
        self._tensor: Any = tensor.detach().numpy() if has_array else tensor.detach()
        self._rows: Any = rows.numpy() if has_array else rows
        self._values = self._tensor[self._rows]  # a copy

    def restore(self) -> None:
        """Make the rows what they were."""
        self._tensor[self._rows] = self._values
