"""E that remembers the largest: a running maximum, or one that decays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rl_rmsprop.detectors import State
from rl_rmsprop.kernels import equations
from rl_rmsprop.kernels.equations import Slot
from rl_rmsprop.laws.base import LawInputs, OneBeta, Unweighted


@dataclass(frozen=True)
class AmsGrad(OneBeta):
    """RMSProp's E, but the step is divided by the largest that it has ever been: it never forgets a large gradient.

        E ← βE + (1 − β)g²        M ← max(M, E)        θ ← θ − lr·g/(√M + ε)

    w ← βw + (1 − β) belongs to E; with `bias_correction` the step is divided by M/w, as torch's Adam(amsgrad=True) does it. The
    statistics show E; the effective lr is that of M.

    Source: Reddi, Kale & Kumar 2018, ICLR, "On the convergence of Adam and beyond", and torch's code, which agree for this part.
    """

    example = "amsgrad:beta=0.999"
    source = "Reddi et al. 2018"

    def initial_parameter_state(self, E: Tensor, w: float, keys: Tensor, group: dict[str, Any], p: Tensor) -> State:
        return super().initial_parameter_state(E, w, keys, group, p) | {"largest": E.clone()}

    def take(self, slot: Slot, g2: Tensor) -> None:
        slot.E.mul_(self.beta).add_(g2, alpha=1 - self.beta)
        torch.maximum(slot.state["largest"], slot.E, out=slot.state["largest"])

    def divisor(self, slot: Slot, group: dict[str, Any], out: Tensor | None = None) -> Tensor:
        return equations.denominator(slot._replace(E=slot.state["largest"]), group, out)


@dataclass(frozen=True)
class Adamax(Unweighted):
    """A decaying maximum of |g|.

        u ← max(βu, |g|)        E = u²

    so that E forgets at the rate β² (which `alpha` shows) wherever g² does not exceed it, and at once where it does. E is no mean
    of g²: there is no w to correct by, and `bias_correction` changes nothing.

    Source: Kingma & Ba 2015, ICLR, "Adam", algorithm 2. Only u is theirs: the momentum is this optimizer's.
    """

    example = "adamax:beta=0.999"
    source = "Kingma & Ba 2015"

    def update(self, state: State, at: LawInputs) -> tuple[State, Tensor]:
        _, beta = super().update(state, at)
        return state, beta.square_()

    def take(self, slot: Slot, g2: Tensor) -> None:
        torch.maximum(slot.E.mul_(self.beta**2), g2, out=slot.E)
