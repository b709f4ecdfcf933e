"""What a step-size rule is: all parameters of a group take their step once E has taken g², by one number a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from rl_rmsprop.grammar import Settings
from rl_rmsprop.kernels.backends import State
from rl_rmsprop.kernels.equations import Slot


class StepInputs(NamedTuple):
    """One update of a parameter group, after β, w and E."""

    slots: Sequence[Slot]
    roots: Sequence[Tensor]
    """What divides the gradient of each slot, √Ê + ε for most β rules; memory that may be used for what comes next."""
    group: dict[str, Any]
    per_run: bool
    """Whether the first axis of every tensor is the run."""
    clip: Tensor | None
    """c in [0, 1], [] or [R]: how much shorter than itself a gradient is to count in the step; None for 1."""

    def pairs(self) -> Iterator[tuple[Slot, Tensor]]:
        """Each slot with its root."""
        return zip(self.slots, self.roots, strict=True)

    def directions(self) -> list[Tensor]:
        """g/root of each slot, in the memory of the roots."""
        return [torch.div(slot.g, root, out=root) for slot, root in self.pairs()]

    def squared_length(self, changes: Iterable[Tensor]) -> Tensor:
        """Σ Δθ² of all slots, [] or [R] float64."""
        rows = [change.reshape(len(change), -1) if self.per_run else change.reshape(1, -1) for change in changes]
        total = reduce(torch.add, [torch.linalg.vector_norm(row, dim=1, dtype=torch.float64).square() for row in rows])
        return total if self.per_run else total[0]


class StepSize(Settings):
    """Base of all step-size rules. Subclasses are frozen dataclasses; a new one is a file here, a row of STEP_SIZES and of tests.

    The state is a dict of tensors per parameter group, [] or [R, …] each, and one per parameter. In that of a group are, after an
    update, float64, [] or [R]:

        scale     lr·scale/root is by how much an entry moves for its gradient
        moved     Σ Δθ² of the update
    """

    example: ClassVar[str] = ""
    """The text of one such rule."""
    source: ClassVar[str] = ""
    """Where it was proposed."""
    usual_lr: ClassVar[float | None] = None
    """The lr with which the rule is the authors', where lr is but a factor on what the rule has found; None where lr matters."""
    needs_E: ClassVar[bool] = True
    """Whether it asks more of an optimizer than which way it would go, so that only arms with a β rule can have it."""
    takes_momentum: ClassVar[bool] = True
    """Whether the step may go along a momentum."""
    parameter_state: ClassVar[tuple[str, ...]] = ()
    """The names of what `initial_parameter_state` makes."""

    def initial_group_state(self, keys: Tensor) -> State:
        """The state of a parameter group before the first update; `keys` (int64, [] or [R]) names the runs."""
        one = torch.ones(keys.shape, dtype=torch.float64, device=keys.device)
        return {"scale": one, "moved": torch.zeros_like(one)}

    def initial_parameter_state(self, p: Tensor) -> State:
        """The state of a parameter p before its first update."""
        return {}

    def apply(self, state: State, at: StepInputs) -> State:
        """The step of all parameters of a group, in place; returns the group's new state (the old one stays as it is)."""
        raise TypeError(f"{type(self).__name__} must define apply(state, at)")
