"""How good a policy is: the return of whole episodes, in environments of their own, without learning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agents.networks import ActorCritic
from agents.rollout import Environments


def episode_returns(
    env: Environments,
    policy: ActorCritic,
    episodes: int,
    generators: Sequence[np.random.Generator] | None = None,
) -> NDArray[np.float64]:
    """Undiscounted returns of `episodes` episodes of each run: [R, episodes].

    The greedy policy acts, or with `generators` (one a run) the stochastic one; its running statistics stand still.
    An episode in which a reward or an observation is not finite has no finite return.
    Environment n contributes its first ⌈episodes / N⌉ or ⌊episodes / N⌋ episodes, however long: taking whatever ends first
    would favour short episodes.
    """
    quota = np.full(env.envs_per_run, episodes // env.envs_per_run)
    quota[: episodes % env.envs_per_run] += 1  # [N]
    returns = np.full((env.runs, env.envs_per_run, quota.max()), np.nan)
    count = np.zeros((env.runs, env.envs_per_run), np.int64)
    observations = env.reset()
    running = np.where(np.isfinite(observations).all(-1), 0.0, np.nan)
    head, reflex, constants = policy.head, policy.reflex(env.envs_per_run), policy.actor.constants
    with np.errstate(invalid="ignore"):  # infinities of both signs have no sum
        while (count < quota).any():
            y = reflex(policy.normalization.observations.apply(observations))
            if generators is not None:
                y = y + head.noise(generators, 1, env.envs_per_run, constants)[0]
            result = env.step(head.sent(head.choose(y)))
            observations = result.observations
            running += result.rewards
            if not np.isfinite(observations).all():
                running[~np.isfinite(observations).all(-1)] = np.nan
            over = result.terminated | result.truncated
            keep = over & (count < quota)
            run, n = np.nonzero(keep)
            returns[run, n, count[run, n]] = running[run, n]
            count[keep] += 1
            running[over] = 0.0
    by_episode = returns.transpose(0, 2, 1).reshape(env.runs, -1)  # first episodes first
    return by_episode[:, (np.arange(quota.max())[:, None] < quota).ravel()]
