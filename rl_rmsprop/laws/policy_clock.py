"""Forgetting by how far the policy has moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rl_rmsprop import signals
from rl_rmsprop.detectors import State
from rl_rmsprop.kernels import equations
from rl_rmsprop.laws.base import BetaLaw, LawInputs
from rl_rmsprop.laws.elementwise import check_bounds
from rl_rmsprop.schedules import check_positive


@dataclass(frozen=True)
class PolicyClock(BetaLaw):
    """E forgets by the distance that the policy has moved, not by the number of updates.

        β = exp(−KL/κ), within [min, max]        KL: mean divergence of the policies before and after the last update

    What makes old gradients stale is that the policy that made them has gone. A squared gradient counts 1/e as much once the
    policy has moved by κ nats, whether that took ten updates or a thousand: a policy that stands still forgets as slowly as `max`
    allows, and twice the step (four times the divergence) makes the window 1/(1 − β) a quarter as long.

    The training loop reports KL by `observe(kl=…)`, per run, as the agents here do. Where nobody does,

        KL ≈ ½ Σ Δθ²·Ê

    stands in: the second-order expansion of KL with the diagonal of the Fisher information in place of the whole, and Ê in place
    of that diagonal. It assumes that the gradients are those of log-likelihoods of single samples with advantages near ±1, and
    that their mean is small beside their spread; a mean over a batch of B steps makes Ê, and so KL, about B times too small. κ is
    then a number to be tuned and not in nats.

    w is that of the βs, as for any schedule. Source: this package.
    """

    kl: float = 0.02
    """κ: nats after which a squared gradient counts 1/e as much, > 0."""
    max: float = 0.999
    """Largest β, in [0, 1)."""
    min: float = 0.0
    """Least β, in [0, 1), at most `max`."""

    example = "policy_clock:kl=0.02,max=0.999"
    source = "this package"
    listens_to = "kl"
    follows_parameters = True

    def validate(self) -> None:
        check_positive("kl", self.kl, "nats")
        check_bounds(self.min, self.max)

    def initial_parameter_state(self, E: Tensor, w: float, keys: Tensor, group: dict[str, Any], p: Tensor) -> State:
        return super().initial_parameter_state(E, w, keys, group, p) | {"before": p.clone()}

    def decide(self, state: State, at: LawInputs) -> tuple[State, Tensor]:
        kl = at.signal
        if not (kl.is_cpu and not kl.isnan().any()):  # elsewhere to ask takes longer
            kl = torch.where(kl.isnan(), self.movement(at), kl)
        beta = torch.exp(-kl.clamp(min=0.0) / self.kl).clamp(self.min, self.max).nan_to_num(self.max)
        for slot, before in zip(at.slots, at.states("before"), strict=True):
            before.copy_(slot.p)
        return state, beta

    def movement(self, at: LawInputs) -> Tensor:
        """½ Σ Δθ²·Ê of the last step, [] or [R] float64."""
        moved = (
            torch.sub(slot.p, before).square_().mul_(equations.mean_square(slot, at.group))
            for slot, before in zip(at.slots, at.states("before"), strict=True)
        )
        return 0.5 * signals.total(moved, at.per_run).double()
