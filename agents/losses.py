"""What every policy-gradient agent here computes from a rollout: log-probabilities, values, entropy, returns.

Inside an update time and environments are one axis B = T·N of a run, [R, B]: every reduction is along the last, contiguous
axis of one run, so that a run's sums are added up in the same order whatever the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from agents.config import Settings
from agents.networks import ActorCritic
from agents.returns import advantages
from agents.rollout import Rollout

UpdateStep = Callable[[Tensor], None]
"""One optimizer update on a loss [R]; the agents call it, the training loop provides it."""

MetricsFn = Callable[[], dict[str, Tensor]]
"""Losses and the like by tag, [R] each; computed when someone wants the numbers."""


class Mask(NamedTuple):
    """Which steps of each run a mean is over."""

    which: Tensor  # [R, B]  1 where the step counts, else 0
    number: Tensor  # [R]  how many do, at least 1


class Evaluation(NamedTuple):
    """A rollout seen by the current networks; every tensor [R, B]. Gradients flow through the first three."""

    log_prob: Tensor  # ln π(a|s) of the actions taken
    entropy: Tensor  # of π(·|s), in nats
    value: Tensor  # V(s)
    advantage: Tensor  # A, no gradient
    returns: Tensor  # G = A + V, no gradient
    counted: Mask  # the steps that did not only reset the environment


def evaluate(policy: ActorCritic, rollout: Rollout, settings: Settings, gae_lambda: float) -> Evaluation:
    """Run both networks over the rollout and estimate advantages (see agents/returns.py); rewards are scaled here."""
    steps, runs, envs = rollout.rewards.shape
    states = flatten_time(rollout.observations)  # [R, (T + 1)·N, O]
    all_values = policy.values(states)  # [R, (T + 1)·N]
    by_time = all_values.detach().view(runs, steps + 1, envs).transpose(0, 1).contiguous()  # [T + 1, R, N]
    rewards = rollout.rewards * settings.reward_scale
    advantage = flatten_time(advantages(rewards, by_time, rollout.terminated, rollout.truncated, settings.gamma, gae_lambda))
    judged = policy.judge(states[:, : steps * envs], flatten_time(rollout.actions))
    value = all_values[:, : steps * envs]
    return Evaluation(
        log_prob=judged.log_prob,
        entropy=judged.entropy,
        value=value,
        advantage=advantage,
        returns=advantage + value.detach(),
        counted=count(flatten_time(rollout.valid)),
    )


def flatten_time(x: Tensor) -> Tensor:
    """[T, R, N, …] → [R, T·N, …], contiguous."""
    # With one environment a reshape alone would leave the axis strided, and strided sums round differently.
    return x.transpose(0, 1).contiguous().view(x.shape[1], -1, *x.shape[3:])


def count(valid: Tensor) -> Mask:
    """The steps that are true in `valid` [R, B]."""
    which = valid.float()
    return Mask(which, which.sum(-1).clamp_(min=1.0))


def mean(x: Tensor, counted: Mask) -> Tensor:
    """Mean of x [R, B] over the steps of each run that count: [R]."""
    return (x * counted.which).sum(-1) / counted.number


def centred(x: Tensor, counted: Mask) -> Tensor:
    """X less its mean."""
    return x - mean(x, counted).unsqueeze(-1)


def variance(x: Tensor, counted: Mask) -> Tensor:
    """Variance of x over the steps of each run that count [R]."""
    return mean(centred(x, counted).square(), counted)


def normalized(x: Tensor, counted: Mask) -> Tensor:
    """X shifted and scaled to mean 0 and standard deviation 1 over the steps of each run that count."""
    return centred(x, counted) / (variance(x, counted).sqrt().unsqueeze(-1) + 1e-8)


def normalized_sample(x: Tensor, counted: Mask) -> Tensor:
    """The same by the standard deviation of a sample, with n − 1: what Stable-Baselines3 does to a minibatch."""
    away = centred(x, counted)
    of_sample = (away.square() * counted.which).sum(-1) / (counted.number - 1).clamp_(min=1.0)
    return away / (of_sample.sqrt().unsqueeze(-1) + 1e-8)


def explained_variance(seen: Evaluation) -> Tensor:
    """1 − Var(G − V) / Var(G) of each run [R]: 1 is a perfect critic, 0 no better than a constant, NaN if G is constant."""
    error = variance(seen.returns - seen.value.detach(), seen.counted)
    spread = variance(seen.returns, seen.counted)
    return torch.where(spread > 0, 1 - error / spread, torch.nan)
