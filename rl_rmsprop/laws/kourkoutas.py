"""A β for every tensor, from how large its gradient is beside what is usual."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from rl_rmsprop import signals
from rl_rmsprop.detectors import State
from rl_rmsprop.kernels import equations
from rl_rmsprop.kernels.torch_internals import foreach_copy_, foreach_norm
from rl_rmsprop.laws.base import Law, LawInputs
from rl_rmsprop.laws.elementwise import check_bounds
from rl_rmsprop.schedules import check_beta


@dataclass(frozen=True)
class Kourkoutas(Law):
    """Each tensor forgets faster the larger its gradient is beside its usual length.

        G ← αG + (1 − α)‖g‖        r = ‖g‖/(G + 1e-8)        β = max − (max − min)·r/(1 + r)

    While ‖g‖ is as usual, r = 1 and β is half-way between `min` and `max`; it nears `max` only where the gradient vanishes. At
    the first update r = 1/(1 − α). w is that of the tensor's own βs (the authors correct nothing by default).

    Source: Kassinos 2025 (arXiv:2508.12996), "Kourkoutas-β", and the author's code, github.com/sck-at-ucy/kbeta, whose defaults
    (min 0.9, α 0.9, no warm-up) are these; the paper has 0.88 and 0.93. Only E is theirs: the momentum is this optimizer's.
    """

    min: float = 0.9
    """Least β, in [0, 1)."""
    max: float = 0.999
    """Largest β, in [0, 1), at least `min`."""
    alpha: float = 0.9
    """Decay rate α of the usual length, in [0, 1)."""

    example = "kourkoutas"
    source = "arXiv:2508.12996"
    needs_whole = True

    def validate(self) -> None:
        check_bounds(self.min, self.max)
        check_beta("alpha", self.alpha)

    def initial_parameter_state(self, E: Tensor, w: float, keys: Tensor, group: dict[str, Any], p: Tensor) -> State:
        state = super().initial_parameter_state(E, w, keys, group, p)
        return state | {"usual": torch.zeros_like(state["weight"])}

    def update(self, state: State, at: LawInputs) -> tuple[State, Tensor]:
        usual, w = (torch.stack(at.states(name)) for name in ("usual", "weight"))  # [n] or [n, R] of n tensors
        length = lengths(at)
        usual.mul_(self.alpha).add_(length, alpha=1 - self.alpha)
        r = length / (usual + 1e-8)
        beta = self.max - (self.max - self.min) * (r / (1 + r)).nan_to_num_(0.5)
        foreach_copy_([*at.states("usual"), *at.states("weight")], [*usual, *w.mul_(beta).add_(1 - beta)])
        own = beta.tolist() if beta.is_cpu and beta.dim() == 1 else list(beta)
        for slot, its in zip(at.slots, own, strict=True):
            equations.update_mean_square(slot, its)
            at.after(slot)
        sizes = [slot.E.numel() for slot in at.slots]
        return state, reduce(torch.add, [its * (size / sum(sizes)) for its, size in zip(beta, sizes, strict=True)])


def lengths(at: LawInputs) -> Tensor:
    """‖g‖ of each tensor, [n] or [n, R] float64."""
    grads = [slot.g for slot in at.slots]
    if not at.per_run and all([g.dtype == torch.float32 and g.is_cpu for g in grads]):
        return torch.stack(foreach_norm(grads)).double()
    return torch.stack([signals.total([at.square(slot)], at.per_run) for slot in at.slots]).double().sqrt_()
