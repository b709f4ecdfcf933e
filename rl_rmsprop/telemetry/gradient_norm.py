"""‖g‖ as backward leaves it, before anybody clips it: taken parameter by parameter while gradients are accumulated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rl_rmsprop.kernels.equations import as_real


class NormBeforeClipping:
    """Listens to one update's gradients at a time."""

    def __init__(self, always: bool) -> None:
        self.always = always
        """Whether it is to listen to every update, and not only to those that are measured."""
        self._handles: list[Any] = []
        self._squares: dict[Tensor, Tensor] = {}

    def attend(self, params: Sequence[Tensor]) -> None:
        """Hear the next backward passes, until `take`."""
        if not self._handles:
            self._handles = [p.register_post_accumulate_grad_hook(self._accumulated) for p in params if p.is_leaf]

    def take(self) -> Tensor | None:
        """‖g‖ of what was accumulated last, [] on the first parameter's device; None if it did not listen, or heard nothing."""
        if not self._handles:
            return None
        squares, self._squares = list(self._squares.values()), {}
        if not self.always:
            self.stop()
        return torch.stack([x.to(squares[0].device) for x in squares]).sum().sqrt() if squares else None

    def stop(self) -> None:
        """Listen no more."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._squares = [], {}

    @torch.no_grad()
    def _accumulated(self, p: Tensor) -> None:
        if p.grad is not None:  # of several backward passes the last one has the sum of all
            self._squares[p] = torch.linalg.vector_norm(as_real(p.grad)).square()
