"""A β for every parameter, from how well its gradients agree with each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from rl_rmsprop import signals
from rl_rmsprop.detectors import State
from rl_rmsprop.kernels import equations
from rl_rmsprop.kernels.equations import Slot, broadcast_runs
from rl_rmsprop.kernels.native_laws import CompiledLaw
from rl_rmsprop.laws.base import Law, LawInputs, check_single
from rl_rmsprop.schedules import check_updates


class Elementwise(Law):
    """Base of laws with a β and a w for every entry of a parameter."""

    numbers: ClassVar[tuple[str, ...]] = ()

    def initial_parameter_state(self, E: Tensor, w: float, keys: Tensor, group: dict[str, Any], p: Tensor) -> State:
        return {"weight": torch.full_like(E, w, dtype=torch.promote_types(E.dtype, torch.float32))}

    def update(self, state: State, at: LawInputs) -> tuple[State, Tensor]:
        shares, size = at.numbers(0.0), 0
        for slot, g2 in at.updates():
            share, w = self.take(slot, g2, at.group), slot.state["weight"]
            w.lerp_(torch.ones((), dtype=w.dtype, device=w.device), share)
            shares += signals.total([share], at.per_run)
            size += share.numel() // shares.numel()
        return state, 1 - shares / size

    def take(self, slot: Slot, square: Tensor, group: dict[str, Any]) -> Tensor:
        """One update of E, in place; returns `share`."""
        share = self.share(slot, square, group)
        slot.E.lerp_(square, share.to(slot.E.dtype))
        return share

    def share(self, slot: Slot, square: Tensor, group: dict[str, Any]) -> Tensor:
        """1 − β, the share of g² in each entry of E; updates what the law stores of the parameter, but not E and w.

        Not β: in single precision 1 − 0.999 is wrong in its fifth digit.
        """
        raise TypeError(f"{type(self).__name__} must define share(slot, square, group)")


@dataclass(frozen=True)
class Smorms3(Elementwise):
    """The memory of each entry grows while its gradients disagree, and shrinks where they agree; the step is at most x.

        r = 1/(τ + 1)      m ← (1 − r)m + rg      E ← (1 − r)E + rg²      x = m²/(E + 1e-16)
        θ ← θ − min(lr, x)·g/(√E + ε)             τ ← 1 + τ(1 − x),       τ₀ = 1

    so that β = 1 − r = τ/(τ + 1). With noise around zero x is near 0 and τ grows without bound: a change of the noise's size is
    then never forgotten. w is that of every entry's own β; the author corrects nothing.

    Source: Funk 2015, "RMSprop loses to SMORMS3" (blog, sifter.org/~simon/journal/20150420.html).
    """

    example = "smorms3"
    source = "Funk 2015"

    def initial_parameter_state(self, E: Tensor, w: float, keys: Tensor, group: dict[str, Any], p: Tensor) -> State:
        state = super().initial_parameter_state(E, w, keys, group, p)
        return state | {"tau": torch.ones_like(state["weight"]), "m": torch.zeros_like(state["weight"])}

    def compiled(self) -> CompiledLaw:
        return CompiledLaw("smorms3", entries=("weight", "tau", "m"))

    def take(self, slot: Slot, square: Tensor, group: dict[str, Any]) -> Tensor:
        tau, m = slot.state["tau"], slot.state["m"]
        r = (tau + 1).reciprocal_()
        m.lerp_(slot.g.to(m.dtype), r)
        slot.E.lerp_(square, r.to(slot.E.dtype))
        x = m.square().div_(slot.E + SMORMS3_EPS)
        tau.mul_(torch.rsub(x, 1)).add_(1)
        return r

    def divisor(self, slot: Slot, group: dict[str, Any], out: Tensor | None = None) -> Tensor:
        root = equations.denominator(slot, group, out)
        x = slot.state["m"].square().div_(slot.E + SMORMS3_EPS).clamp_(min=signals.TINY)
        lr = broadcast_runs(group["lr"], root) if isinstance(group["lr"], Tensor) else group["lr"]
        return torch.maximum(root, torch.div(root, x, out=x).mul_(lr), out=root)  # lr / (root · lr/x) = x / root


SMORMS3_EPS = 1e-16


@dataclass(frozen=True)
class MaxVA(Elementwise):
    """Each entry takes the β, within bounds, that makes its variance largest: it forgets fast where a gradient stands out.

        u = U/w, v = E/w, s² = v − u², d² = (g − u)²          before the update
        β = clip( (d² + s²) / (w(d² − s²) + d² + s²), min, max),        max at the first update
        U ← βU + (1 − β)g        E ← βE + (1 − β)g²        w ← βw + (1 − β)

    The authors always divide by E/w: that is `bias_correction`. E is larger than RMSProp's on the whole, so that lr has to be
    tuned anew.

    Source: Zhu et al. 2020 (arXiv:2006.11918), "MaxVA: Fast adaptation of step sizes by maximizing observed variance of
    gradients", and the authors' code, github.com/zhuchen03/MaxVA. Only E is theirs: the momentum is this optimizer's.
    """

    min: float = 0.5
    """Least β, in [0, 1)."""
    max: float = 0.999
    """Largest β, in [0, 1), at least `min`."""

    example = "maxva"
    source = "arXiv:2006.11918"

    def validate(self) -> None:
        check_bounds(self.min, self.max)

    def initial_parameter_state(self, E: Tensor, w: float, keys: Tensor, group: dict[str, Any], p: Tensor) -> State:
        state = super().initial_parameter_state(E, w, keys, group, p)
        return state | {"mean": torch.zeros_like(state["weight"])}

    def compiled(self) -> CompiledLaw:
        return CompiledLaw("maxva", (1 - self.max, 1 - self.min), ("weight", "mean"))

    def share(self, slot: Slot, square: Tensor, group: dict[str, Any]) -> Tensor:
        w, U = slot.state["weight"], slot.state["mean"]
        g = slot.g.to(U.dtype)
        received = w.clamp(min=1e-8)  # below every w but 0, where the share comes out as 0 and is that of `max`
        u = U / received
        s2 = torch.div(slot.E, received).sub_(u.square())
        d2 = torch.sub(g, u, out=u).square_()
        total = torch.add(d2, s2, out=received)
        change = d2.sub_(s2).mul_(w)
        share = change.div_(total.add_(change).add_(1e-16)).clamp_(1 - self.max, 1 - self.min)  # 1 − β
        U.lerp_(g, share)
        return share


@dataclass(frozen=True)
class AdaSmooth(Elementwise):
    """Each entry forgets slowly while it moves to and fro, and fast while it moves in one direction.

        e = |Σ Δθ| / Σ |Δθ|        over the last steps, from `updates` to twice as many
        c = (long − short)e + (1 − long)        β = 1 − c²

    so that with the defaults β is between 0.75 (a straight path; also before the first step) and 0.9999 (no progress). The
    authors' sums are over the last `updates` steps exactly, which all would have to be stored; these are over the last full
    `updates` steps and those since.
    w is that of every entry's own β; the authors correct nothing and have ε inside the root (`eps_in_sqrt`).

    Source: Lu 2022 (arXiv:2204.00825), "AdaSmooth: An adaptive learning rate method based on effective ratio".
    """

    short: float = 0.5
    """ρ₁ of the paper: decay rate of the fast end, in [0, 1)."""
    long: float = 0.99
    """ρ₂ of the paper: decay rate of the slow end, in [0, 1), at least `short`."""
    updates: int = 100
    """Steps that the sums are over, at least."""

    example = "adasmooth"
    source = "arXiv:2204.00825"
    numbers = ("steps",)
    follows_parameters = True

    def validate(self) -> None:
        check_bounds(self.short, self.long, ("short", "long"))
        check_updates("updates", self.updates)

    def initial_parameter_state(self, E: Tensor, w: float, keys: Tensor, group: dict[str, Any], p: Tensor) -> State:
        state = super().initial_parameter_state(E, w, keys, group, p)
        sums = {name: torch.zeros_like(state["weight"]) for name in ("path", "length", "last_path", "last_length")}
        return state | sums | {"before": p.clone(), "steps": torch.zeros(keys.shape, dtype=torch.float64, device=E.device)}

    def compiled(self) -> CompiledLaw:
        settings = (1 - self.long, self.long - self.short, float(self.updates))
        return CompiledLaw("adasmooth", settings, ("weight", "path", "length", "last_path", "last_length", "before"), "steps")

    def share(self, slot: Slot, square: Tensor, group: dict[str, Any]) -> Tensor:
        before, steps = slot.state["before"], slot.state["steps"]
        step = torch.sub(slot.p, before)
        before.copy_(slot.p)
        sums, full = {}, (steps - 1) % self.updates == 0
        turns = not full.is_cpu or bool(full.any())  # elsewhere to ask takes longer
        full = broadcast_runs(full, step)
        for name in ("path", "length"):
            now, last = slot.state[name], slot.state[f"last_{name}"]
            if turns:
                last.copy_(torch.where(full, now, last))
                now.masked_fill_(full, 0.0)
            now.add_(step)
            sums[name] = now + last
            step.abs_()
        steps.add_(1)
        ratio = sums["path"].abs_().div_(sums["length"]).nan_to_num_(1.0)  # 0/0 where nothing has moved
        least = torch.full((), 1 - self.long, dtype=ratio.dtype, device=ratio.device)
        return torch.add(least, ratio, alpha=self.long - self.short, out=ratio).square_()


def check_bounds(low: float, high: float, names: tuple[str, str] = ("min", "max")) -> None:
    """ValueError unless both are decay rates in this order."""
    for name, value in zip(names, (low, high), strict=True):
        check_single(name, value)
    if low > high:
        raise ValueError(f"{names[0]} must be at most {names[1]}, got {low} and {high}")
