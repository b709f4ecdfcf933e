"""One update of one parameter: the equations of AdaptiveRMSprop, in place on its tensors.

    E ← βE + (1 − β)g²        w ← βw + (1 − β)                    w: the weight that E has received, w₀ = 0
    θ ← θ − lr · g / (√Ê + ε)       Ê = E,  or E/w with bias_correction,  or √(Ê + ε) with eps_in_sqrt
    m ← βm + (1 − β)g         Ê = max(E − m², (1 − β)E), or that over w                            with centered

β is a number, [] or [R], or shaped like the parameter. A variance below (1 − β)E is not known: so large is the sampling
error of a mean over 1/(1 − β) gradients, and after one gradient the variance is all rounding.

An update has two halves: `remember` moves E and w (a law of its own may take its place), `move` the parameter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Slot(NamedTuple):
    """The tensors of one parameter, all real; shapes are the parameter's unless said otherwise."""

    p: Tensor
    g: Tensor  # gradient, with weight decay and sign
    E: Tensor
    w: Tensor  # weight received by E: [], [R], or the parameter's shape
    keeps_w: bool  # whether w is part of the state
    step: Tensor  # []  updates made
    buffer: Tensor | None  # momentum
    mean: Tensor | None  # running mean of g, for centered
    kept: dict[str, Tensor]  # all that is kept of the parameter; laws find there what they need beside E and w


def slot(p: Tensor, state: dict[str, Tensor], group: dict[str, Any], runs: int | None) -> Slot:
    """The tensors of `p`; g is zero where it has no gradient."""
    g = torch.zeros_like(p) if p.grad is None else -p.grad if group["maximize"] else p.grad
    g = g if group["weight_decay"] == 0 else g.add(p, alpha=group["weight_decay"])
    w = state.get("weight")
    if w is None:  # torch's update with a number for β: w is known without being kept
        w = received(group["alpha"], state["step"]).to(p.device)
        w = w.expand(runs) if runs else w
    buffer, mean = (state.get(name) for name in ("momentum_buffer", "grad_avg"))
    return Slot(
        real(p), real(g), real(state["square_avg"]), w, "weight" in state, state["step"],
        None if buffer is None else real(buffer), None if mean is None else real(mean), state,
    )  # fmt: skip


def received(beta: float, updates: Tensor) -> Tensor:
    """The weight 1 − βᵗ that E has received in t updates with the same β, [] float64."""
    return 1 - beta ** updates.double()


def mean_square(slot: Slot, group: dict[str, Any]) -> Tensor:
    """Ê before the update, as the surprise and the laws need it; g² where E has received nothing yet."""
    if group["initial_accumulator_value"]:
        return slot.E
    w = column(slot.w, slot.E).to(slot.E.dtype)
    return torch.where(w > 0, slot.E / w, slot.g.square())


def clear(slot: Slot, alarm: Tensor) -> None:
    """Let E forget everything in the runs of an alarm ([] or [R])."""
    for average in (slot.E, slot.mean):
        if average is not None:
            average.mul_(column(~alarm, average))
    slot.w.mul_(~alarm)


def remember(slot: Slot, g2: Tensor, beta: float | Tensor) -> None:
    """E takes `g2`, which is g², and w its weight, in place."""
    if isinstance(beta, float):
        slot.E.mul_(beta).addcmul_(slot.g, slot.g, value=1 - beta)  # torch's order of rounding
        forget: float | Tensor = 1 - beta
    else:
        forget = column(1 - beta, slot.E).to(slot.E.dtype)
        slot.E.lerp_(g2, forget)
    if slot.mean is not None:
        slot.mean.lerp_(slot.g, forget)
    if slot.keeps_w:
        slot.w.add_((1 - slot.w) * (1 - beta))


def move(slot: Slot, group: dict[str, Any], lr_per_run: bool) -> None:
    """The parameter takes its step, in place; E has taken g²."""
    slot.step.add_(1)
    root = denominator(slot, group)
    lr = group["lr"]
    if isinstance(lr, Tensor) and not lr_per_run and not group["capturable"]:
        lr = lr.item()  # as torch does where the step is not captured
    if slot.buffer is not None:
        slot.buffer.mul_(group["momentum"]).addcdiv_(slot.g, root)
    if isinstance(lr, Tensor):
        slot.p.sub_((slot.g / root if slot.buffer is None else slot.buffer) * column(lr, root))
    elif slot.buffer is not None:
        slot.p.add_(slot.buffer, alpha=-lr)
    else:
        slot.p.addcdiv_(slot.g, root, value=-lr)


def variance(slot: Slot, group: dict[str, Any]) -> Tensor:
    """Ê after the update, which divides the gradient: E or E/w, or with `centered` the variance of g."""
    E = slot.E
    if slot.mean is not None:
        beta = group["alpha"]
        least = E * (column(1 - beta, E).to(E.dtype) if isinstance(beta, Tensor) else 1 - beta)
        E = torch.maximum(E.addcmul(slot.mean, slot.mean, value=-1), least)
    return E / column(slot.w, E).to(E.dtype) if group["bias_correction"] else E


def denominator(slot: Slot, group: dict[str, Any]) -> Tensor:
    """√Ê + ε, or √(Ê + ε)."""
    E = variance(slot, group)
    return E.add(group["eps"]).sqrt_() if group["eps_in_sqrt"] else E.sqrt().add_(group["eps"])


class Snapshot(NamedTuple):
    """What torch's centered update may turn into NaN."""

    g: Tensor
    p: Tensor
    buffer: Tensor | None


def snapshot(slot: Slot) -> Snapshot:
    """A copy of parameter, momentum and gradient before the update."""
    return Snapshot(slot.g.clone(), slot.p.clone(), None if slot.buffer is None else slot.buffer.clone())


@torch.no_grad()
def mend_centered(before: Snapshot, after: Slot, group: dict[str, Any]) -> None:
    """Redo torch's centered update where rounding has made its variance E − m² negative and the parameter NaN.

    There the gradient hardly varies, and its variance is known only up to the rounding of E, which stands in for it.
    """
    bad = after.p.isnan() & before.p.isfinite() & after.E.isfinite()
    change = before.g / ((after.E * torch.finfo(after.E.dtype).eps).sqrt() + group["eps"])
    if after.buffer is not None and before.buffer is not None:
        change = group["momentum"] * before.buffer + change
        after.buffer.copy_(torch.where(bad, change, after.buffer))
    after.p.copy_(torch.where(bad, before.p - group["lr"] * change, after.p))


def real(x: Tensor) -> Tensor:
    """A complex tensor as real numbers with a last axis of 2; a real one as it is."""
    return torch.view_as_real(x) if torch.is_complex(x) else x


def column(x: Tensor, like: Tensor) -> Tensor:
    """Numbers for the first axes of `like`, such as one per run [R], with as many axes; scalars and full shapes as they are."""
    return x.view(*x.shape, *[1] * (like.dim() - x.dim())) if 0 < x.dim() < like.dim() else x


def surely_finite(tensors: Sequence[Tensor]) -> bool:
    """Whether all entries and their squares are finite, told by the lengths of rows: quick, but False for some that are.

    The squares of the lengths may overflow where those of the entries do not; tensors of several types are not looked at.
    """
    if any(t.dtype != tensors[0].dtype for t in tensors):
        return False
    lengths = torch.cat([torch.linalg.vector_norm(t, dim=-1).flatten() for t in tensors])
    return math.isfinite(lengths.square_().sum().item())


def all_finite(tensors: Sequence[Tensor], runs: int | None) -> Tensor:
    """Whether all entries and their squares are finite: [] bool, or [R]."""
    flags = [torch.isfinite(real(t).square()) for t in tensors]
    return torch.stack([f.reshape(runs, -1).all(1) if runs else f.all() for f in flags]).all(0)
