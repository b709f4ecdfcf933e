"""Advantages and returns over a rollout of T steps, with termination, truncation and reset steps kept apart.

    δ_t = r_t + γ V(s_{t+1}) (1 − terminated_t) − V(s_t)
    A_t = δ_t + γλ (1 − terminated_t)(1 − truncated_t) A_{t+1}                      (Schulman et al. 2016, generalised
    G_t = A_t + V(s_t)                                                                advantage estimation)

γ in [0, 1] discounts, λ in [0, 1] weighs n-step returns: λ = 0 is one-step TD, λ = 1 Monte Carlo up to the end of the
episode or of the rollout, where V(s_T) stands for what would follow. A truncated episode is bootstrapped with the value of
the state in which it was stopped: with next-step autoreset that state is s_{t+1} itself.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def advantages(
    rewards: Tensor,  # [T, …]
    values: Tensor,  # [T + 1, …]  V(s_0) … V(s_T)
    terminated: Tensor,  # [T, …]  bool
    truncated: Tensor,  # [T, …]  bool
    gamma: float,
    gae_lambda: float,
) -> Tensor:
    """Generalised advantage estimates A [T, …]. Those of reset steps mean nothing and are to be masked by the caller.

    >>> never = torch.zeros(2, 1, dtype=torch.bool)  # two steps of one environment, which pay 1 each; V is 0
    >>> advantages(torch.ones(2, 1), torch.zeros(3, 1), never, never, gamma=0.5, gae_lambda=1.0).tolist()
    [[1.5], [1.0]]
    """
    # In numpy, which is quicker at many small steps.
    r, v, terminal, cut = (x.cpu().numpy() for x in (rewards, values, terminated, truncated))
    with np.errstate(invalid="ignore", over="ignore"):  # numbers that are not finite are dealt with later
        alive = ~terminal * r.dtype.type(gamma)
        deltas = r + alive * v[1:] - v[:-1]
        carry = alive * ~cut * r.dtype.type(gae_lambda)
        result, following, work = np.empty_like(deltas), np.zeros_like(deltas[0]), np.empty_like(deltas[0])
        for t in range(len(deltas) - 1, -1, -1):
            following = np.add(deltas[t], np.multiply(carry[t], following, work), result[t, ...])
    return torch.from_numpy(result).to(values.device)
