"""E from the last momentum: the square of a mean of gradients in place of a mean of their squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rl_rmsprop.detectors import State
from rl_rmsprop.kernels.equations import Slot, broadcast_runs
from rl_rmsprop.laws.base import Unweighted, check_single


@dataclass(frozen=True)
class AdamS(Unweighted):
    """E is the square of the last momentum with a share of the new g²: no average of squares is stored.

        E = βm² + (1 − β)g²        then        m ← μm + (1 − μ)g

    Where the gradient is noise, m² is (1 − μ)/(1 + μ) of its mean square, so that E follows the size of the gradients within
    1/(1 − μ) updates. E is no mean of g²; as the authors do it nothing is corrected, and `bias_correction` changes nothing: at
    the first update E = (1 − β)g².

    Source: Zhang et al. 2025 (arXiv:2505.16363), "AdamS: Momentum itself can be a normalizer". Only E is theirs: the step here
    goes along g, or along this optimizer's own momentum.
    """

    beta: float = 0.95
    """Share of the last momentum in E, in [0, 1)."""
    momentum: float = 0.9
    """Decay rate μ of m, in [0, 1)."""

    example = "adams:beta=0.95"
    source = "arXiv:2505.16363"

    def validate(self) -> None:
        check_single("beta", self.beta)
        check_single("momentum", self.momentum)

    def initial_parameter_state(self, E: Tensor, w: float, keys: Tensor, group: dict[str, Any], p: Tensor) -> State:
        return super().initial_parameter_state(E, w, keys, group, p) | {"m": torch.zeros_like(E)}

    def take(self, slot: Slot, g2: Tensor) -> None:
        m = slot.state["m"]
        torch.mul(m, m, out=slot.E).mul_(self.beta).add_(g2, alpha=1 - self.beta)
        m.lerp_(slot.g.to(m.dtype), 1 - self.momentum)


@dataclass(frozen=True)
class Bcos(Unweighted):
    """E is the mean square that a momentum expects of its next value, given the last one.

        E = (1 − (1 − β)²)m² + (1 − β)²g²        then        m ← βm + (1 − β)g,        m₀ = g₀

    `exact` has the authors' other estimator, (3β² − 2β³)m² + (1 − β)²g² + 2β(1 − β)²mg, which their code takes by default. At the
    first update E = g². E is no mean of g², and `bias_correction` changes nothing.

    Source: Chen & Xiao 2025 (arXiv:2507.08963), "Stochastic approximation with block coordinate optimal stepsizes", BCOS-c, and
    the authors' code, github.com/facebookresearch/bcos. Only E is theirs: the step here goes along g.
    """

    beta: float = 0.9
    """Decay rate of m, in [0, 1)."""
    exact: bool = False
    """Whether E is the authors' longer estimator."""

    example = "bcos:beta=0.9"
    source = "arXiv:2507.08963"
    numbers = ("weight", "begun")

    def initial_parameter_state(self, E: Tensor, w: float, keys: Tensor, group: dict[str, Any], p: Tensor) -> State:
        state = super().initial_parameter_state(E, w, keys, group, p)
        return state | {"m": torch.zeros_like(E), "begun": torch.zeros(keys.shape, dtype=torch.bool, device=E.device)}

    def take(self, slot: Slot, g2: Tensor) -> None:
        b, m, begun = self.beta, slot.state["m"], slot.state["begun"]
        g = slot.g.to(m.dtype)
        if not (begun.is_cpu and begun.all()):  # elsewhere to ask takes longer
            m.copy_(torch.where(broadcast_runs(begun, m), m, g))
            begun.fill_(True)
        torch.mul(m, m, out=slot.E).mul_(3 * b**2 - 2 * b**3 if self.exact else 1 - (1 - b) ** 2).add_(g2, alpha=(1 - b) ** 2)
        if self.exact:
            slot.E.addcmul_(m, g, value=2 * b * (1 - b) ** 2).clamp_(min=0.0)
        m.lerp_(g, 1 - b)
