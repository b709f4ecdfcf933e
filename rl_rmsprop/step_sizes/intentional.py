"""The step by which the loss falls by a given amount."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rl_rmsprop import signals
from rl_rmsprop.kernels.backends import State
from rl_rmsprop.kernels.equations import broadcast_runs
from rl_rmsprop.step_sizes.base import StepInputs, StepSize

LEAST = 1e-8
"""Least u, as in the authors' code."""


@dataclass(frozen=True)
class Intentional(StepSize):
    """The step is solved for: to first order, the loss falls by η.

        n = Σ g²/root        σ ← σ + (1 − d)(n − σ),  σ̂ = σ/(1 − dᵗ)        u = √(σ̂ n)
        θ ← θ − lr · η/max(u, 1e-8) · g/root

    Sums are over all parameters of a group (and of one run); root is √Ê + ε, whatever the β rule makes of E. A step s·g/root
    changes the loss by −s·n to first order, so that with d = 0, where u = n, it falls by lr·η, in units of the loss. With d > 0 n
    is measured against its own running mean, and the loss falls by lr·η·√(n/σ̂): more where the gradient is large.

    lr is a factor, and 1 is the authors' step: their code takes an lr and ignores it. Here a schedule of lr, tuning and matched
    step sizes keep their meaning. Clipping the gradient itself makes the step longer, since the loss of a shorter gradient falls
    more slowly; with `observe(step_scale=c)` the step is solved for with the gradient before clipping, and then c times as long.

    The authors' updates are of one transition: g is that of ln π(a|s) or V(s) with a trace of decay γλ, and their step is
    multiplied by the TD error δ, normalised for the policy. In a batch's gradient every transition has its own δ, and its
    advantages are the traces; so this is their step for δ = 1 and λ = 0, and γλ, which is also the decay of their σ, is d.

    Source: 2604.19033 and the authors' code, github.com/sharifnassab/Intentional_RL (optimizer.py, commit 35a5811); η is 0.05
    there for policies, 0.5 for values.
    """

    eta: float = 0.05
    """η: how far the loss is to fall in one update, > 0, in its own units: nats times normalised advantage, for a policy."""
    decay: float = 0.0
    """d: decay rate of the running mean of n, in [0, 1)."""

    example = "intentional:eta=0.05"
    source = "arXiv:2604.19033"
    usual_lr = 1.0
    takes_momentum = False

    def validate(self) -> None:
        if not 0 < self.eta < float("inf"):
            raise ValueError(f"eta must be greater than 0 and finite, got {self.eta}: the authors have 0.05 for policies")
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay must be in [0, 1), got {self.decay}: 0 looks at the present gradient alone")

    def initial_group_state(self, keys: Tensor) -> State:
        zero = torch.zeros(keys.shape, dtype=torch.float64, device=keys.device)
        return super().initial_group_state(keys) | {"sigma": zero, "updates": zero}

    def apply(self, state: State, at: StepInputs) -> State:
        directions = at.directions()
        products = (d * slot.g for slot, d in zip(at.slots, directions, strict=True))
        n = signals.total(products, at.per_run).double()
        updates, sigma = state["updates"] + 1, state["sigma"] + (1 - self.decay) * (n - state["sigma"])
        u = (sigma / (1 - self.decay**updates) * n).sqrt()
        scale = self.eta / u.clamp(min=LEAST)
        lr = scale * at.group["lr"]
        factor = lr if at.clip is None else lr * at.clip
        for slot, change in zip(at.slots, directions, strict=True):
            slot.p.sub_(change.mul_(broadcast_runs(factor, change).to(change.dtype)))
        moved = at.squared_length(directions)
        return {"scale": scale, "moved": moved, "sigma": sigma, "updates": updates}
