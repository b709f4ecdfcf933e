"""Acting: T steps of every environment of every run, recorded for learning.

The noise that the policy samples with is drawn per run beforehand (see agents/distributions.py): randomness enters `collect` as
an argument, and a run's noise does not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.networks import ActorCritic
from rl_rmsprop.storage.snapshot import Snapshottable


class Rollout(NamedTuple):
    """A window of experience, recorded on the CPU. Axes: T time, R runs, N environments per run, O observation, A action."""

    observations: Tensor  # [T + 1, R, N, O]  s_0 … s_T, normalised if the policy normalises
    actions: Tensor  # [T, R, N]  int64, or [T, R, N, A]  float32 as drawn, before an environment's box clipped them
    rewards: Tensor  # [T, R, N]  normalised if the policy normalises
    terminated: Tensor  # [T, R, N]  bool
    truncated: Tensor  # [T, R, N]  bool
    valid: Tensor  # [T, R, N]  bool, False where the call only reset the environment (next-step autoreset)

    def to(self, device: torch.device) -> Rollout:
        """The same on a device."""
        return self if device == self.rewards.device else Rollout(*(x.to(device) for x in self))


class Episodes(NamedTuple):
    """Episodes that ended, in order of time; a row an episode. Those with a reward that is not finite are left out."""

    run: NDArray[np.int64]  # [K]
    step: NDArray[np.int64]  # [K]  environment steps that the run had made when the episode ended
    episode_return: NDArray[np.float64]  # [K]
    length: NDArray[np.int64]  # [K]  steps


class Environments(Protocol):
    """What acting needs of a batch of environments; envs/serial.py says what each member means."""

    runs: int
    envs_per_run: int

    def reset(self) -> NDArray[np.float32]:
        """First observations [R, N, O]."""
        ...

    def step(self, actions: NDArray) -> Any:
        """Observations, rewards, terminated, truncated, valid."""
        ...


class Actor(Snapshottable):
    """Holds what goes on from one window to the next: the environments, the last observations, running returns."""

    STATE_ATTRIBUTES = ("env", "generators", "steps", "_observations", "_returns", "_lengths")

    def __init__(self, env: Environments, policy: ActorCritic, generators: Sequence[np.random.Generator]) -> None:
        """`env` is a batch of R × N environments (see envs/serial.py), `generators` the policy noise of each run."""
        self.env, self.policy, self.generators = env, policy, generators
        self.steps = np.zeros(env.runs, np.int64)  # [R]  environment steps made so far; resets do not count
        everywhere = np.ones((env.runs, env.envs_per_run), bool)
        self._observations = policy.normalization.observations.take(env.reset(), everywhere)
        self._reflex = policy.reflex(env.envs_per_run)
        self._returns = np.zeros((env.runs, env.envs_per_run))
        self._lengths = np.zeros((env.runs, env.envs_per_run), np.int64)

    def collect(self, steps: int) -> tuple[Rollout, Episodes]:
        """Act for `steps` calls of every environment."""
        env, head, reflex, normalization = self.env, self.policy.head, self._reflex, self.policy.normalization
        shape, normalizing = (steps, env.runs, env.envs_per_run), normalization.is_active
        observations = np.empty((steps + 1, *shape[1:], self._observations.shape[-1]), np.float32)
        earned = np.empty(shape, np.float32)
        rewards = np.empty(shape, np.float32) if normalizing else earned  # as the policy learns from them
        terminated, truncated, valid = (np.empty(shape, bool) for _ in range(3))
        actions = []
        reflex.update_weights()
        noise = head.noise(self.generators, steps, env.envs_per_run, self.policy.actor.constants)
        with torch.inference_mode():
            for t, drawn in enumerate(noise):
                observations[t] = self._observations
                actions.append(head.choose(reflex(self._observations) + drawn))
                result = env.step(head.sent(actions[-1]))
                self._observations, earned[t], terminated[t], truncated[t], valid[t] = result
                if normalizing:
                    self._observations, rewards[t] = normalization.take(result)
        observations[steps] = self._observations
        arrays = (torch.from_numpy(a) for a in (observations, np.stack(actions), rewards, terminated, truncated, valid))
        return Rollout(*arrays), self._count(earned, terminated | truncated, valid)

    def _count(self, rewards: NDArray, over: NDArray, valid: NDArray) -> Episodes:
        """Add a window [T, R, N] to the running returns and counters; returns the episodes that it ended."""
        made = self.steps + valid.sum(2).cumsum(0)  # [T, R]  environment steps of each run
        self.steps = made[-1]
        ended, ends = [NO_EPISODES], np.logical_or.reduce(over, (1, 2))
        with np.errstate(invalid="ignore"):  # infinities of both signs have no sum
            for t in range(len(over)):
                self._returns += rewards[t]
                self._lengths += valid[t]
                if ends[t]:
                    run, n = np.nonzero(over[t] & np.isfinite(self._returns))
                    ended.append(Episodes(run, made[t, run], self._returns[run, n], self._lengths[run, n]))
                    self._returns[over[t]] = 0.0
                    self._lengths[over[t]] = 0
        return Episodes(*map(np.concatenate, zip(*ended, strict=True)))


NO_EPISODES = Episodes(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))
