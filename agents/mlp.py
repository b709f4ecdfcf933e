"""R multilayer perceptrons at once, one node of autograd each.

    h₁ = tanh(x W₁ + b₁),  h₂ = tanh(h₁ W₂ + b₂),  y = h₂ W₃ + b₃          x: [R, B, O],  W: [R, I, H],  b: [R, 1, H]

Acting (`ActingNetwork`) and learning (`MLPFunction`) have their passes, forwards and back, from a kernel: see agents/kernels. A
network lies on one device. Initial weights are drawn on the CPU whatever the device; acting takes and returns numpy arrays.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agents.kernels import KernelName, default_kernel
from agents.kernels.base import Call, Kernel, Passes, size_of, views
from agents.kernels.native_kernel import NativeKernel
from agents.kernels.torch_kernel import TorchKernel
from agents.reproducible import aligned

MAX_PASSES = 4
"""Numbers of rows for which a network keeps memory."""


class MLP:
    """R multilayer perceptrons with tanh units, their weights in one flat parameter `theta` [R, P]."""

    def __init__(
        self,
        widths: Sequence[int],
        gains: Sequence[float],
        generators: Sequence[np.random.Generator],
        constants: Sequence[float] = (),
        input_gain: Tensor | None = None,
        device: torch.device | str = "cpu",
        kernel: KernelName | None = None,
    ) -> None:
        """Orthogonal weights scaled by `gains` (one a layer), zero biases; `generators` holds one generator per run.

        `constants` are initial values of further outputs behind the last layer's, trained as well, the same for every x.
        Inputs are multiplied by `input_gain` [O] first, if there is one. All tensors are on `device`. `kernel` computes the
        passes, by default the fastest that there is; on another device than the CPU it is torch.
        """
        self.runs, self.widths, self.shapes = len(generators), tuple(widths), list(pairwise(widths))
        self._constants, self._input_gain = len(constants), input_gain
        weights = aligned(self.runs, size_of(widths) + len(constants), device)
        self._native = weights.is_cpu and (kernel or default_kernel()) == "native"
        self._begin(weights)
        for r, generator in enumerate(generators):
            for layer, gain in zip(self.layers, gains, strict=True):
                layer.weight[r] = gain * orthogonal(layer.weight.shape[1:], generator)
        if self.constants is not None:
            self.constants.copy_(torch.tensor(constants))

    def _begin(self, weights: Tensor) -> None:
        """Take these as the memory of all weights [R, P]."""
        self.theta = nn.Parameter(weights)  # [R, P]
        self.theta.grad = aligned(self.runs, weights.shape[1], weights.device)
        self.layers = views(weights, self.shapes)
        self.constants = tail(weights, self._constants) if self._constants else None  # [R, 1, C]
        kind: type[NativeKernel | TorchKernel] = NativeKernel if self._native else TorchKernel
        self.kernel: Kernel = kind(weights, self.widths, self._input_gain)
        self._passes: dict[int, Passes] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> MLP:
        """The same weights in memory of their own."""
        copied = copy.copy(self)
        weights = aligned(self.runs, self.theta.shape[1], self.theta.device)
        copied._begin(weights.copy_(self.theta.detach()))
        return copied

    def __call__(self, x: Tensor) -> Tensor:  # [R, B, O] → [R, B, A + C]
        """The outputs of every run, rounded alike whatever batch the run is in."""
        y: Tensor = MLPFunction.apply(x, self.theta, self)
        return y

    def with_constants(self, y: Tensor) -> Tensor:  # [R, B, A] → [R, B, A + C]
        """Outputs of the last layer with those behind them that do not depend on x."""
        return y if self.constants is None else torch.cat([y, self.constants.expand(-1, y.shape[1], -1)], -1)

    @property
    def hidden_weights(self) -> list[tuple[int, int, int]]:
        """Where the weights of hidden layers lie in a run's row of θ: first number, inputs I, outputs H; see `views`."""
        starts = accumulate(((i + 1) * h for i, h in self.shapes), initial=0)
        return [(start, i, h) for start, (i, h) in zip(starts, self.shapes[:-1], strict=False)]

    def passes(self, rows: int) -> Passes:
        """Memory for passes of so many rows; its contents are lost."""
        if rows not in self._passes:
            while len(self._passes) >= MAX_PASSES:
                del self._passes[next(iter(self._passes))]
            self._passes[rows] = self.kernel.passes(rows)
        return self._passes[rows]


def tail(flat: Tensor, size: int) -> Tensor:
    """The last `size` numbers of every run as a view of a flat tensor [R, P]: [R, 1, size]."""
    return flat[:, -size:].view(len(flat), 1, size)


class MLPFunction(torch.autograd.Function):
    """Outputs [R, B, A + C] of x [R, B, O] as one node of autograd, with a gradient with respect to θ (not to x)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, theta: Tensor, network: MLP) -> Tensor:
        network.kernel.take_weights()
        passes = network.passes(x.shape[1])
        passes.x.copy_(x)
        passes.forward()
        ctx.save_for_backward(x, theta)
        ctx.passes, ctx.count = passes, passes.count
        y = network.with_constants(passes.y)
        return y.clone(memory_format=torch.contiguous_format) if y is passes.y else y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        if torch.is_grad_enabled() or ctx.needs_input_grad[0]:  # the former is create_graph=True
            raise RuntimeError("networks have first derivatives with respect to their weights alone: no create_graph, no d/dx")
        x, _ = ctx.saved_tensors  # torch refuses if θ has changed since; the kernel's weights are those of its last pass
        passes, (delta,) = ctx.passes, gradients
        if ctx.count != passes.count:  # another pass has used the memory
            passes.x.copy_(x)
            passes.forward()
        outputs = passes.y.shape[2]
        gradient = passes.gradient(delta[..., :outputs])
        if delta.shape[2] > outputs:
            gradient = torch.cat([gradient, delta[..., outputs:].sum(1)], 1)
        return None, gradient, None


class ActingNetwork:
    """A network arranged for acting: as many rows at every step, the same weights for a rollout, no gradients."""

    def __init__(self, network: MLP, rows: int) -> None:
        """For observations [R, rows, O]."""
        passes = network.kernel.passes(rows)
        x, y = passes.x.cpu(), passes.y.cpu()  # the memory of the passes, if it is on the CPU
        into = [] if x is passes.x else [partial(passes.x.copy_, x)]
        out = [] if y is passes.y else [partial(y.copy_, passes.y)]
        self._calls: list[Call] = [*into, passes.forward, *out]
        self._x, self._y = x.numpy(), y.numpy()
        self.update_weights = network.kernel.take_weights
        """Take the network's present weights, for all steps until the next call."""
        self.update_weights()

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs [R, rows, A] of x [R, rows, O], without those that do not depend on x; the next call overwrites them."""
        self._x[:] = x
        for call in self._calls:
            call()
        return self._y


def orthogonal(shape: Sequence[int], generator: np.random.Generator) -> Tensor:
    """A matrix with orthonormal rows or columns, uniform over such matrices (Saxe et al. 2014), as torch's `orthogonal_`."""
    rows, columns = shape
    q, r = np.linalg.qr(generator.standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.sign(np.diag(r))
    return torch.from_numpy(q if rows >= columns else q.T).float()
