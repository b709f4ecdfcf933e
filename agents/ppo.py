"""PPO: proximal policy optimisation with a clipped surrogate (Schulman et al. 2017), as in Stable-Baselines3.

    ρ = π(a|s) / π_old(a|s)
    loss = −mean(min(ρ A, clip(ρ, 1 − c, 1 + c) A))  +  vf_coef · mean((G − V(s))²)  −  ent_coef · mean(entropy)

A rollout of `n_steps` steps in `n_envs` environments is learned from `n_epochs` times, in another order each time, in
minibatches of `batch_size` steps; each minibatch is one optimizer update, and the means are over its valid steps. Advantages A
and returns G are those of the networks before the first update. Every run has an order of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.config import PPO
from agents.distributions import Generators
from agents.experience import Rollout
from agents.kernels.native_losses import NativeLosses
from agents.losses import (
    Evaluation,
    Mask,
    MetricsFn,
    UpdateStep,
    evaluate,
    explained_variance,
    flatten_time,
    mask_of,
    mean,
    normalized_sample,
)
from agents.networks import ActorCritic


def learn(settings: PPO, policy: ActorCritic, rollout: Rollout, update: UpdateStep, generators: Generators) -> MetricsFn:
    """`updates_per_iteration` updates of all runs; the order of the minibatches is drawn from `generators`."""
    native = policy.native_losses(settings, settings.gae_lambda)
    if native is not None:
        return learn_natively(settings, native, rollout, update, generators)
    with torch.no_grad():
        before = evaluate(policy, rollout, settings, settings.gae_lambda)
    steps = Minibatch(
        flatten_time(rollout.observations[:-1]),
        flatten_time(rollout.actions),
        flatten_time(rollout.valid),
        before.log_prob,
        before.advantage,
        before.returns,
    )
    updates = []
    for _ in range(settings.n_epochs):
        for part in minibatches(steps, settings.batch_size, generators):
            terms = loss_terms(policy, part, settings)
            loss = terms.policy_loss + settings.vf_coef * terms.value_loss
            if settings.ent_coef:
                loss = loss - settings.ent_coef * terms.entropy
            terms = terms.detached()
            policy.backward(loss)
            update(terms.value_loss)
            updates.append(terms)
    return partial(metrics, before, updates, settings)


def learn_natively(
    settings: PPO, native: NativeLosses, rollout: Rollout, update: UpdateStep, generators: Generators
) -> MetricsFn:
    """The same by the compiled kernel."""
    prepared, statistics = native.ppo_prepare(rollout), []
    rows = rollout.rewards.shape[0] * rollout.rewards.shape[2]
    for _ in range(settings.n_epochs):
        order = orders(generators, rows)
        for start in range(0, rows, settings.batch_size):
            terms = native.ppo_gradient(prepared, order, start, min(settings.batch_size, rows - start))
            update(terms[:, 1], terms[:, 5])
            statistics.append(terms)
    return partial(named, statistics, prepared.explained_variance, settings)


def orders(generators: Generators, count: int) -> NDArray[np.int64]:
    """An order of so many steps for each run [R, B]."""
    return np.stack([g.permutation(count) for g in generators])


class Minibatch(NamedTuple):
    """Steps of a rollout, with what the networks computed for them before the first update; nothing here has a gradient."""

    observations: Tensor  # [R, B, O]
    actions: Tensor  # [R, B] or [R, B, A]
    valid: Tensor  # [R, B]  where the step counts
    log_prob: Tensor  # [R, B]  ln π_old(a|s)
    advantage: Tensor  # [R, B]
    returns: Tensor  # [R, B]


class LossTerms(NamedTuple):
    """The terms of an update's loss, and the ratios that say how far the policy has moved."""

    policy_loss: Tensor  # [R]
    value_loss: Tensor  # [R]
    entropy: Tensor  # [R]
    log_ratio: Tensor  # [R, B]  ln ρ
    mask: Mask  # the steps that count

    def detached(self) -> LossTerms:
        """Without gradients, whose graph would stay in memory."""
        terms = (self.policy_loss, self.value_loss, self.entropy, self.log_ratio)
        return LossTerms(*(term.detach() for term in terms), mask=self.mask)  # type: ignore[misc, arg-type]


def minibatches(steps: Minibatch, size: int, generators: Generators) -> Iterator[Minibatch]:
    """All steps of a rollout once, in an order of each run's own, `size` at a time."""
    runs, count = steps.valid.shape
    order = torch.from_numpy(orders(generators, count))  # [R, B]
    indices = (order + count * torch.arange(runs).unsqueeze(1)).to(steps.valid.device)  # runs and steps as one axis
    shuffled = [x.flatten(0, 1)[indices] for x in steps]
    for start in range(0, count, size):
        yield Minibatch(*(x[:, start : start + size] for x in shuffled))


def loss_terms(policy: ActorCritic, part: Minibatch, settings: PPO) -> LossTerms:
    """The terms of the loss of each run; gradients flow through the first three."""
    log_prob, entropy = policy.evaluate_actions(part.observations, part.actions)
    value = policy.values(part.observations)
    mask = mask_of(part.valid)
    advantage = normalized_sample(part.advantage, mask) if settings.normalize_advantage else part.advantage
    log_ratio = log_prob - part.log_prob
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1 - settings.clip_range, 1 + settings.clip_range)
    return LossTerms(
        -mean(torch.minimum(ratio * advantage, clipped * advantage), mask),
        mean((part.returns - value).square(), mask),
        mean(entropy, mask),
        log_ratio,
        mask,
    )


def metrics(before: Evaluation, updates: Sequence[LossTerms], settings: PPO) -> dict[str, Tensor]:
    """Values for curves, one a run [R]: means over the updates of an iteration.

    The Kullback-Leibler divergence of the new policy from the old is estimated by mean(ρ − 1 − ln ρ), which is never negative
    and, with actions of the old policy, unbiased (http://joschu.net/blog/kl-approx.html), over the last epoch's updates.
    """
    last = updates[-(len(updates) // settings.n_epochs) :]
    return {
        "train/policy_loss": average([u.policy_loss for u in updates]),
        "train/value_loss": average([u.value_loss for u in updates]),
        "train/entropy": average([u.entropy for u in updates]),
        "train/explained_variance": explained_variance(before),
        "train/approx_kl": average([mean(u.log_ratio.exp() - 1 - u.log_ratio, u.mask) for u in last]),
        "train/clip_fraction": average(
            [mean(((u.log_ratio.exp() - 1).abs() > settings.clip_range).float(), u.mask) for u in updates]
        ),
    }


def named(statistics: Sequence[Tensor], explained: Tensor, settings: PPO) -> dict[str, Tensor]:
    """The same from the kernel's statistics of every update [R, 6], and the explained variance [R]."""
    of_updates = torch.stack(tuple(statistics), -1)  # [R, 6, U]
    last = of_updates[..., -(len(statistics) // settings.n_epochs) :]
    policy_loss, value_loss, entropy, _, clip_fraction, _ = of_updates.mean(-1).unbind(1)
    return {
        "train/policy_loss": policy_loss,
        "train/value_loss": value_loss,
        "train/entropy": entropy,
        "train/explained_variance": explained,
        "train/approx_kl": last[:, 3].mean(-1),
        "train/clip_fraction": clip_fraction,
    }


def average(values: Sequence[Tensor]) -> Tensor:
    """Mean over several updates of tensors [R], run by run."""
    return torch.stack(tuple(values), -1).mean(-1)
