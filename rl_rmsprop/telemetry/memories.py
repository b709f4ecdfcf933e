"""What optimizers remember of squared gradients, and the step size that each entry of a parameter has by it.

    optimizer      E                              β     effective lr, what multiplies the gradient or its running mean
    RMSprop        square_avg (− grad_avg²)       α     lr/(√E + ε)
    RMSpropTFLike  square_avg (− grad_avg²)       α     lr/√(E + ε)
    Adagrad        sum                            –     lr/((1 + (t − 1)·lr_decay) (√E + ε))
    Adam, AdamW    exp_avg_sq/(1 − β₂ᵗ), or the   β₂    lr/(√E + ε), of m/(1 − β₁ᵗ)
                   largest of them (amsgrad)
    NAdam          exp_avg_sq/(1 − β₂ᵗ)           β₂    lr/(√E + ε)
    RAdam          exp_avg_sq/(1 − β₂ᵗ)           β₂    r·lr·√(1 − β₂ᵗ)/(√exp_avg_sq + ε); lr while r is not defined
    Adamax         exp_inf²                       β₂    lr/√E
    SGD            –                              –     lr

The formulas are those of torch's single-tensor code (torch/optim/*.py, 2.13), whose foreach, fused and capturable forms compute
the same, and of Stable-Baselines3's RMSpropTFLike. A new optimizer is a function and a row of MEMORIES; of one that has none, the
change of its parameters is known, and no more. Everything here is of one parameter after an update, and changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rl_rmsprop.kernels.equations import as_real


class Memory(NamedTuple):
    """What is known of some entries of one parameter; a field is None where the optimizer has no such thing."""

    beta: float | None
    E: Tensor | None
    """What the square root is taken of."""
    mean_square: Tensor | None
    """What it says of the next g², for the surprise."""
    effective_lr: Tensor
    eps_in_E: float
    """The size of E below which ε decides: ε², or ε under the root."""


Group = Mapping[str, Any]
State = Mapping[str, Any]
Describe = Callable[[Group, State], Memory]


def number(x: Any) -> float:
    """A number that may be in a tensor."""
    return float(x)


def rmsprop(group: Group, state: State) -> Memory:
    """`torch.optim.RMSprop`."""
    E, eps = variance(group, state), number(group["eps"])
    return Memory(number(group["alpha"]), E, state["square_avg"], number(group["lr"]) / (E.sqrt() + eps), eps**2)


def rmsprop_tf(group: Group, state: State) -> Memory:
    """Stable-Baselines3's `RMSpropTFLike`."""
    E, eps = variance(group, state), number(group["eps"])
    return Memory(number(group["alpha"]), E, state["square_avg"], number(group["lr"]) / (E + eps).sqrt(), eps)


def variance(group: Group, state: State) -> Tensor:
    """E, less the square of the mean with `centered`."""
    E: Tensor = state["square_avg"]
    return E - state["grad_avg"].square() if group["centered"] else E


def adagrad(group: Group, state: State) -> Memory:
    """`torch.optim.Adagrad`, which forgets nothing: it has no β. The mean of g² so far says what is to be expected."""
    t, E, eps = number(state["step"]), state["sum"], number(group["eps"])
    lr = number(group["lr"]) / (1 + (t - 1) * group["lr_decay"])
    return Memory(None, E, E / t, lr / (E.sqrt() + eps), eps**2)


def adam(group: Group, state: State) -> Memory:
    """`torch.optim.Adam` and `AdamW`."""
    beta, mean_square = second_moment(group, state)
    E = state["max_exp_avg_sq"] / correction(group, state) if group["amsgrad"] else mean_square
    eps = number(group["eps"])
    return Memory(beta, E, mean_square, number(group["lr"]) / (E.sqrt() + eps), eps**2)


def nadam(group: Group, state: State) -> Memory:
    """`torch.optim.NAdam`."""
    beta, E = second_moment(group, state)
    eps = number(group["eps"])
    return Memory(beta, E, E, number(group["lr"]) / (E.sqrt() + eps), eps**2)


def radam(group: Group, state: State) -> Memory:
    """`torch.optim.RAdam`, whose first steps do not look at E."""
    beta, E = second_moment(group, state)
    t, eps, lr = number(state["step"]), number(group["eps"]), number(group["lr"])
    longest = 2 / (1 - beta) - 1
    length = longest - 2 * t * beta**t / correction(group, state)
    if length <= 5:
        return Memory(beta, E, E, torch.full_like(E, lr), eps**2)
    r = math.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
    root = (state["exp_avg_sq"].sqrt() + eps) / math.sqrt(correction(group, state))
    return Memory(beta, E, E, r * lr / root, eps**2 / correction(group, state))


def second_moment(group: Group, state: State) -> tuple[float, Tensor]:
    """β₂, and the running mean of g² without its bias."""
    return number(group["betas"][1]), state["exp_avg_sq"] / correction(group, state)


def correction(group: Group, state: State) -> float:
    """1 − β₂ᵗ."""
    return 1 - number(group["betas"][1]) ** number(state["step"])


def adamax(group: Group, state: State) -> Memory:
    """`torch.optim.Adamax`; ε is in its maximum already."""
    u = state["exp_inf"]
    return Memory(number(group["betas"][1]), u.square(), u.square(), number(group["lr"]) / u, number(group["eps"]) ** 2)


MEMORIES: dict[str, tuple[Describe, tuple[str, ...]]] = {
    "RMSprop": (rmsprop, ("square_avg", "grad_avg")),
    "RMSpropTFLike": (rmsprop_tf, ("square_avg", "grad_avg")),
    "Adagrad": (adagrad, ("sum",)),
    "Adam": (adam, ("exp_avg_sq", "max_exp_avg_sq")),
    "AdamW": (adam, ("exp_avg_sq", "max_exp_avg_sq")),
    "NAdam": (nadam, ("exp_avg_sq",)),
    "RAdam": (radam, ("exp_avg_sq",)),
    "Adamax": (adamax, ("exp_inf",)),
}
"""Name of an optimizer's class, or of one that it is made from → its function, and the tensors of its state that it reads."""


class Reader:
    """Reads the memories of optimizers of one class."""

    def __init__(self, kind: type[torch.optim.Optimizer]) -> None:
        """Of the optimizers of a class; one that is not in the table, nor made from one that is, has no memories."""
        names = [ancestor.__name__ for ancestor in kind.__mro__]
        self._describe: Describe | None
        self._tensors: tuple[str, ...]
        self._describe, self._tensors = next((MEMORIES[name] for name in names if name in MEMORIES), (None, ()))
        self.is_sgd = "SGD" in names

    @property
    def remembers(self) -> bool:
        """Whether it remembers squared gradients."""
        return self._describe is not None

    def memories(self, group: Group, params: Sequence[Tensor], states: Mapping[Tensor, State], sample: int = 0) -> list[Memory]:
        """Of all entries of some parameters of a group, one after the other, in as few calls as their states allow.

        With `sample`, of at most so many evenly spaced entries of each parameter. Parameters without an update are left out, and
        so are all of unknown optimizers.
        """
        if self.is_sgd:
            entries = joined([entries_of(p, sample) for p in params])
            return [Memory(None, None, None, torch.full_like(entries, number(group["lr"])), math.nan)]
        found: list[Memory] = []
        for alike in self._alike(params, states):
            tensors = {
                name: joined([entries_of(state[name], sample) for state in alike]) for name in self._tensors if name in alike[0]
            }
            if self._describe is not None and tensors:
                found.append(self._describe(group, {**alike[0], **tensors}))
        return found

    def _alike(self, params: Sequence[Tensor], states: Mapping[Tensor, State]) -> list[list[State]]:
        """The states of parameters that have had an update, those together that follow each other with the same count of them."""
        parts: list[list[State]] = []
        last = 0.0
        for p in params:
            state = states.get(p, {})
            count = number(state.get("step", 0))
            if not count or not p.numel():
                continue
            if count != last:
                parts.append([])
                last = count
            parts[-1].append(state)
        return parts


def entries_of(x: Tensor, sample: int) -> Tensor:
    """All entries, or at most so many of them, evenly spaced."""
    flat = as_real(x.detach()).reshape(-1)
    return flat[:: -(-len(flat) // sample)] if sample and len(flat) > sample else flat


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Tensors one after the other, flat; in float64 and on the CPU if they are of different kinds."""
    if len({(x.device, x.dtype) for x in parts}) > 1:
        parts = [x.double().cpu() for x in parts]
    return torch.cat([as_real(x.detach()).reshape(-1) for x in parts]) if parts else torch.empty(0)
