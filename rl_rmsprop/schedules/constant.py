"""One β for ever, as itself or by its half-life."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rl_rmsprop.schedules.base import Schedule, check_beta, check_positive


@dataclass(frozen=True)
class Constant(Schedule):
    """β itself, for ever."""

    beta: float = 0.99
    """The decay rate, in [0, 1)."""

    example = "0.99"

    def validate(self) -> None:
        check_beta("beta", self.beta)

    def __call__(self, n: Tensor) -> Tensor:
        return torch.full_like(n, self.beta)


@dataclass(frozen=True)
class HalfLife(Schedule):
    """A constant β given by its half-life: a squared gradient counts half after `updates` updates, β = 2^(−1/updates)."""

    updates: float
    """Half-life in updates, > 0; 69 is β = 0.99."""

    example = "half_life:updates=69"

    def validate(self) -> None:
        check_positive("updates", self.updates, "updates")
        check_beta(f"the β of updates={self.updates:g}", self.beta)

    @property
    def beta(self) -> float:
        """The decay rate."""
        return 2.0 ** (-1.0 / self.updates)

    def __call__(self, n: Tensor) -> Tensor:
        return torch.full_like(n, self.beta)
