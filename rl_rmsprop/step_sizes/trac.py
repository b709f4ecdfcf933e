"""A step size without a parameter: how far to follow the optimizer's own path from where it started."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from rl_rmsprop import signals
from rl_rmsprop.kernels.backends import State
from rl_rmsprop.kernels.equations import broadcast_runs, clipped
from rl_rmsprop.step_sizes.base import StepInputs, StepSize


@dataclass(frozen=True)
class Trac(StepSize):
    """θ is where it started, plus S times the path that the optimizer would have gone, and S grows while that path pays off.

        Δ ← Δ·S/(S + ε)        h = Σ Δ·g        Δ ← Δ − lr·g/root
        v_k ← b_k²v_k + h²        σ_k ← b_k σ_k − h        s_k = start · erfi(σ_k/(√2·√v_k + ε))/erfi(1/√2)
        S = Σ_k s_k        θ = θ₀ + max(S, 0)·Δ

    Sums are over all parameters of a group (and of one run); erfi(x) = 2/√π ∫₀ˣ exp(t²) dt; v₀ = 0, σ₀ = ε. While Δ keeps
    pointing downhill (h < 0), S grows like exp(σ²/2v), whatever lr is; once it points uphill, S falls, and θ returns towards
    where it started. Where S is not positive, θ is θ₀ and the path begins anew.

    The paper has no ε; it is the code's, and slows the first updates: while S is near `start`, Δ is halved at each. Apart from
    that the code rounds: it computes Δ from θ − θ₀, which is zero in single precision while S is small, and its erfi is up to 1 %
    off. Here Δ is stored and erfi exact, so that the path is the code's in exact arithmetic; a θ that something else has changed
    returns to the path. Arguments of erfi beyond 26 count as 26.

    Source: Muppidi, Zhang and Yang 2024, NeurIPS, "Fast TRAC: A parameter-free optimizer for lifelong reinforcement learning"
    (arXiv:2405.16642), and the authors' code, PyPI trac-optimizer 0.0.2 (github.com/ComputationalRobotics/TRAC).
    """

    start: float = 1e-8
    """Size of each s_k for σ_k = √v_k, > 0: `s_prev` of the code."""
    decays: tuple[float, ...] = (0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999)
    """The b_k, each in [0, 1]: `betas` of the code."""
    eps: float = 1e-8
    """ε of the code, > 0."""

    example = "trac"
    source = "arXiv:2405.16642"
    needs_E = False
    parameter_state = ("origin", "travel")

    def validate(self) -> None:
        for name in ("start", "eps"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be greater than 0 and finite, got {getattr(self, name)}: the authors have 1e-8")
        if not self.decays or not all(0 <= b <= 1 for b in self.decays):
            raise ValueError(f"decays must be at least one number, each in [0, 1], got {self.decays}: such as 0.9/0.99/0.999")

    def initial_group_state(self, keys: Tensor) -> State:
        zero = torch.zeros(*keys.shape, len(self.decays), dtype=torch.float64, device=keys.device)
        scale = torch.zeros(keys.shape, dtype=torch.float64, device=keys.device)
        return {"scale": scale, "moved": scale, "sum": scale, "variance": zero, "sigma": zero + self.eps}

    def initial_parameter_state(self, p: Tensor) -> State:
        return {"origin": p.clone(), "travel": torch.zeros_like(p)}

    def apply(self, state: State, at: StepInputs) -> State:
        gradients = [clipped(slot.g, at.clip) for slot in at.slots]
        travels = [slot.state["travel"] for slot in at.slots]
        new = self.before_step(state, travels, gradients, at.per_run)
        for (slot, root), g, travel in zip(at.pairs(), gradients, travels, strict=True):
            if slot.buffer is None:
                step = torch.div(g, root, out=root)
            else:
                step = torch.clone(slot.buffer.mul_(at.group["momentum"]).addcdiv_(g, root))
            lr = at.group["lr"]
            travel.sub_(step.mul_(broadcast_runs(lr, step) if isinstance(lr, Tensor) else lr))
        scale = new["scale"]
        for (slot, place), travel in zip(at.pairs(), travels, strict=True):
            torch.mul(travel, broadcast_runs(scale, travel).to(travel.dtype), out=place).add_(slot.state["origin"])
            slot.p.sub_(place)
        moved = at.squared_length(slot.p for slot in at.slots)
        for slot, place in at.pairs():
            slot.p.copy_(place)
        return new | {"moved": moved}

    def before_step(self, state: State, travels: Sequence[Tensor], gradients: Sequence[Tensor], per_run: bool) -> State:
        """The first line above, for all Δ in place, then v, σ and S: the group's next state, but for what the step decides."""
        kept = torch.where(state["sum"] > 0, state["sum"] / (state["sum"] + self.eps), 0.0)
        for travel in travels:
            travel.mul_(broadcast_runs(kept, travel).to(travel.dtype))
        pairs = zip(travels, gradients, strict=True)
        h = signals.total((travel * g for travel, g in pairs), per_run).double().unsqueeze(-1)  # [1] or [R, 1]
        b = numbers(self.decays, h.device)  # [K]
        variance, sigma = state["variance"] * b.square() + h.square(), state["sigma"] * b - h
        s = erfi(sigma / (math.sqrt(2) * variance.sqrt() + self.eps)) * (self.start / erfi_of_one_deviation())
        total = reduce(torch.add, s.unbind(-1))
        return {"variance": variance, "sigma": sigma, "sum": total, "scale": total.clamp(min=0.0)}


# The imaginary error function, which torch does not have -----------------------------------------------------------------

SPACING = 0.25
"""h below; the sum's relative error is exp(−(π/2h)²), 7e-18."""
LARGEST = 26.0
"""Arguments beyond count as this one: erfi would overflow soon."""
LEAST = -200.0
"""Least exponent: smaller ones make numbers that a processor is slow with."""
TERMS = int((LARGEST + 7) / SPACING / 2) + 1
ODD = tuple(range(1, 2 * TERMS, 2))
"""The n. A term is largest where n·h is the argument, and exp(−49) of that seven beyond it."""


def erfi(x: Tensor) -> Tensor:
    """2/√π ∫₀ˣ exp(t²) dt of float64, relative error about 1e-15, by Rybicki's sum (Numerical Recipes, §6.10).

    erfi(x) = 4/π Σ exp(−(nh)²) sinh(2nhx)/n over n = 1, 3, 5, …
    """
    n = numbers(ODD, x.device)
    a = x.abs().clamp(max=LARGEST).unsqueeze(-1)
    nh = n * SPACING
    exponents = (nh * (2 * a - nh)).clamp(min=LEAST)
    terms = torch.exp(exponents) * -torch.expm1(-4 * nh * a) / n  # [..., TERMS]
    rows = terms.reshape(-1, TERMS).sum(1).view(x.shape)
    return torch.copysign(rows * (2 / math.pi), x)


@functools.lru_cache
def numbers(values: tuple[float, ...], device: torch.device) -> Tensor:
    """A tensor of float64, not to be changed: to make one at every update would have a device wait."""
    return torch.tensor(values, dtype=torch.float64, device=device)


@functools.lru_cache
def erfi_of_one_deviation() -> float:
    """erfi(1/√2)."""
    return float(erfi(torch.tensor(math.sqrt(0.5), dtype=torch.float64)))
