"""From an arm to its optimizer, for R runs at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from agents.per_run import PerRun
from rl_rmsprop import baselines, rules
from rl_rmsprop.baselines.muon import Matrix
from rl_rmsprop.optimizer.adaptive_rmsprop import AdaptiveRMSprop
from rl_rmsprop.step_sizes import AroundOptimizer
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.options import TrainingOptions


def make_optimizer(
    arm: Arm,
    parameters: Sequence[Tensor],
    lr: float,
    updates: int,
    seeds: Sequence[int],
    options: TrainingOptions,
    steps_per_update: float | None = None,
    matrices: Sequence[Sequence[Matrix]] | None = None,
) -> torch.optim.Optimizer:
    """The arm's optimizer for the flat parameters [R, P] of the runs with these seeds, trained for `updates` updates.

    `steps_per_update` are the environment steps of one run for each of them; `matrices` say where in each parameter the weights
    of hidden layers lie (`policy.hidden_weights()`), for `muon`.

    It leaves alone every run whose gradient is not finite.
    """
    if arm.rule is None:
        baseline = PerRun(baselines.parse(arm.text).optimizer(parameters, lr, options.eps, matrices))
        return baseline if options.step_size is None else AroundOptimizer(baseline, options.step_size, len(seeds))
    rule = rules.resolve(arm.rule, updates, steps_per_update)
    return AdaptiveRMSprop(
        parameters, lr, rule, options.eps, bias_correction=options.bias_correction, nonfinite="skip", lr_rule=options.step_size,
        runs=seeds, kernel=options.used_kernel,
    )  # fmt: skip
