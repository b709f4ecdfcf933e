"""E that takes the sign of its error: it rises and falls by a step that does not depend on how far it is off."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rl_rmsprop.kernels.equations import Slot
from rl_rmsprop.laws.base import OneBeta, check_single


@dataclass(frozen=True)
class Yogi(OneBeta):
    """E moves towards g² by (1 − β)g², however far away it is.

        E ← E + (1 − β)·sign(g² − E)·g²

    Where g² is far below E it falls by a small multiple of g², not of E: a decrease of the gradient is forgotten much more slowly
    than by RMSProp, an increase as fast. E cannot become negative. w ← βw + (1 − β), as RMSProp's (the authors start E at 1e-6
    instead; `initial_accumulator_value` does that).

    Source: Zaheer, Reddi, Sachan, Kale & Kumar 2018, NeurIPS, "Adaptive methods for nonconvex optimization", algorithm 2. Only E
    is theirs: the momentum is this optimizer's.
    """

    example = "yogi:beta=0.999"
    source = "Zaheer et al. 2018"

    def take(self, slot: Slot, g2: Tensor) -> None:
        slot.E.add_(signed(slot, g2), alpha=1 - self.beta)


@dataclass(frozen=True)
class Ano(OneBeta):
    """E rises as RMSProp's and falls faster, by 2(1 − β)g² an update.

        E ← βE + (1 − β)·sign(g² − E)·g²

    the opposite of `asymmetric:rise=0.9,fall=0.999`. Where g² hardly changes E settles below its mean. β is at least 0.5, below
    which E could become negative. w ← βw + (1 − β), as RMSProp's: E/w is the authors' v/(1 − βᵗ).

    Source: the authors' code, github.com/Adrienkgz/ano-experiments, of Kegreisz 2025 (arXiv:2508.18258). Only E is theirs: their
    step goes along the sign of a momentum and has ε inside the root (`eps_in_sqrt`).
    """

    example = "ano:beta=0.999"
    source = "arXiv:2508.18258"

    def validate(self) -> None:
        check_single("beta", self.beta)
        if self.beta < 0.5:
            raise ValueError(f"beta must be at least 0.5, got {self.beta}: below it E can become negative")

    def take(self, slot: Slot, g2: Tensor) -> None:
        change = signed(slot, g2)
        slot.E.mul_(self.beta).add_(change, alpha=1 - self.beta)


def signed(slot: Slot, g2: Tensor) -> Tensor:
    """sign(g² − E)·g²."""
    return torch.sub(g2, slot.E).sign_().mul_(g2)
