"""What every policy-gradient agent here computes from a rollout: log-probabilities, values, entropy, returns.

Inside an update time and environments are one axis B = T·N of a run, [R, B]: every reduction is along the last, contiguous
axis of one run, so that a run's sums are added up in the same order whatever the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from agents.networks import ActorCritic
from agents.returns import advantages
from agents.rollout import Rollout
from agents.settings import Settings

Descend = Callable[[Tensor], None]
"""One optimizer update on a loss [R]; the agents call it, the training loop provides it."""

Measure = Callable[[], dict[str, Tensor]]
"""Losses and the like by tag, [R] each; computed when someone wants the numbers."""


class Evaluation(NamedTuple):
    """A rollout seen by the current networks; every field [R, B]. Gradients flow through the first three."""

    log_prob: Tensor  # ln π(a|s) of the actions taken
    entropy: Tensor  # of π(·|s), in nats
    value: Tensor  # V(s)
    advantage: Tensor  # A, no gradient
    returns: Tensor  # G = A + V, no gradient
    valid: Tensor  # 1 where the step counts, 0 where it only reset the environment


def evaluate(policy: ActorCritic, rollout: Rollout, settings: Settings, gae_lambda: float) -> Evaluation:
    """Run both networks over the rollout and estimate advantages (see agents/returns.py); rewards are scaled here."""
    steps, runs, envs = rollout.rewards.shape
    states = by_run(rollout.observations)  # [R, (T + 1)·N, O]
    all_values = policy.values(states)  # [R, (T + 1)·N]
    by_time = all_values.detach().view(runs, steps + 1, envs).transpose(0, 1).contiguous()  # [T + 1, R, N]
    rewards = rollout.rewards * settings.reward_scale
    advantage = by_run(advantages(rewards, by_time, rollout.terminated, rollout.truncated, settings.gamma, gae_lambda))
    judged = policy.judge(states[:, : steps * envs], by_run(rollout.actions))
    value = all_values[:, : steps * envs]
    return Evaluation(
        log_prob=judged.log_prob,
        entropy=judged.entropy,
        value=value,
        advantage=advantage,
        returns=advantage + value.detach(),
        valid=by_run(rollout.valid).float(),
    )


def by_run(x: Tensor) -> Tensor:
    """[T, R, N, …] → [R, T·N, …], contiguous."""
    # With one environment a reshape alone would leave the axis strided, and strided sums round differently.
    return x.transpose(0, 1).contiguous().view(x.shape[1], -1, *x.shape[3:])


def mean(x: Tensor, valid: Tensor) -> Tensor:
    """Mean of x [R, B] over the valid entries of each run: [R]."""
    return (x * valid).sum(-1) / valid.sum(-1).clamp_(min=1.0)


def normalized(x: Tensor, valid: Tensor) -> Tensor:
    """X shifted and scaled to mean 0 and standard deviation 1 over the valid entries of each run."""
    centred = x - mean(x, valid).unsqueeze(-1)
    return centred / (mean(centred.square(), valid).sqrt().unsqueeze(-1) + 1e-8)


def normalized_sample(x: Tensor, valid: Tensor) -> Tensor:
    """The same by the standard deviation of a sample, with n − 1: what Stable-Baselines3 does to a minibatch."""
    centred = x - mean(x, valid).unsqueeze(-1)
    variance = (centred.square() * valid).sum(-1) / (valid.sum(-1) - 1).clamp_(min=1.0)
    return centred / (variance.sqrt().unsqueeze(-1) + 1e-8)


def explained_variance(seen: Evaluation) -> Tensor:
    """1 − Var(G − V) / Var(G) of each run [R]: 1 is a perfect critic, 0 no better than a constant, NaN if G is constant."""
    error = variance(seen.returns - seen.value.detach(), seen.valid)
    spread = variance(seen.returns, seen.valid)
    return torch.where(spread > 0, 1 - error / spread, torch.nan)


def variance(x: Tensor, valid: Tensor) -> Tensor:
    """Variance of x over the valid entries of each run [R]."""
    return mean((x - mean(x, valid).unsqueeze(-1)).square(), valid)
