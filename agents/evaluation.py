"""How good a policy is: the return of whole episodes, in environments of their own, without learning."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from agents.environments import Environments
from agents.networks import ActorCritic
from agents.reproducible import one_thread

MAX_EPISODE_STEPS = 10_000
"""Steps after which an episode is truncated in environments that have no time limit of their own."""
PROGRESS_EVERY = 100
"""Calls of the environments from one report of progress to the next."""


@one_thread()
def episode_returns(
    env: Environments,
    policy: ActorCritic,
    episodes: int,
    generators: Sequence[np.random.Generator] | None = None,
    progress: Callable[[int], object] = lambda finished: None,
) -> NDArray[np.float64]:
    """Undiscounted returns of `episodes` episodes of each run: [R, episodes].

    The greedy policy acts, or with `generators` (one a run) the stochastic one; its running statistics do not change.
    An episode in which a reward or an observation is not finite has no finite return.
    Environment n contributes its first ⌈episodes / N⌉ or ⌊episodes / N⌋ episodes, however long: taking whatever ends first
    would favour short episodes. Where environments have no time limit (`max_episode_steps` is None), a policy that survives
    would be evaluated for ever: `truncate` ends their episodes after 10,000 steps, which count with the return so far.

    `progress` is called with the number of episodes of all runs that are finished, every 100 calls of the environments; an
    exception that it raises stops the evaluation.

    >>> import envs
    >>> from agents import A2C, make_policy
    >>> env = envs.make("CartPole-v1", seeds=[0, 1], envs_per_run=2)
    >>> episode_returns(env, make_policy(env, A2C(), seeds=[0, 1]), episodes=3).shape
    (2, 3)
    """
    if episodes == 0:
        return np.empty((env.runs, 0))
    limit = MAX_EPISODE_STEPS if getattr(env, "max_episode_steps", None) is None else math.inf
    observations = env.reset()
    tally = Tally(env.runs, env.envs_per_run, episodes, observations)
    pi, network, constants = policy.distribution, policy.acting_network(env.envs_per_run), policy.actor.constants
    calls = 0
    while (tally.count < tally.quota).any():
        if calls % PROGRESS_EVERY == 0:
            progress(int(tally.count.sum()))
        calls += 1
        y = network(policy.normalization.observations.apply(observations))
        if generators is not None:
            y = y + pi.noise(generators, 1, env.envs_per_run, constants)[0]
        observations, rewards, terminated, truncated, valid = env.step(pi.to_env_action(pi.choose(y)))
        tally.add(observations, rewards, valid)
        done = terminated | truncated
        too_long = (tally.lengths >= limit) & ~done
        if too_long.any():
            env.truncate(too_long)  # type: ignore[attr-defined]  # see envs/core.py
        tally.end_episodes(done | too_long)
    return tally.by_episode()


class Tally:
    """Returns of the episodes that each of R × N environments is to contribute."""

    def __init__(self, runs: int, envs_per_run: int, episodes: int, observations: NDArray) -> None:
        self.quota = np.full(envs_per_run, episodes // envs_per_run)  # [N]
        self.quota[: episodes % envs_per_run] += 1
        self._returns = np.full((runs, envs_per_run, self.quota.max()), np.nan)
        self.count, self.lengths = np.zeros((2, runs, envs_per_run), np.int64)  # finished episodes; steps of the current one
        self._running = np.where(np.isfinite(observations).all(-1), 0.0, np.nan)  # return of the current one

    def add(self, observations: NDArray, rewards: NDArray, valid: NDArray[np.bool_]) -> None:
        """Add a step to the current episodes."""
        with np.errstate(invalid="ignore"):  # infinities of both signs have no sum
            self._running += rewards
        self.lengths += valid
        if not np.isfinite(observations).all():
            self._running[~np.isfinite(observations).all(-1)] = np.nan

    def end_episodes(self, done: NDArray[np.bool_]) -> None:
        """End the current episodes of some environments [R, N]; those beyond the quota do not count."""
        within_quota = done & (self.count < self.quota)
        run, n = np.nonzero(within_quota)
        self._returns[run, n, self.count[run, n]] = self._running[run, n]
        self.count[within_quota] += 1
        self._running[done], self.lengths[done] = 0.0, 0

    def by_episode(self) -> NDArray[np.float64]:
        """The returns [R, episodes], first episodes first."""
        runs, _, most = self._returns.shape
        returns = self._returns.transpose(0, 2, 1).reshape(runs, -1)
        return returns[:, (np.arange(most)[:, None] < self.quota).ravel()]
