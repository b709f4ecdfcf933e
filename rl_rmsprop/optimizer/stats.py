"""What an AdaptiveRMSprop is doing: the numbers behind `stats()` and `samples()`. Reads the optimizer's groups, changes nothing.

Everything is computed as [R], one row a run; an optimizer without `runs` is one row. Of sharded parameters it is this process's
shard that is read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rl_rmsprop.detectors import Never
from rl_rmsprop.kernels import equations, torch_internals
from rl_rmsprop.kernels.backends import State
from rl_rmsprop.kernels.equations import Slot
from rl_rmsprop.kernels.workspace import Workspace
from rl_rmsprop.optimizer import second_moment
from rl_rmsprop.rules import Adaptive, Rule

STATS = (
    "beta", "window", "E_q05", "E_q50", "E_q95", "effective_lr_q05", "effective_lr_q50", "effective_lr_q95", "update_rms",
    "surprise", "share_below_eps", "clock", "statistic", "threshold", "alarms", "skipped",
)  # fmt: skip
"""Keys of `AdaptiveRMSprop.stats()`, in order."""

SAMPLE = 256
"""Entries of each parameter (and run) that quantiles are taken over."""


class UpdatedGroup(NamedTuple):
    """A parameter group that has had an update."""

    group: dict[str, Any]
    rule: Rule
    params: list[Tensor]  # that have had one
    states: list[State]
    surprise: Tensor | None  # of the last update
    clip: Tensor | None = None  # c of the last update, [] or [R]

    @property
    def lr(self) -> float | Tensor:
        """lr as it counts in the step, of the last update's gradient before clipping: a number, [] or [R]."""
        lr: float | Tensor = self.group["lr"]
        return lr * self.group["lr_rule_state"]["scale"] if self.group["lr_rule"] else lr

    @property
    def slots(self) -> list[Slot]:
        """The tensors of parameters that have entries."""
        slots = equations.slots(self.params, self.states, self.group)
        return [local(slot) for slot in slots if slot.p.numel()]


class Sample(NamedTuple):
    """Evenly spaced entries of all parameters; each field [R, K]."""

    E: Tensor  # Ê
    effective_lr: Tensor  # lr/(√Ê + ε)
    below_eps: Tensor  # bool, √Ê < ε


def stats(
    groups: Sequence[UpdatedGroup], runs: int | None, undone: Tensor | None, workspace: Workspace | None
) -> dict[str, Tensor]:
    """The values of STATS, each [R] float64; `undone` ([] or [R] bool) says where the last update was.

    Without a `workspace` update_rms, which alone goes through all entries, is NaN.
    """
    rows = runs or 1
    if not groups:
        return {key: torch.full((rows,), math.nan, dtype=torch.float64) for key in STATS}
    picked = sample(groups, rows)
    of_groups = [rule_stats(group, rows) for group in groups]
    several = {key: torch.stack([values[key] for values in of_groups]) for key in of_groups[0]}  # [G, R]
    result = {key: several[key].nanmean(0) for key in ("beta", "surprise", "clock")}
    result["window"] = 1 / (1 - result["beta"])
    for name, values in (("E", picked.E), ("effective_lr", picked.effective_lr)):
        ordered = np.sort(values.float().cpu().numpy(), -1)  # torch.quantile takes thirty times as long
        for q in (5, 50, 95):
            result[f"{name}_q{q:02d}"] = quantile(ordered, q / 100)
    result["share_below_eps"] = picked.below_eps.double().mean(-1)
    unknown = torch.full((rows,), math.nan, dtype=torch.float64)
    result["update_rms"] = unknown if workspace is None else update_rms(groups, rows, workspace)
    if undone is not None:
        result["update_rms"] = torch.where(undone.to(result["update_rms"].device), 0.0, result["update_rms"])
    nearest = (several["statistic"] / several["threshold"]).nan_to_num(-1.0).argmax(0, keepdim=True)
    for key in ("statistic", "threshold"):
        result[key] = several[key].gather(0, nearest)[0]
    result["alarms"] = torch.where(several["alarms"].isnan().all(0), torch.nan, several["alarms"].nansum(0))
    result["skipped"] = several["skipped"].sum(0)
    return {key: result[key].cpu() for key in STATS}


def quantile(ordered: NDArray[np.float32], level: float) -> Tensor:
    """Quantile of each sorted row, between its neighbours linearly, [R] float64; NaN if the row has a NaN, or no entries."""
    if not ordered.shape[1]:
        return torch.full((len(ordered),), math.nan, dtype=torch.float64)
    place = level * (ordered.shape[1] - 1)
    low, high = ordered[:, math.floor(place)].astype(float), ordered[:, math.ceil(place)].astype(float)
    with np.errstate(invalid="ignore"):  # infinities have no difference
        value = np.where(low == high, low, low + (place % 1) * (high - low))
    return torch.from_numpy(np.where(np.isnan(ordered[:, -1]), np.nan, value))  # NaN is sorted last


def sample(groups: Sequence[UpdatedGroup], rows: int) -> Sample:
    """At most SAMPLE evenly spaced entries of each parameter."""
    parts = [sample_of(thinned(slot, rows), group) for group in groups for slot in group.slots]
    if not parts:
        empty = torch.empty(rows, 0)
        return Sample(empty, empty, empty > 0)
    return Sample(*(torch.cat(column, -1) for column in zip(*parts, strict=True)))


def sample_of(slot: Slot, updated: UpdatedGroup) -> Sample:
    """All entries of one parameter."""
    group, lr = updated.group, updated.lr
    E, root = equations.variance(slot, group), second_moment.divisor(updated.rule, slot, group)
    lr = equations.broadcast_runs(lr, root) if isinstance(lr, Tensor) else lr
    eps_in_E = group["eps"] if group["eps_in_sqrt"] else group["eps"] ** 2
    return Sample(E, lr / root, eps_in_E > E)


def thinned(slot: Slot, rows: int) -> Slot:
    """The slot with at most SAMPLE evenly spaced entries of its gradient and its averages, each [R, K]."""
    stride = -(-slot.E.numel() // (rows * SAMPLE))

    def pick(x: Tensor) -> Tensor:
        return x.reshape(rows, -1)[:, ::stride] if x.shape == slot.E.shape else x

    w, mean = (None if x is None else pick(x) for x in (slot.w, slot.mean))
    state = {name: pick(x) for name, x in slot.state.items()}
    return slot._replace(g=pick(slot.g), E=pick(slot.E), w=w, mean=mean, state=state)


def local(slot: Slot) -> Slot:
    """The slot of this process's shard."""
    if not torch_internals.is_sharded(slot.p):
        return slot
    return Slot._make([torch_internals.local(x) if isinstance(x, Tensor) else x for x in slot])


def update_rms(groups: Sequence[UpdatedGroup], rows: int, workspace: Workspace) -> Tensor:
    """Root mean square over all entries of the last change of the parameters, [R]; NaN if their gradients are gone.

    A step-size rule remembers it. Otherwise, without momentum, the change u is not stored, but follows from the gradient still
    there: with weight decay λ it has been u = lr (g + λ(θ + u))/root for the θ of now, so that u = lr (g + λθ)/(root − lr λ).
    """
    squares, count = [], 0
    for updated in groups:
        group = updated.group
        slots = updated._replace(**with_gradient(updated)).slots
        if group["lr_rule"] and slots:
            squares.append(group["lr_rule_state"]["moved"].reshape(-1).expand(rows))
            count += sum(slot.p.numel() for slot in slots) // rows
        for slot in [] if group["lr_rule"] else slots:
            lr = group["lr"]
            if updated.clip is not None and slot.buffer is None:
                lr = lr * updated.clip.to(slot.p.device)
            lr = equations.broadcast_runs(lr, slot.p) if isinstance(lr, Tensor) else lr
            memory = workspace("root", slot.E)
            if slot.buffer is None:
                root = second_moment.divisor(updated.rule, slot, group, memory)
                divisor = root.sub_(lr * group["weight_decay"]) if group["weight_decay"] else root
                change = torch.div(slot.g.to(divisor.dtype), divisor, out=memory)
            else:
                change = slot.buffer
            change = torch.mul(change, lr, out=memory).reshape(rows, -1)
            squares.append(torch.linalg.vector_norm(change, dim=1, dtype=torch.float64).square())
            count += change.shape[1]
    if not count:
        return torch.full((rows,), math.nan, dtype=torch.float64)
    return (torch.stack(squares, -1).sum(-1) / count).sqrt()


def with_gradient(updated: UpdatedGroup) -> dict[str, Any]:
    """Those parameters that still have a gradient, and their states."""
    pairs = [(p, state) for p, state in zip(updated.params, updated.states, strict=True) if p.grad is not None]
    return {"params": [p for p, _ in pairs], "states": [state for _, state in pairs]}


def rule_stats(updated: UpdatedGroup, rows: int) -> dict[str, Tensor]:
    """β, surprise, and the detector's numbers of one group, each [R]."""
    group, rule = updated.group, updated.rule
    state = group.get("rule_state", {})
    listens = isinstance(rule, Adaptive) and rule.detector.listens
    alarms = isinstance(rule, Adaptive) and not isinstance(rule.detector, Never)
    values = {
        "beta": group["alpha"],
        "surprise": math.nan if updated.surprise is None else updated.surprise,
        "clock": state.get("clock", updated.states[0]["step"]),
        "statistic": state["statistic"] if listens else math.nan,
        "threshold": rule.detector.threshold if isinstance(rule, Adaptive) else math.nan,
        "alarms": state["alarms"] if alarms else math.nan,
        "skipped": group.get("skipped", 0.0),
    }
    device = group["params"][0].device
    return {key: torch.as_tensor(v, dtype=torch.float64, device=device).expand(rows) for key, v in values.items()}
