"""Acting: T steps of every environment of every run, recorded for learning.

The noise that the policy samples with is drawn per run beforehand (see agents/distributions.py): randomness enters `collect` as
an argument, and a run's noise does not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from agents.environments import Environments
from agents.episodes import track
from agents.experience import Rollout
from agents.kernels import native_acting
from agents.kernels.native_acting import Experience
from agents.kernels.native_kernel import NativeKernel
from agents.networks import ActorCritic
from rl_rmsprop.storage.snapshot import Snapshottable


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
        self.outputs = np.empty(0, np.float32)
        """What the actor's network computed at each step of the last rollout, before noise [T, R, N, A]."""
        self._observations = policy.normalization.observations.update(env.reset(), everywhere)
        self._network = policy.acting_network(env.envs_per_run)
        self._returns = np.zeros((env.runs, env.envs_per_run))
        self._lengths = np.zeros((env.runs, env.envs_per_run), np.int64)

    def collect(self, steps: int) -> tuple[Rollout, Episodes]:
        """Act for `steps` calls of every environment."""
        env, policy = self.env, self.policy
        noise = policy.distribution.noise(self.generators, steps, env.envs_per_run, policy.actor.constants)
        self.outputs = np.empty((steps, env.runs, env.envs_per_run, policy.actor.widths[-1]), np.float32)
        compiled = policy.compiled_environments(env)
        experience, env_rewards = self._act(noise) if compiled is None else self._act_natively(compiled, noise)
        self._observations = experience.observations[steps].copy()
        rollout = Rollout(*map(torch.from_numpy, experience))
        return rollout, self._track_episodes(env_rewards, experience.terminated | experience.truncated, experience.valid)

    def _act(self, all_noise: NDArray[np.float32]) -> tuple[Experience, NDArray[np.float32]]:
        """Act step by step; `all_noise` is [T, R, N, A]. Returns the environments' own rewards beside the experience."""
        env, network, pi, normalization = self.env, self._network, self.policy.distribution, self.policy.normalization
        steps, normalizes = len(all_noise), normalization.is_active
        memory = self._memory(steps)
        env_rewards = np.empty_like(memory.rewards) if normalizes else memory.rewards
        actions = []
        network.update_weights()
        with torch.inference_mode():
            for t, noise in enumerate(all_noise):
                self.outputs[t] = network(memory.observations[t])
                actions.append(pi.choose(self.outputs[t] + noise))
                step = env.step(pi.to_env_action(actions[-1]))
                memory.observations[t + 1], env_rewards[t], memory.terminated[t], memory.truncated[t], memory.valid[t] = step
                if normalizes:
                    memory.observations[t + 1], memory.rewards[t] = normalization.update(step)
        return memory._replace(actions=np.stack(actions)), env_rewards

    def _act_natively(self, environments: Any, noise: NDArray[np.float32]) -> tuple[Experience, NDArray[np.float32]]:
        """The same by the compiled kernel, which steps the environments too."""
        memory = self._memory(len(noise))
        assert isinstance(self.policy.actor.kernel, NativeKernel)
        native_acting.act(self.policy.actor.kernel, environments, noise, self.outputs, memory)
        return memory, memory.rewards

    def _memory(self, steps: int) -> Experience:
        """Memory for so many steps, with the observations of now; actions are numbers."""
        shape = (steps, self.env.runs, self.env.envs_per_run)
        observations = np.empty((steps + 1, *self._observations.shape), np.float32)
        observations[0] = self._observations
        flags = (np.empty(shape, bool) for _ in ("terminated", "truncated", "valid"))
        return Experience(observations, np.empty(shape, np.int64), np.empty(shape, np.float32), *flags)

    def _track_episodes(self, rewards: NDArray, done: NDArray, valid: NDArray) -> Episodes:
        """Add a rollout [T, R, N] to the running returns and lengths; returns the episodes that ended in it."""
        by_time = self.steps + valid.sum(2).cumsum(0)  # [T, R]  environment steps of each run
        self.steps = by_time[-1]
        ended = track(rewards, done, valid, self._returns, self._lengths)
        run = ended.environment // self.env.envs_per_run
        return Episodes(run, by_time[ended.time, run], ended.episode_return, ended.length)
