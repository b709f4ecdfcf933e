"""How a parameter group remembers its squared gradients: β, E and w of one update, under any rule.

    number      β is group["alpha"]
    adaptive    signal x → rules.advance → β [R], and an alarm may clear E
    law         E itself decides, see rl_rmsprop/laws.py

The optimizer moves its parameters by the E that comes out, `rl_rmsprop.forecast` asks how well E predicts; both call this.
A group is a dict with `alpha` (the live β), `eps`, `initial_accumulator_value`, and, if its rule keeps anything over time,
`rule_state`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from rl_rmsprop import rules
from rl_rmsprop.detectors import State
from rl_rmsprop.kernels import equations
from rl_rmsprop.kernels.equations import Slot
from rl_rmsprop.laws import Law
from rl_rmsprop.rules import Adaptive, Rule
from rl_rmsprop.schedules import Constant, check_beta


def initial_group_state(rule: Rule, keys: Tensor) -> State:
    """What the rule keeps per group before the first update; `keys` (int64, [] or [R]) names the runs."""
    if isinstance(rule, Law):
        return rule.start(keys)
    return rules.init(rule, keys) if isinstance(rule, Adaptive) else {}


def initial_parameter_state(rule: Rule, E: Tensor, w: float, keys: Tensor, group: dict[str, Any]) -> State:
    """What the rule keeps per parameter, `weight` included, where E has received the weight `w` in every run."""
    if isinstance(rule, Law):
        return rule.memory(E, w, keys, group)
    return {"weight": torch.full(keys.shape, w, dtype=torch.float64, device=E.device)}


def update(rule: Rule, group: dict[str, Any], slots: Sequence[Slot], squares: Sequence[Tensor], x: Tensor, per_run: bool) -> None:
    """One update of E, w, `alpha` and `rule_state`; `squares` is g², `x` [R] the signal (of an adaptive rule)."""
    if isinstance(rule, Law):
        group["rule_state"], group["alpha"] = rule.remember(group["rule_state"], slots, squares, group, per_run)
        return
    weights = [slot.w for slot in slots if slot.w is not None]
    averages = [average for slot in slots for average in (slot.E, slot.mean) if average is not None]
    beta = decide(rule, group, averages, weights, x)
    for slot, g2 in zip(slots, squares, strict=True):
        equations.update_mean_square(slot, beta, g2)


def decide(
    rule: Constant | Adaptive, group: dict[str, Any], averages: Iterable[Tensor], weights: list[Tensor], x: Tensor
) -> float | Tensor:
    """The β with which E is to take this update's g²; `alpha`, `rule_state` and the `weights` w have taken it already.

    `averages` is every E, and every mean of g that is kept.
    """
    if isinstance(rule, Constant):
        check_beta("alpha", group["alpha"])
        beta: float | Tensor = float(group["alpha"])
    else:
        decision = rules.advance(rule, group["rule_state"], x)
        group["rule_state"], group["alpha"] = decision.state, decision.beta
        beta = decision.beta.item() if decision.beta.is_cpu and decision.beta.dim() == 0 else decision.beta
        if rule.reaction.clears_E:
            equations.clear(averages, weights, decision.alarm)
    equations.update_weights(weights, beta)
    return beta
