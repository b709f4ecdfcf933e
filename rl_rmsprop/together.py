"""All parameters of a group together: what update.py does to one after the other, in fewer calls and passes over the memory.

A call of torch costs one to four microseconds, however small its tensors; a tensor of many megabytes is fetched from memory by
each call anew, and a result of that size is a page fault for every 4 KiB. Where β is one number, and so the same for all:

    rmsprop    torch's own update, with the same bits: lists of tensors in each call, and not more of them than the cache holds
    adam       any other β or w: torch's fused Adam, which with β₁ = 0 is RMSProp, in one call and one pass
    joined     for reading only: small tensors copied side by side, large ones cut

update.py is the definition; tests hold that both agree. Nothing is kept from update to update.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._utils import _flatten_dense_tensors as flattened

from rl_rmsprop import update

SMALL = 2**14
"""Most entries of a tensor that is copied to lie beside others."""
LARGE = 2**18
"""Most entries that are worked on at a time: one megabyte in single precision."""

State = dict[str, Tensor]


def fits(params: Sequence[Tensor], group: dict[str, Any]) -> bool:
    """Whether the functions below can move these parameters: on the CPU, all in one of two precisions."""
    dtype = params[0].dtype
    plain = not (group["centered"] or group["capturable"]) and dtype in (torch.float32, torch.float64)
    return plain and all([p.is_cpu and p.dtype == dtype for p in params])


# The update ---------------------------------------------------------------------------------------------------------------


def rmsprop(params: Sequence[Tensor], states: Sequence[State], group: dict[str, Any], beta: float) -> None:
    """The update with E as it is and ε outside the root, in torch's order of rounding: `update.remember` and `update.move`.

        E ← βE + (1 − β)g²        θ ← θ − lr · g / (√E + ε)
    """
    lr, momentum = float(group["lr"]), group["momentum"]
    decay, eps = number(beta, params[0]), number(group["eps"], params[0])
    grads, averages = [p.grad for p in params], [state["square_avg"] for state in states]
    buffers = [state["momentum_buffer"] for state in states] if momentum > 0 else []
    for p, g, E, *buffer in bundles(params, grads, averages, *([buffers] if buffers else [])):
        g = directed(g, p, group)
        torch._foreach_mul_(E, decay)
        torch._foreach_addcmul_(E, g, g, value=1 - beta)
        root = torch._foreach_sqrt(E)
        torch._foreach_add_(root, eps, alpha=1.0)
        if buffer:
            torch._foreach_mul_(*buffer, momentum)
            torch._foreach_addcdiv_(*buffer, g, root)
            torch._foreach_add_(p, *buffer, alpha=-lr)
        else:
            torch._foreach_addcdiv_(p, g, root, value=-lr)


def is_adam(params: Sequence[Tensor], states: Sequence[State], group: dict[str, Any]) -> bool:
    """Whether `adam` is the update: nothing lies between E and the step that Adam has not, and all lies in one stretch."""
    if group["momentum"] > 0 or group["eps_in_sqrt"]:
        return False
    return all([p.is_contiguous() and p.grad.is_contiguous() and s["square_avg"].is_contiguous() for p, s in zip(params, states)])


def adam(params: Sequence[Tensor], states: Sequence[State], group: dict[str, Any], beta: float) -> None:
    """`update.remember` and `update.move` by torch's fused Adam: with β₁ = 0 Adam is RMSProp. Equal but for the last bits.

    Adam's bias correction is 1 − βᵗ, so it is told the t at which that is w; ∞ without bias correction, which is w = 1. Its
    running mean of g is g itself for β₁ = 0, and may lie where g lies.
    """
    w = torch.stack([state["weight"] for state in states]).tolist() if group["bias_correction"] else [1.0] * len(states)
    clocks = {w: torch.tensor(equivalent_updates(w, beta), dtype=torch.float64) for w in set(w)}
    grads = directed([p.grad for p in params], params, group)
    torch._fused_adam_(
        params, grads, grads, [state["square_avg"] for state in states], [], [clocks[w] for w in w],
        lr=float(group["lr"]), beta1=0.0, beta2=beta, eps=group["eps"], weight_decay=0.0, amsgrad=False, maximize=False,
    )  # fmt: skip


def equivalent_updates(w: float, beta: float) -> float:
    """The t at which 1 − βᵗ = w."""
    return math.log1p(-w) / math.log(beta) if w < 1 else math.inf


def directed(grads: list[Tensor], params: list[Tensor], group: dict[str, Any]) -> list[Tensor]:
    """The gradients that the update takes, as `update.gradient`; the same tensors where that is the gradient itself."""
    if not group["maximize"] and group["weight_decay"] == 0:
        return grads
    return [update.gradient(g, p, group) for g, p in zip(grads, params, strict=True)]


def number(value: float, like: Tensor) -> Tensor:
    """A number for a call with a list of tensors: given as a float it would be made a tensor for each of them."""
    return torch.tensor(value, dtype=like.dtype)


class Workspace:
    """Memory for intermediate results, kept from update to update."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, torch.Size, torch.dtype, torch.device], Tensor] = {}

    def __call__(self, name: str, like: Tensor) -> Tensor:
        """Memory of this shape; what it held under the same name is lost."""
        key = (name, like.shape, like.dtype, like.device)
        if key not in self._kept:
            self._kept[key] = torch.empty_like(like, requires_grad=False)
        return self._kept[key]


# Pieces -------------------------------------------------------------------------------------------------------------------


def bundles(*columns: list[Tensor]) -> Iterator[Sequence[list[Tensor]]]:
    """The same columns of tensors in parts of at most LARGE entries; larger tensors are cut, if all of a row lie in one stretch."""
    sizes = [t.numel() for t in columns[0]]
    if sum(sizes) <= LARGE:
        yield columns
        return
    bundle: list[tuple[Tensor, ...]] = []
    room = LARGE
    for size, row in zip(sizes, zip(*columns, strict=True), strict=True):
        if size > room and bundle:
            yield transposed(bundle)
            bundle, room = [], LARGE
        if size > LARGE and all(t.is_contiguous() for t in row):
            for parts in zip(*(t.view(-1).split(LARGE) for t in row), strict=True):
                yield transposed([parts])
        else:
            bundle.append(row)
            room -= size
    if bundle:
        yield transposed(bundle)


def transposed(rows: Sequence[tuple[Tensor, ...]]) -> list[list[Tensor]]:
    """Columns from rows."""
    return [list(column) for column in zip(*rows, strict=True)]


def joined(tensors: Sequence[Tensor]) -> list[Tensor]:
    """All entries in flat pieces: those of small tensors copied side by side, those of large ones in views of them."""
    small = [t for t in tensors if t.numel() <= SMALL]
    large = [part for t in tensors if t.numel() > SMALL for part in t.reshape(-1).split(LARGE)]
    return [flattened(small), *large] if small else large


def alike(numbers: Sequence[Tensor]) -> bool:
    """Whether all these tensors of one number hold the same."""
    return len(set(torch.stack(list(numbers)).tolist())) == 1
