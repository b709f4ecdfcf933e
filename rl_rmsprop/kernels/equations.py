"""One update of one parameter: the equations of AdaptiveRMSprop, in place on its tensors.

    E ← βE + (1 − β)g²        w ← βw + (1 − β)                    w: the weight that E has received, w₀ = 0
    θ ← θ − lr · g / (√Ê + ε)       Ê = E,  or E/w with bias_correction,  or √(Ê + ε) with eps_in_sqrt
    m ← βm + (1 − β)g         Ê = max(E − m², (1 − β)E), or that over w                            with centered

β is a number, [] or [R], or shaped like the parameter. A variance below (1 − β)E is not known: so large is the sampling
error of a mean over 1/(1 − β) gradients, and after one gradient the variance is all rounding.

An update has two halves: `update_mean_square` moves E (a law of its own may take its place), `apply_step` the parameter; `update_weights` moves w.
They are the definition. rl_rmsprop/kernels/fused.py does the same for all parameters of a group at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Slot(NamedTuple):
    """The tensors of one parameter, all real; shapes are the parameter's unless said otherwise."""

    p: Tensor
    g: Tensor  # gradient, with weight decay and sign
    E: Tensor
    w: Tensor | None  # weight received by E: [], [R], or the parameter's shape; None where it is 1 − βᵗ and not kept
    step: Tensor  # []  updates made
    buffer: Tensor | None  # momentum
    mean: Tensor | None  # running mean of g, for centered
    state: dict[str, Tensor]  # all that is kept of the parameter; laws find there what they need beside E and w


def slot(p: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> Slot:
    """The tensors of `p`; g is zero where it has no gradient."""
    g = torch.zeros_like(p) if p.grad is None else gradient(p.grad, p, group)
    buffer = state["momentum_buffer"] if group["momentum"] > 0 else None
    mean = state["grad_avg"] if group["centered"] else None
    return Slot(
        as_real(p), as_real(g), as_real(state["square_avg"]), state.get("weight"), state["step"],
        None if buffer is None else as_real(buffer), None if mean is None else as_real(mean), state,
    )  # fmt: skip


def slots(params: Sequence[Tensor], states: Sequence[dict[str, Tensor]], group: dict[str, Any]) -> list[Slot]:
    """The tensors of each parameter."""
    return [slot(p, state, group) for p, state in zip(params, states, strict=True)]


def state_tensors(states: Sequence[dict[str, Tensor]], name: str) -> list[Tensor]:
    """What is kept of each parameter under a name, real, where it is kept."""
    return [as_real(state[name]) for state in states if name in state]


def gradient(g: Tensor, p: Tensor, group: dict[str, Any]) -> Tensor:
    """The gradient that the update takes: with the sign of the objective, and weight decay."""
    g = -g if group["maximize"] else g
    return g if group["weight_decay"] == 0 else g.add(p, alpha=group["weight_decay"])


def weight_after(beta: float, updates: Tensor) -> Tensor:
    """The weight 1 − βᵗ that E has received in t updates with the same β, [] float64."""
    return 1 - beta ** updates.double()


def weight(state: dict[str, Tensor], group: dict[str, Any]) -> Tensor:
    """The w of a parameter's E, kept or not."""
    return state["weight"] if "weight" in state else weight_after(group["alpha"], state["step"]).to(state["square_avg"].device)


def mean_square(slot: Slot, group: dict[str, Any]) -> Tensor:
    """Ê before the update, as the surprise and the laws need it; g² where E has received nothing yet."""
    w = weight_after(group["alpha"], slot.step).to(slot.E.device) if slot.w is None else slot.w
    return expected(slot.E, slot.g, w, group)


def expected(E: Tensor, g: Tensor, w: Tensor, group: dict[str, Any], out: Tensor | None = None) -> Tensor:
    """As `mean_square`, from the tensors themselves; `out` is memory for it."""
    if group["initial_accumulator_value"]:
        return E
    mean = torch.div(E, broadcast_runs(w, E).to(E.dtype), out=out)
    if w.is_cpu and w.all():  # elsewhere the question would make the device wait
        return mean
    return torch.where(broadcast_runs(w, E) > 0, mean, g.square())


def ratio(E: Tensor, g: Tensor, w: Tensor, floor: float, group: dict[str, Any], out: Tensor | None = None) -> Tensor:
    """g²/(Ê + floor) before the update, of which the surprise is the mean's logarithm; `out` is memory for it."""
    denominator = torch.add(expected(E, g, w, group, out), floor, out=out)
    return torch.div(g, denominator, out=out).mul_(g)


def clear(averages: Iterable[Tensor], weights: Iterable[Tensor], alarm: Tensor) -> None:
    """Let E (and the mean of g) and w forget everything in the runs of an alarm ([] or [R])."""
    for average in (*averages, *weights):
        average.mul_(broadcast_runs(~alarm, average))


def update_weights(weights: list[Tensor], beta: float | Tensor) -> None:
    """Every w takes its share of 1, in place: w ← βw + (1 − β). Rounding leaves a w of 1 at 1."""
    if all([w.is_cpu and w.dim() == 0 and w.item() == 1 for w in weights]):  # elsewhere to ask takes longer
        return
    beta, forget = (torch.as_tensor(x, dtype=weights[0].dtype, device=weights[0].device) for x in (beta, 1 - beta))
    if beta.dim():
        torch._foreach_mul_(weights, [beta] * len(weights))
        torch._foreach_add_(weights, [forget] * len(weights))
    else:
        torch._foreach_mul_(weights, beta)
        torch._foreach_add_(weights, forget, alpha=1.0)


def update_mean_square(slot: Slot, beta: float | Tensor, g2: Tensor | None = None) -> None:
    """E takes g², in place; `g2` is that, if it is known already."""
    if isinstance(beta, float):
        slot.E.mul_(beta).addcmul_(slot.g, slot.g, value=1 - beta)  # torch's order of rounding
        forget: float | Tensor = 1 - beta
    else:
        forget = broadcast_runs(1 - beta, slot.E).to(slot.E.dtype)
        slot.E.lerp_(slot.g.square() if g2 is None else g2, forget)
    if slot.mean is not None:
        slot.mean.lerp_(slot.g, forget)


def apply_step(slot: Slot, group: dict[str, Any], lr_per_run: bool, out: Tensor | None = None) -> None:
    """The parameter takes its step, in place; E has taken g². `out` is memory for what divides g."""
    root = denominator(slot, group, out)
    lr = group["lr"]
    if isinstance(lr, Tensor) and not lr_per_run and not group["capturable"]:
        lr = lr.item()  # as torch does where the step is not captured
    if slot.buffer is not None:
        slot.buffer.mul_(group["momentum"]).addcdiv_(slot.g, root)
    if isinstance(lr, Tensor):
        slot.p.sub_((slot.g / root if slot.buffer is None else slot.buffer) * broadcast_runs(lr, root))
    elif slot.buffer is not None:
        slot.p.add_(slot.buffer, alpha=-lr)
    else:
        slot.p.addcdiv_(slot.g, root, value=-lr)


def variance(slot: Slot, group: dict[str, Any], out: Tensor | None = None) -> Tensor:
    """Ê after the update, which divides the gradient: E or E/w, or with `centered` the variance of g."""
    E = slot.E
    if slot.mean is not None:
        beta = group["alpha"]
        least = E * (broadcast_runs(1 - beta, E).to(E.dtype) if isinstance(beta, Tensor) else 1 - beta)
        E = torch.maximum(E.addcmul(slot.mean, slot.mean, value=-1), least)
    return torch.div(E, broadcast_runs(slot.w, E).to(E.dtype), out=out) if group["bias_correction"] and slot.w is not None else E


def denominator(slot: Slot, group: dict[str, Any], out: Tensor | None = None) -> Tensor:
    """√Ê + ε, or √(Ê + ε); in `out`, if that is given."""
    E = variance(slot, group, out)
    if group["eps_in_sqrt"]:
        return torch.add(E, group["eps"], out=out).sqrt_()
    return torch.sqrt(E, out=out).add_(group["eps"])


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


def as_real(x: Tensor) -> Tensor:
    """A complex tensor as real numbers with a last axis of 2; a real one as it is."""
    return torch.view_as_real(x) if x.is_complex() else x


def broadcast_runs(x: Tensor, like: Tensor) -> Tensor:
    """Numbers for the first axes of `like`, such as one per run [R], with as many axes; scalars and full shapes as they are."""
    return x.view(*x.shape, *[1] * (like.dim() - x.dim())) if 0 < x.dim() < like.dim() else x


def surely_finite(tensors: Sequence[Tensor]) -> bool:
    """Whether all entries and their squares are finite, told by the lengths of tensors: quick, but False for some that are.

    The squares of the lengths may overflow where those of the entries do not; tensors of several types are not looked at.
    """
    if any(t.dtype != tensors[0].dtype for t in tensors):
        return False
    lengths = torch.stack(torch._foreach_norm(list(tensors)))
    return math.isfinite(lengths.square_().sum().item())


def all_finite(tensors: Sequence[Tensor], runs: int | None) -> Tensor:
    """Whether all entries and their squares are finite: [] bool, or [R]."""
    flags = [torch.isfinite(as_real(t).square()) for t in tensors]
    return torch.stack([f.reshape(runs, -1).all(1) if runs else f.all() for f in flags]).all(0)
