"""The training loop of R runs: a generator of records that knows neither files nor curves nor what β is.

    for update in train(agent, env, policy, optimizer, windows=1000, generators=noise):
        print(update.number, update.steps, update.episodes.episode_return)

Each record is one window of every run: `n_steps` steps, and what was learned from them in one optimizer update (A2C, REINFORCE)
or several (PPO). Rules, detectors, shifts by updates and recorded signals count optimizer updates; curves, episodes and the
schedule of lr go by windows. Whoever consumes a record decides what to keep; measuring that costs time is a function, called
only when someone wants the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.heads import Generators
from agents.health import Health
from agents.learning import Descend, Measure
from agents.networks import ActorCritic
from agents.rollout import Actor, Environments, Episodes, Rollout


class Agent(Protocol):
    """A learning rule: see agents/a2c.py."""

    @property
    def n_steps(self) -> int:
        """Steps of each environment per window."""
        ...

    @property
    def max_grad_norm(self) -> float:
        """Longest gradient of a run."""
        ...

    @property
    def lr_schedule(self) -> str:
        """`constant` or `linear`."""
        ...

    def learn(self, policy: ActorCritic, rollout: Rollout, descend: Descend, generators: Generators) -> Measure:
        """Learn from one rollout; calls `descend` on a loss [R] for every optimizer update, as often in every window.

        What has to be drawn comes from `generators`, one a run.
        """
        ...


class Update(NamedTuple):
    """One window of every run, and the optimizer updates made of it."""

    number: int  # optimizer updates made so far
    window: int  # windows so far, from 1
    steps: NDArray[np.int64]  # [R]  environment steps made so far
    episodes: Episodes  # those that ended in this window
    grad_norms: Tensor  # [U, R]  length of the gradient before clipping, in each of the window's updates; NaN if skipped
    metrics: Measure  # losses and the like, [R] each
    health: Health  # what the runs have skipped so far, and which have failed

    @property
    def grad_norm(self) -> Tensor:
        """That of the last optimizer update [R]."""
        return self.grad_norms[-1]


def train(
    agent: Agent,
    env: Environments,
    policy: ActorCritic,
    optimizer: torch.optim.Optimizer,
    windows: int,
    generators: Generators,  # [R] of each run, for the policy's noise and whatever the agent draws
    health: Health | None = None,
) -> Iterator[Update]:
    """Alternate acting and learning `windows` times; every run is asked for the same number of optimizer updates.

    An optimizer with an `observe` method (AdaptiveRMSprop has one) is told what it cannot see by itself: each run's gradient
    norm before clipping, and whether these data are the first since a change of the environment, where the environments know
    (`onsets`, how often a change has begun in each run). Environments with a `count_update` are told of every update. The data
    of a window's first update are the first since a change; those of its later updates are the same ones again.

    A run that must not be updated (see agents/health.py; `health` goes on counting where it stands) has a norm and a gradient
    of NaN: the optimizer is expected to leave all of that run as it is. Training ends early when all runs have failed.
    """
    health = Health(env.runs) if health is None else health
    actor = Actor(env, policy, generators)
    initial_lr = [group["lr"] for group in optimizer.param_groups]
    observe = getattr(optimizer, "observe", None)
    count_update = getattr(env, "count_update", lambda: None)
    norms: list[Tensor] = []
    shifted = torch.zeros(env.runs, dtype=torch.bool)  # [R] until the first update after the change has been made

    def descend(loss: Tensor) -> None:
        policy.backward(loss)
        norms.append(clip(policy.parameters(), agent.max_grad_norm, health.take))
        if observe is not None:
            observe(grad_norm=norms[-1], shifted=shifted)
        optimizer.step()
        shifted.zero_()
        count_update()

    updates = 0
    for window in range(1, windows + 1):
        if agent.lr_schedule == "linear":
            for group, lr in zip(optimizer.param_groups, initial_lr, strict=True):
                group["lr"] = lr * (1 - (window - 1) / windows)
        before = onsets_of(env)
        rollout, episodes = actor.collect(agent.n_steps)
        health.look(rollout, actor.steps)
        shifted.copy_(torch.from_numpy(onsets_of(env) > before))
        measure = agent.learn(policy, rollout, descend, generators)
        updates += len(norms)
        yield Update(updates, window, actor.steps.copy(), episodes, torch.stack(norms), measure, health)
        norms.clear()
        if health.failed.all():
            return


def onsets_of(env: Environments) -> NDArray[np.int64]:
    """How often a change has begun in each run [R]; 0 where the environments do not change."""
    return np.array(getattr(env, "onsets", np.zeros(env.runs, np.int64)))


def unchanged(norm: Tensor) -> Tensor:
    """Every run may be updated."""
    return norm


def clip(parameters: Sequence[Tensor], max_norm: float, judge: Callable[[Tensor], Tensor] = unchanged) -> Tensor:
    """Scale each run's gradient to at most `max_norm`, all its parameters together; returns the norms before [R].

    `judge` is shown the norms; where it returns NaN the run's whole gradient becomes NaN.
    """
    grads = [p.grad for p in parameters if p.grad is not None]
    norm = torch.stack([torch.linalg.vector_norm(g, dim=1) for g in grads], -1).square().sum(-1).sqrt()  # [R]
    norm = judge(norm)
    scale = (max_norm / (norm + 1e-6)).clamp(max=1.0).unsqueeze(1)  # as torch.nn.utils.clip_grad_norm_
    for g in grads:
        g.mul_(scale)
    return norm
