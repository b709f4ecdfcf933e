"""Acting: T steps of every environment of every run, recorded for learning.

The noise that the policy samples with is drawn per run beforehand (see agents/distributions.py): randomness enters `collect` as
an argument, and a run's noise does not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.environments import Environments
from agents.networks import ActorCritic
from rl_rmsprop.storage.snapshot import Snapshottable


class Rollout(NamedTuple):
    """Experience of T steps, recorded on the CPU. Axes: T time, R runs, N environments per run, O observation, A action."""

    observations: Tensor  # [T + 1, R, N, O]  s_0 … s_T, normalised if the policy normalises
    actions: Tensor  # [T, R, N]  int64; [T, R, N, A]  int64 of A choices; or float32 as drawn, before a box clipped them
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


class Actor(Snapshottable):
    """Acts with the policy, from one rollout to the next: holds the environments, the last observations and running returns.

    >>> import envs
    >>> from agents import A2C, make_policy
    >>> env = envs.make("CartPole-v1", seeds=[0, 1], envs_per_run=8)
    >>> actor = Actor(env, make_policy(env, A2C(), [0, 1]), [np.random.default_rng(seed) for seed in (0, 1)])
    >>> rollout, episodes = actor.collect(steps=16)
    >>> rollout.observations.shape, rollout.rewards.shape
    (torch.Size([17, 2, 8, 4]), torch.Size([16, 2, 8]))
    """

    STATE_ATTRIBUTES = ("env", "generators", "steps", "_observations", "_returns", "_lengths")

    def __init__(self, env: Environments, policy: ActorCritic, generators: Sequence[np.random.Generator]) -> None:
        """`env` is a batch of R × N environments, `generators` the policy noise of each run."""
        self.env, self.policy, self.generators = env, policy, generators
        self.steps = np.zeros(env.runs, np.int64)  # [R]  environment steps made so far; resets do not count
        everywhere = np.ones((env.runs, env.envs_per_run), bool)
        self._observations = policy.normalization.observations.update(env.reset(), everywhere)
        self._network = policy.acting_network(env.envs_per_run)
        self._returns = np.zeros((env.runs, env.envs_per_run))
        self._lengths = np.zeros((env.runs, env.envs_per_run), np.int64)

    def collect(self, steps: int) -> tuple[Rollout, Episodes]:
        """Act for `steps` calls of every environment."""
        env, network, pi, normalization = self.env, self._network, self.policy.distribution, self.policy.normalization
        shape, normalizes = (steps, env.runs, env.envs_per_run), normalization.is_active
        observations = np.empty((steps + 1, *shape[1:], self._observations.shape[-1]), np.float32)
        env_rewards = np.empty(shape, np.float32)
        rewards = np.empty(shape, np.float32) if normalizes else env_rewards  # as the policy learns from them
        terminated, truncated, valid = (np.empty(shape, bool) for _ in range(3))
        actions = []
        network.update_weights()
        all_noise = pi.noise(self.generators, steps, env.envs_per_run, self.policy.actor.constants)
        with torch.inference_mode():
            for t, noise in enumerate(all_noise):
                observations[t] = self._observations
                actions.append(pi.choose(network(self._observations) + noise))
                step = env.step(pi.to_env_action(actions[-1]))
                self._observations, env_rewards[t], terminated[t], truncated[t], valid[t] = step
                if normalizes:
                    self._observations, rewards[t] = normalization.update(step)
        observations[steps] = self._observations
        arrays = (torch.from_numpy(a) for a in (observations, np.stack(actions), rewards, terminated, truncated, valid))
        return Rollout(*arrays), self._track_episodes(env_rewards, terminated | truncated, valid)

    def _track_episodes(self, rewards: NDArray, done: NDArray, valid: NDArray) -> Episodes:
        """Add a rollout [T, R, N] to the running returns and lengths; returns the episodes that ended in it."""
        by_time = self.steps + valid.sum(2).cumsum(0)  # [T, R]  environment steps of each run
        self.steps = by_time[-1]
        ended, any_done = [NO_EPISODES], np.logical_or.reduce(done, (1, 2))
        with np.errstate(invalid="ignore"):  # infinities of both signs have no sum
            for t in range(len(done)):
                self._returns += rewards[t]
                self._lengths += valid[t]
                if any_done[t]:
                    run, n = np.nonzero(done[t] & np.isfinite(self._returns))
                    ended.append(Episodes(run, by_time[t, run], self._returns[run, n], self._lengths[run, n]))
                    self._returns[done[t]] = 0.0
                    self._lengths[done[t]] = 0
        return Episodes(*map(np.concatenate, zip(*ended, strict=True)))


NO_EPISODES = Episodes(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))
