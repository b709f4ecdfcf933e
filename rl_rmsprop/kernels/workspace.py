"""Memory for intermediate results, kept from update to update: a new tensor of many megabytes is a page fault for every 4 KiB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rl_rmsprop.kernels.torch_internals import foreach_copy_

SMALL = 2**14
"""Most entries of a tensor that is copied to lie beside others."""
LARGE = 2**18
"""Most entries that are worked on at a time: one megabyte in single precision."""


class Workspace:
    """Tensors by name and shape; what one holds is lost at the next use of its name."""

    MOST = 64
    """Shapes that are kept: which parameters have a gradient may change from update to update."""

    def __init__(self) -> None:
        self._tensors: dict[tuple[str, torch.Size, torch.dtype, torch.device], Tensor] = {}
        self._rows: dict[tuple[str, tuple[torch.Size, ...], torch.dtype, int], tuple[Tensor, list[Tensor]]] = {}

    def __call__(self, name: str, like: Tensor) -> Tensor:
        """A tensor of this shape, dtype and device."""
        key = (name, like.shape, like.dtype, like.device)
        if key not in self._tensors:
            evict(self._tensors, self.MOST)
            self._tensors[key] = torch.empty_like(like, requires_grad=False)
        return self._tensors[key]

    def concatenate(self, name: str, tensors: Sequence[Tensor]) -> list[Tensor]:
        """All entries in flat pieces, to be read only: small tensors copied side by side, large ones cut, and not copied."""
        small = [t for t in tensors if t.numel() <= SMALL]
        large = [part for t in tensors if t.numel() > SMALL for part in t.reshape(-1).split(LARGE)]
        return [self._copy(name, small), *large] if small else large

    def _copy(self, name: str, tensors: list[Tensor]) -> Tensor:
        row, parts = self.row(name, tensors)
        foreach_copy_(parts, tensors)
        return row

    def row(self, name: str, tensors: list[Tensor], lead: int = 0) -> tuple[Tensor, list[Tensor]]:
        """Memory for such tensors side by side, [N], or [K, N] with one axis in common (`lead` axes); and their places in it."""
        key = (name, tuple([t.shape for t in tensors]), tensors[0].dtype, lead)
        if key not in self._rows:
            evict(self._rows, self.MOST)
            row = torch.cat([t.reshape(*t.shape[:lead], -1) for t in tensors], dim=-1)
            parts = row.split([t.shape[lead:].numel() for t in tensors], dim=-1)
            self._rows[key] = row, [part.view(t.shape) for part, t in zip(parts, tensors, strict=True)]
        return self._rows[key]


def evict(cache: dict[Any, Any], most: int) -> None:
    """Empty a cache that is full."""
    if len(cache) >= most:
        cache.clear()
