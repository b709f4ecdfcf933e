"""All parameters of a group together: what update.py does to one after the other, in fewer calls and passes over the memory.

A call of torch costs one to four microseconds, however small its tensors; a tensor of many megabytes is fetched from memory by
each call anew, and a result of that size is a page fault for every 4 KiB. Where β is one number, and so the same for all:

    rmsprop    torch's own update, with the same bits: lists of tensors in each call, and not more of them than the cache holds
    adam       any other β or w: torch's fused Adam, which with β₁ = 0 is RMSProp, in one call and one pass
    surprise   of small tensors copied side by side, and of large ones piece by piece

update.py is the definition; tests hold that both agree. No number is kept from update to update, only memory to work in.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from rl_rmsprop import signals
from rl_rmsprop.kernels import equations
from rl_rmsprop.kernels.backends import as_tensor

SMALL = 2**14
"""Most entries of a tensor that is copied to lie beside others."""
LARGE = 2**18
"""Most entries that are worked on at a time: one megabyte in single precision."""

State = dict[str, Tensor]


def fits(params: list[Tensor], group: dict[str, Any]) -> bool:
    """Whether the functions below can move these parameters: on the CPU, all in one of two precisions."""
    dtype = params[0].dtype
    plain = not (group["centered"] or group["capturable"]) and dtype in (torch.float32, torch.float64)
    return plain and all([p.is_cpu and p.dtype == dtype for p in params])


# The update ---------------------------------------------------------------------------------------------------------------


def rmsprop(params: list[Tensor], states: list[State], group: dict[str, Any], beta: float) -> None:
    """The update with E as it is and ε outside the root, in torch's order of rounding: `equations.update_mean_square` and `equations.apply_step`.

    E ← βE + (1 − β)g²        θ ← θ − lr · g / (√E + ε)
    """
    lr, momentum = float(group["lr"]), group["momentum"]
    dtype, device = params[0].dtype, params[0].device
    decay, eps = number(beta, dtype, device), number(group["eps"], dtype, device)
    columns = [params, gradients(params), averages(states)]
    if momentum > 0:
        columns.append([state["momentum_buffer"] for state in states])
    for p, g, E, *buffers in bundles(*columns):
        g = directed(g, p, group)
        torch._foreach_mul_(E, decay)
        torch._foreach_addcmul_(E, g, g, value=1 - beta)
        root = torch._foreach_sqrt(E)
        torch._foreach_add_(root, eps, alpha=1.0)
        for buffer in buffers:  # one, if there is momentum
            torch._foreach_mul_(buffer, momentum)
            torch._foreach_addcdiv_(buffer, g, root)
            torch._foreach_add_(p, buffer, alpha=-lr)
        if not buffers:
            torch._foreach_addcdiv_(p, g, root, value=-lr)


def is_adam(params: list[Tensor], states: list[State], group: dict[str, Any]) -> bool:
    """Whether `adam` is the update: nothing lies between E and the step that Adam has not, and all lies in one stretch."""
    if group["momentum"] > 0 or group["eps_in_sqrt"]:
        return False
    return all([t.is_contiguous() for tensors in (params, gradients(params), averages(states)) for t in tensors])


def adam(params: list[Tensor], states: list[State], group: dict[str, Any], beta: float) -> None:
    """`equations.update_mean_square` and `equations.apply_step` by torch's fused Adam: with β₁ = 0 Adam is RMSProp. Equal but for the last bits.

        lr · g / (√(E/w) + ε) = lr√w · g / (√E + ε√w)

    so that w goes into the numbers, and Adam's own bias correction, 1 − βᵗ, is turned off by t = ∞. Its running mean of g is g
    itself for β₁ = 0, and may lie where g lies (an infinite g becomes NaN there, as the parameter does).
    """
    rows = list(zip(params, directed(gradients(params), params, group), averages(states), strict=True))
    w = torch.stack([state["weight"] for state in states]).tolist() if group["bias_correction"] else [1.0] * len(states)
    for same in set(w):
        p, g, E = transposed([row for row, its in zip(rows, w, strict=True) if its == same])
        torch._fused_adam_(
            p, g, g, E, [], [number(math.inf, torch.float32, p[0].device)] * len(p),
            lr=float(group["lr"]) * math.sqrt(same), eps=group["eps"] * math.sqrt(same),
            beta1=0.0, beta2=beta, weight_decay=0.0, amsgrad=False, maximize=False,
        )  # fmt: skip


def surprise(grads: list[Tensor], averages: list[Tensor], w: float, group: dict[str, Any], workspace: Workspace) -> Tensor:
    """`signals.surprise` of one stream whose E have all received the weight w > 0, [] float64.

    ln mean(g²/(E/w + floor)) = ln(w · mean(g²/(E + w · floor)))
    """
    w = 1.0 if group["initial_accumulator_value"] else w
    total, count = 0.0, 0
    for g, E in zip(workspace.joined("gradients", grads), workspace.joined("averages", averages), strict=True):
        ratio = workspace("ratio", g)
        torch.add(E, w * signals.floor(group["eps"]), out=ratio)
        torch.div(g, ratio, out=ratio)
        total += ratio.mul_(g).sum().item()
        count += len(g)
    return as_tensor(signals.log_of(w * total / count))


def averages(states: list[State]) -> list[Tensor]:
    """E of each parameter."""
    return [state["square_avg"] for state in states]


def gradients(params: list[Tensor]) -> list[Tensor]:
    """The gradients of parameters that have one."""
    return [p.grad for p in params]  # type: ignore[misc]


def directed(grads: list[Tensor], params: list[Tensor], group: dict[str, Any]) -> list[Tensor]:
    """The gradients that the update takes, as `update.gradient`; the same tensors where that is the gradient itself."""
    if not group["maximize"] and group["weight_decay"] == 0:
        return grads
    return [equations.gradient(g, p, group) for g, p in zip(grads, params, strict=True)]


@functools.lru_cache(maxsize=64)
def number(value: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A number for a call with a list of tensors, not to be changed: given as a float it would be made a tensor for each."""
    return torch.tensor(value, dtype=dtype, device=device)


class Workspace:
    """Memory for intermediate results, kept from update to update."""

    MOST = 64
    """Shapes that are kept: which parameters have a gradient may change from update to update."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, torch.Size, torch.dtype, torch.device], Tensor] = {}
        self._joint: dict[tuple[str, tuple[torch.Size, ...], torch.dtype], tuple[Tensor, list[Tensor]]] = {}

    def __call__(self, name: str, like: Tensor) -> Tensor:
        """Memory of this shape; what it held under the same name is lost."""
        key = (name, like.shape, like.dtype, like.device)
        if key not in self._kept:
            make_room(self._kept, self.MOST)
            self._kept[key] = torch.empty_like(like, requires_grad=False)
        return self._kept[key]

    def joined(self, name: str, tensors: Sequence[Tensor]) -> list[Tensor]:
        """All entries in flat pieces, to be read only: small tensors copied side by side, large ones cut, and not copied."""
        small = [t for t in tensors if t.numel() <= SMALL]
        large = [part for t in tensors if t.numel() > SMALL for part in t.reshape(-1).split(LARGE)]
        return [self._copied(name, small), *large] if small else large

    def _copied(self, name: str, tensors: list[Tensor]) -> Tensor:
        key = (name, tuple([t.shape for t in tensors]), tensors[0].dtype)
        if key not in self._joint:
            make_room(self._joint, self.MOST)
            whole = torch.cat([t.reshape(-1) for t in tensors])
            places = whole.split([t.numel() for t in tensors])
            self._joint[key] = whole, [place.view_as(t) for place, t in zip(places, tensors, strict=True)]
        whole, places = self._joint[key]
        torch._foreach_copy_(places, tensors)
        return whole


def make_room(kept: dict[Any, Any], most: int) -> None:
    """Forget everything where there is no room for more."""
    if len(kept) >= most:
        kept.clear()


# Pieces -------------------------------------------------------------------------------------------------------------------


def bundles(*columns: list[Tensor]) -> Iterator[Sequence[list[Tensor]]]:
    """The same columns in parts of at most LARGE entries. Larger tensors are cut, if all of a row lie in one stretch."""
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
