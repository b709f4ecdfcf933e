"""What a kernel is: the passes of R multilayer perceptrons, forwards and back, through memory that is reused.

A network's weights are one flat tensor θ [R, P]: of each layer the weight [I, H] and then the bias [H], then further numbers that
are no business of a kernel (see `MLP`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

from torch import Tensor

Call = Callable[[], object]
"""A computation prepared to the last argument: for small tensors preparing takes as long as computing."""


class Passes(Protocol):
    """Memory for passes of so many rows; a later pass overwrites what an earlier one computed."""

    x: Tensor
    """Inputs [R, rows, O], to be written before `forward`."""
    y: Tensor
    """Outputs [R, rows, A]."""
    count: int
    """Passes so far."""

    def forward(self) -> None:
        """From x to y, with the weights that the kernel took last."""
        ...

    def gradient(self, delta: Tensor) -> Tensor:
        """The gradient with respect to the layers [R, P], new memory, from that with respect to y [R, rows, A].

        After `forward`, whose hidden layers it needs.
        """
        ...


class Kernel(Protocol):
    """The passes of one network."""

    def take_weights(self) -> None:
        """Take the present weights for all passes until the next call."""
        ...

    def passes(self, rows: int) -> Passes:
        """New memory for passes of so many rows."""
        ...


class Layer(NamedTuple):
    """One affine map of every run."""

    weight: Tensor  # [R, I, H]
    bias: Tensor  # [R, 1, H]


def views(flat: Tensor, shapes: Sequence[tuple[int, int]]) -> list[Layer]:
    """The layers with these (inputs, outputs) as views of a flat tensor [R, P]."""
    runs, start, layers = len(flat), 0, []
    for i, h in shapes:
        middle, stop = start + i * h, start + (i + 1) * h
        layers.append(Layer(flat[:, start:middle].view(runs, i, h), flat[:, middle:stop].view(runs, 1, h)))
        start = stop
    return layers


def size_of(widths: Sequence[int]) -> int:
    """Numbers that the layers between these widths have in θ."""
    return sum((i + 1) * h for i, h in pairwise(widths))
