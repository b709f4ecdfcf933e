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


class Layout:
    """Which of a group's parameters are joined, by their places, and the memory for that: kept while their shapes stay."""

    def __init__(self, params: Sequence[Tensor]) -> None:
        self.shapes = shapes_of(params)
        small = [p.numel() <= SMALL and p.dtype == params[0].dtype and not p.is_complex() for p in params]
        self.joined = [i for i, joined in enumerate(small) if joined]
        self.like = [params[i] for i in self.joined]
        self._joints: dict[str, Joint] = {}

    def joint(self, name: str) -> Joint:
        """The memory in which one quantity of the parameters is joined."""
        if name not in self._joints:
            self._joints[name] = Joint(self.like)
        return self._joints[name]


def shapes_of(params: Sequence[Tensor]) -> list[tuple[torch.Size, torch.dtype]]:
    """What a layout depends on."""
    return [(p.shape, p.dtype) for p in params]


class Pieces:
    """The slots of a group's parameters, joined and cut. `give_back` must follow an update of them.

    Args:
        params: parameters on the CPU that have a gradient.
        states: what is kept of each.
        group: their group, without `centered`.
        asks_w: whether the update asks for w; only parameters with the same w can be joined then.
        layout: that of `params`.
    """

    def __init__(
        self,
        params: Sequence[Tensor],
        states: Sequence[dict[str, Tensor]],
        group: dict[str, Any],
        asks_w: bool,
        layout: Layout,
    ) -> None:
        self._group, self._layout = group, layout
        joined = layout.joined if len(layout.joined) > 1 else []
        kept = [states[i] for i in joined]
        if asks_w and not alike([state.get("weight", state["step"]) for state in kept]):
            joined, kept = [], []
        self._moved: dict[str, list[Tensor]] = {}
        self._slots: list[Slot] = []
        self._single = [(params[i], states[i]) for i in range(len(params)) if i not in joined]
        self.weights = [state["weight"] for _, state in self._single if "weight" in state]
        self._followers: list[Tensor] = []
        if joined:
            self._slots = [self._join([params[i] for i in joined], kept)]

    def _join(self, params: list[Tensor], states: Sequence[dict[str, Tensor]]) -> Slot:
        group, self._moved["p"], self._moved["E"] = self._group, params, [state["square_avg"] for state in states]
        if group["momentum"] > 0:
            self._moved["buffer"] = [state["momentum_buffer"] for state in states]
        flat = {name: self._layout.joint(name).gather(tensors) for name, tensors in self._moved.items()}
        g = self._layout.joint("g").gather([p.grad for p in params])  # type: ignore[misc]  # it has one
        w = states[0].get("weight")
        if w is not None:
            self.weights.append(w)
            self._followers = [state["weight"] for state in states[1:]]
        g = update.gradient(g, flat["p"], group)
        return Slot(flat["p"], g, flat["E"], w, states[0]["step"], flat.get("buffer"), None, states[0])

    def __iter__(self) -> Iterator[Slot]:
        yield from self._slots
        for p, state in self._single:
            yield from cut(p, state, self._group)

    def give_back(self) -> None:
        """Copy what was joined to where it came from."""
        for name, tensors in self._moved.items():
            self._layout.joint(name).scatter(tensors)
        if self._followers:
            torch._foreach_copy_(self._followers, [self.weights[-1]] * len(self._followers))


def alike(histories: list[Tensor]) -> bool:
    """Whether all these numbers are the same."""
    return not histories or len(set(torch.stack(histories).tolist())) == 1


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
