"""What the detector of a parameter group listens to, from what its optimizer has at hand; the formulas are in signals.py.

Everything is measured from the gradients of an update before E takes them: a scalar, or [R] where the first axis is the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from rl_rmsprop import signals
from rl_rmsprop.kernels import equations, fused
from rl_rmsprop.kernels.fused import State, Workspace


@torch.no_grad()
def surprise(params: list[Tensor], states: list[State], group: dict[str, Any], per_run: bool, work: Workspace) -> Tensor:
    """The surprise of all gradients that are there."""
    g, E = gradients(params, group), equations.state_tensors(states, "square_avg")
    if not per_run and fused.fits(params, group):
        received = {state.get("weight", state["step"]).item() for state in states}
        if len(received) == 1 and received != {0.0}:
            return fused.surprise(g, E, equations.weight(states[0], group).item(), group, work)
    w = [equations.weight(state, group) for state in states]
    floor = signals.floor(group["eps"])
    ratios = (equations.ratio(*of, floor, group, work("ratio", of[0])) for of in zip(E, g, w, strict=True))
    return signals.log_mean(ratios, per_run)


def signal(
    name: str | None,
    params: list[Tensor],
    states: list[State],
    group: dict[str, Any],
    per_run: bool,
    known: Mapping[str, Tensor],
) -> Tensor:
    """The signal of this name, zeros for none; `known` is what has been measured already, and what the training loop told."""
    if name == "surprise":
        return known["surprise"]
    if name in signals.SIGNALS:
        kind, now = signals.SIGNALS[name], gradients(params, group)
        previous = [state["previous_grad"] for state in states] if kind.needs_previous else []
        expected = partial(mean_squares, params, states, group)
        x = kind.measure(signals.Inputs(now, expected, previous, known.get("grad_norm"), group["eps"], per_run))
        if previous:
            torch._foreach_copy_(previous, now)
        return x
    nothing = torch.zeros_like(group["rule_state"]["clock"])
    return nothing + known["shifted"].to(nothing) if name == "shift" and "shifted" in known else nothing


def mean_squares(params: list[Tensor], states: list[State], group: dict[str, Any]) -> list[Tensor]:
    """Ê of each parameter before the update."""
    return [equations.mean_square(slot, group) for slot in equations.slots(params, states, group)]


def gradients(params: list[Tensor], group: dict[str, Any]) -> list[Tensor]:
    """The gradients that the update takes, real."""
    return [equations.as_real(g) for g in fused.directed(fused.gradients(params), params, group)]
