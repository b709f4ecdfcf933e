"""What the texts of baselines can set: their decay rates."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from rl_rmsprop import grammar

__all__ = ["Betas", "EqualBetas", "Keys", "MuonKeys", "check_rate"]


def check_rate(name: str, value: float) -> None:
    """ValueError unless the value can be the decay rate of a running mean of gradients."""
    if isinstance(value, bool) or not 0 <= value < 1:
        raise ValueError(f"{name} must be in [0, 1), got {value}: with 1 a running mean never moves; use 0.9 or so")


@dataclass(frozen=True)
class Keys(grammar.Settings):
    """What a baseline's text can set, all of them decay rates; here nothing."""

    def validate(self) -> None:
        """ValueError for a rate out of its range."""
        for field in fields(self):
            check_rate(field.name, getattr(self, field.name))

    @property
    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of the optimizer."""
        return {}


@dataclass(frozen=True)
class Betas(Keys):
    """Adam's decay rates."""

    beta1: float = 0.9
    """Of the running mean of g, in [0, 1)."""
    beta2: float = 0.999
    """Of the running mean of g², in [0, 1)."""

    @property
    def arguments(self) -> dict[str, Any]:
        """See `Keys`."""
        return {"betas": (self.beta1, self.beta2)}


@dataclass(frozen=True)
class EqualBetas(Keys):
    """Adam's decay rates where they are one."""

    beta: float = 0.95
    """Of the running means of g and of g², in [0, 1)."""

    @property
    def arguments(self) -> dict[str, Any]:
        """See `Keys`."""
        return {"betas": (self.beta, self.beta)}


@dataclass(frozen=True)
class MuonKeys(Betas):
    """Muon's momentum, and the decay rates of its Adam."""

    momentum: float = 0.95
    """Decay rate of a matrix's running mean of g, in [0, 1)."""

    @property
    def arguments(self) -> dict[str, Any]:
        """See `Keys`."""
        return {**super().arguments, "momentum": self.momentum}
