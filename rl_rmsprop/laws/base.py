"""What a law is: E itself decides how fast it forgets, from the squared gradients that it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rl_rmsprop.detectors import State
from rl_rmsprop.grammar import Settings
from rl_rmsprop.kernels import equations
from rl_rmsprop.kernels.equations import Slot
from rl_rmsprop.kernels.native_laws import CompiledLaw
from rl_rmsprop.schedules import check_beta


class LawInputs(NamedTuple):
    """One update of a parameter group, as a law sees it."""

    slots: Sequence[Slot]
    """The parameters, or blocks of them (rl_rmsprop/kernels/blocks.py) where the law treats every entry alike."""
    group: dict[str, Any]
    per_run: bool
    """Whether the first axis of every tensor is the run."""
    signal: Tensor
    """What the law listens to, [] or [R] float64, NaN where there is no observation; empty if it listens to nothing."""
    square: Callable[[Slot], Tensor]
    """g² of a slot, in the dtype of its E; not to be changed, and only good until the next call."""
    after: Callable[[Slot], None]
    """What follows when E has taken g²: the parameter's step."""

    def updates(self) -> Iterator[tuple[Slot, Tensor]]:
        """Each slot with its g². When the loop goes on to the next, the parameter of this one takes its step."""
        for slot in self.slots:
            yield slot, self.square(slot)
            self.after(slot)

    def states(self, name: str) -> list[Tensor]:
        """What the law stores of each slot under this name."""
        return [slot.state[name] for slot in self.slots]

    def numbers(self, value: float) -> Tensor:
        """The same number for all runs, [] or [R] float64."""
        E = self.slots[0].E
        return torch.full(E.shape[: int(self.per_run)], value, dtype=torch.float64, device=E.device)


class Law(Settings):
    """Base of all laws. Subclasses are frozen dataclasses; a new one is a file here, a row of LAWS, and a row of the tests.

    A law's state is a dict of tensors per parameter, beside E and w, and one per parameter group. Of R runs each has its own.
    """

    example: ClassVar[str] = ""
    """The text of one such law."""
    source: ClassVar[str] = ""
    """Where it was proposed."""
    listens_to: ClassVar[str | None] = None
    """The signal that it needs, if any."""
    follows_parameters: ClassVar[bool] = False
    """Whether it looks at the parameters themselves, so that it cannot run on recorded gradients."""
    numbers: ClassVar[tuple[str, ...]] = ("weight",)
    """The state that belongs to a parameter as a whole, such as w [] or [R]; all else has an entry for each of its entries."""
    needs_whole: ClassVar[bool] = False
    """Whether a parameter's entries depend on each other, so that it cannot be updated in blocks."""

    def initial_group_state(self, keys: Tensor) -> State:
        """The state of a parameter group before the first update; `keys` is [] or [R], as in `rules.init`."""
        return {}

    def initial_parameter_state(self, E: Tensor, w: float, keys: Tensor, group: dict[str, Any], p: Tensor) -> State:
        """The state of a parameter p, its `weight` included, beside an E that has received the weight `w` so far: one w a run."""
        return {"weight": torch.full(keys.shape, w, dtype=torch.float64, device=E.device)}

    def update(self, state: State, at: LawInputs) -> tuple[State, Tensor]:
        """One update of E and w of all parameters of a group, in place, followed by `at.after`, as in `at.updates()`.

        Returns the group's new state (the old one stays as it is) and the mean β, [] or [R] float64.
        """
        raise TypeError(f"{type(self).__name__} must define update(state, at)")

    def compiled(self) -> CompiledLaw | None:
        """What makes `update` and the parameters' step in the compiled kernel, faster; None if nothing does."""
        return None

    def divisor(self, slot: Slot, group: dict[str, Any], out: Tensor | None = None) -> Tensor:
        """What divides the gradient after the update, √Ê + ε for most laws; in `out`, if that is given."""
        return equations.denominator(slot, group, out)


class BetaLaw(Law):
    """Base of laws whose E is RMSProp's: all that they decide is β, one for all entries of a run."""

    def decide(self, state: State, at: LawInputs) -> tuple[State, Tensor]:
        """The group's new state, and β of this update, [] or [R] float64; `at` is as before it."""
        raise TypeError(f"{type(self).__name__} must define decide(state, at)")

    def update(self, state: State, at: LawInputs) -> tuple[State, Tensor]:
        state, beta = self.decide(state, at)
        for slot, g2 in at.updates():
            equations.update_weights([slot.state["weight"]], beta)
            equations.update_mean_square(slot, beta, g2)
        return state, beta


def check_single(name: str, beta: float) -> None:
    """ValueError unless β is in [0, 1), also in the single precision that most parameters have."""
    check_beta(name, beta)
    check_beta(f"{name}={beta} in single precision", float(np.float32(beta)))


@dataclass(frozen=True)
class OneBeta(Law):
    """Base of laws whose E has one constant decay rate, and differs from RMSProp's in what it takes."""

    beta: float = 0.999
    """Decay rate of E, in [0, 1)."""

    def validate(self) -> None:
        check_single("beta", self.beta)

    def update(self, state: State, at: LawInputs) -> tuple[State, Tensor]:
        for slot, g2 in at.updates():
            self.update_weight(slot)
            self.take(slot, g2)
        return state, at.numbers(self.beta)

    def update_weight(self, slot: Slot) -> None:
        """One update of w: that of RMSProp, w ← βw + (1 − β)."""
        equations.update_weights([slot.state["weight"]], self.beta)

    def take(self, slot: Slot, g2: Tensor) -> None:
        """One update of E, in place."""
        raise TypeError(f"{type(self).__name__} must define take(slot, g2)")


@dataclass(frozen=True)
class Unweighted(OneBeta):
    """Base of laws whose E is no mean of g², so that there is no bias to correct: w is 1 from the first update on.

    `bias_correction` therefore changes nothing.
    """

    def initial_parameter_state(self, E: Tensor, w: float, keys: Tensor, group: dict[str, Any], p: Tensor) -> State:
        if 0 < w < 1 and not group["initial_accumulator_value"]:
            E.div_(w)  # what a plain average of g² stands for
        received = float(w > 0 or group["initial_accumulator_value"] > 0)
        return super().initial_parameter_state(E, received, keys, group, p)

    def update_weight(self, slot: Slot) -> None:
        slot.state["weight"].fill_(1.0)
