"""How a parameter group estimates its squared gradients: β, w and E of one update, under any rule.

    number      β is group["alpha"]
    adaptive    signal x → rules.advance → β [R], and an alarm may clear E
    law         E itself decides, see rl_rmsprop/laws/

The optimizer then changes its parameters by E (rl_rmsprop/optimizer/updates.py), `rl_rmsprop.forecast` asks how well E predicts.
A group is a dict with `alpha` (the live β), `eps`, `initial_accumulator_value`, and, if its rule has a state, `rule_state`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from rl_rmsprop import rules
from rl_rmsprop.kernels import equations
from rl_rmsprop.kernels.backends import State
from rl_rmsprop.kernels.equations import Slot
from rl_rmsprop.laws import BetaLaw, Law, LawInputs
from rl_rmsprop.rules import Adaptive, Rule
from rl_rmsprop.schedules import Constant, check_beta


def initial_group_state(rule: Rule, keys: Tensor) -> State:
    """The rule's state of a group before the first update; `keys` (int64, [] or [R]) names the runs."""
    if isinstance(rule, Law):
        return rule.initial_group_state(keys)
    return rules.init(rule, keys) if isinstance(rule, Adaptive) else {}


def initial_parameter_state(rule: Rule, E: Tensor, w: float, keys: Tensor, group: dict[str, Any], p: Tensor) -> State:
    """The rule's state of a parameter p, `weight` included, where E has received the weight `w` in every run."""
    if isinstance(rule, Law):
        return rule.initial_parameter_state(E, w, keys, group, p)
    return {"weight": torch.full(keys.shape, w, dtype=torch.float64, device=E.device)}


def square(slot: Slot) -> Tensor:
    """g², in the dtype of E."""
    return slot.g.to(slot.E.dtype).square()


def update(
    rule: Rule,
    group: dict[str, Any],
    slots: Sequence[Slot],
    x: Tensor,
    per_run: bool,
    *,
    square: Callable[[Slot], Tensor] = square,
    after: Callable[[Slot], None] = lambda slot: None,
) -> None:
    """One update of β, w and E; `x` [R] is the signal that the rule listens to.

    `square` gives g², and may return the same memory for every slot; `after` is called with each slot when its E has taken g².
    """
    if isinstance(rule, Law):
        slots = [slot for slot in slots if slot.E.numel()]
        if slots:
            at = LawInputs(slots, group, per_run, x, square, after)
            group["rule_state"], group["alpha"] = rule.update(group["rule_state"], at)
        return
    averages = (average for slot in slots for average in (slot.E, slot.mean) if average is not None)
    beta = decide(rule, group, [slot.state for slot in slots], averages, x)
    for slot in slots:
        equations.update_mean_square(slot, beta, None if isinstance(beta, float) else square(slot))
        after(slot)


def decide(
    rule: Constant | Adaptive, group: dict[str, Any], states: Sequence[State], averages: Iterable[Tensor], x: Tensor
) -> float | Tensor:
    """The β with which E is to take this update's g²; `alpha`, `rule_state` and every w are those after the update already.

    `averages` is every E, and every mean of g that there is.
    """
    weights = [state["weight"] for state in states if "weight" in state]
    if isinstance(rule, Constant):
        check_beta("alpha", group["alpha"])
        beta: float | Tensor = float(group["alpha"])
    else:
        output = rules.advance(rule, group["rule_state"], x)
        group["rule_state"], group["alpha"] = output.state, output.beta
        beta = output.beta.item() if output.beta.is_cpu and output.beta.dim() == 0 else output.beta
        if rule.reaction.clears_E:
            equations.clear(averages, weights, output.alarm)
        equations.update_mean_lengths([state["mean_length"] for state in states if "mean_length" in state], beta)
    equations.update_weights(weights, beta)
    return beta


def decide_by_law(rule: BetaLaw, group: dict[str, Any], slots: Sequence[Slot], x: Tensor) -> Tensor:
    """As `decide`, of R runs under a law."""
    at = LawInputs(slots, group, True, x, square, lambda slot: None)
    group["rule_state"], group["alpha"] = rule.decide(group["rule_state"], at)
    equations.update_weights([slot.state["weight"] for slot in slots], group["alpha"])
    return group["alpha"]


def divisor(rule: Rule, slot: Slot, group: dict[str, Any], out: Tensor | None = None) -> Tensor:
    """What divides the gradient after the update; in `out`, if that is given."""
    return rule.divisor(slot, group, out) if isinstance(rule, Law) else equations.denominator(slot, group, out)
