"""What an optimizer stores of a parameter between updates: torch's state, and what the β rule needs beside it.

step, square_avg, momentum_buffer, grad_avg: as in torch.optim.RMSprop (updates, E, momentum, mean of g)
weight: w, the weight that E has received; a law may store more beside it
previous_grad: the last gradient, for signals that need it
origin, travel: of a step-size rule that needs them
mean_length: k, for `centered` under a rule: E is the mean of the last k gradients; infinite if it is no such mean
"""

from __future__ import annotations

import math
import operator
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rl_rmsprop.kernels import equations
from rl_rmsprop.kernels.backends import State
from rl_rmsprop.kernels.equations import as_real
from rl_rmsprop.optimizer import second_moment
from rl_rmsprop.optimizer.param_groups import step_size_of
from rl_rmsprop.rules import Adaptive, Rule
from rl_rmsprop.schedules import Constant

TORCH_STATE = ("step", "square_avg", "momentum_buffer", "grad_avg")


def needed(rule: Rule, group: dict[str, Any]) -> list[str]:
    """The names that a parameter's state must have before an update."""
    names = ["square_avg"]
    if group["momentum"] > 0:
        names.append("momentum_buffer")
    if group["centered"]:
        names += ["grad_avg", "mean_length"] if isinstance(rule, Adaptive) else ["grad_avg"]
    if group["bias_correction"] or not isinstance(rule, Constant):
        names.append("weight")
    if isinstance(rule, Adaptive) and rule.needs_previous_gradient:
        names.append("previous_grad")
    step_size = step_size_of(group)
    return names if step_size is None else [*names, *step_size.parameter_state]


class KnownStates:
    """The states of the parameters of each group. To look a tensor up costs 1 µs, so what was found is remembered."""

    def __init__(self) -> None:
        self._all: list[State] = []
        self._of: dict[int, tuple[list[Tensor], list[State]]] = {}  # by group: parameters and their states

    def of(self, all_states: Mapping[Tensor, State], index: int, params: list[Tensor]) -> list[State]:
        """Those of the group at this place, found anew unless `all_states` holds the same dicts as before."""
        if not identical(all_states.values(), self._all):
            self._all, self._of = list(all_states.values()), {}
        known, states = self._of.get(index, ([], []))
        if not identical(known, params):
            states = [all_states[p] for p in params]
            self._of[index] = params, states
        return states


def identical(a: Collection[object], b: Collection[object]) -> bool:
    """Whether both hold the same objects in the same order."""
    return len(a) == len(b) and all(map(operator.is_, a, b))


def are_complete(states: Sequence[State], rule: Rule, group: dict[str, Any]) -> bool:
    """Whether nothing is missing of the states of a group's parameters."""
    names = set(needed(rule, group))
    return all([state.keys() >= names for state in states])


def complete_all(states: Sequence[State], params: Sequence[Tensor], rule: Rule, group: dict[str, Any], keys: Tensor) -> None:
    """As `complete`, of all parameters of a group."""
    for p, state in zip(params, states, strict=True):
        complete(state, p, rule, group, keys)


def complete(state: State, p: Tensor, rule: Rule, group: dict[str, Any], keys: Tensor) -> None:
    """Add what is missing of a parameter's state; `keys` (int64, [] or [R]) names the runs.

    A state that comes from torch's RMSprop has received the weight of its number β so far.
    """
    if not state:
        dtype = torch.float64 if torch.get_default_dtype() == torch.float64 else torch.float32  # as in torch
        state["step"] = torch.zeros((), dtype=dtype, device=p.device if group["capturable"] else "cpu")
        state["square_avg"] = torch.zeros_like(p, memory_format=torch.preserve_format)
        if group["initial_accumulator_value"]:
            as_real(state["square_avg"]).fill_(group["initial_accumulator_value"])
    for name in needed(rule, group):
        if name in state:
            continue
        if name in TORCH_STATE:
            state[name] = torch.zeros_like(p, memory_format=torch.preserve_format)
        elif name == "weight":
            w = float(equations.weight_after(group["alpha"], state["step"])) if state["step"] > 0 else 0.0
            E = as_real(state["square_avg"])
            state.update(second_moment.initial_parameter_state(rule, E, w, keys.to(p.device), group, as_real(p)))
        elif name == "previous_grad":
            state[name] = torch.zeros_like(as_real(p))
        elif name != "mean_length":
            step_size = step_size_of(group)
            assert step_size is not None  # or the name would not be needed
            state.update(step_size.initial_parameter_state(as_real(p).detach()))
        else:
            state[name] = torch.full(keys.shape, math.inf, dtype=torch.float64, device=p.device)


def follow(state: State, p: Tensor, group: dict[str, Any]) -> None:
    """Bring a state to where its parameter is, after `model.to(device)`. The dtype stays, as torch's does."""
    for name, value in state.items():
        if name != "step" or group["capturable"]:
            state[name] = value.to(p.device)
