"""A bank of running means of g², weighted online."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Any

import torch
from torch import Tensor

from rl_rmsprop import signals
from rl_rmsprop.detectors import State
from rl_rmsprop.kernels.equations import Slot, broadcast_runs
from rl_rmsprop.kernels.native_laws import CompiledLaw
from rl_rmsprop.laws.base import Law, LawInputs
from rl_rmsprop.schedules import LARGEST, check_beta, check_positive

CAP = 20.0
"""Largest g²/v that counts against a forecast v: one outlier must not decide between memories."""


@dataclass(frozen=True)
class Mixture(Law):
    """A bank of running means of g², weighted online by how well each has predicted the next g².

    Every parameter keeps K means of its g², v_k with decay β_k, each with its bias corrected exactly. One set of weights W per
    parameter group (and run) says how much to trust each of them, by fixed share (Herbster & Warmuth 1998, Machine Learning
    32:151) on the capped QLIKE loss of variance forecasts (Patton 2011, Journal of Econometrics 160:246):

        ℓ_k = mean_i[ ln v_k,i + min(g_i²/v_k,i, 20) ]                  before v_k takes g², over all entries of the group
        W_k ← W_k exp(−rate · ℓ_k) / Σ_j W_j exp(−rate · ℓ_j)           those that predicted well gain
        W_k ← (1 − share) W_k + share/K                                 and none ever reaches 0
        Ê = Π_k v_k^{W_k}        w = Π_k w_k^{W_k}        E = w Ê       with w_k = 1 − Π β_k the weight that v_k has received

    so that E = Π E_k^{W_k} of the uncorrected E_k = w_k v_k: with `bias_correction` the step is divided by Ê, without by E,
    which starts as small as that of any RMSProp. With `initial_accumulator_value` every v_k starts there as if E₀ were its
    whole past, w_k = 1. `group["alpha"]` is Σ W_k β_k.

    The combination is geometric because the loss is one of ln v: it is convex in ln v below the cap, so that by Jensen's
    inequality the geometric mean is never worse than the weighted loss of the bank, which the arithmetic mean can be (one
    memory that has not yet forgotten a large gradient is enough). On g² recorded in A2C trainings (rate 0.5) the geometric mean
    scored lower on all of 14 streams, by 0.056 on CartPole-v1 and 0.003 on LunarLander-v3. ε² is added to v wherever its
    logarithm is taken (and taken off again): a difference far below ε has no effect on the step and must have none on the
    weights. Gradients that are not finite do not touch the weights.

    Costs K times the memory of E, for the bank; with the default bank and the compiled kernel a training of 64 CartPole runs
    takes 1.3 times as long as with a number (`python -m tests.benchmarks rules`).
    """

    betas: tuple[float, ...] = (0.5, 0.8, 0.9, 0.97, 0.99, 0.997)
    """Decay rates of the bank, at least two, each in [0, 1)."""
    share: float = 0.01
    """Share of the weights that is dealt out evenly at each update, in [0, 1): about one change of the best memory in
    1/share updates is expected."""
    rate: float = 1.0
    """How fast evidence moves the weights, > 0; 0.5 counts all entries of a gradient as one Gaussian observation."""

    example = "mixture"
    source = "this package, by Herbster & Warmuth 1998"
    numbers = ("weight", "bank_weight")

    def validate(self) -> None:
        if len(self.betas) < 2:
            raise ValueError(f"betas must be at least two decay rates, got {self.betas}: a single one is a number, such as 0.99")
        for beta in self.betas:
            check_beta("betas", beta)
        if not 0 <= self.share < 1:
            raise ValueError(f"share must be in [0, 1), got {self.share}: at 1 nothing is ever learned; use 0.01 or so")
        check_positive("rate", self.rate, "1 per unit of loss")

    def initial_group_state(self, keys: Tensor) -> State:
        return {"mixture": self._filled(keys, 1 / len(self.betas))}

    def initial_parameter_state(self, E: Tensor, w: float, keys: Tensor, group: dict[str, Any], p: Tensor) -> State:
        has_start = group["initial_accumulator_value"] > 0
        v = E if has_start or w == 0 else E / w
        v = v.to(torch.promote_types(E.dtype, torch.float32)).unsqueeze(keys.dim())  # 0.997 is 1 in bfloat16
        received = 1.0 if has_start else w
        bank = v.repeat_interleave(len(self.betas), keys.dim())  # [K, …] or [R, K, …]
        return {
            "weight": torch.full(keys.shape, received, dtype=torch.float64, device=E.device),
            "bank": bank,
            "bank_weight": self._filled(keys, received),
        }

    def compiled(self) -> CompiledLaw:
        return CompiledLaw("mixture", (self.rate, self.share, *self.betas), ("bank",), "bank_weight", "mixture", len(self.betas))

    def update(self, state: State, at: LawInputs) -> tuple[State, Tensor]:
        W = self.updated_weights(state["mixture"], losses(at))
        betas, axis, floor = decays(self.betas, W.device), int(at.per_run), floor_of(at.group)
        for slot, g2 in at.updates():
            w = slot.state["bank_weight"]
            w.add_((1 - w) * (1 - betas))
            gains = ((1 - betas) / w).to(slot.state["bank"].dtype)  # at the first update v becomes g² itself
            g2, shares = g2.to(gains.dtype), W.to(gains.dtype)
            mean: Tensor | None = None
            for v, gain, share in along(axis, slot.state["bank"], gains, shares):
                log = v.lerp_(g2, broadcast_runs(gain, v)).add(floor).log_()
                share = broadcast_runs(share, v)
                mean = log * share if mean is None else mean.addcmul_(log, share)
            mean_w = slot.state["weight"].copy_((W * w.log()).sum(-1).exp())
            assert mean is not None  # there are at least two memories
            # Never quite 0, so that g = 0 takes no step where ε = 0 too.
            slot.E.copy_(mean.exp_().sub_(floor).clamp_(min=signals.TINY).mul_(broadcast_runs(mean_w, mean).to(mean.dtype)))
        return {"mixture": W}, (W * betas).sum(-1).clamp(max=LARGEST)  # the weights' sum is 1 but for rounding

    def updated_weights(self, W: Tensor, losses: Tensor) -> Tensor:
        """The weights after one update of fixed share: [K] or [R, K]."""
        return (1 - self.share) * (W.log() - self.rate * losses).softmax(-1) + self.share / len(self.betas)

    def _filled(self, keys: Tensor, value: float) -> Tensor:
        """The same number for every memory, [K] or [R, K] float64."""
        return torch.full((*keys.shape, len(self.betas)), value, dtype=torch.float64, device=keys.device)


@lru_cache
def decays(betas: tuple[float, ...], device: torch.device) -> Tensor:
    """The decay rates of a bank, [K] float64, cached so that no update waits for a copy to the device."""
    return torch.tensor(betas, dtype=torch.float64, device=device)


def floor_of(group: dict[str, Any]) -> float:
    """What is added to v wherever its logarithm is taken: a difference far below ε must not count."""
    return group["eps"] ** 2 + signals.TINY


def along(axis: int, *banks: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Each memory's part of tensors that have the bank at this axis, or at their last: one at a time fits the cache."""
    return zip(*(bank.unbind(min(axis, bank.dim() - 1)) for bank in banks), strict=True)


def losses(at: LawInputs) -> Tensor:
    """ℓ_k, the mean over all entries of the capped QLIKE loss of v_k, [K] or [R, K] float64."""
    sums, size = [], 0
    for slot in at.slots:
        g2 = at.square(slot)
        total = total_losses(slot, g2, at, None)
        if not (g2.is_cpu and g2.sum().isfinite() and total.isfinite().all()):  # elsewhere to ask takes longer
            total = total_losses(slot, g2, at, g2.isfinite())
        sums.append(total)
        size += g2.numel() // (len(g2) if at.per_run else 1)
    return reduce(torch.add, sums).double() / size


def total_losses(slot: Slot, g2: Tensor, at: LawInputs, finite: Tensor | None) -> Tensor:
    """The sum over a slot's entries of each memory's loss, [K] or [R, K]; given `finite`, others say nothing about any memory."""
    floor, totals = floor_of(at.group), []
    for (v,) in along(int(at.per_run), slot.state["bank"]):
        x = v + floor
        loss = torch.div(g2, x).clamp_(max=CAP).add_(x.log_())
        if finite is not None:
            loss = torch.where(finite, loss, 0.0).nan_to_num_(0.0, 0.0, 0.0)
        totals.append(signals.total([loss], at.per_run))
    return torch.stack(totals, -1)
