"""Forgetting in proportion to the step size."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rl_rmsprop.detectors import State
from rl_rmsprop.laws.base import BetaLaw, LawInputs
from rl_rmsprop.laws.elementwise import check_bounds
from rl_rmsprop.schedules import check_positive


@dataclass(frozen=True)
class Coupled(BetaLaw):
    """As lr shrinks, remember longer: 1 − β follows a power of lr.

        1 − β = (1 − start)·(lr/lr₀)^power, but not less than 1 − max        lr₀: that of the first update

    With power 2 the memory is as long in units of the time lr² that a stochastic differential equation of Adam has; with power 1
    in units of the distance that the parameters can move. A constant lr is a constant β. w is that of the βs, as of any schedule.

    Source: Malladi et al. 2022 (arXiv:2205.10287), the square-root scaling rule, read as a schedule.
    """

    start: float = 0.9
    """β at lr₀, in [0, 1)."""
    max: float = 0.99
    """Largest β, in [0, 1), at least `start`."""
    power: float = 2.0
    """> 0."""

    example = "coupled:max=0.99,power=2"
    source = "arXiv:2205.10287"

    def validate(self) -> None:
        check_bounds(self.start, self.max, ("start", "max"))
        check_positive("power", self.power, "no unit")

    def initial_group_state(self, keys: Tensor) -> State:
        return {"first_lr": torch.full(keys.shape, torch.nan, dtype=torch.float64, device=keys.device)}

    def decide(self, state: State, at: LawInputs) -> tuple[State, Tensor]:
        lr = torch.as_tensor(at.group["lr"], dtype=torch.float64, device=state["first_lr"].device)
        first = torch.where(state["first_lr"].isnan(), lr, state["first_lr"])
        share = (1 - self.start) * torch.where(first > 0, lr / first, 1.0) ** self.power
        return {"first_lr": first}, 1 - share.clamp(1 - self.max, 1.0)
