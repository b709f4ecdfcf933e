"""β that descends the loss itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rl_rmsprop import signals
from rl_rmsprop.detectors import State
from rl_rmsprop.kernels import equations
from rl_rmsprop.kernels.equations import Slot, broadcast_runs
from rl_rmsprop.kernels.native_laws import CompiledLaw
from rl_rmsprop.laws.base import Law, LawInputs
from rl_rmsprop.laws.elementwise import check_bounds
from rl_rmsprop.schedules import check_positive


@dataclass(frozen=True)
class Hypergradient(Law):
    """β moves, in the logarithm of its window, down the gradient of the loss with respect to it.

        u = ln 1/(1 − β)        h = g·∂θ/∂u / (‖g‖ ‖∂θ/∂u‖)        u ← u − rate·h

    ∂θ/∂u = (1 − β)∂θ/∂β is the last step's derivative with respect to the β that E took its g² with, E before it held fixed:

        ∂θ/∂β = ½ lr·g·∂Ê/∂β / (√Ê (√Ê + ε)²)        ∂Ê/∂β = E' − g², with bias_correction (E' − g² − Ê(w' − 1))/w

    (E', w': before that update). If the new gradient points along ∂θ/∂u, a longer window would have made the last step worse, and
    the window becomes shorter. The product is a cosine, so that `rate` is the largest change of ln(window) in one update and does
    not depend on the scale of the loss. One β per run and parameter group; the first update takes `start`.

    It looks one step back: what a longer memory would have gained later it cannot see. w is that of the βs, as for any schedule.

    Source: the hypergradient of a step size (Baydin et al. 2018, ICLR) carried over to β, as MADA does for Adam's coefficients
    (Ozkara et al. 2024, arXiv:2401.08893); normalisation and log-window are this package's.
    """

    start: float = 0.99
    """β of the first update, within the bounds."""
    rate: float = 0.01
    """Largest change of ln(1/(1 − β)) in one update, > 0."""
    max: float = 0.9995
    """Largest β, in [0, 1)."""
    min: float = 0.5
    """Least β, in [0, 1), at most `max`."""

    example = "hypergradient:start=0.99,rate=0.01"
    source = "Baydin et al. 2018, arXiv:2401.08893"
    follows_parameters = True

    def validate(self) -> None:
        check_bounds(self.min, self.max)
        check_positive("rate", self.rate, "logarithms of a window")
        if not self.min <= self.start <= self.max:
            raise ValueError(f"start must be within [{self.min}, {self.max}], got {self.start}")

    def initial_group_state(self, keys: Tensor) -> State:
        return {"log_window": torch.full(keys.shape, -math.log1p(-self.start), dtype=torch.float64, device=keys.device)}

    def initial_parameter_state(self, E: Tensor, w: float, keys: Tensor, group: dict[str, Any], p: Tensor) -> State:
        return super().initial_parameter_state(E, w, keys, group, p) | {"derivative": torch.zeros_like(E)}

    def compiled(self) -> CompiledLaw:
        return CompiledLaw("hypergradient", (self.rate, *self.bounds), ("derivative",), state="log_window")

    @property
    def bounds(self) -> tuple[float, float]:
        """Least and largest u."""
        return -math.log1p(-self.min), -math.log1p(-self.max)

    def update(self, state: State, at: LawInputs) -> tuple[State, Tensor]:
        gradients, derivatives = [slot.g for slot in at.slots], at.states("derivative")
        h = signals.cosine(gradients, derivatives, at.per_run, derivatives[0].dtype).nan_to_num(0.0, 0.0, 0.0)
        log_window = (state["log_window"] - self.rate * h).clamp(*self.bounds)
        beta = -torch.expm1(-log_window)
        for slot, g2 in at.updates():
            w_before = slot.state["weight"].clone()
            difference = torch.sub(slot.E, g2, out=slot.state["derivative"])
            equations.update_weights([slot.state["weight"]], beta)
            equations.update_mean_square(slot, beta, g2)
            self.differentiate(slot, difference, w_before, 1 - beta, at.group)
        return {"log_window": log_window}, beta

    def differentiate(self, slot: Slot, derivative: Tensor, w_before: Tensor, share: Tensor, group: dict[str, Any]) -> None:
        """Make ∂θ/∂u of the step that is about to be made of E' − g², in place; `share` is 1 − β."""
        mean = equations.variance(slot, group)
        if group["bias_correction"]:
            w = broadcast_runs(slot.state["weight"], mean).to(mean.dtype)
            derivative.addcmul_(mean, broadcast_runs(1 - w_before, mean).to(mean.dtype)).div_(w)
            derivative.mul_(broadcast_runs(w_before > 0, mean))  # Ê = g² whatever β is; what is left is rounding
        if group["eps_in_sqrt"]:
            below = (mean + group["eps"]).pow_(1.5)
        else:
            root = mean.sqrt()
            below = root.mul(root.add(group["eps"]).square_())
        lr = group["lr"].double() if isinstance(group["lr"], Tensor) else group["lr"]
        factor = broadcast_runs(0.5 * lr * share, mean).to(mean.dtype)
        derivative.mul_(slot.g).div_(below.clamp_(min=signals.TINY)).mul_(factor)
