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


def learn(settings: A2C, policy: ActorCritic, rollout: Rollout, descend: UpdateStep, generators: Generators) -> MetricsFn:
    """One update of all runs on the whole rollout; nothing is drawn. Its curves show the networks before the update."""
    seen = evaluate(policy, rollout, settings, settings.gae_lambda)
    descend(loss(seen, settings))
    return partial(metrics, seen)


def loss(seen: Evaluation, settings: Settings) -> Tensor:
    """What an update descends, of each run [R]: the formula above."""
    advantage = normalized(seen.advantage, seen.counted) if settings.normalize_advantage else seen.advantage
    total = policy_loss(seen, advantage) + settings.vf_coef * value_loss(seen)
    return total - settings.ent_coef * mean(seen.entropy, seen.counted) if settings.ent_coef else total


def policy_loss(seen: Evaluation, advantage: Tensor) -> Tensor:
    """−mean(A ln π(a|s)) of each run [R]; its gradient is the policy gradient."""
    return -mean(advantage * seen.log_prob, seen.counted)


def value_loss(seen: Evaluation) -> Tensor:
    """Mean squared error of the critic against the returns, of each run [R]."""
    return mean((seen.returns - seen.value).square(), seen.counted)


def metrics(seen: Evaluation) -> dict[str, Tensor]:
    """What is worth a curve, a value a run [R]."""
    with torch.no_grad():
        return {
            "train/policy_loss": policy_loss(seen, seen.advantage),
            "train/value_loss": value_loss(seen),
            "train/entropy": mean(seen.entropy, seen.counted),
            "train/explained_variance": explained_variance(seen),
        }
