"""Constant β whose window is a length of something else than updates: the training, or environment steps."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rl_rmsprop.schedules.base import LARGEST, Schedule, check_beta, check_positive, check_updates


@dataclass(frozen=True)
class Refresh(Schedule):
    """β = 1 − R/T: the window is an R-th of the training, of T updates.

    A training in which E is renewed R times, however long it is. With R ≥ T it would be renewed at every update: then β = 0.

    Source: arXiv:2605.10119, which found R ≈ 1000 within 1 % of the best β in vision and language; trainings of agents have fewer
    updates (500,000 steps of A2C are 3906), so that R from 10 to 300 is worth trying.
    """

    R: float = 100
    """How often E is renewed in a training, > 0."""
    updates: int | None = None
    """T; none is the whole training."""

    example = "refresh:R=100"
    source = "arXiv:2605.10119"

    def validate(self) -> None:
        check_positive("R", self.R, "windows a training")
        check_updates("updates", self.updates)

    def resolve(self, horizon: int, steps_per_update: float | None = None) -> Refresh:
        return self if self.updates is not None else replace(self, updates=horizon)

    @property
    def unresolved(self) -> bool:
        return self.updates is None

    def __call__(self, n: Tensor) -> Tensor:
        if self.updates is None:
            raise ValueError(f"{self} has no length: give updates=…, since no training length is known here")
        return torch.full_like(n, min(max(1.0 - self.R / self.updates, 0.0), LARGEST))


LONGEST_HALF_LIFE = 1e12


@dataclass(frozen=True)
class Samples(Schedule):
    """β by a half-life in environment steps, whatever the size of a rollout: β = 2^(−steps per update / halflife).

    A squared gradient counts half after `halflife` steps of experience. Twice the steps in an update make the window, in updates,
    half as long: the rule by which Adam's β₂ is carried over to batches κ times as large, β to the power κ.

    Source: Marek et al. 2025 and Busbridge et al. 2023 (arXiv:2307.13813).
    """

    halflife: float = 20_000
    """Environment steps after which a squared gradient counts half, in (0, 1e12]."""
    per_update: float | None = None
    """Environment steps of one run for each optimizer update; none is what the training has."""

    example = "samples:halflife=20000"
    source = "Marek et al. 2025, arXiv:2307.13813"

    def validate(self) -> None:
        check_positive("halflife", self.halflife, "environment steps")
        if self.halflife > LONGEST_HALF_LIFE:
            raise ValueError(f"halflife must be at most 1e12 environment steps, got {self.halflife:g}: β would round to 1")
        check_positive("per_update", self.per_update, "environment steps")
        if self.per_update is not None:
            check_beta(f"the β of halflife={self.halflife:g} and per_update={self.per_update:g}", self.beta)

    @property
    def beta(self) -> float:
        """The decay rate; ValueError if the steps of an update are not known."""
        if self.per_update is None:
            raise ValueError(f"{self} needs per_update=…, the environment steps for each optimizer update: it is not known here")
        return 2.0 ** (-self.per_update / self.halflife)

    def resolve(self, horizon: int, steps_per_update: float | None = None) -> Samples:
        return self if self.per_update is not None else replace(self, per_update=steps_per_update)

    @property
    def unresolved(self) -> bool:
        return self.per_update is None

    def __call__(self, n: Tensor) -> Tensor:
        return torch.full_like(n, self.beta)
