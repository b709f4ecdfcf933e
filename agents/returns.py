"""Advantages and returns over a window of T steps, with termination, truncation and reset steps kept apart.

    δ_t = r_t + γ V(s_{t+1}) (1 − terminated_t) − V(s_t)
    A_t = δ_t + γλ (1 − terminated_t)(1 − truncated_t) A_{t+1}                      (Schulman et al. 2016, generalised
    G_t = A_t + V(s_t)                                                                advantage estimation)

γ in [0, 1] discounts, λ in [0, 1] weighs n-step returns: λ = 0 is one-step TD, λ = 1 Monte Carlo up to the end of the
episode or of the window, where V(s_T) stands for what would follow. A truncated episode is bootstrapped with the value of
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
    """Generalised advantage estimates A [T, …]. Those of reset steps mean nothing and are to be masked by the caller."""
    alive = (~terminated).float() * gamma
    deltas = rewards + alive * values[1:] - values[:-1]
    carry = alive * (~truncated).float() * gae_lambda
    result = torch.empty_like(deltas, device="cpu")
    # In numpy, which is quicker at small steps.
    rows = [x.cpu().numpy().reshape(len(x), -1)[::-1] for x in (deltas, carry, result)]
    following, work = np.zeros_like(rows[0][0]), np.empty_like(rows[0][0])
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is dealt with later
        for delta, kept, out in zip(*rows, strict=True):
            following = np.add(delta, np.multiply(kept, following, work), out)
    return result.to(values.device)
