"""E that divides the gradient before it takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rl_rmsprop.detectors import State
from rl_rmsprop.kernels.equations import Slot, broadcast_runs
from rl_rmsprop.laws.base import Unweighted


@dataclass(frozen=True)
class Lagged(Unweighted):
    """The gradient is divided by what E was before it: no gradient dampens its own step (ADOPT).

        θ ← θ − lr·g/max(√E, ε)        then        E ← βE + (1 − β)g²

    The first call only sets E = g² and moves nothing, so that E never needs a correction: w is 1 and `bias_correction` changes
    nothing. With `clip` each entry of g/max(√E, ε) is cut at ±t^{1/4}, t updates after the first call. `eps_in_sqrt` has no
    effect: ε is where the authors have it.

    A gradient that is suddenly ten times as large takes a step ten times as long, where RMSProp's cannot be longer than
    lr/√(1 − β).

    Source: Taniguchi et al. 2024, NeurIPS, "ADOPT: Modified Adam can converge with any β₂ with the optimal rate"
    (arXiv:2411.02853), and the authors' code, github.com/iShohei220/adopt. Only E is theirs: the momentum is this optimizer's.
    """

    clip: bool = False
    """Whether entries of the normalised gradient are cut at ±t^{1/4}."""

    example = "lagged:beta=0.999"
    source = "arXiv:2411.02853"
    numbers = ("weight", "updates")

    def initial_parameter_state(self, E: Tensor, w: float, keys: Tensor, group: dict[str, Any], p: Tensor) -> State:
        state = super().initial_parameter_state(E, w, keys, group, p)
        updates = torch.zeros(keys.shape, dtype=torch.float64, device=E.device)
        return state | {"before": torch.full_like(E, torch.inf), "updates": updates}

    def update_weight(self, slot: Slot) -> None:
        """Nothing yet: `take` has to know which runs begin."""

    def take(self, slot: Slot, g2: Tensor) -> None:
        before, w = slot.state["before"].copy_(slot.E), slot.state["weight"]
        slot.E.mul_(self.beta).add_(g2, alpha=1 - self.beta)
        if not (w.is_cpu and w.all()):  # elsewhere to ask takes longer
            begins = broadcast_runs(w == 0, g2)
            slot.E.copy_(torch.where(begins, g2, slot.E))
            before.masked_fill_(begins, torch.inf)  # no step
        slot.state["updates"].add_(w)  # 0 in the first call
        w.fill_(1.0)

    def divisor(self, slot: Slot, group: dict[str, Any], out: Tensor | None = None) -> Tensor:
        root = torch.sqrt(slot.state["before"], out=out).clamp_(min=group["eps"])
        if not self.clip:
            return root
        largest = broadcast_runs(slot.state["updates"].clamp(min=1.0).pow(0.25), root).to(root.dtype)
        return torch.maximum(root, slot.g.abs().to(root.dtype).div_(largest), out=root)
