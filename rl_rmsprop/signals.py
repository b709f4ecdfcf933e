"""What a detector listens to: one number per run and update, computed from the gradient before E takes it.

    surprise      = ln mean_i( g_i² / (Ê_i + ε²) )  how far g² is from what E predicted; scale-free, about 0 when Ê is right
    peak_surprise = the largest surprise of a tensor: a small network's shift is not drowned by a large one
    grad_norm     = ln ‖g‖²                         with the norm before clipping where the training loop reports it
    cosine        = cos(g_t, g_{t−1})               in [−1, 1]; rises when the gradient keeps its direction

and, reported by the training loop through `observe`:

    episode_return                                  mean return of the episodes that have ended since the last update
    td_error      = ln mean(δ²)                     from the critic's mean squared error before the update
    kl                                              divergence of the policies before and after the last update, nats

Every function takes the gradients of one parameter group as a list of tensors and returns a scalar, or [R] where the first
axis of every tensor is the run. ε is the optimizer's: a coordinate whose Ê is far below ε² cannot dominate the mean. A new signal
is a function and a row of SIGNALS.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

TINY = 1e-38  # keeps logarithms of zero gradients finite


def total(tensors: Iterable[Tensor], runs: bool) -> Tensor:
    """Sum over all entries of all tensors, or over all but the first axis: a scalar, or [R]."""
    sums = (t.reshape(len(t), -1).sum(1) if runs else t.sum() for t in tensors)
    return reduce(torch.add, sums)  # one after the other: a sum over a stack is ordered by the number of runs


def surprise(squares: Sequence[Tensor], means: Sequence[Tensor], eps: float, runs: bool) -> Tensor:
    """Ln mean(g²/(Ê + ε²)) from the squared gradients and Ê before this update."""
    return log_mean((g2 / (E + floor(eps)) for g2, E in zip(squares, means, strict=True)), runs)


def floor(eps: float) -> float:
    """What is added to Ê where something is divided by it."""
    return eps * eps + TINY


def log_mean(ratios: Iterable[Tensor], runs: bool) -> Tensor:
    """Ln of the mean over all entries of all tensors, or over all but the first axis; each is done with before the next."""
    sums, count = [], 0
    for t in ratios:
        sums.append(total([t], runs))
        count += t.numel() // (len(t) if runs else 1)
    return log(reduce(torch.add, sums) / count)


def peak_surprise(squares: Sequence[Tensor], means: Sequence[Tensor], eps: float, runs: bool) -> Tensor:
    """The largest surprise of a tensor, each as if it were alone."""
    return reduce(torch.maximum, [surprise([g2], [E], eps, runs) for g2, E in zip(squares, means, strict=True)])


def squared_norm(squares: Sequence[Tensor], runs: bool) -> Tensor:
    """‖g‖² from the squared gradients."""
    return total(squares, runs)


def cosine(grads: Sequence[Tensor], previous: Sequence[Tensor], runs: bool, dtype: torch.dtype = torch.float64) -> Tensor:
    """cos(g_t, g_{t−1}), float64; 0 where one of the two is zero. `dtype` is that of the products, which may leave float32."""
    sums = []
    for g, before in zip(grads, previous, strict=True):
        a, b = g.to(dtype), before.to(dtype)
        sums.append([total([x], runs).double() for x in (a * b, a.square(), b.square())])
    dot, square, square_before = (reduce(torch.add, column) for column in zip(*sums, strict=True))
    lengths = square.sqrt() * square_before.sqrt()
    return torch.where(lengths > 0, dot / lengths, 0.0)


def log_of(x: float) -> float:
    """As `log`, of a number."""
    return math.log(min(max(x, TINY), sys.float_info.max))


def log_or_nan(x: Tensor) -> Tensor:
    """As `log`, but NaN, which is no observation, stays."""
    return torch.where(x.isnan(), torch.nan, log(x))


def log(x: Tensor) -> Tensor:
    """Natural logarithm in float64, finite at 0 and where a float32 has overflowed: a detector would keep an infinity."""
    return x.double().clamp(TINY, torch.finfo(torch.float64).max).log()


# The table ------------------------------------------------------------------------------------------------------------


class Inputs(NamedTuple):
    """What a signal is computed from: one update's gradients of a parameter group, and what the optimizer knew before."""

    gradients: Sequence[Tensor]
    expected: Callable[[], Sequence[Tensor]]
    """Ê of each tensor."""
    previous: Sequence[Tensor]
    """The gradients of the update before, zeros at the first; empty for signals that do not need them."""
    reported: Mapping[str, Tensor]
    """What the training loop has reported for this update, by the names of `observe`."""
    eps: float
    runs: bool
    """Whether the first axis of every tensor is the run."""

    def squares(self) -> list[Tensor]:
        """g² of each tensor."""
        return [g.square() for g in self.gradients]

    def norm(self) -> Tensor:
        """‖g‖², with the norm before clipping where the training loop reports it."""
        norm = self.reported.get("grad_norm")
        return squared_norm(self.squares(), self.runs) if norm is None else norm.square()

    def report(self, name: str) -> Tensor:
        """What the training loop has reported under this name, NaN for no observation; ValueError if it reports nothing."""
        if name not in self.reported:
            remedy = f"call optimizer.observe({name}=…), with NaN for none"
            raise ValueError(f"the signal {name} must be reported before each update, got nothing: {remedy}")
        return self.reported[name].double()


class Signal(NamedTuple):
    """One number per run and update."""

    meaning: str
    measure: Callable[[Inputs], Tensor]
    needs_previous: bool = False


SIGNALS = {
    "surprise": Signal(
        "ln mean(g²/Ê): how far squared gradients are from what E predicted; about 0 when E is right",
        lambda at: surprise(at.squares(), at.expected(), at.eps, at.runs),
    ),
    "peak_surprise": Signal(
        "the largest surprise of a tensor, such as the critic's where the agents here train",
        lambda at: peak_surprise(at.squares(), at.expected(), at.eps, at.runs),
    ),
    "grad_norm": Signal(
        "ln ‖g‖² before clipping; knows scale, so it also sees rewards grow",
        lambda at: log(at.norm()),
    ),
    "cosine": Signal(
        "cosine of this gradient with the last one; rises when the gradient keeps its direction",
        lambda at: cosine(at.gradients, at.previous, at.runs),
        needs_previous=True,
    ),
    "episode_return": Signal(
        "mean return of the episodes that have ended since the last update, reported by the training loop",
        lambda at: at.report("episode_return"),
    ),
    "td_error": Signal(
        "ln of the critic's mean squared error before the update, reported by the training loop",
        lambda at: log_or_nan(at.report("td_error")),
    ),
    "kl": Signal(
        "how far the last update has moved the policy, in nats, reported by the training loop",
        lambda at: at.report("kl"),
    ),
}
"""Name in texts → signal."""
