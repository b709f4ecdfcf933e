"""One update of one parameter: the equations of AdaptiveRMSprop, in place on its tensors.

    E ← βE + (1 − β)g²        w ← βw + (1 − β)                    w: the weight that E has received, w₀ = 0
    θ ← θ − lr · g / (√Ê + ε)       Ê = E,  or E/w with bias_correction,  or √(Ê + ε) with eps_in_sqrt
    m ← βm + (1 − β)g         Ê = E − m², or that over w                            with centered

β is a number, [] or [R], or shaped like the parameter. An update has two halves: `update_mean_square` changes E (a law may take
its place), `apply_step` the parameter; `update_weights` changes w. They are the definition; rl_rmsprop/kernels/fused.py does the
same for all parameters of a group at once.

In two cases E − m² is no variance. Where rounding makes it negative, torch's step is NaN; here the rounding error of E takes its
place. And where a rule has begun E anew with β = 0, so that E and m are means of the last k gradients, it is 0 for k = 1, and by
chance almost 0 for small k: there Ê is at least E/k, the square of the mean's own sampling error.

Tensors of state may have another dtype than the parameter (after `model.double()`, say): they keep it, as in torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rl_rmsprop.kernels.torch_internals import foreach_add_, foreach_mul_, foreach_norm


class Slot(NamedTuple):
    """The tensors of one parameter, all real; shapes are the parameter's unless said otherwise."""

    p: Tensor
    g: Tensor  # gradient, with weight decay and sign
    E: Tensor
    w: Tensor | None  # weight received by E: [], [R], or the parameter's shape; None where it is 1 − βᵗ and not stored
    step: Tensor  # []  updates so far
    buffer: Tensor | None  # momentum
    mean: Tensor | None  # running mean of g, for centered
    state: dict[str, Tensor]  # the parameter's whole state; laws find there what they need beside E and w


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
    """The state of this name, real, of every parameter that has it."""
    return [as_real(state[name]) for state in states if name in state]


def gradient(g: Tensor, p: Tensor, group: dict[str, Any]) -> Tensor:
    """The gradient that the update takes: with the sign of the objective, and weight decay."""
    g = -g if group["maximize"] else g
    return g if group["weight_decay"] == 0 else g.add(p, alpha=group["weight_decay"])


# E and its weight ---------------------------------------------------------------------------------------------------------


def weight_after(beta: float, updates: Tensor) -> Tensor:
    """The weight 1 − βᵗ that E has received in t updates with the same β, [] float64."""
    return 1 - beta ** updates.double()


def weight(state: dict[str, Tensor], group: dict[str, Any]) -> Tensor:
    """The w of a parameter's E, stored or not."""
    return state["weight"] if "weight" in state else weight_after(group["alpha"], state["step"]).to(state["square_avg"].device)


def mean_square(slot: Slot, group: dict[str, Any]) -> Tensor:
    """Ê = E/w before the update, what E predicts of g²: g² itself where E has received nothing yet."""
    w = weight_after(group["alpha"], slot.step).to(slot.E.device) if slot.w is None else slot.w
    return corrected(slot.E, slot.g, w, group)


def corrected(E: Tensor, g: Tensor, w: Tensor, group: dict[str, Any], out: Tensor | None = None) -> Tensor:
    """As `mean_square`, from the tensors themselves; `out` is memory for it."""
    if group["initial_accumulator_value"]:
        return E
    mean = torch.div(E, broadcast_runs(w, E).to(E.dtype), out=out)
    if w.is_cpu and w.all():  # elsewhere the question would make the device wait
        return mean
    if w.is_cpu and 0 < w.dim() < E.dim():  # runs that never have an update do not slow the others
        empty = (w == 0).nonzero().squeeze(1)
        return mean.index_copy_(0, empty, g[empty].square())
    return torch.where(broadcast_runs(w, E) > 0, mean, g.square())


def ratio(E: Tensor, g: Tensor, w: Tensor, floor: float, group: dict[str, Any], out: Tensor | None = None) -> Tensor:
    """g²/(Ê + floor) before the update, of which the surprise is the mean's logarithm; `out` is memory for it."""
    denominator = torch.add(corrected(E, g, w, group, out), floor, out=out)
    return torch.div(g, denominator, out=out).mul_(g)


def clear(averages: Iterable[Tensor], weights: Iterable[Tensor], alarm: Tensor) -> None:
    """Set E (and the mean of g) and w to zero in the runs of an alarm ([] or [R])."""
    for average in (*averages, *weights):
        average.mul_(broadcast_runs(~alarm, average))


def update_weights(weights: list[Tensor], beta: float | Tensor) -> None:
    """One update of every w, in place: w ← βw + (1 − β). Rounding leaves a w of 1 at 1."""
    if all([w.is_cpu and w.dim() == 0 and w.item() == 1 for w in weights]):  # elsewhere to ask takes longer
        return
    if isinstance(beta, float):
        foreach_mul_(weights, beta)
        foreach_add_(weights, 1 - beta)
        return
    beta, new_share = (x.to(weights[0]) for x in (beta, 1 - beta))
    if beta.dim():
        foreach_mul_(weights, [beta] * len(weights))
        foreach_add_(weights, [new_share] * len(weights))
    else:
        foreach_mul_(weights, beta)
        foreach_add_(weights, new_share, alpha=1.0)


def update_mean_lengths(lengths: Iterable[Tensor], beta: float | Tensor) -> None:
    """One update of every k ([] or [R]), in place: 1 where β = 0 has begun E anew, else one gradient more; infinite before."""
    for k in lengths:
        k.copy_(torch.where(torch.as_tensor(beta == 0, device=k.device), 1.0, k + 1))


def update_mean_square(slot: Slot, beta: float | Tensor, g2: Tensor | None = None) -> None:
    """E ← βE + (1 − β)g², and the same for the mean of g, in place; `g2` is g², if it is known already."""
    if isinstance(beta, float):
        slot.E.mul_(beta).addcmul_(slot.g, slot.g, value=1 - beta)  # torch's order of rounding
        new_share: float | Tensor = 1 - beta
    else:
        new_share = broadcast_runs(1 - beta, slot.E).to(slot.E.dtype)
        slot.E.lerp_((slot.g.square() if g2 is None else g2).to(slot.E.dtype), new_share)
    if slot.mean is not None:
        slot.mean.lerp_(slot.g.to(slot.mean.dtype), new_share)


# The parameter ------------------------------------------------------------------------------------------------------------


def apply_step(slot: Slot, group: dict[str, Any], lr_per_run: bool, root: Tensor) -> None:
    """θ ← θ − lr · g/root, in place, after `update_mean_square`; `root` is what divides g, `denominator` for most rules."""
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


def clipped(g: Tensor, clip: Tensor | None) -> Tensor:
    """A gradient as it counts in the step, c·g, for c [] or [R]; None for 1."""
    return g if clip is None else g * broadcast_runs(clip, g).to(g.dtype)


def variance(slot: Slot, group: dict[str, Any], out: Tensor | None = None) -> Tensor:
    """Ê after the update, which divides the gradient: E or E/w, or with `centered` the variance of g."""
    E = slot.E if slot.mean is None else centered(slot.E, slot.mean, slot.state.get("mean_length"))
    if group["bias_correction"] and slot.w is not None:
        return torch.div(E, broadcast_runs(slot.w, E).to(E.dtype), out=out)
    return E


def centered(E: Tensor, m: Tensor, k: Tensor | None) -> Tensor:
    """E − m²; where that is negative, the rounding error of E; at least E/k where E is the mean of k gradients ([] or [R])."""
    v = E.addcmul(m, m, value=-1)
    v = torch.where(v < 0, E * torch.finfo(E.dtype).eps, v)
    return v if k is None else torch.maximum(v, E / broadcast_runs(k, E).to(E.dtype))


def denominator(slot: Slot, group: dict[str, Any], out: Tensor | None = None) -> Tensor:
    """√Ê + ε, or √(Ê + ε); in `out`, if that is given."""
    E = variance(slot, group, out)
    if group["eps_in_sqrt"]:
        return torch.add(E, group["eps"], out=out).sqrt_()
    return torch.sqrt(E, out=out).add_(group["eps"])


@torch.no_grad()
def repair_centered(p: Tensor, buffer: Tensor | None, after: Slot, group: dict[str, Any]) -> None:
    """Make torch's own centered step that of `apply_step` where its E − m² is negative and it has become NaN.

    `p` and `buffer` are copies of parameter and momentum before it, `after` the tensors after it.
    """
    assert after.mean is not None  # for mypy
    step = after._replace(p=p, buffer=buffer)
    apply_step(step, group, False, denominator(step, group))
    negative = after.E.addcmul(after.mean, after.mean, value=-1) < 0
    for mine, torchs in ((step.p, after.p), (step.buffer, after.buffer)):
        if mine is not None and torchs is not None:
            torchs.copy_(torch.where(negative, mine, torchs))


# Tensors ------------------------------------------------------------------------------------------------------------------


def as_real(x: Tensor) -> Tensor:
    """A complex tensor as real numbers with a last axis of 2; a real one as it is."""
    return torch.view_as_real(x) if x.is_complex() else x


def broadcast_runs(x: Tensor, like: Tensor) -> Tensor:
    """Numbers for the first axes of `like`, such as one per run [R], with as many axes; scalars and full shapes as they are."""
    return x.view(*x.shape, *[1] * (like.dim() - x.dim())) if 0 < x.dim() < like.dim() else x


def by_run(x: Tensor, runs: int) -> Tensor:
    """All entries of each run, [R, P]."""
    return x.reshape(runs, x.numel() // runs)


def surely_finite(tensors: Sequence[Tensor]) -> bool:
    """Whether all entries and their squares are finite, by the lengths of tensors: quick, but False for some that are.

    The squares of the lengths may overflow where those of the entries do not; tensors of several dtypes are not looked at.
    """
    if any(t.dtype != tensors[0].dtype for t in tensors):
        return False
    lengths = foreach_norm(list(tensors))
    return sum([n * n for n in map(Tensor.item, lengths)]) <= torch.finfo(lengths[0].dtype).max  # NaN is not


def surely_finite_runs(tensors: Sequence[Tensor], runs: int, missing: Sequence[int]) -> bool:
    """As `surely_finite`, without the `missing` runs, where the first axis of every tensor is the run."""
    for t in tensors:
        squares = torch.linalg.vector_norm(by_run(t, runs), dim=1).square_().tolist()
        for run in missing:
            squares[run] = 0.0
        if not math.isfinite(sum(squares)):
            return False
    return True


def all_finite(tensors: Sequence[Tensor], runs: int | None) -> Tensor:
    """Whether all entries and their squares are finite: [] bool, or [R]."""
    flags = [torch.isfinite(as_real(t).square()) for t in tensors]
    return torch.stack([by_run(f, runs).all(1) if runs else f.all() for f in flags]).all(0)
