"""What acting records and learning learns from."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


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
