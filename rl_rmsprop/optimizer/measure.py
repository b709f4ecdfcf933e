"""What the detector of a parameter group listens to, measured by its optimizer; the formulas are in rl_rmsprop/signals.py.

Everything is measured from the gradients of an update before E takes them: a scalar, or [R] where the first axis is the run. NaN
says that there is no observation; a detector then skips the update.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from rl_rmsprop import signals
from rl_rmsprop.kernels import equations, fused
from rl_rmsprop.kernels.backends import as_tensor
from rl_rmsprop.kernels.torch_internals import foreach_copy_
from rl_rmsprop.laws import Law
from rl_rmsprop.optimizer.updates import GroupUpdate
from rl_rmsprop.signals import Inputs, Signal


@torch.no_grad()
def surprise(update: GroupUpdate) -> Tensor:
    """The surprise of all gradients of the update."""
    update = nonempty(update)
    if not update.params:
        return no_observation(update)
    g, E = gradients(update), equations.state_tensors(update.states, "square_avg")
    if update.runs is None and update.is_fusible:
        received = [state.get("weight", state["step"]) for state in update.states]
        weights = {w.item() for w in received} if all(w.numel() == 1 for w in received) else set()  # laws have one for each entry
        if len(weights) == 1 and weights != {0.0}:
            return surprise_of_one_weight(update, g, E, equations.weight(update.states[0], update.group).item())
    w = [equations.weight(state, update.group) for state in update.states]
    floor = signals.floor(update.group["eps"])
    ratios = (equations.ratio(*of, floor, update.group, update.workspace("ratio", of[0])) for of in zip(E, g, w, strict=True))
    return signals.log_mean(ratios, update.runs is not None)


def surprise_of_one_weight(update: GroupUpdate, grads: list[Tensor], averages: list[Tensor], w: float) -> Tensor:
    """The surprise of one stream whose E have all received the weight w > 0, [] float64, in few passes over the memory.

    ln mean(g²/(E/w + floor)) = ln(w · mean(g²/(E + w · floor)))
    """
    group, workspace = update.group, update.workspace
    w = 1.0 if group["initial_accumulator_value"] else w
    total, count = 0.0, 0
    pieces = (workspace.concatenate(name, tensors) for name, tensors in (("gradients", grads), ("averages", averages)))
    for g, E in zip(*pieces, strict=True):
        ratio = workspace("ratio", g)
        torch.add(E, w * signals.floor(group["eps"]), out=ratio)
        torch.div(g, ratio, out=ratio)
        total += ratio.mul_(g).sum().item()
        count += len(g)
    return as_tensor(signals.log_of(w * total / count))


def signal(update: GroupUpdate, name: str | None, known: Mapping[str, Tensor]) -> Tensor:
    """The signal of this name, zeros for none; `known` is what has been measured already, and what the training loop reports."""
    if name == "surprise":
        return known["surprise"]
    if name in signals.SIGNALS:
        if isinstance(update.rule, Law) and name not in known:
            return no_observation(update)
        return of_gradients(nonempty(update), signals.SIGNALS[name], known)
    zeros = torch.zeros_like(update.group["rule_state"]["clock"])
    return zeros + known[name].to(zeros) if name is not None and name in known else zeros


def of_gradients(update: GroupUpdate, kind: Signal, reported: Mapping[str, Tensor]) -> Tensor:
    """A row of the table of signals."""
    if not update.params:
        return no_observation(update)
    now = gradients(update)
    previous = [state["previous_grad"] for state in update.states] if kind.needs_previous else []
    inputs = Inputs(now, partial(mean_squares, update), previous, reported, update.group["eps"], update.runs is not None)
    x = kind.measure(inputs)
    if previous:
        foreach_copy_(previous, now)
    return x


def mean_squares(update: GroupUpdate) -> list[Tensor]:
    """Ê of each parameter before the update."""
    return [equations.mean_square(slot, update.group) for slot in equations.slots(update.params, update.states, update.group)]


def nonempty(update: GroupUpdate) -> GroupUpdate:
    """The update of those parameters that have entries."""
    if all([g.numel() for g in update.grads]):
        return update
    rows = [row for row in zip(update.params, update.grads, update.states, strict=True) if row[0].numel()]
    return update._replace(params=[p for p, _, _ in rows], grads=[g for _, g, _ in rows], states=[state for _, _, state in rows])


def gradients(update: GroupUpdate) -> list[Tensor]:
    """The gradients that the update takes, real, in the dtype of E."""
    grads = fused.effective_gradients(update.grads, update.params, update.group)
    if update.is_fusible:
        return grads
    return [equations.as_real(g.to(state["square_avg"].dtype)) for g, state in zip(grads, update.states, strict=True)]


def no_observation(update: GroupUpdate) -> Tensor:
    """NaN, for every run."""
    shape = [] if update.runs is None else [update.runs]
    return torch.full(shape, math.nan, dtype=torch.float64, device=update.group["params"][0].device)
