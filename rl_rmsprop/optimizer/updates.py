"""One update of a parameter group: β, then E, then the parameters, by the fastest of several ways to do the same.

    signal x → second_moment.decide (β, w) → E takes g² → θ takes its step, as long as lr or a step-size rule says

`choose_update` takes the first row of UPDATES whose predicate holds. The last row is the definition: it serves every rule and
option, one parameter after the other (of most laws, one block after the other); the others are faster, or torch's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim.rmsprop import rmsprop

from rl_rmsprop.kernels import equations, fused, native_laws, native_step, torch_internals
from rl_rmsprop.kernels.backends import State, scalar
from rl_rmsprop.kernels.blocks import blocks
from rl_rmsprop.kernels.equations import Slot
from rl_rmsprop.kernels.workspace import Workspace
from rl_rmsprop.laws import BetaLaw, Law
from rl_rmsprop.native import library
from rl_rmsprop.optimizer import second_moment
from rl_rmsprop.optimizer.param_groups import has_torchs_formula, step_size_of
from rl_rmsprop.rules import Rule
from rl_rmsprop.step_sizes import StepInputs

TORCH_OPTIONS = (
    "lr", "alpha", "eps", "weight_decay", "momentum", "centered", "foreach", "maximize", "differentiable", "capturable",
)  # fmt: skip

NO_SIGNAL = torch.empty(0)


class GroupUpdate(NamedTuple):
    """What one update of a parameter group starts from."""

    group: dict[str, Any]
    rule: Rule
    params: list[Tensor]  # that have a gradient
    grads: list[Tensor]
    states: list[State]
    runs: int | None
    workspace: Workspace
    is_fusible: bool  # `fused.supports`
    lr_per_run: bool  # whether lr is [R]
    is_torchs: bool  # whether torch has such an update: ours must have its bits
    kernel: str | None  # `native` and `torch`: which is to have it, where it can; None for laws alone native
    clip: Tensor | None  # c, [] or [R] float64: by how much the step is shorter than the gradient makes it; None for 1

    def decide(self, x: Tensor) -> float | Tensor:
        """`second_moment.decide`, or `decide_by_law`."""
        if isinstance(self.rule, BetaLaw):
            return second_moment.decide_by_law(self.rule, self.group, equations.slots(self.params, self.states, self.group), x)
        assert not isinstance(self.rule, Law)
        averages = (E for name in ("square_avg", "grad_avg") for E in equations.state_tensors(self.states, name))
        return second_moment.decide(self.rule, self.group, self.states, averages, x)

    def memory(self, slot: Slot) -> Tensor:
        """Memory for what is computed of a slot, shaped as E; lost at the next call for such a slot."""
        return self.workspace("root", slot.E)

    def square(self, slot: Slot) -> Tensor:
        """g² of a slot, in that memory and the dtype of E."""
        return torch.square(slot.g.to(slot.E.dtype), out=self.memory(slot))


def prepare(
    group: dict[str, Any],
    rule: Rule,
    params: list[Tensor],
    grads: list[Tensor],
    states: list[State],
    runs: int | None,
    workspace: Workspace,
    clip: Tensor | None = None,
    kernel: str | None = None,
) -> GroupUpdate:
    """The update of these parameters by these gradients."""
    lr_per_run = runs is not None and isinstance(group["lr"], Tensor) and group["lr"].dim() > 0
    is_torchs = clip is None and not lr_per_run and has_torchs_formula(group, rule)
    is_fusible = fused.supports(params, states, group)
    clip = None if clip is None else clip.to(params[0].device)
    return GroupUpdate(
        group, rule, params, grads, states, runs, workspace, is_fusible, lr_per_run, is_torchs, kernel, clip
    )  # fmt: skip


def update_group(update: GroupUpdate, x: Tensor = NO_SIGNAL) -> None:
    """One update, in place, of a group's parameters, their states, β and the rule's state; `x` is the signal, [] or [R]."""
    function = choose_update(update)
    function(update, x)
    if function is not by_torch:  # which counts for itself
        steps = [state["step"] for state in update.states]
        torch_internals.foreach_add_(steps, scalar(1.0, steps[0].dtype, steps[0].device), alpha=1.0)


def choose_update(update: GroupUpdate) -> Callable[[GroupUpdate, Tensor], None]:
    """The function that makes the update, of it and the signal x."""
    for holds, function in UPDATES:
        if holds(update):
            return function
    raise AssertionError("the last row of UPDATES serves every update")


# Torch's function -----------------------------------------------------------------------------------------------------------


def is_left_to_torch(update: GroupUpdate) -> bool:
    """Whether the user asks for one of torch's loops, an option needs more than the equations, or torch knows a device better."""
    if not update.is_torchs:
        return False
    group = update.group
    if group["foreach"] is not None or group["capturable"] or group["differentiable"]:
        return True
    return not update.is_fusible and not all([p.is_cpu and not torch_internals.is_sharded(p) for p in update.params])


def by_torch(update: GroupUpdate, x: Tensor) -> None:
    """`torch.optim.rmsprop.rmsprop`, repaired where its variance of the gradient is negative."""
    group, params, states = update.group, update.params, update.states
    update.decide(x)
    slots = equations.slots(params, states, group) if group["centered"] and not group["differentiable"] else []
    before = [(slot.p.clone(), None if slot.buffer is None else slot.buffer.clone()) for slot in slots]
    square_avgs, steps = ([state[name] for state in states] for name in ("square_avg", "step"))
    grad_avgs = [state["grad_avg"] for state in states] if group["centered"] else []
    buffers = [state["momentum_buffer"] for state in states] if group["momentum"] > 0 else []
    options = {name: group[name] for name in TORCH_OPTIONS} | {"has_complex": any(p.is_complex() for p in params)}
    rmsprop(params, update.grads, square_avgs, grad_avgs, buffers, steps, **options)
    for slot, (p, buffer) in zip(slots, before, strict=True):
        equations.repair_centered(p, buffer, slot, group)


# All parameters at once -----------------------------------------------------------------------------------------------------


def is_fused_rmsprop(update: GroupUpdate) -> bool:
    """Whether it is torch's update of parameters on the CPU."""
    return update.is_fusible and update.is_torchs


def by_fused_rmsprop(update: GroupUpdate, x: Tensor) -> None:
    """`fused.rmsprop`."""
    fused.rmsprop(update.params, update.grads, update.states, update.group, number(update.decide(x)))


def is_fused_adam(update: GroupUpdate) -> bool:
    """Whether there is one β and one step size, and no run that must have the same bits in every batch."""
    if update.clip is not None or update.group["lr_rule"]:
        return False
    has_one_beta = update.runs is None and not isinstance(update.rule, Law)
    return has_one_beta and update.is_fusible and fused.supports_adam(update.params, update.grads, update.states, update.group)


def by_fused_adam(update: GroupUpdate, x: Tensor) -> None:
    """`fused.adam`."""
    fused.adam(update.params, update.grads, update.states, update.group, number(update.decide(x)))


def number(beta: float | Tensor) -> float:
    """β where it is one number."""
    assert isinstance(beta, float)
    return beta


# A step size for all parameters ---------------------------------------------------------------------------------------------


def has_step_size(update: GroupUpdate) -> bool:
    """Whether more than lr decides how long the step is."""
    return bool(update.group["lr_rule"])


def by_step_size(update: GroupUpdate, x: Tensor) -> None:
    """E of all parameters takes g² first; then the step-size rule looks at all of them, and makes their steps."""
    group, per_run = update.group, update.runs is not None
    slots = [slot for slot in equations.slots(update.params, update.states, group) if slot.E.numel()]
    memory = [update.workspace(f"root {i}", slot.E) for i, slot in enumerate(slots)]
    second_moment.update(update.rule, group, slots, x, per_run, square=update.square)
    step_size = step_size_of(group)
    if slots and step_size is not None:
        roots = [second_moment.divisor(update.rule, slot, group, out) for slot, out in zip(slots, memory, strict=True)]
        roots = [out if root is out else out.copy_(root) for root, out in zip(roots, memory, strict=True)]  # not the rule's state
        group["lr_rule_state"] = step_size.apply(group["lr_rule_state"], StepInputs(slots, roots, group, per_run, update.clip))


# Many runs ------------------------------------------------------------------------------------------------------------------


def follows_more_than_lr(update: GroupUpdate) -> bool:
    """Whether the length of a step needs more than one lr for all."""
    return update.clip is not None or update.lr_per_run or bool(update.group["lr_rule"])


def is_native(update: GroupUpdate) -> bool:
    """Whether the compiled kernel is to have it, and can: E by one number or one a run."""
    if update.kernel != "native" or (isinstance(update.rule, Law) and not isinstance(update.rule, BetaLaw)):
        return False
    if follows_more_than_lr(update) or not all([p.numel() for p in update.params]):
        return False
    tensors = [*update.params, *update.grads, *fused.square_averages(update.states)]
    return native_step.supports(tensors, update.group)


def by_native_step(update: GroupUpdate, x: Tensor) -> None:
    """`native_step.step`."""
    beta = update.decide(x)
    native_step.step(equations.slots(update.params, update.states, update.group), update.group, beta)


# Laws -----------------------------------------------------------------------------------------------------------------------


def is_compiled_law(update: GroupUpdate) -> bool:
    """Whether the compiled kernel has the law, is not to be left out, and can."""
    if update.kernel == "torch" or not isinstance(update.rule, Law) or follows_more_than_lr(update):
        return False
    law = update.rule.compiled()
    if law is None or not library.is_useful():
        return False
    return native_laws.supports(law, update.params, update.grads, update.states, update.group, update.runs)


def by_compiled_law(update: GroupUpdate, x: Tensor) -> None:
    """`native_laws.step`."""
    assert isinstance(update.rule, Law)
    law, group = update.rule.compiled(), update.group
    assert law is not None  # or the predicate would not hold
    slots = equations.slots(update.params, update.states, group)
    group["rule_state"], group["alpha"] = native_laws.step(law, slots, group, update.runs)


# One parameter after the other ----------------------------------------------------------------------------------------------


def always(update: GroupUpdate) -> bool:
    """True."""
    return True


def by_equations(update: GroupUpdate, x: Tensor) -> None:
    """The equations of rl_rmsprop/kernels/equations.py."""
    slots, rule = equations.slots(update.params, update.states, update.group), update.rule
    if not isinstance(rule, Law) or rule.needs_whole or update.runs is not None:
        one_by_one(update, slots, x)
        return
    with blocks(slots, rule.numbers, update.workspace) as parts:
        one_by_one(update, parts, x)


def one_by_one(update: GroupUpdate, slots: Sequence[Slot], x: Tensor) -> None:
    """The update of these slots, one after the other."""

    def apply_step(slot: Slot) -> None:
        root = second_moment.divisor(update.rule, slot, update.group, update.memory(slot))
        clipped = slot._replace(g=equations.clipped(slot.g, update.clip))
        equations.apply_step(clipped, update.group, update.lr_per_run, root)

    per_run = update.runs is not None
    second_moment.update(update.rule, update.group, slots, x, per_run, square=update.square, after=apply_step)


UPDATES: tuple[tuple[Callable[[GroupUpdate], bool], Callable[[GroupUpdate, Tensor], None]], ...] = (
    (is_left_to_torch, by_torch),
    (is_native, by_native_step),
    (is_compiled_law, by_compiled_law),
    (is_fused_rmsprop, by_fused_rmsprop),
    (is_fused_adam, by_fused_adam),
    (has_step_size, by_step_size),
    (always, by_equations),
)
"""When, and how."""
