"""The training loop of R runs: a generator of records that knows neither files nor curves nor what β is.

    for update in train(agent, env, policy, optimizer, updates=1000, generators=noise):
        print(update.number, update.steps, update.episodes.episode_return)

Each record is one optimizer update of every run. Whoever consumes it decides what to keep; measuring that costs time is a
function, called only when someone wants the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.a2c import metrics
from agents.learning import Descend, Evaluation
from agents.networks import ActorCritic
from agents.rollout import Actor, Environments, Episodes, Rollout


class Agent(Protocol):
    """A learning rule: see agents/a2c.py."""

    @property
    def n_steps(self) -> int:
        """Steps of each environment per update."""
        ...

    @property
    def max_grad_norm(self) -> float:
        """Longest gradient of a run."""
        ...

    @property
    def lr_schedule(self) -> str:
        """`constant` or `linear`."""
        ...

    def learn(self, policy: ActorCritic, rollout: Rollout, descend: Descend) -> Evaluation:
        """Learn from one rollout; calls `descend` on a loss [R] for every optimizer update."""
        ...


class Update(NamedTuple):
    """One optimizer update of every run."""

    number: int  # updates made so far, from 1
    steps: NDArray[np.int64]  # [R]  environment steps made so far
    episodes: Episodes  # those that ended during this update's rollout
    grad_norm: Tensor  # [R]  length of the gradient before clipping
    metrics: Callable[[], dict[str, Tensor]]  # losses and the like, [R] each


def train(
    agent: Agent,
    env: Environments,
    policy: ActorCritic,
    optimizer: torch.optim.Optimizer,
    updates: int,
    generators: Sequence[np.random.Generator],  # [R] policy noise of each run
) -> Iterator[Update]:
    """Alternate acting and learning `updates` times; every run makes the same number of updates.

    An optimizer with an `observe` method (AdaptiveRMSprop has one) is told what it cannot see by itself: each run's gradient
    norm before clipping, and whether these data are the first since a change of the environment, where the environments know
    (`onsets`, how often a change has begun in each run). Environments with a `count_update` are told of every update.
    """
    actor = Actor(env, policy, generators)
    initial_lr = [group["lr"] for group in optimizer.param_groups]
    observe = getattr(optimizer, "observe", None)
    count_update = getattr(env, "count_update", lambda: None)
    norms: list[Tensor] = []
    shifted = torch.zeros(env.runs, dtype=torch.bool)  # [R] until the first update after the change has been made

    def descend(loss: Tensor) -> None:
        policy.backward(loss)
        norms.append(clip(policy.parameters(), agent.max_grad_norm))
        if observe is not None:
            observe(grad_norm=norms[-1], shifted=shifted)
        optimizer.step()
        shifted.zero_()
        count_update()

    for index in range(1, updates + 1):
        if agent.lr_schedule == "linear":
            for group, lr in zip(optimizer.param_groups, initial_lr, strict=True):
                group["lr"] = lr * (1 - (index - 1) / updates)
        before = onsets_of(env)
        rollout, episodes = actor.collect(agent.n_steps)
        shifted.copy_(torch.from_numpy(onsets_of(env) > before))
        seen = agent.learn(policy, rollout, descend)
        yield Update(index, actor.steps.copy(), episodes, norms[-1], partial(metrics, seen))
        norms.clear()


def onsets_of(env: Environments) -> NDArray[np.int64]:
    """How often a change has begun in each run [R]; 0 where the environments do not change."""
    return np.array(getattr(env, "onsets", np.zeros(env.runs, np.int64)))


def clip(parameters: Sequence[Tensor], max_norm: float) -> Tensor:
    """Scale each run's gradient to at most `max_norm`, all its parameters together; returns the norms before [R]."""
    grads = [p.grad for p in parameters if p.grad is not None]
    norm = torch.stack([torch.linalg.vector_norm(g, dim=1) for g in grads], -1).square().sum(-1).sqrt()  # [R]
    scale = (max_norm / (norm + 1e-6)).clamp(max=1.0).unsqueeze(1)  # as torch.nn.utils.clip_grad_norm_
    for g in grads:
        g.mul_(scale)
    return norm
