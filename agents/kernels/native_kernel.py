"""The passes of networks by the compiled kernel, one run after the other, on the CPU.

    h₁ = tanh(x W₁ + b₁),  h₂ = tanh(h₁ W₂ + b₂),  y = h₂ W₃ + b₃

A run's weights, activations and gradient stay in the processor's cache; torch's batched products go through the activations of
all runs at every layer. Nothing depends on how many runs there are, and nothing on the width of vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from agents.kernels.base import Call, size_of
from rl_rmsprop.native import library


class NativeKernel:
    """Weights packed for the kernel's products."""

    def __init__(
        self, theta: Tensor, widths: Sequence[int], input_gain: Tensor | None = None, instruction_set: str | None = None
    ) -> None:
        """Of weights θ [R, P] on the CPU. Inputs are multiplied by `input_gain` [O] first, if there is one.

        `instruction_set` is one of `library.instruction_sets()`, by default the quickest.
        """
        lib = library.load()
        assert lib is not None  # else `check_kernel` has raised an error
        self.set = library.instruction_sets()[instruction_set or library.quickest()]
        self.library, self.widths, self.runs = lib, np.array(widths, np.int32), len(theta)
        self.network = (self.widths.ctypes.data, len(widths) - 1)
        self.size = size_of(widths)
        self.gain = None if input_gain is None else input_gain.float().contiguous()
        self.packed = torch.zeros(self.runs, lib.packed_size(*self.network))
        self.theta = theta
        self._pack = self.prepared(lib.network_pack, self.runs, theta, theta.stride(0), self.gain, self.packed)

    @property
    def gain_address(self) -> int | None:
        """Where the factors of the inputs are."""
        return None if self.gain is None else self.gain.data_ptr()

    def take_weights(self) -> None:
        self._pack()

    def prepared(self, function: Callable[..., object], *arguments: Tensor | int | None) -> Call:
        """A call of a function of the library on this network; the tensors' memory must stay."""
        plain = [x.data_ptr() if isinstance(x, Tensor) else x for x in arguments]
        return partial(function, self.set, *self.network, *plain)

    def passes(self, rows: int) -> NativePasses:
        return NativePasses(self, rows)


class NativePasses:
    """Memory for passes of so many rows, forwards and back."""

    def __init__(self, kernel: NativeKernel, rows: int) -> None:
        self.count = 0
        self._kernel, self._rows = kernel, rows
        runs, widths, lib = kernel.runs, kernel.widths.tolist(), kernel.library
        self.x, self.y = torch.zeros(runs, rows, widths[0]), torch.zeros(runs, rows, widths[-1])
        self._hidden = torch.zeros(runs, lib.hidden_size(*kernel.network, rows))
        self._forward = kernel.prepared(lib.network_forward, runs, rows, kernel.packed, self.x, self._hidden, self.y)
        self._backward: Call | None = None

    def forward(self) -> None:
        self.count += 1
        self._forward()

    def gradient(self, delta: Tensor) -> Tensor:
        if self._backward is None:
            self._backward = self._prepare()
        self._delta.copy_(delta)
        self._backward()
        return self._gradient.clone()

    def _prepare(self) -> Call:
        """Memory and call for the backward pass."""
        kernel, runs, rows = self._kernel, self._kernel.runs, self._rows
        self._delta, self._gradient = torch.zeros_like(self.y), torch.zeros(runs, kernel.size)
        self._work = torch.zeros(kernel.library.work_size(*kernel.network, rows))
        return kernel.prepared(
            kernel.library.network_backward, runs, rows, kernel.packed, kernel.gain, self.x, self._hidden, self._delta,
            self._gradient, kernel.size, self._work,
        )  # fmt: skip
