"""What an AdaptiveRMSprop is doing: the numbers behind `stats()` and `samples()`. Reads the optimizer, changes nothing.

Everything is computed as [R], one row a run; an optimizer without `runs` is one row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rl_rmsprop.detectors import Never
from rl_rmsprop.kernels import equations
from rl_rmsprop.rules import Adaptive

if TYPE_CHECKING:
    from rl_rmsprop.optimizer.adaptive_rmsprop import AdaptiveRMSprop

STATS = (
    "beta", "window", "E_q05", "E_q50", "E_q95", "effective_lr_q05", "effective_lr_q50", "effective_lr_q95", "update_rms",
    "surprise", "share_below_eps", "clock", "statistic", "threshold", "alarms", "skipped",
)  # fmt: skip
"""Keys of `AdaptiveRMSprop.stats()`, in order."""

SAMPLE = 256
"""Entries of each parameter (and run) that quantiles are taken over."""


class Sample(NamedTuple):
    """Evenly spaced entries of all parameters; each field [R, K]."""

    E: Tensor  # Ê
    effective_lr: Tensor  # lr/(√Ê + ε)
    below_eps: Tensor  # bool, √Ê < ε


def stats(optimizer: AdaptiveRMSprop) -> dict[str, Tensor]:
    """The values of STATS, each [R] float64."""
    picked = sample(optimizer)
    groups = [rule_stats(optimizer, i) for i in dict.fromkeys(i for i, _, _ in updated(optimizer))]
    several = {key: torch.stack([group[key] for group in groups]) for key in groups[0]}  # [G, R]
    result = {key: several[key].nanmean(0) for key in ("beta", "surprise", "clock")}
    result["window"] = 1 / (1 - result["beta"])
    for name, values in (("E", picked.E), ("effective_lr", picked.effective_lr)):
        ordered = np.sort(values.float().cpu().numpy(), -1)  # torch.quantile takes thirty times as long
        for q in (5, 50, 95):
            result[f"{name}_q{q:02d}"] = quantile(ordered, q / 100)
    result["share_below_eps"] = picked.below_eps.double().mean(-1)
    result["update_rms"] = update_rms(optimizer)
    nearest = (several["statistic"] / several["threshold"]).nan_to_num(-1.0).argmax(0, keepdim=True)
    for key in ("statistic", "threshold"):
        result[key] = several[key].gather(0, nearest)[0]
    result["alarms"] = torch.where(several["alarms"].isnan().all(0), torch.nan, several["alarms"].nansum(0))
    result["skipped"] = several["skipped"].sum(0)
    return {key: result[key].cpu() for key in STATS}


def quantile(ordered: NDArray[np.float32], level: float) -> Tensor:
    """Quantile of each sorted row, between its neighbours linearly, [R] float64; NaN if the row has a NaN (sorted last)."""
    place = level * (ordered.shape[1] - 1)
    low, high = ordered[:, math.floor(place)].astype(float), ordered[:, math.ceil(place)].astype(float)
    with np.errstate(invalid="ignore"):  # infinities have no difference
        value = np.where(low == high, low, low + (place % 1) * (high - low))
    return torch.from_numpy(np.where(np.isnan(ordered[:, -1]), np.nan, value))


def updated(optimizer: AdaptiveRMSprop) -> Iterator[tuple[int, dict[str, Any], Tensor]]:
    """Group's place, group and parameter, for all parameters that have had an update."""
    for index, group in enumerate(optimizer.param_groups):
        for p in group["params"]:
            if p in optimizer.state:
                yield index, group, p


def sample(optimizer: AdaptiveRMSprop) -> Sample:
    """At most SAMPLE evenly spaced entries of each parameter."""
    parts = []
    for _, group, p in updated(optimizer):
        slot = thinned(equations.slot(p, optimizer.state[p], group), optimizer.runs or 1)
        E, root = equations.variance(slot, group), equations.denominator(slot, group)
        lr = equations.broadcast_runs(group["lr"], root) if isinstance(group["lr"], Tensor) else group["lr"]
        eps_in_E = group["eps"] if group["eps_in_sqrt"] else group["eps"] ** 2
        parts.append(Sample(E, lr / root, eps_in_E > E))
    if not parts:
        raise RuntimeError("stats() needs at least one step before it")
    return Sample(*(torch.cat(column, -1) for column in zip(*parts, strict=True)))


def thinned(slot: equations.Slot, runs: int) -> equations.Slot:
    """The slot with at most SAMPLE evenly spaced entries of its running averages, each [R, K]."""
    stride = -(-slot.E.numel() // (runs * SAMPLE))

    def pick(x: Tensor) -> Tensor:
        return x.reshape(runs, -1)[:, ::stride] if x.shape == slot.E.shape else x

    w, mean = (None if x is None else pick(x) for x in (slot.w, slot.mean))
    return slot._replace(E=pick(slot.E), w=w, mean=mean)


def update_rms(optimizer: AdaptiveRMSprop) -> Tensor:
    """Root mean square over all entries of the last change of the parameters, [R]; NaN if their gradients are gone.

    Without momentum the change u is not kept, but follows from the gradient still there: with weight decay λ it has been
    u = lr (g + λ(θ + u))/root for the θ of now, so that u = lr (g + λθ)/(root − lr λ). A skipped update changed nothing.
    """
    squares, count = [], 0
    for _, group, p in updated(optimizer):
        if p.grad is None:
            continue
        slot = equations.slot(p, optimizer.state[p], group)
        lr = equations.broadcast_runs(group["lr"], slot.p) if isinstance(group["lr"], Tensor) else group["lr"]
        work = optimizer.workspace("root", slot.E)
        if slot.buffer is None:
            root = equations.denominator(slot, group, work)
            change = torch.div(slot.g, root.sub_(lr * group["weight_decay"]) if group["weight_decay"] else root, out=work)
        else:
            change = slot.buffer
        change = torch.mul(change, lr, out=work).reshape(optimizer.runs or 1, -1)
        squares.append(torch.linalg.vector_norm(change, dim=1, dtype=torch.float64).square())
        count += change.shape[1]
    if not squares:
        return torch.full((optimizer.runs or 1,), math.nan, dtype=torch.float64)
    result = (torch.stack(squares, -1).sum(-1) / count).sqrt()
    return result if optimizer.undone is None else torch.where(optimizer.undone, 0.0, result)


def rule_stats(optimizer: AdaptiveRMSprop, index: int) -> dict[str, Tensor]:
    """β, surprise, and the detector's numbers of one group, each [R]."""
    group, rule = optimizer.param_groups[index], optimizer.rules[index]
    state = group.get("rule_state", {})
    listens = isinstance(rule, Adaptive) and rule.detector.listens
    alarms = isinstance(rule, Adaptive) and not isinstance(rule.detector, Never)
    step = next(optimizer.state[p]["step"] for p in group["params"] if p in optimizer.state)
    values = {
        "beta": group["alpha"],
        "surprise": optimizer.last_surprise.get(index, math.nan),
        "clock": state.get("clock", step),
        "statistic": state["statistic"] if listens else math.nan,
        "threshold": rule.detector.threshold if isinstance(rule, Adaptive) else math.nan,
        "alarms": state["alarms"] if alarms else math.nan,
        "skipped": group.get("skipped", 0.0),
    }
    device = group["params"][0].device
    return {key: torch.as_tensor(v, dtype=torch.float64, device=device).expand(optimizer.runs or 1) for key, v in values.items()}
