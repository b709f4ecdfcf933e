"""An update undone, run by run: what an optimizer was before it, and how that is put back where it ought not to have happened."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rl_rmsprop.kernels.equations import broadcast_runs

if TYPE_CHECKING:
    from rl_rmsprop.optimizer.adaptive_rmsprop import AdaptiveRMSprop


class UpdateSnapshot:
    """Copies of everything that an update changes: parameters and what is kept of them, β, rules and detectors, the surprise."""

    def __init__(self, optimizer: AdaptiveRMSprop, params: list[Tensor]) -> None:
        """Of `params`, those that the update is of; all have a state already."""
        self._optimizer = optimizer
        self._tensors = [t for p in params for t in (p, *optimizer.state[p].values())]
        self._copies = [t.clone() for t in self._tensors]
        self._groups = [(group.get("rule_state"), group["alpha"]) for group in optimizer.param_groups]
        self._surprise = dict(optimizer.last_surprise)

    def put_back(self, finite: Tensor) -> None:
        """As if there had been no update where it was not of finite gradients ([] or [R], false), which is counted."""
        optimizer, per_run = self._optimizer, self._optimizer.runs is not None
        for t, old in zip(self._tensors, self._copies, strict=True):
            t.copy_(torch.where(broadcast_runs(finite, t) if per_run and t.dim() > 0 else finite.any(), t, old))
        for group, (state, alpha) in zip(optimizer.param_groups, self._groups, strict=True):
            if state is not None:
                new = group["rule_state"]
                group["rule_state"] = {k: torch.where(broadcast_runs(finite, new[k]), new[k], state[k]) for k in new}
            if isinstance(group["alpha"], Tensor):
                group["alpha"] = torch.where(finite, group["alpha"], alpha)
            group["skipped"] = group["skipped"] + ~finite
        for index, x in optimizer.last_surprise.items():
            optimizer.last_surprise[index] = torch.where(finite, x, self._surprise.get(index, math.nan))
