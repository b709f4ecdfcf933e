"""Controls: detectors that ignore the gradients. A fair comparison has them beside a detector."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from rl_rmsprop.detectors.base import Detector, DetectorOutput, State
from rl_rmsprop.schedules import check_updates


class Control(Detector):
    """A detector that ignores the gradients."""

    listens = False

    def update(self, state: State, x: Tensor) -> DetectorOutput:
        seen = state["seen"] + 1.0
        return DetectorOutput({**state, "seen": seen}, self.fires(state, seen), torch.zeros_like(seen))

    def fires(self, state: State, n: Tensor) -> Tensor:
        """Whether the n-th update (from 1) alarms, [R] bool."""
        raise TypeError(f"{type(self).__name__} must define fires(state, n)")


@dataclass(frozen=True)
class Never(Control):
    """No alarm, ever: what is left of an adaptive rule without its detector."""

    example = "never:max=0.99"

    def fires(self, state: State, n: Tensor) -> Tensor:
        return torch.zeros_like(n, dtype=torch.bool)


@dataclass(frozen=True)
class Periodic(Control):
    """An alarm every `every` updates."""

    every: int = 1000
    """Updates between alarms, at least 1."""

    example = "periodic:every=250"

    def validate(self) -> None:
        check_updates("every", self.every)

    def fires(self, state: State, n: Tensor) -> Tensor:
        return n % self.every == 0


@dataclass(frozen=True)
class PerRollout(Control):
    """An alarm at the first update on each rollout: by default E and the clock begin anew, and nothing older is remembered.

    The training loop reports the rollouts through the optimizer's `observe`. With one update a rollout, as A2C makes them, every
    update is the first, and E is g² itself; it is meant for PPO. `schedule=constant,beta=0.99,reaction=reset` clears E and its
    weight and keeps β.

    Source: Asadi, Fakoor & Sabach 2023 (arXiv:2306.17833), "Resetting the optimizer in deep RL", for target networks.
    """

    every: str = "rollout"
    """`rollout`; `periodic` is the control that counts updates."""

    example = "restart:every=rollout"
    source = "arXiv:2306.17833"

    def validate(self) -> None:
        if self.every != "rollout":
            raise ValueError(f"every must be rollout, got {self.every}: periodic:every=100 restarts every 100 updates")

    @property
    def own_signal(self) -> str | None:
        return "rollout"

    def update(self, state: State, x: Tensor) -> DetectorOutput:
        return super().update(state, x)._replace(alarm=x > 0.0)

    def fires(self, state: State, n: Tensor) -> Tensor:
        return torch.zeros_like(n, dtype=torch.bool)


@dataclass(frozen=True)
class Oracle(Control):
    """Alarms at the true shifts: at the updates of a list, or when the training loop reports one.

    Without `at` it takes the signal "shifted" in place of the user's: x > 0 at the update whose data are the first from after a
    shift, which the training loop reports through the optimizer's `observe`.
    """

    at: tuple[int, ...] | None = None
    """Updates, each at least 1; none where the training loop reports the shifts."""

    example = "oracle:at=500"

    def validate(self) -> None:
        if self.at is not None and not self.at:
            raise ValueError("at must name at least one update, got (): never is the rule without alarms")
        for update in self.at or ():
            check_updates("at", update)

    @property
    def own_signal(self) -> str | None:
        return "shifted" if self.at is None else None

    def update(self, state: State, x: Tensor) -> DetectorOutput:
        output = super().update(state, x)
        return output if self.at is not None else output._replace(alarm=x > 0.0)

    def fires(self, state: State, n: Tensor) -> Tensor:
        return torch.isin(n, torch.tensor(self.at or (), dtype=n.dtype, device=n.device))


@dataclass(frozen=True)
class Random(Control):
    """Alarms at random updates, each with probability 1/every, independent between runs.

    The draw is a hash of the run's key and the update's number: no generator, and the same run alarms at the same updates
    whatever batch it is in.
    """

    every: float = 1000
    """Mean number of updates between alarms, at least 1."""

    example = "random:every=250"

    def validate(self) -> None:
        if isinstance(self.every, bool) or not 1 <= self.every < math.inf:
            raise ValueError(f"every must be at least 1 update, got {self.every}")

    def init(self, keys: Tensor) -> State:
        return {**super().init(keys), "key": keys.double()}

    def fires(self, state: State, n: Tensor) -> Tensor:
        return hashed_uniform(state["key"].long(), n.long()) < 1 / self.every


def hashed_uniform(key: Tensor, n: Tensor) -> Tensor:
    """A number in [0, 1) from two integers, by the 32-bit finalizer of MurmurHash3 applied to each in turn."""
    mask = 0xFFFFFFFF
    h = torch.full_like(n, 0x9E3779B9)
    for word in (key, n):
        h = (h ^ word) & mask
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
            h = ((h ^ (h >> shift)) * factor) & mask
        h = h ^ (h >> 16)
    return h.double() / 2**32
