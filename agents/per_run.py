"""Any elementwise optimizer of torch, or one that keeps the runs apart, for R runs, of which some may be left out of an update.

The runs are rows of every tensor and never meet, but for one number: the clock `step` of a parameter, by which Adam and Adamax
correct their bias. A run that has been left out of k updates more than another is k behind it:

    all runs updated, none behind    →  one step of the optimizer
    otherwise                        →  one for each group of runs whose clocks agree, with the rows of all other runs restored

so that a run continues as if the updates that it was left out of had not been made, whichever runs share its batch. Where an
optimizer shares other numbers too (NAdam, ASGD), they are those of the runs that are furthest ahead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MIXING = ("Adafactor", "LBFGS", "Muon")
"""Optimizers of torch that combine the entries of a tensor, and so the runs."""


class PerRun(torch.optim.Optimizer):
    """A torch optimizer whose every parameter has the run as its first axis, with a `step` that takes a mask.

    `param_groups` and `state` are those of the optimizer inside; `param_groups[0]` has two counts more, [R] each: of the updates
    that each run was left out of, `skipped`, and of those that its clock is behind, `behind`.

    >>> weight = torch.nn.Parameter(torch.ones(2, 3))  # two runs
    >>> optimizer = PerRun(torch.optim.Adam([weight], lr=0.1))
    >>> weight.grad = torch.ones(2, 3)
    >>> optimizer.step(mask=torch.tensor([True, False]))
    >>> weight.detach(), optimizer.param_groups[0]["skipped"]
    (tensor([[0.9000, 0.9000, 0.9000],
            [1.0000, 1.0000, 1.0000]]), tensor([0, 1]))
    """

    def __init__(self, inner: torch.optim.Optimizer) -> None:
        """`inner` is a fresh optimizer; ValueError for one that combines the entries of a tensor."""
        if type(inner).__name__ in MIXING:
            raise ValueError(f"optimizer must be elementwise, got {type(inner).__name__}, which would mix the runs: use Adam")
        super().__init__([p for group in inner.param_groups for p in group["params"]], {})
        self.inner = inner
        self.param_groups, self.state = inner.param_groups, inner.state
        for name in ("skipped", "behind"):
            self.param_groups[0][name] = torch.zeros(len(self._parameters()[0]), dtype=torch.int64)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None, *, mask: Tensor | None = None) -> Any:
        """One update of the runs in `mask` (bool [R], default all) whose gradients are finite; `closure` recomputes the loss."""
        with torch.enable_grad():
            loss = None if closure is None else closure()
        grads = [p.grad for p in self._parameters() if p.grad is not None]
        skipped, behind = (self.param_groups[0][name].numpy() for name in ("skipped", "behind"))
        updated = np.ones(len(skipped), bool) if mask is None else mask.cpu().numpy()
        if not surely_finite(grads):
            updated = updated & all_finite(grads, len(skipped)).cpu().numpy()
        if updated.all() and not behind.any():
            self.inner.step()
        else:
            self._step_some(updated, behind)
            skipped += ~updated
        return loss

    def begin_rollout(self) -> None:
        """Tell the optimizer inside that a rollout begins, if it has a method of this name: its clocks then begin anew."""
        begin = getattr(self.inner, "begin_rollout", None)
        if begin is not None:
            begin()
            self.param_groups[0]["behind"].zero_()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.inner.load_state_dict(state_dict)
        self.param_groups, self.state = self.inner.param_groups, self.inner.state

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "inner": self.inner}

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def _clocks(self) -> list[Tensor]:
        return [state["step"] for state in self.state.values() if "step" in state]

    def _step_some(self, updated: NDArray[np.bool_], behind: NDArray[np.int64]) -> None:
        """One update of the runs in `updated` [R], each by its own clock; changes `behind`."""
        clock = float(next(iter(self._clocks()), 0))  # of the runs furthest ahead
        shared = [x.clone() for x in self._shared()]
        ages = behind * bool(self._clocks())  # [R]
        for k in np.unique(ages[updated])[::-1].tolist():  # those furthest ahead come last
            for x, before in zip(self._shared(), shared, strict=False):
                x.copy_(before)  # there are none before the first step
            fill(self._clocks(), clock - k)
            self._step_rows_of(updated & (ages == k))
        behind += ~updated
        least = behind.min()
        behind -= least
        fill(self._clocks(), clock + 1 - int(least))

    def _step_rows_of(self, group: NDArray[np.bool_]) -> None:
        """A step after which the rows of all runs outside the group [R] are as before; new state of theirs is zero."""
        others = torch.from_numpy(np.flatnonzero(~group)).to(self._parameters()[0].device)
        before = {id(x): x.index_select(0, others) for x in self._tables()}
        self.inner.step()
        for x in self._tables():
            if id(x) in before:
                x.index_copy_(0, others, before[id(x)])
            else:
                x.index_fill_(0, others, 0.0)

    def _shared(self) -> list[Tensor]:
        """Numbers that all runs share, but for the clocks."""
        state = [item for of_parameter in self.state.values() for item in of_parameter.items()]
        return [x for name, x in state if isinstance(x, Tensor) and x.dim() == 0 and name != "step"]

    def _tables(self) -> list[Tensor]:
        """Everything with a row a run: parameters, and the optimizer's state of them."""
        state = [x for of_parameter in self.state.values() for x in of_parameter.values()]
        return [*self._parameters(), *(x for x in state if isinstance(x, Tensor) and x.dim() > 0)]


def fill(clocks: Sequence[Tensor], value: float) -> None:
    """Set every clock to the value."""
    for clock in clocks:
        clock.fill_(value)


def surely_finite(tensors: Sequence[Tensor]) -> bool:
    """Whether all entries are finite, judged by the tensors' lengths: quick, but False for some whose squares overflow."""
    return math.isfinite(torch.nn.utils.get_total_norm(tensors).square().item())


def all_finite(tensors: Sequence[Tensor], runs: int) -> Tensor:
    """Whether all entries and their squares are finite, [R] bool."""
    flags = [torch.isfinite(t.square()).reshape(runs, -1).all(1) for t in tensors]
    return torch.stack(flags).all(0) if flags else torch.ones(runs, dtype=torch.bool)
