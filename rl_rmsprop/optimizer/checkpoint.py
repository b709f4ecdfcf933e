"""From a state_dict to what an AdaptiveRMSprop can load: checked before anything changes, and sharing no tensor with it.

It may be of AdaptiveRMSprop or of torch's RMSprop. Torch casts all floating state to the parameter's dtype when it loads. That is
right for its own state, but w is float64 for a reason: 0.9995 is 1 in bfloat16. So rules' and laws' state travels as `Exact`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rl_rmsprop import rules
from rl_rmsprop.optimizer import parameter_state
from rl_rmsprop.optimizer.param_groups import OWN_OPTIONS
from rl_rmsprop.rules import Rule
from rl_rmsprop.schedules import Constant

Groups = Sequence[dict[str, Any]]
OLD_DEFAULTS = {"momentum": 0, "centered": False, "capturable": False}
"""Of options that a state_dict of an old torch may not have, as in torch."""


@dataclass(frozen=True)
class Exact:
    """A tensor of a parameter's state that torch is not to cast."""

    tensor: Tensor


def prepare(state_dict: dict[str, Any], groups: Groups, own_rules: Sequence[Rule], keys: Tensor) -> dict[str, Any]:
    """What torch is to load in place of `state_dict`; ValueError if it does not fit an optimizer with these groups and rules.

    `keys` ([] or [R]) names the optimizer's runs. Other numbers of groups or parameters are left to torch, which refuses them.
    """
    saved, states = state_dict["param_groups"], dict(state_dict["state"])
    check_kind(saved, states)
    if [len(group["params"]) for group in saved] != [len(group["params"]) for group in groups]:
        return state_dict
    merged = [group if is_own(group) else {**group, **inherited(mine)} for group, mine in zip(saved, groups, strict=True)]
    for old, group, mine, own_rule in zip(saved, merged, groups, own_rules, strict=True):
        rule, options = rule_of(group, own_rule), {**OLD_DEFAULTS, **OWN_OPTIONS, **group, "alpha": old["alpha"]}
        check_clocks(group, keys)
        for i, p in zip(group["params"], mine["params"], strict=True):
            if states.get(i):
                check_shapes(states[i], p, keys)
                states[i] = completed(states[i], p, rule, options, keys)
    return {**state_dict, "state": states, "param_groups": merged}


def completed(state: dict[str, Any], p: Tensor, rule: Rule, options: dict[str, Any], keys: Tensor) -> dict[str, Any]:
    """A copy of a parameter's state, with what the rule needs beside it."""
    copy = {name: x.clone() if isinstance(x, Tensor) else x for name, x in state.items()}
    copy["step"] = torch.as_tensor(copy["step"])  # a number in a state_dict of an old torch
    parameter_state.complete(copy, p, rule, options, keys)
    torchs = parameter_state.TORCH_STATE
    return {name: Exact(x) if isinstance(x, Tensor) and name not in torchs else x for name, x in copy.items()}


def unpack(state: dict[str, Any], p: Tensor) -> None:
    """After torch has loaded a state: its exact tensors beside the parameter."""
    for name, x in state.items():
        if isinstance(x, Exact):
            state[name] = x.tensor.to(p.device)


def to_device(x: Any, device: torch.device) -> Any:
    """A tensor, or a dict of tensors, on this device; anything else as it is."""
    if isinstance(x, dict):
        return {name: to_device(value, device) for name, value in x.items()}
    return x.to(device) if isinstance(x, Tensor) else x


# Groups -------------------------------------------------------------------------------------------------------------------


def is_own(group: dict[str, Any]) -> bool:
    """Whether a saved group is of AdaptiveRMSprop, and not of torch's RMSprop."""
    return "bias_correction" in group


def inherited(group: dict[str, Any]) -> dict[str, Any]:
    """What a group retains when it loads one of torch's, which has no rule and none of this package's options."""
    names = [*OWN_OPTIONS, "lr_rule_state", "rule", "rule_state", *(["alpha"] if "rule" in group else [])]
    return {name: group[name] for name in names if name in group}


def rule_of(group: dict[str, Any], rule: Rule) -> Rule:
    """The rule that a loaded group stands for; `rule` is the optimizer's own."""
    if "rule" not in group:
        return Constant(float(group["alpha"]))
    if group["rule"] is not None:
        return rules.parse(group["rule"])
    if rules.text_or_none(rule) is not None:
        text = rules.text(rule)
        raise ValueError(f"the state_dict's β rule has no text form, got {text} here: make the optimizer with the same rule")
    return rule


# What is refused ----------------------------------------------------------------------------------------------------------


def check_kind(groups: Groups, states: dict[Any, Any]) -> None:
    """ValueError unless groups and states are those of an RMSprop."""
    foreign = [group for group in groups if not {"alpha", "eps"} <= group.keys()]
    foreign += [state for state in states.values() if state and "square_avg" not in state]
    if foreign:
        names = ", ".join(str(name) for name in foreign[0] if name != "params")
        kinds = "of AdaptiveRMSprop or torch's RMSprop"
        raise ValueError(f"state_dict must be {kinds}, got one with {names}: load it into an optimizer of its own kind")


def check_clocks(group: dict[str, Any], keys: Tensor) -> None:
    """ValueError unless a rule's clocks, and step sizes, are of as many runs as `keys`."""
    for what, state, name in (("clocks", "rule_state", "clock"), ("step sizes", "lr_rule_state", "scale")):
        number = (group.get(state) or {}).get(name, keys)
        if number.shape != keys.shape:
            raise of_other_runs(what, number, keys)


def check_shapes(state: dict[str, Any], p: Tensor, keys: Tensor) -> None:
    """ValueError unless a parameter's state has the shapes that belong to it."""
    E, w = state["square_avg"], state.get("weight", keys)
    if E.shape != p.shape:
        raise ValueError(f"state_dict must be of parameters of the same shapes, got {tuple(E.shape)} for one of {tuple(p.shape)}")
    if w.shape not in (keys.shape, p.shape, torch.view_as_real(p).shape if p.is_complex() else p.shape):
        raise of_other_runs("weights", w, keys)


def of_other_runs(what: str, x: Tensor, keys: Tensor) -> ValueError:
    """The error for a state of another number of runs."""
    wanted = tuple(keys.shape)
    return ValueError(f"state_dict must be of an optimizer with the same runs, got {what} of shape {tuple(x.shape)} for {wanted}")
