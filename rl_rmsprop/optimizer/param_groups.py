"""A parameter group's options, and the optimizer's: which values are allowed."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from rl_rmsprop import rules, step_sizes
from rl_rmsprop.kernels import torch_internals
from rl_rmsprop.laws import Law
from rl_rmsprop.native import library
from rl_rmsprop.rules import Adaptive, Rule
from rl_rmsprop.schedules import Constant
from rl_rmsprop.step_sizes import StepSize

OWN_OPTIONS = {"eps_in_sqrt": False, "initial_accumulator_value": 0.0, "bias_correction": False, "lr_rule": None}
"""Those that torch's RMSprop does not have, and the values that make no difference."""


def has_torchs_formula(options: dict[str, Any], rule: Rule) -> bool:
    """Whether rule and options are those of an update that torch's RMSprop has."""
    return isinstance(rule, Constant) and not (options["eps_in_sqrt"] or options["bias_correction"] or options["lr_rule"])


def step_size_of(group: dict[str, Any]) -> StepSize | None:
    """The step-size rule of a group, None if lr alone decides."""
    return step_sizes.parse(group["lr_rule"]) if group["lr_rule"] else None


def run_names(runs: Any) -> list[int] | None:
    """The integers that name the runs, from their number or themselves; None without runs, ValueError for other values."""
    if runs is None:
        return None
    several = isinstance(runs, Iterable) and getattr(runs, "ndim", 1) > 0
    numbers = [whole_number(run) for run in runs] if several else list(range(whole_number(runs)))
    if not numbers:
        raise ValueError(f"runs must be at least 1, got {runs}: give the number of runs, or the integers that name them")
    return numbers


def whole_number(value: Any) -> int:
    """The value as an integer; ValueError if it is a truth value or has a fraction."""
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        message = f"runs must be a whole number, or whole numbers that name the runs, got {value!r}: give 4, or [0, 1, 2, 3]"
        raise ValueError(message) from None


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
        keys = "steps=… or updates=… (of the training), or per_update=… (environment steps)"
        raise ValueError(f"{rules.text(rule)!r} leaves open what is not known here: give {keys}")
    if isinstance(rule, Law) and options["centered"]:
        raise ValueError(f"centered needs one β for all entries of a parameter, got {rules.text(rule)!r}: use a schedule")
    if options["differentiable"] and not has_torchs_formula(options, rule):
        raise ValueError(
            f"differentiable=True needs a number for alpha and torch's options, got {rules.text_or_none(rule)!r}: "
            "leave out eps_in_sqrt, bias_correction and lr_rule"
        )
    step_size = step_size_of(options)
    if step_size is not None and options["momentum"] and not step_size.takes_momentum:
        raise ValueError(f"momentum must be 0 with lr_rule={options['lr_rule']}, got {options['momentum']}: its step is along g")


def check_params(params: Sequence[Any], options: dict[str, Any], rule: Rule, runs: int | None, nonfinite: str) -> None:
    """ValueError for parameters whose shape does not fit `runs`, or that are sharded and need more than this process has."""
    for p in params:
        if runs is not None and (p.dim() == 0 or len(p) != runs):
            rule_of_runs = f"with runs={runs} the first axis of every parameter must be {runs}"
            raise ValueError(f"{rule_of_runs}, got shape {tuple(p.shape)}: stack the runs' parameters")
    sharded = any(torch_internals.is_sharded(p) for p in params) or torch_internals.is_within_zero()
    if sharded and not (has_torchs_formula(options, rule) and runs is None and nonfinite == "propagate"):
        raise ValueError(
            f"sharded parameters need a number for alpha and torch's options, got alpha={rules.text_or_none(rule)!r}, "
            f"nonfinite={nonfinite!r}, runs={runs}, lr_rule={options['lr_rule']}: a detector, a statistic or a step size of one "
            "shard knows nothing of the others"
        )


def check_kernel(kernel: str | None, runs: Sequence[int] | None) -> None:
    """ValueError for a kernel that isn't there, or has no runs to go through."""
    if kernel not in ("torch", "native", None):
        raise ValueError(f"kernel must be torch or native, got {kernel!r}")
    if kernel == "native" and runs is None:
        raise ValueError("kernel=native needs runs, the first axis of every parameter: give runs=1, or leave kernel out")
    if kernel == "native" and not library.is_useful():
        raise ValueError("kernel=native is not built here: install a C++ compiler and then the package again, or use torch")


def check_mask(name: str, mask: Tensor | None, runs: int | None) -> None:
    """ValueError for a mask that is not one bool a run."""
    if mask is not None and (runs is None or mask.dtype != torch.bool or tuple(mask.shape) != (runs,)):
        shape = f"{str(mask.dtype).removeprefix('torch.')} of shape {tuple(mask.shape)} with runs={runs}"
        raise ValueError(f"{name} must be one bool per run of an optimizer with runs, got {shape}")
