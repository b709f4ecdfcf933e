"""The training loop of R runs: an iterator of records that knows neither files nor curves nor what β is.

    for update in Training(agent, env, policy, optimizer, windows=1000, generators=noise):
        print(update.number, update.steps, update.episodes.episode_return)

Each record is one window of every run: `n_steps` steps, and what was learned from them in one optimizer update (A2C, REINFORCE)
or several (PPO). Rules, detectors, shifts by updates and recorded signals count optimizer updates; curves, episodes and the
schedule of lr go by windows. Whoever consumes a record decides what to keep; measuring that costs time is a function, called
only when someone wants the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.config import Settings
from agents.distributions import Generators
from agents.learning import learn
from agents.losses import MetricsFn
from agents.networks import ActorCritic
from agents.nonfinite import Health
from agents.reproducible import one_thread
from agents.rollout import Actor, Environments, Episodes
from rl_rmsprop.storage.snapshot import Snapshottable


class Update(NamedTuple):
    """One window of every run, and the optimizer updates made of it."""

    number: int  # optimizer updates made so far
    window: int  # windows so far, from 1
    steps: NDArray[np.int64]  # [R]  environment steps made so far
    episodes: Episodes  # those that ended in this window
    grad_norms: Tensor  # [U, R]  length of the gradient before clipping, in each of the window's updates; NaN if skipped
    metrics: MetricsFn  # losses and the like, [R] each
    health: Health  # what the runs have skipped so far, and which have failed

    @property
    def grad_norm(self) -> Tensor:
        """That of the last optimizer update [R]."""
        return self.grad_norms[-1]


class Training(Snapshottable):
    """Alternates acting and learning `windows` times; an iterator of records, which can be taken down between any two of them.

    Every run is asked for the same number of optimizer updates. An optimizer with an `observe` method (AdaptiveRMSprop has one)
    is told what it cannot see by itself: each run's gradient norm before clipping, and whether these data are the first since a
    change of the environment, where the environments know (`onsets`, how often a change has begun in each run). Environments
    with a `count_update` are told of every update. The data of a window's first update are the first since a change; those of
    its later updates are the same ones again.

    A run that must not be updated (see agents/nonfinite.py) has a norm and a gradient of NaN: the optimizer is expected to leave
    all of that run as it is. The records end early when all runs have failed.

    Environments, what is recorded of them and `Health` are on the CPU; learning is where the policy is.

    A snapshot holds where acting and learning are; weights and the optimizer's state are the caller's.
    """

    STATE_ATTRIBUTES = ("_window", "_updates", "_actor", "health")

    def __init__(
        self,
        agent: Settings,
        env: Environments,
        policy: ActorCritic,
        optimizer: torch.optim.Optimizer,
        windows: int,
        generators: Generators,  # [R] of each run, for the policy's noise and whatever the agent draws
    ) -> None:
        self._agent, self._env, self._policy, self._optimizer, self._windows = agent, env, policy, optimizer, windows
        self._generators = generators
        self.health = Health(env.runs)
        self._actor = Actor(env, policy, generators)
        self._initial_lr = [group["lr"] for group in optimizer.param_groups]
        self._observe = getattr(optimizer, "observe", None)
        self._count_update = getattr(env, "count_update", lambda: None)
        self._norms: list[Tensor] = []  # of this window's updates
        self._shifted = torch.zeros(env.runs, dtype=torch.bool)  # [R] until the first update after the change has been made
        self._window = self._updates = 0

    def __iter__(self) -> Training:
        return self

    @one_thread()
    def __next__(self) -> Update:
        """One window of every run."""
        if self._window == self._windows or self.health.failed.all():
            raise StopIteration
        self._set_lr()
        before = onsets_of(self._env)
        rollout, episodes = self._actor.collect(self._agent.n_steps)
        self._shifted = torch.from_numpy(onsets_of(self._env) > before)
        self.health.look(rollout, self._actor.steps)
        self._norms.clear()
        measure = learn(self._agent, self._policy, rollout.to(self._policy.device), self._descend, self._generators)
        self._window += 1
        self._updates += len(self._norms)
        norms, steps = torch.stack(self._norms), self._actor.steps.copy()
        return Update(self._updates, self._window, steps, episodes, norms, measure, self.health)

    def _set_lr(self) -> None:
        """The step size of this window."""
        if self._agent.lr_schedule == "linear":
            for group, lr in zip(self._optimizer.param_groups, self._initial_lr, strict=True):
                group["lr"] = lr * (1 - self._window / self._windows)

    def _descend(self, loss: Tensor) -> None:
        """One update of the optimizer on a loss [R]."""
        self._policy.backward(loss)
        self._norms.append(clip(self._policy.parameters(), self._agent.max_grad_norm, self.health.take))
        if self._observe is not None:
            self._observe(grad_norm=self._norms[-1], shifted=self._shifted)
        self._optimizer.step()
        self._shifted = torch.zeros_like(self._shifted)
        self._count_update()


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
    norm = judge(torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g, dim=1) for g in grads], -1), dim=1))  # [R]
    scale = (max_norm / (norm + 1e-6)).clamp(max=1.0).unsqueeze(1)  # as torch.nn.utils.clip_grad_norm_
    for g in grads:
        g.mul_(scale)
    return norm
