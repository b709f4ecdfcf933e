"""A2C: synchronous advantage actor-critic (Mnih et al. 2016), with generalised advantage estimation.

    loss = −mean(A · ln π(a|s))  +  vf_coef · mean((G − V(s))²)  −  ent_coef · mean(entropy)

One update per rollout of `n_steps` steps in `n_envs` environments; the means are over the rollout's valid steps.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from agents.config import A2C, Settings
from agents.distributions import Generators
from agents.losses import Evaluation, MetricsFn, UpdateStep, evaluate, explained_variance, mean, normalized
from agents.networks import ActorCritic
from agents.rollout import Rollout


def learn(settings: A2C, policy: ActorCritic, rollout: Rollout, update: UpdateStep, generators: Generators) -> MetricsFn:
    """One update of all runs on the whole rollout; nothing is drawn. Its curves show the networks before the update."""
    evaluation = evaluate(policy, rollout, settings, settings.gae_lambda)
    critic_loss = value_loss(evaluation)
    update(loss(evaluation, critic_loss, settings), critic_loss.detach())
    return partial(metrics, evaluation)


def loss(evaluation: Evaluation, critic_loss: Tensor, settings: Settings) -> Tensor:
    """The loss of each run [R], by the formula above; `critic_loss` is `value_loss`."""
    advantage = normalized(evaluation.advantage, evaluation.mask) if settings.normalize_advantage else evaluation.advantage
    total = policy_loss(evaluation, advantage) + settings.vf_coef * critic_loss
    return total - settings.ent_coef * mean(evaluation.entropy, evaluation.mask) if settings.ent_coef else total


def policy_loss(evaluation: Evaluation, advantage: Tensor) -> Tensor:
    """−mean(A ln π(a|s)) of each run [R]; its gradient is the policy gradient."""
    return -mean(advantage * evaluation.log_prob, evaluation.mask)


def value_loss(evaluation: Evaluation) -> Tensor:
    """Mean squared error of the critic against the returns, of each run [R]."""
    return mean((evaluation.returns - evaluation.value).square(), evaluation.mask)


def metrics(evaluation: Evaluation) -> dict[str, Tensor]:
    """Values for curves, one a run [R]."""
    with torch.no_grad():
        return {
            "train/policy_loss": policy_loss(evaluation, evaluation.advantage),
            "train/value_loss": value_loss(evaluation),
            "train/entropy": mean(evaluation.entropy, evaluation.mask),
            "train/explained_variance": explained_variance(evaluation),
        }
