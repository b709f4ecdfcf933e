"""What every policy-gradient agent here computes from a rollout: log-probabilities, values, entropy, returns.

Inside an update time and environments are one axis B = T·N of a run, [R, B]: every reduction is along the last, contiguous
axis of one run, so that a run's sums are added up in the same order whatever the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from agents.config import Settings
from agents.experience import Rollout
from agents.networks import ActorCritic
from agents.returns import advantages


class UpdateStep(Protocol):
    """One optimizer update by the gradients that the networks have now; the training loop provides it."""

    def __call__(self, td_error: Tensor, norms: Tensor | None = None) -> None:
        """`td_error` is the critic's mean squared error [R] before it; `norms` [R] how long the gradients were, if clipped."""
        ...


MetricsFn = Callable[[], dict[str, Tensor]]
"""Losses and the like by tag, [R] each; computed only when someone wants the numbers."""


class Mask(NamedTuple):
    """Which steps of each run a mean is over."""

    weights: Tensor  # [R, B]  1 where the step counts, else 0
    size: Tensor  # [R]  how many do, at least 1


class Evaluation(NamedTuple):
    """A rollout evaluated by the current networks; every tensor [R, B]. Gradients flow through the first three."""

    log_prob: Tensor  # ln π(a|s) of the actions taken
    entropy: Tensor  # of π(·|s), in nats
    value: Tensor  # V(s)
    advantage: Tensor  # A, no gradient
    returns: Tensor  # G = A + V, no gradient
    mask: Mask  # the steps that did not only reset the environment


def evaluate(policy: ActorCritic, rollout: Rollout, settings: Settings, gae_lambda: float) -> Evaluation:
    """Run both networks over the rollout and estimate advantages (see agents/returns.py); rewards are scaled here."""
    steps, runs, envs = rollout.rewards.shape
    states = flatten_time(rollout.observations)  # [R, (T + 1)·N, O]
    all_values = policy.values(states)  # [R, (T + 1)·N]
    by_time = all_values.detach().view(runs, steps + 1, envs).transpose(0, 1).contiguous()  # [T + 1, R, N]
    rewards = rollout.rewards * settings.reward_scale
    advantage = flatten_time(advantages(rewards, by_time, rollout.terminated, rollout.truncated, settings.gamma, gae_lambda))
    actions = policy.evaluate_actions(states[:, : steps * envs], flatten_time(rollout.actions))
    value = all_values[:, : steps * envs]
    return Evaluation(
        log_prob=actions.log_prob,
        entropy=actions.entropy,
        value=value,
        advantage=advantage,
        returns=advantage + value.detach(),
        mask=mask_of(flatten_time(rollout.valid)),
    )


def flatten_time(x: Tensor) -> Tensor:
    """[T, R, N, …] → [R, T·N, …], contiguous."""
    # With one environment a reshape alone would leave the axis strided, and strided sums round differently.
    return x.transpose(0, 1).contiguous().view(x.shape[1], -1, *x.shape[3:])


def mask_of(valid: Tensor) -> Mask:
    """The steps that are true in `valid` [R, B]."""
    weights = valid.float()
    return Mask(weights, weights.sum(-1).clamp_(min=1.0))


def mean(x: Tensor, mask: Mask) -> Tensor:
    """Mean of x [R, B] over the steps of each run that count: [R]."""
    return (x * mask.weights).sum(-1) / mask.size


def centered(x: Tensor, mask: Mask) -> Tensor:
    """X minus its mean."""
    return x - mean(x, mask).unsqueeze(-1)


def variance(x: Tensor, mask: Mask) -> Tensor:
    """Variance of x over the steps of each run that count [R]."""
    return mean(centered(x, mask).square(), mask)


def normalized(x: Tensor, mask: Mask) -> Tensor:
    """X shifted and scaled to mean 0 and standard deviation 1 over the steps of each run that count."""
    return centered(x, mask) / (variance(x, mask).sqrt().unsqueeze(-1) + 1e-8)


def normalized_sample(x: Tensor, mask: Mask) -> Tensor:
    """The same by the standard deviation of a sample, with n − 1: what Stable-Baselines3 does to a minibatch."""
    deviations = centered(x, mask)
    sample_variance = (deviations.square() * mask.weights).sum(-1) / (mask.size - 1).clamp_(min=1.0)
    return deviations / (sample_variance.sqrt().unsqueeze(-1) + 1e-8)


def explained_variance(evaluation: Evaluation) -> Tensor:
    """1 − Var(G − V) / Var(G) of each run [R]: 1 is a perfect critic, 0 no better than a constant, NaN if G is constant."""
    residual = variance(evaluation.returns - evaluation.value.detach(), evaluation.mask)
    total = variance(evaluation.returns, evaluation.mask)
    return torch.where(total > 0, 1 - residual / total, torch.nan)
