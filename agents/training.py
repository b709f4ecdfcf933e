"""The training loop of R runs: an iterator of records that knows neither files nor curves nor what β is.

    for update in Training(agent, env, policy, optimizer, iterations=1000, seeds=seeds):
        print(update.iteration, update.steps, update.episodes.episode_return)

An iteration is `n_steps` steps of every environment, and what is learned from this rollout in one optimizer update (A2C,
REINFORCE) or several (PPO). Rules, detectors, shifts by updates and recorded signals count optimizer updates; curves, episodes
and the schedule of lr go by iterations. Whoever consumes a record decides what to store; measuring that costs time is a function,
called only when someone wants the numbers.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.config import Settings
from agents.learning import learn
from agents.losses import MetricsFn, flatten_time
from agents.networks import ActorCritic
from agents.nonfinite import NonfiniteGuard, RunStatus
from agents.per_run import PerRun
from agents.reproducible import one_thread
from agents.rollout import Actor, Environments, Episodes
from rl_rmsprop.seeding import generators
from rl_rmsprop.storage.snapshot import Snapshottable


class Update(NamedTuple):
    """The record of one iteration of every run, and of the optimizer updates made in it; later iterations do not change it.

    >>> import envs
    >>> from agents import PPO, Training, make_policy
    >>> agent, env = PPO(n_envs=2, n_steps=20, batch_size=10, n_epochs=3), envs.make("CartPole-v1", [5], envs_per_run=2)
    >>> policy = make_policy(env, agent, seeds=[5])
    >>> update = next(Training(agent, env, policy, torch.optim.Adam(policy.parameters()), iterations=1, seeds=[5]))
    >>> update.updates, tuple(update.grad_norms.shape), sorted(update.metrics())[:2]
    (12, (12, 1), ['train/approx_kl', 'train/clip_fraction'])
    """

    updates: int  # optimizer updates made so far
    iteration: int  # iterations so far, from 1
    steps: NDArray[np.int64]  # [R]  environment steps made so far
    episodes: Episodes  # those that ended in this iteration
    grad_norms: Tensor  # [U, R]  length of the gradient before clipping, in each of the iteration's updates; NaN if skipped
    metrics: MetricsFn  # losses and the like, [R] each
    status: RunStatus  # what the runs have skipped so far, and which have failed

    @property
    def grad_norm(self) -> Tensor:
        """That of the last optimizer update [R]."""
        return self.grad_norms[-1]


class Training(Snapshottable):
    """Alternates acting and learning; an iterator of records, which can be saved and restored between any two of them.

    Every run is asked for the same number of optimizer updates. A run that must not be updated (see agents/nonfinite.py) is left
    out: its gradient is zero, and `step` gets a `mask` [R] in which it is false. An optimizer whose `step` takes no mask is
    wrapped in `PerRun`, so that any elementwise optimizer of torch can be used. The records end early when all runs have failed.

    An optimizer with an `observe` method (AdaptiveRMSprop has one), unless its `listens_to` is empty, is told what it cannot see
    by itself: each run's gradient norm before clipping (0 where the run is left out); with `clip="numerator"` by what its step is
    to be multiplied; and whether these data are the first since a change of the environment, where the environments know
    (`onsets`, how often a change has begun in each run). The data of an iteration's first update are the first since a change;
    those of its later updates are the same. If the optimizer's `listens_to` names them, it is also told

        episode_return    the mean return of the episodes that have ended since the last update, NaN for none
        td_error          the critic's mean squared error before the update
        kl                divergence of the policies before and after the last update, on at most PROBES states of its rollout
        rollout           1 in the first update on a rollout, else 0

    Environments with a `count_update` are told of every update, optimizers with a `begin_rollout` of every rollout.

    Environments, rollouts and the guard are on the CPU; learning is where the policy is. Torch has one thread meanwhile, see
    agents/reproducible.py. A snapshot holds where acting and learning are; weights and the optimizer's state are the caller's.

    >>> import envs
    >>> from agents import A2C, make_policy
    >>> from rl_rmsprop import AdaptiveRMSprop
    >>> seeds, agent = [3, 7], A2C(n_envs=2)
    >>> env = envs.make("CartPole-v1", seeds, envs_per_run=2)
    >>> policy = make_policy(env, agent, seeds)
    >>> optimizer = AdaptiveRMSprop(policy.parameters(), agent.lr, alpha="cusum:arl=50000,max=0.99", runs=seeds)
    >>> [update.iteration for update in Training(agent, env, policy, optimizer, iterations=2, seeds=seeds)]
    [1, 2]
    """

    STATE_ATTRIBUTES = ("_iteration", "_updates", "_actor", "guard", "_kl")

    def __init__(
        self,
        agent: Settings,
        env: Environments,
        policy: ActorCritic,
        optimizer: torch.optim.Optimizer,
        iterations: int,
        seeds: Sequence[int],
    ) -> None:
        """`seeds`, one a run, determine the policy's noise and whatever the agent draws.

        ValueError if environments, policy, seeds and optimizer are not of the same number of runs.
        """
        check_runs(env.runs, policy, optimizer, seeds)
        check_clip(agent.clip, optimizer)
        self._agent, self._env, self._policy, self._iterations = agent, env, policy, iterations
        self._optimizer: Any = optimizer if takes_mask(optimizer) else PerRun(optimizer)
        self._generators = generators(seeds, "policy")
        self.guard = NonfiniteGuard(env.runs, agent.reward_scale)
        """Which runs may learn, and why those that have failed did."""
        self._actor = Actor(env, policy, self._generators)
        self._initial_lr = [group["lr"] for group in optimizer.param_groups]
        self._observe = None if hears_nothing(optimizer, agent) else getattr(optimizer, "observe", None)
        self._wanted: frozenset[str] = frozenset(getattr(optimizer, "listens_to", ()))
        self._kl = torch.full((env.runs,), math.nan, device=policy.device)  # [R] of the last update
        self._returns = torch.empty(0)  # [R] mean return of the episodes that ended in this iteration, if it is wanted
        self._probes = torch.empty(0)  # [R, B, O] states of this rollout, if they are needed
        self._outputs = torch.empty(0)  # [R, B, …] the policy's, for the probes
        self._begin_rollout = getattr(self._optimizer, "begin_rollout", lambda: None)
        self._count_update = getattr(env, "count_update", lambda: None)
        self._norms: list[Tensor] = []  # of this iteration's updates
        self._shifted = torch.zeros(env.runs, dtype=torch.bool)  # [R] until the first update after the change has been made
        self._iteration = self._updates = 0

    def __iter__(self) -> Training:
        return self

    @one_thread()
    def __next__(self) -> Update:
        """One iteration of every run."""
        if self._iteration == self._iterations or self.guard.failed.all():
            raise StopIteration
        self._set_lr()
        before = onsets_of(self._env)
        rollout, episodes = self._actor.collect(self._agent.n_steps)
        self._shifted = torch.from_numpy(onsets_of(self._env) > before)
        self.guard.check_rollout(rollout, self._actor.steps)
        self._norms.clear()
        if "episode_return" in self._wanted:
            self._returns = mean_returns(episodes, len(self._generators))
        rollout = rollout.to(self._policy.device)
        if "kl" in self._wanted:
            self._probes = probes(rollout.observations[:-1])
            of_acting = torch.from_numpy(self._actor.outputs).to(self._policy.device)
            self._outputs = self._policy.actor.with_constants(probes(of_acting))
        self._begin_rollout()
        metrics = learn(self._agent, self._policy, rollout, self._update, self._generators)
        self._iteration += 1
        self._updates += len(self._norms)
        norms, steps = torch.stack(self._norms), self._actor.steps.copy()
        return Update(self._updates, self._iteration, steps, episodes, norms, metrics, self.guard.status())

    def _set_lr(self) -> None:
        """The step size of this iteration."""
        if self._agent.lr_schedule == "linear":
            for group, lr in zip(self._optimizer.param_groups, self._initial_lr, strict=True):
                group["lr"] = lr * (1 - self._iteration / self._iterations)

    def _update(self, td_error: Tensor, norms: Tensor | None = None) -> None:
        """See `UpdateStep`."""
        is_clipped = norms is not None or self._agent.clip == "numerator"
        grads: list[Tensor] = [p.grad for p in self._policy.parameters()]  # type: ignore[misc]  # networks have memory for theirs
        norms = grad_norms(grads) if norms is None else norms
        mask = self.guard.check_gradients(norms)
        if mask is None:
            self._norms.append(norms)
        else:
            masked = mask.logical_not().nonzero().flatten().to(norms.device)
            self._norms.append(norms.index_fill(0, masked, math.nan))
            norms = without(grads, norms, masked)
        if not is_clipped:
            clip(grads, norms, self._agent.max_grad_norm)
        if self._observe is not None:
            self._observe(grad_norm=norms, shifted=self._shifted, **self._step_scale(norms), **self._reports(td_error))
        if mask is None:
            self._optimizer.step()
        else:
            self._optimizer.step(mask=mask)
        if "kl" in self._wanted:
            before, self._outputs = self._outputs, self._probe()
            self._kl = self._policy.distribution.divergence(before, self._outputs).mean(-1)
        self._shifted = torch.zeros_like(self._shifted)
        self._count_update()

    def _step_scale(self, norms: Tensor) -> dict[str, Tensor]:
        """What the optimizer is to do in place of a clipped gradient, if that is the setting."""
        return {"step_scale": clip_scale(norms, self._agent.max_grad_norm)} if self._agent.clip == "numerator" else {}

    def _reports(self, td_error: Tensor) -> dict[str, Tensor]:
        """What the optimizer wants to know beside gradient norms and changes, [R] each."""
        first = len(self._norms) == 1  # the norm of this update is in there
        known: dict[str, Callable[[], Tensor]] = {
            "episode_return": lambda: self._returns if first else torch.full_like(self._returns, math.nan),
            "td_error": lambda: td_error,
            "kl": lambda: self._kl,
            "rollout": lambda: torch.full((len(self._generators),), float(first)),
        }
        return {name: report() for name, report in known.items() if name in self._wanted}

    @torch.no_grad()
    def _probe(self) -> Tensor:
        """The policy's outputs for the probes."""
        return self._policy.outputs(self._probes)


PROBES = 256
"""States of each run on which the divergence of two policies is measured, at most."""


def probes(x: Tensor) -> Tensor:  # [T, R, N, …] → [R, B, …]
    """What belongs to at most PROBES states of a rollout, evenly spaced."""
    states = flatten_time(x)
    return states[:, :: -(-states.shape[1] // PROBES)].contiguous()


def mean_returns(episodes: Episodes, runs: int) -> Tensor:
    """The mean return of each run's episodes, [R] float64; NaN where there is none."""
    counts = np.bincount(episodes.run, minlength=runs)
    sums = np.bincount(episodes.run, episodes.episode_return, minlength=runs)
    return torch.from_numpy(np.divide(sums, counts, out=np.full(runs, math.nan), where=counts > 0))


def check_runs(runs: int, policy: ActorCritic, optimizer: Any, seeds: Sequence[int]) -> None:
    """ValueError unless policy, optimizer and seeds are of so many runs."""
    if len(seeds) != runs or policy.runs != runs:
        raise ValueError(f"env, policy and seeds must be of the same runs, got {runs}, {policy.runs} and {len(seeds)} of them")
    if hasattr(optimizer, "observe") and hasattr(optimizer, "runs") and optimizer.runs != runs:
        name = type(optimizer).__name__
        raise ValueError(f"optimizer must be made with runs={runs}, got runs={optimizer.runs}: {name}(..., runs={runs})")


def hears_nothing(optimizer: torch.optim.Optimizer, agent: Settings) -> bool:
    """Whether an optimizer listens to nothing by its own account, so that it need not be told anything."""
    return agent.clip == "gradient" and not getattr(optimizer, "listens_to", True)


def check_clip(clip: str, optimizer: torch.optim.Optimizer) -> None:
    """ValueError if the optimizer cannot do this kind of clipping."""
    parameters = inspect.signature(getattr(optimizer, "observe", optimizer.step)).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    if clip == "numerator" and not (takes_any or "step_scale" in parameters):
        name = type(getattr(optimizer, "inner", optimizer)).__name__
        raise ValueError(f"clip=numerator needs an optimizer that observes step_scale, got {name}: use clip=gradient")


def takes_mask(optimizer: torch.optim.Optimizer) -> bool:
    """Whether `step` has an argument for the runs that are to be updated."""
    return "mask" in inspect.signature(optimizer.step).parameters


def onsets_of(env: Environments) -> NDArray[np.int64]:
    """How often a change has begun in each run [R]; 0 where the environments do not change."""
    return np.array(getattr(env, "onsets", np.zeros(env.runs, np.int64)))


def grad_norms(grads: Sequence[Tensor]) -> Tensor:
    """The length of each run's gradient, of all parameters together [R]."""
    return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g, dim=1) for g in grads], -1), dim=1)


def without(grads: Sequence[Tensor], norms: Tensor, runs: Tensor) -> Tensor:
    """Set the gradients of some runs, by their numbers, to zero; returns the norms [R] with theirs."""
    for g in grads:
        g.index_fill_(0, runs, 0.0)
    return norms.index_fill(0, runs, 0.0)


def clip_scale(norms: Tensor, max_norm: float) -> Tensor:
    """By what [R] to multiply each run's gradient, of length `norms` [R], so that it is no longer than `max_norm`."""
    return (max_norm / (norms + 1e-6)).clamp(max=1.0)  # as torch.nn.utils.clip_grad_norm_


def clip(grads: Sequence[Tensor], norms: Tensor, max_norm: float) -> None:
    """Scale each run's gradient, of length `norms` [R], to at most `max_norm`, all its parameters together."""
    scale = clip_scale(norms, max_norm).unsqueeze(1)
    for g in grads:
        g.mul_(scale)
