"""Forgetting on purpose: the state of an optimizer as it was before the first update, or a part of it.

    part     of each parameter                                            of each group
    E        E, w, the mean of g, what a law stores of the parameter      –
    clock    –                                                            the rule's state: clock, detector, a law's own
    all      everything, momentum and the number of updates included      the same, step-size rule and counts included

With `runs` a part is put back row by row; the number of updates, which runs share, stays where only some of them begin anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.optim import Adagrad, Optimizer

from rl_rmsprop.kernels.backends import State
from rl_rmsprop.kernels.equations import broadcast_runs
from rl_rmsprop.optimizer import parameter_state, second_moment
from rl_rmsprop.optimizer.param_groups import step_size_of
from rl_rmsprop.rules import Rule
from rl_rmsprop.schedules import Constant

Part = Literal["E", "clock", "all"]
PARTS = get_args(Part)
NOT_OF_E = ("step", "momentum_buffer", "previous_grad")
"""What a parameter's state has beside its memory of squared gradients, and beside that of a step-size rule."""


def reset_group(
    what: Part, group: dict[str, Any], rule: Rule, states: Sequence[tuple[Tensor, State]], keys: Tensor, runs: Tensor | None
) -> None:
    """Put a part of a group back; `states` are those of its parameters that have one, `runs` [R] bool says where, default all."""
    if what in ("clock", "all") and not isinstance(rule, Constant):
        group["rule_state"] = put_back(group["rule_state"], second_moment.initial_group_state(rule, keys), runs)
    if what == "all":
        if (step_size := step_size_of(group)) is not None:
            group["lr_rule_state"] = put_back(group["lr_rule_state"], step_size.initial_group_state(keys), runs)
        if "skipped" in group:
            group["skipped"] = chosen(runs, torch.zeros_like(group["skipped"]), group["skipped"])
    if what == "clock":
        return
    for p, state in states:
        fresh: State = {}
        parameter_state.complete(fresh, p, rule, group, keys)
        for name in fresh.keys() & (state.keys() if what == "all" else of_E(state, group)):
            if name != "step":
                state[name].copy_(chosen(runs, fresh[name].to(state[name]), state[name]))
            elif runs is None or bool(runs.all()):
                state[name].zero_()


def of_E(state: State, group: dict[str, Any]) -> set[str]:
    """The names of what a parameter's state remembers of squared gradients."""
    step_size = step_size_of(group)
    others = NOT_OF_E if step_size is None else (*NOT_OF_E, *step_size.parameter_state)
    return state.keys() - set(others)


def put_back(state: State, fresh: State, runs: Tensor | None) -> State:
    """A group's state with the rows of some runs as they were at the beginning; both have the run as their first axis."""
    return {name: chosen(runs, fresh[name].to(value), value) if name in fresh else value for name, value in state.items()}


def chosen(runs: Tensor | None, fresh: Tensor, old: Tensor) -> Tensor:
    """The fresh rows of some runs, the old ones of the others."""
    if runs is None:
        return fresh
    return torch.where(broadcast_runs(runs.to(old.device), old), fresh, old)


@torch.no_grad()
def reset_state(optimizer: Optimizer) -> None:
    """Let any optimizer of torch's forget all that it has gathered, as if it had just been made; parameters and settings stay.

    Of one that has a `reset` of its own, as an `AdaptiveRMSprop` has, it is that. The state of torch's own optimizers is made
    again by their next step, but Adagrad makes it at the beginning, and gets it back here.

    Asked for since 2020: pytorch/pytorch#37410.

    >>> weight = torch.nn.Parameter(torch.ones(2))
    >>> optimizer = torch.optim.Adam([weight])
    >>> weight.grad = torch.ones(2)
    >>> optimizer.step()
    >>> reset_state(optimizer)
    >>> len(optimizer.state)
    0
    """
    own = getattr(optimizer, "reset", None)
    if callable(own):
        own()
    elif isinstance(optimizer, Adagrad):
        for group in optimizer.param_groups:
            for p in group["params"]:
                optimizer.state[p]["step"].zero_()
                optimizer.state[p]["sum"].fill_(group["initial_accumulator_value"])
    else:
        optimizer.state.clear()
