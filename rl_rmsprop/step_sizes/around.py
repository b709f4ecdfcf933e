"""A step-size rule around an optimizer that is not ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rl_rmsprop.kernels.equations import broadcast_runs
from rl_rmsprop.step_sizes.base import StepSize
from rl_rmsprop.step_sizes.trac import Trac


class AroundOptimizer(torch.optim.Optimizer):
    """Any optimizer whose steps do not depend on where its parameters are, with its path scaled by `trac`.

    θ = θ₀ + S·Δ, where Δ adds up the steps that the optimizer inside makes; see `Trac`. Each step is taken from zero, so that
    nothing of it is lost to the size of θ. `param_groups` and `state` are those of the optimizer inside; what trac stores is
    `param_groups[0]["lr_rule_state"]`: numbers, [] or [R] float64, and for each parameter `origin` θ₀ and `travel` Δ.

    >>> weight = torch.nn.Parameter(torch.ones(3))
    >>> optimizer = AroundOptimizer(torch.optim.Adam([weight], lr=0.1), Trac(start=0.1))
    >>> for _ in range(3):
    ...     weight.grad = torch.ones(3)
    ...     optimizer.step()
    >>> weight.detach()
    tensor([0.7180, 0.7180, 0.7180])
    """

    def __init__(self, inner: torch.optim.Optimizer, rule: StepSize, runs: int | None = None) -> None:
        """`inner` is a fresh optimizer; of several `runs`, the first axis of all tensors, its `step` must take a mask.

        ValueError for a rule that needs the E of a β rule, and for an optimizer with weight decay, which depends on θ.
        """
        if not isinstance(rule, Trac):
            raise ValueError(f"lr_rule must be trac around {type(inner).__name__}, got {rule}: others need the E of a β rule")
        if any(group.get("weight_decay") for group in inner.param_groups):
            raise ValueError("weight_decay must be 0 within trac, whose steps are taken from zero")
        super().__init__([p for group in inner.param_groups for p in group["params"]], {})
        self.inner, self._rule, self._runs = inner, rule, runs
        self.param_groups, self.state = inner.param_groups, inner.state
        parameters = self._parameters()
        keys = torch.zeros([] if runs is None else [runs], dtype=torch.int64, device=parameters[0].device)
        states = [rule.initial_parameter_state(p.detach()) for p in parameters]
        self.param_groups[0]["lr_rule_state"] = rule.initial_group_state(keys) | {
            name: [state[name] for state in states] for name in rule.parameter_state
        }

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None, *, mask: Tensor | None = None) -> Any:
        """One update, of several runs of those in `mask` (bool [R], default all) that the optimizer inside updates."""
        with torch.enable_grad():
            loss = None if closure is None else closure()
        state = self.param_groups[0]["lr_rule_state"]
        paths = zip(self._parameters(), state["origin"], state["travel"], strict=True)
        moving = [path for path in paths if path[0].grad is not None]
        travels, gradients = [travel for *_, travel in moving], [p.grad for p, *_ in moving]
        before = [(p.clone(), travel.clone()) for p, _, travel in moving]
        new = self._rule.before_step(state, travels, gradients, self._runs is not None)  # type: ignore[arg-type]
        for p, *_ in moving:
            p.zero_()
        updated = self._step_inside(mask)
        new["moved"] = torch.zeros_like(new["scale"])
        for (p, origin, travel), (old, old_travel) in zip(moving, before, strict=True):
            travel.add_(p)
            torch.mul(travel, broadcast_runs(new["scale"], travel).to(travel.dtype), out=p).add_(origin)
            if updated is not None:
                keep = ~broadcast_runs(updated, p)
                p.copy_(torch.where(keep, old, p))
                travel.copy_(torch.where(keep, old_travel, travel))
            change = (p - old).double().square()
            new["moved"] += change.sum() if self._runs is None else change.reshape(self._runs, -1).sum(1)
        for name, value in new.items():
            if updated is not None and name != "moved":
                value = torch.where(broadcast_runs(updated, value), value, state[name])
            state[name] = value
        return loss

    def _step_inside(self, mask: Tensor | None) -> Tensor | None:
        """The step of the optimizer inside; which runs it has updated, [R] bool, or None for all."""
        if self._runs is None:
            self.inner.step()
            return None
        skipped = self.param_groups[0]["skipped"].clone()
        self.inner.step(mask=mask)  # type: ignore[call-overload]
        updated = self.param_groups[0]["skipped"] == skipped
        return None if bool(updated.all()) else updated.to(self._parameters()[0].device)

    def begin_rollout(self) -> None:
        """Tell the optimizer inside that a rollout begins, if it has a method of this name."""
        getattr(self.inner, "begin_rollout", lambda: None)()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.inner.load_state_dict(state_dict)
        self.param_groups, self.state = self.inner.param_groups, self.inner.state

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), **{name: getattr(self, name) for name in ("inner", "_rule", "_runs")}}

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]
