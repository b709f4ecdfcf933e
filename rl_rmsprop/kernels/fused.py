"""All parameters of a group at once: the update of equations.py in fewer calls and passes over the memory.

A call of torch costs one to four microseconds, however small its tensors; a tensor of many megabytes is fetched from memory by
each call anew. Where β is one number, and so the same for all:

    rmsprop    torch's own update, with the same bits: lists of tensors in each call, and not more of them than the cache holds
    adam       any other β or w: torch's fused Adam, which with β₁ = 0 is RMSProp, in one call and one pass

equations.py is the definition; tests hold that both agree. No number is kept from update to update.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from rl_rmsprop.kernels import equations, torch_internals, workspace
from rl_rmsprop.kernels.backends import State, scalar
from rl_rmsprop.kernels.torch_internals import foreach_add_, foreach_addcdiv_, foreach_addcmul_, foreach_mul_, foreach_sqrt

PRECISIONS = (torch.float32, torch.float64)


def supports(params: list[Tensor], states: list[State], group: dict[str, Any]) -> bool:
    """Whether the functions below can update these parameters: on the CPU, E too, all in one of two precisions."""
    dtype = params[0].dtype
    if group["centered"] or group["capturable"] or dtype not in PRECISIONS or torch_internals.is_sharded(params[0]):
        return False
    return all([t.dtype is dtype and t.is_cpu for t in (*params, *square_averages(states))])


def rmsprop(params: list[Tensor], grads: list[Tensor], states: list[State], group: dict[str, Any], beta: float) -> None:
    """The update with E as it is and ε outside the root, in torch's order of rounding.

    E ← βE + (1 − β)g²        θ ← θ − lr · g / (√E + ε)
    """
    lr, momentum = float(group["lr"]), group["momentum"]
    dtype, device = params[0].dtype, params[0].device
    decay, eps = scalar(beta, dtype, device), scalar(group["eps"], dtype, device)
    columns = [params, grads, square_averages(states)]
    if momentum > 0:
        columns.append([state["momentum_buffer"] for state in states])
    for p, g, E, *buffers in chunks(*columns):
        g = effective_gradients(g, p, group)
        foreach_mul_(E, decay)
        foreach_addcmul_(E, g, g, value=1 - beta)
        root = foreach_sqrt(E)
        foreach_add_(root, eps, alpha=1.0)
        for buffer in buffers:  # one, if there is momentum
            foreach_mul_(buffer, momentum)
            foreach_addcdiv_(buffer, g, root)
            foreach_add_(p, buffer, alpha=-lr)
        if not buffers:
            foreach_addcdiv_(p, g, root, value=-lr)


def supports_adam(params: list[Tensor], grads: list[Tensor], states: list[State], group: dict[str, Any]) -> bool:
    """Whether `adam` is the update: Adam has neither this momentum nor ε inside the root, and needs contiguous tensors."""
    if group["momentum"] > 0 or group["eps_in_sqrt"] or not adam_is_rmsprop(params[0].dtype):
        return False
    return all([t.is_contiguous() for tensors in (params, grads, square_averages(states)) for t in tensors])


def adam(params: list[Tensor], grads: list[Tensor], states: list[State], group: dict[str, Any], beta: float) -> None:
    """The update of equations.py by torch's fused Adam: with β₁ = 0 Adam is RMSProp. Equal but for the last bits.

        lr · g / (√(E/w) + ε) = lr√w · g / (√E + ε√w)

    so that w goes into the numbers, and Adam's own bias correction, 1 − βᵗ, is turned off by t = ∞. Its running mean of g is g
    itself for β₁ = 0, and may lie where g lies (an infinite g becomes NaN there, as the parameter does).
    """
    assert torch_internals.fused_adam is not None  # else `supports_adam` is false
    rows = list(zip(params, effective_gradients(grads, params, group), square_averages(states), strict=True))
    weights = torch.stack([state["weight"] for state in states]).tolist() if group["bias_correction"] else [1.0] * len(states)
    for w in set(weights):
        p, g, E = transpose([row for row, its in zip(rows, weights, strict=True) if its == w])
        torch_internals.fused_adam(
            p, g, g, E, [], [scalar(math.inf, torch.float32, p[0].device)] * len(p),
            lr=float(group["lr"]) * math.sqrt(w), eps=group["eps"] * math.sqrt(w),
            beta1=0.0, beta2=beta, weight_decay=0.0, amsgrad=False, maximize=False,
        )  # fmt: skip


@functools.cache
def adam_is_rmsprop(dtype: torch.dtype) -> bool:
    """Whether `adam` does what equations.py does, tried out once on three numbers: torch does not promise what it relies on."""
    group = {"lr": 0.1, "eps": 1e-3, "alpha": 0.9, "weight_decay": 0.0, "momentum": 0, "maximize": False, "capturable": False}
    group |= {"centered": False, "eps_in_sqrt": False, "bias_correction": True, "initial_accumulator_value": 0.0}
    results = []
    for update in (adam, one_by_one):
        p = torch.tensor([1.0, -2.0, 0.5], dtype=dtype)
        p.grad = torch.tensor([0.3, -20.0, 0.0], dtype=dtype)
        state = {"square_avg": 0.01 * p.square(), "step": torch.tensor(3.0), "weight": torch.tensor(0.4, dtype=torch.float64)}
        try:
            for _ in range(2):
                update([p], [p.grad], [state], group, 0.9)
        except (AssertionError, RuntimeError, TypeError):
            return False
        results.append(torch.stack([p, state["square_avg"], p.grad]))
    return torch.allclose(results[0], results[1], rtol=16 * torch.finfo(dtype).eps, atol=0.0)


def one_by_one(params: list[Tensor], grads: list[Tensor], states: list[State], group: dict[str, Any], beta: float) -> None:
    """The update of equations.py, where `grads` are those of `params`."""
    for slot in equations.slots(params, states, group):
        equations.update_mean_square(slot, beta)
        equations.apply_step(slot, group, False, equations.denominator(slot, group))


# Lists --------------------------------------------------------------------------------------------------------------------


def square_averages(states: list[State]) -> list[Tensor]:
    """E of each parameter."""
    return [state["square_avg"] for state in states]


def effective_gradients(grads: list[Tensor], params: list[Tensor], group: dict[str, Any]) -> list[Tensor]:
    """The gradients that the update takes, as `equations.gradient`; the same tensors where that is the gradient itself."""
    if not group["maximize"] and group["weight_decay"] == 0:
        return grads
    return [equations.gradient(g, p, group) for g, p in zip(grads, params, strict=True)]


def chunks(*columns: list[Tensor]) -> Iterator[Sequence[list[Tensor]]]:
    """The same columns in parts of at most LARGE entries. Larger tensors are cut, if all of a row are contiguous."""
    sizes = [t.numel() for t in columns[0]]
    if sum(sizes) <= workspace.LARGE:
        yield columns
        return
    chunk: list[tuple[Tensor, ...]] = []
    room = workspace.LARGE
    for size, row in zip(sizes, zip(*columns, strict=True), strict=True):
        if size > room and chunk:
            yield transpose(chunk)
            chunk, room = [], workspace.LARGE
        if size > workspace.LARGE and all(t.is_contiguous() for t in row):
            for parts in zip(*(t.view(-1).split(workspace.LARGE) for t in row), strict=True):
                yield transpose([parts])
        else:
            chunk.append(row)
            room -= size
    if chunk:
        yield transpose(chunk)


def transpose(rows: Sequence[tuple[Tensor, ...]]) -> list[list[Tensor]]:
    """Columns from rows."""
    return [list(column) for column in zip(*rows, strict=True)]
