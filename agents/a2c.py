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
from agents.experience import Rollout
from agents.losses import Evaluation, MetricsFn, UpdateStep, evaluate, explained_variance, mean, normalized
from agents.networks import ActorCritic


def learn(settings: A2C, policy: ActorCritic, rollout: Rollout, update: UpdateStep, generators: Generators) -> MetricsFn:
    """One update of all runs on the whole rollout; nothing is drawn. Its curves show the networks before the update."""
    return learn_once(settings, policy, rollout, update, settings.gae_lambda)


def learn_once(settings: Settings, policy: ActorCritic, rollout: Rollout, update: UpdateStep, gae_lambda: float) -> MetricsFn:
    """One update on the loss above: by the compiled kernel, if the policy has it, or by what follows it here."""
    native = policy.native_losses(settings, gae_lambda)
    if native is not None:
        statistics = native.a2c_gradient(rollout)
        update(statistics[:, 1], statistics[:, 4])
        return partial(named, statistics)
    evaluation = evaluate(policy, rollout, settings, gae_lambda)
    critic_loss = value_loss(evaluation)
    policy.backward(loss(evaluation, critic_loss, settings))
    update(critic_loss.detach())
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


def named(statistics: Tensor) -> dict[str, Tensor]:
    """The kernel's statistics [R, 5] as values for curves."""
    return dict(zip(METRICS, statistics.unbind(1)[:4], strict=True))


METRICS = ("train/policy_loss", "train/value_loss", "train/entropy", "train/explained_variance")


def metrics(evaluation: Evaluation) -> dict[str, Tensor]:
    """Values for curves, one a run [R]."""
    with torch.no_grad():
        values = (
            policy_loss(evaluation, evaluation.advantage),
            value_loss(evaluation),
            mean(evaluation.entropy, evaluation.mask),
            explained_variance(evaluation),
        )
    return dict(zip(METRICS, values, strict=True))
