"""Pieces: where an update does its work when there are no runs. Small parameters are joined to one, large ones cut.

    twelve parameters of a small network  → one slot, a copy of them all side by side, which is copied back afterwards
    a parameter of 8 million entries      → 62 slots, views of it that stay in the cache from the first call to the last

A call of torch costs one to four microseconds, however small its tensors are; and a tensor of many megabytes is fetched from
memory by each call anew, and its intermediate results are page faults for every 4 KiB. The equations of update.py work entry by
entry, so that they give the same bits whatever lies beside an entry: joined, cut or neither.

Nothing of the optimizer's state is kept here but the memory in which tensors are joined, whose content nobody relies on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from rl_rmsprop import update
from rl_rmsprop.update import Slot

SMALL = 2**14
"""Most entries of a parameter that is joined with others."""
LARGE = 2**17
"""Most entries of a piece, half a megabyte in single precision."""


class Joint:
    """Memory in which tensors lie side by side: `flat`, and `parts` of it in their shapes."""

    def __init__(self, like: Sequence[Tensor]) -> None:
        sizes = [t.numel() for t in like]
        self.flat = torch.empty(sum(sizes), dtype=like[0].dtype)
        self.parts = [part.view(t.shape) for part, t in zip(self.flat.split(sizes), like, strict=True)]

    def gather(self, tensors: Sequence[Tensor]) -> Tensor:
        """Copies of the tensors, side by side."""
        torch._foreach_copy_(self.parts, tensors)
        return self.flat

    def scatter(self, tensors: Sequence[Tensor]) -> None:
        """The way back."""
        torch._foreach_copy_(tensors, self.parts)


class Joints:
    """The joint of each quantity, kept from update to update while the tensors' shapes stay as they are."""

    def __init__(self) -> None:
        self._made: dict[str, Joint] = {}
        self._shapes: list[tuple[torch.Size, torch.dtype]] = []

    def of(self, like: Sequence[Tensor], names: Sequence[str]) -> dict[str, Joint]:
        """One joint for each name, for tensors like these."""
        shapes = [(t.shape, t.dtype) for t in like]
        if shapes != self._shapes or self._made.keys() != set(names):
            self._made, self._shapes = {name: Joint(like) for name in names}, shapes
        return self._made


class Pieces:
    """The slots of a group's parameters, joined and cut. `give_back` must follow an update of them.

    Args:
        params: parameters on the CPU that have a gradient.
        states: what is kept of each.
        group: their group, without `centered`.
        histories: w of each, or the number of its updates, if the update asks for it: only parameters with the same one can
            be joined.
        joints: memory for joining.
    """

    def __init__(
        self,
        params: Sequence[Tensor],
        states: Sequence[dict[str, Tensor]],
        group: dict[str, Any],
        histories: Sequence[Tensor],
        joints: Joints,
    ) -> None:
        self._group = group
        small = [p.numel() <= SMALL and p.dtype == params[0].dtype and not p.is_complex() for p in params]
        if sum(small) < 2 or not alike(histories):
            self._single, self._joined = list(zip(params, states, strict=True)), []
            return
        self._single = [(p, state) for p, state, joined in zip(params, states, small, strict=True) if not joined]
        together = [(p, state) for p, state, joined in zip(params, states, small, strict=True) if joined]
        self._moved = {"p": [p for p, _ in together], "E": [state["square_avg"] for _, state in together]}
        if group["momentum"] > 0:
            self._moved["buffer"] = [state["momentum_buffer"] for _, state in together]
        self._joints = joints.of(self._moved["p"], (*self._moved, "g"))
        flat = {name: self._joints[name].gather(tensors) for name, tensors in self._moved.items()}
        g = update.gradient(self._joints["g"].gather([p.grad for p, _ in together if p.grad is not None]), flat["p"], group)
        kept = together[0][1]
        self._joined = [Slot(flat["p"], g, flat["E"], kept.get("weight"), kept["step"], flat.get("buffer"), None, kept)]

    def __iter__(self) -> Iterator[Slot]:
        yield from self._joined
        for p, state in self._single:
            yield from cut(p, state, self._group)

    def give_back(self) -> None:
        """Copy what was joined to where it came from."""
        if self._joined:
            for name, tensors in self._moved.items():
                self._joints[name].scatter(tensors)


def alike(histories: Sequence[Tensor]) -> bool:
    """Whether all these numbers are the same."""
    return not histories or len(set(torch.stack(list(histories)).tolist())) == 1


def cut(p: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> Iterator[Slot]:
    """The slots of one parameter with at most LARGE entries each; its only one where it does not lie in one stretch of memory."""
    whole = {"p": p, "g": p.grad, "E": state["square_avg"]} | ({"buffer": state["momentum_buffer"]} if group["momentum"] > 0 else {})
    if p.numel() <= LARGE or p.is_complex() or not all(t is not None and t.is_contiguous() for t in whole.values()):
        yield update.slot(p, state, group)
        return
    for parts in zip(*(t.view(-1).split(LARGE) for t in whole.values() if t is not None), strict=True):
        p_, g, E, *buffer = parts
        g = update.gradient(g, p_, group)
        yield Slot(p_, g, E, state.get("weight"), state["step"], buffer[0] if buffer else None, None, state)
