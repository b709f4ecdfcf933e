"""A parameter group's options: which values are allowed, and what a loaded group brings along or leaves as it is."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from rl_rmsprop import rules
from rl_rmsprop.laws import Law
from rl_rmsprop.rules import Adaptive, Rule
from rl_rmsprop.schedules import Constant

OWN_OPTIONS = {"eps_in_sqrt": False, "initial_accumulator_value": 0.0, "bias_correction": False}
"""Those that torch's RMSprop does not have, and the values that make no difference."""


def check_options(options: dict[str, Any], rule: Rule, runs: int | None) -> None:
    """ValueError for the first option of a group that is out of its range or does not fit its rule."""
    lr = options["lr"]
    if isinstance(lr, Tensor) and lr.numel() != 1 and tuple(lr.shape) != (runs,):
        raise ValueError(f"lr must be a number, one element, or one per run, got shape {tuple(lr.shape)} with runs={runs}")
    for name in ("lr", "eps", "weight_decay", "momentum", "initial_accumulator_value"):
        values = options[name].tolist() if isinstance(options[name], Tensor) else options[name]
        for value in values if isinstance(values, list) else [values]:
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} must be at least 0 and finite, got {value}: give 0 or a positive number")
    if options["initial_accumulator_value"] and options["bias_correction"]:
        value = options["initial_accumulator_value"]
        raise ValueError(f"initial_accumulator_value must be 0 with bias_correction, got {value}: a corrected mean has no start")
    if isinstance(rule, Adaptive) and rule.schedule.unresolved:
        raise ValueError(f"{rules.text(rule)!r} needs steps=… in updates: the length of the training is not known here")
    if isinstance(rule, Law) and options["centered"]:
        raise ValueError(f"centered needs one β for all entries of a parameter, got {rules.text(rule)!r}: use a schedule")
    if options["differentiable"] and (not isinstance(rule, Constant) or options["eps_in_sqrt"] or options["bias_correction"]):
        raise ValueError(
            f"differentiable=True needs a number for alpha and torch's options, got {rules.text_or_none(rule)!r}: "
            "leave out eps_in_sqrt and bias_correction"
        )


# Checkpoints ---------------------------------------------------------------------------------------------------------------


def rule_of(group: dict[str, Any], rule: Rule) -> Rule:
    """The rule that a loaded group stands for; `rule` is the optimizer's own."""
    if "rule" not in group:
        return Constant(float(group["alpha"]))
    if group["rule"] is not None:
        return rules.parse(group["rule"])
    if rules.text_or_none(rule) is not None:
        raise ValueError(
            f"the checkpoint's β rule has no text form, got {rules.text(rule)}: make the optimizer with the same rule"
        )
    return rule


def moved(x: Any, device: torch.device) -> Any:
    """A tensor, or a dict of tensors, on this device."""
    return {key: value.to(device) for key, value in x.items()} if isinstance(x, dict) else x.to(device)


def inherited(group: dict[str, Any]) -> dict[str, Any]:
    """What a group keeps of its own when it loads one of torch's."""
    kept = [*OWN_OPTIONS, "rule", "rule_state", *(["alpha"] if "rule" in group else [])]
    return {name: group[name] for name in kept if name in group}
