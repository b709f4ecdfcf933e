"""How good a policy is: the return of whole episodes, in environments of their own, without learning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from agents.networks import ActorCritic
from agents.rollout import Environments, gumbel_noise


def episode_returns(
    env: Environments,
    policy: ActorCritic,
    episodes: int,
    generators: Sequence[np.random.Generator] | None = None,
) -> NDArray[np.float64]:
    """Undiscounted returns of `episodes` episodes of each run: [R, episodes].

    The greedy policy acts, or with `generators` (one a run) the stochastic one. Environment n contributes its first
    ⌈episodes / N⌉ or ⌊episodes / N⌋ episodes, however long: taking whatever ends first would favour short episodes.
    """
    quota = np.full(env.envs_per_run, episodes // env.envs_per_run)
    quota[: episodes % env.envs_per_run] += 1  # [N]
    returns = np.full((env.runs, env.envs_per_run, quota.max()), np.nan)
    count = np.zeros((env.runs, env.envs_per_run), np.int64)
    running = np.zeros((env.runs, env.envs_per_run))
    observations = env.reset()
    with torch.no_grad():
        while (count < quota).any():
            logits = policy.logits(torch.from_numpy(observations))
            if generators is not None:
                logits += gumbel_noise(generators, (1, env.envs_per_run, logits.shape[-1]))[0]
            result = env.step(logits.argmax(-1).numpy())
            observations = result.observations
            running += result.rewards
            over = result.terminated | result.truncated
            keep = over & (count < quota)
            run, n = np.nonzero(keep)
            returns[run, n, count[run, n]] = running[run, n]
            count[keep] += 1
            running[over] = 0.0
    by_episode = returns.transpose(0, 2, 1).reshape(env.runs, -1)  # first episodes first
    return by_episode[:, ~np.isnan(by_episode[0])]
