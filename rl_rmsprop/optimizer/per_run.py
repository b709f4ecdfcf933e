"""An optimizer of torch for R runs at once that leaves alone every run whose gradient is not finite.

Torch's optimizers are elementwise, so the runs, rows of every tensor, never meet, but for one number: the clock `step` of a
parameter, by which Adam and Adamax correct their bias. A run that has skipped k updates more than another is k behind it:

    all finite, no run behind    →  one step of torch's
    else                         →  one for each group of runs whose clocks agree, from the same state; each keeps its own rows

so that a run goes on as if the skipped updates had not been asked for, whichever runs are beside it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rl_rmsprop.kernels.equations import all_finite, surely_finite


class PerRun(torch.optim.Optimizer):
    """A torch optimizer without weight decay whose every parameter has the run as its first axis.

    `param_groups` and `state` are those of the optimizer inside; `param_groups[0]["skipped"]` [R] counts skipped updates.
    """

    def __init__(self, inner: torch.optim.Optimizer) -> None:
        """`inner` is a fresh optimizer: the state of its kind begins with zeros."""
        super().__init__([p for group in inner.param_groups for p in group["params"]], {})
        self.inner = inner
        self.param_groups, self.state = inner.param_groups, inner.state
        self.param_groups[0]["skipped"] = torch.zeros(len(self._thetas()[0]), dtype=torch.int64)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One update of every run whose gradient is finite."""
        grads = [p.grad for p in self._thetas() if p.grad is not None]
        skipped: Tensor = self.param_groups[0]["skipped"]
        if (skipped == skipped[0]).all() and surely_finite(grads):
            self.inner.step()
        else:
            self._step_where(all_finite(grads, len(skipped)).cpu(), skipped)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.inner.load_state_dict(state_dict)
        self.param_groups, self.state = self.inner.param_groups, self.inner.state

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "inner": self.inner}

    def _thetas(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def _step_where(self, finite: Tensor, skipped: Tensor) -> None:
        """One update of the runs that are `finite` [R], each by its own clock."""
        self._begin()
        clocks = [state["step"] for state in self.state.values() if "step" in state]
        tables = [*self._thetas(), *(x for state in self.state.values() for x in state.values() if is_table(x))]  # [R, …]
        before, after = ([x.clone() for x in tables] for _ in range(2))
        clock = [float(c) for c in clocks]  # of the runs that have skipped least
        behind = (skipped - skipped.min()) * bool(clocks)  # [R]
        for k in behind[finite].unique().tolist():
            fill(clocks, [c - k for c in clock])
            self.inner.step()
            rows = (finite & (behind == k)).to(tables[0].device)
            for new, x, old in zip(after, tables, before, strict=True):
                new[rows] = x[rows]
                x.copy_(old)
        for x, new in zip(tables, after, strict=True):
            x.copy_(new)
        least = skipped.min()
        skipped += ~finite
        fill(clocks, [c + 1 - int(skipped.min() - least) for c in clock])

    def _begin(self) -> None:
        """Let the optimizer make its state, if it has not yet: a step that nothing comes of."""
        thetas = self._thetas()
        if any(is_table(x) for p in thetas for x in self.state.get(p, {}).values()):
            return
        before, grads = [p.clone() for p in thetas], [p.grad for p in thetas]
        for p in thetas:
            p.grad = torch.zeros_like(p)
        self.inner.step()
        for p, old, grad in zip(thetas, before, grads, strict=True):
            p.copy_(old)
            p.grad = grad
            for x in self.state.get(p, {}).values():
                if isinstance(x, Tensor):
                    x.zero_()


def is_table(x: Any) -> bool:
    """Whether part of a parameter's state is a row a run."""
    return isinstance(x, Tensor) and x.dim() > 0


def fill(clocks: list[Tensor], values: list[float]) -> None:
    """Set every clock to its value."""
    for clock, value in zip(clocks, values, strict=True):
        clock.fill_(value)
