"""R multilayer perceptrons at once, forwards and back, as fast as matrix products allow.

    h₁ = tanh(x W₁ + b₁),  h₂ = tanh(h₁ W₂ + b₂),  y = h₂ W₃ + b₃          x: [R, B, O],  W: [R, I, H],  b: [R, 1, H]

They are computed as sigmoids σ, because torch's sigmoid takes a third of its tanh's time: with s = σ(2z) is tanh z = 2s − 1, and

    s₁ = σ(x F₁ + c₁),     s₂ = σ(s₁ F₂ + c₂),     y = s₂ F₃ + c₃
    F₁ = 2W₁, c₁ = 2b₁;    F₂ = 4W₂, c₂ = 2(b₂ − Σᵢ W₂);    F₃ = 2W₃, c₃ = b₃ − Σᵢ W₃                     (`MLP.fold`)

is the same function (to a few units in the last place; tests hold it to float64). Acting (`ActingNetwork`) and learning
(`MLPFunction`) share it, memory that is reused and calls that are prepared (`Buffers`). A network is one node of autograd, its
gradient written out with respect to F and c and folded back to W and b.

A network lies on one device. Initial weights are drawn on the CPU whatever the device; acting takes and returns numpy arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agents.reproducible import aligned, in_whole_blocks, reproducible_products

NARROW = 16
"""Outputs below which a product is computed transposed: MKL takes up to six times as long otherwise."""
MAX_BUFFERS = 4
"""Numbers of rows for which a network keeps memory."""

Call = Callable[[], object]
"""A computation prepared to the last view: for small tensors preparing takes as long as computing."""


class Layer(NamedTuple):
    """One affine map of every run."""

    weight: Tensor  # [R, I, H]
    bias: Tensor  # [R, 1, H]


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
    ) -> None:
        """Orthogonal weights scaled by `gains` (one a layer), zero biases; `generators` holds one generator per run.

        `constants` are initial values of further outputs behind the last layer's, trained as well, the same for every x.
        Inputs are multiplied by `input_gain` [O] first, if there is one. All tensors are on `device`.
        """
        reproducible_products()
        self.runs, self.widths, self.shapes = len(generators), tuple(widths), list(pairwise(widths))
        size = sum((i + 1) * h for i, h in self.shapes) + len(constants)
        weights = aligned(self.runs, size, device)
        self.theta = nn.Parameter(weights)  # [R, P]
        self.theta.grad = aligned(self.runs, size, device)
        self.layers = views(weights, self.shapes)
        self.constants = tail(weights, len(constants)).copy_(torch.tensor(constants)) if constants else None  # [R, 1, C]
        for r, generator in enumerate(generators):
            for layer, gain in zip(self.layers, gains, strict=True):
                layer.weight[r] = gain * orthogonal(layer.weight.shape[1:], generator)
        self.scale = scale_of(self.shapes, size, input_gain).to(device)  # [P]
        self.folded, self._fold = folding(weights, self.scale, self.shapes)
        self._multiple = max([4, *(16 // math.gcd(16, width) for width in widths[1:-1])])  # see `padded_rows`
        self._buffers: dict[int, Buffers] = {}

    def __call__(self, x: Tensor) -> Tensor:  # [R, B, O] → [R, B, A + C]
        """The outputs of every run, rounded alike whatever batch the run is in."""
        y: Tensor = MLPFunction.apply(x, self.theta, self)
        return y

    @property
    def hidden_weights(self) -> list[tuple[int, int, int]]:
        """Where the weights of hidden layers lie in a run's row of θ: first number, inputs I, outputs H; see `views`."""
        starts = accumulate(((i + 1) * h for i, h in self.shapes), initial=0)
        return [(start, i, h) for start, (i, h) in zip(starts, self.shapes[:-1], strict=False)]

    def padded_rows(self, rows: int) -> int:
        """`rows`, or as many more as make each run's part of every layer a multiple of 64 bytes: see `aligned`."""
        return -(-rows // self._multiple) * self._multiple

    def fold(self) -> None:
        """Compute F and c, which the forward and the backward pass use, from the present weights."""
        call_all(self._fold)

    def buffers(self, rows: int) -> Buffers:
        """Memory for a pass of so many rows; its contents are lost."""
        if rows not in self._buffers:
            while len(self._buffers) >= MAX_BUFFERS:
                del self._buffers[next(iter(self._buffers))]
            self._buffers[rows] = Buffers(self, rows)
        return self._buffers[rows]


def views(flat: Tensor, shapes: Sequence[tuple[int, int]]) -> list[Layer]:
    """The layers with these (inputs, outputs) as views of a flat tensor [R, P]."""
    runs, start, layers = len(flat), 0, []
    for i, h in shapes:
        middle, stop = start + i * h, start + (i + 1) * h
        layers.append(Layer(flat[:, start:middle].view(runs, i, h), flat[:, middle:stop].view(runs, 1, h)))
        start = stop
    return layers


def tail(flat: Tensor, size: int) -> Tensor:
    """The last `size` numbers of every run as a view of a flat tensor [R, P]: [R, 1, size]."""
    return flat[:, -size:].view(len(flat), 1, size)


def call_all(calls: Sequence[Call]) -> None:
    """Carry out prepared calls, one after the other."""
    for call in calls:
        call()


# From tanh to σ -----------------------------------------------------------------------------------------------------------


def scale_of(shapes: Sequence[tuple[int, int]], size: int, input_gain: Tensor | None) -> Tensor:
    """The ratios F/W and, without the term Σᵢ W, c/b, in the order of θ [P]."""
    scale = torch.ones(size)
    for i, (weight, bias) in enumerate(views(scale.unsqueeze(0), shapes)):
        outwards = 2.0 if i < len(shapes) - 1 else 1.0  # a hidden layer's σ is of 2z
        weight *= outwards * (2.0 if i else 1.0)  # the input of any but the first is 2s − 1
        bias *= outwards
        if i == 0 and input_gain is not None:
            weight *= input_gain.unsqueeze(1)
    return scale


def folding(weights: Tensor, scale: Tensor, shapes: Sequence[tuple[int, int]]) -> tuple[list[Layer], list[Call]]:
    """Memory for F and c of weights [R, P], and the calls that compute them."""
    flat = aligned(len(weights), weights.shape[1], weights.device)
    layers = views(flat, shapes)
    calls: list[Call] = [partial(torch.mul, weights, scale, out=flat)]
    for weight, bias in layers[1:]:
        total = torch.empty_like(bias, memory_format=torch.contiguous_format)
        calls += [partial(torch.sum, weight, 1, keepdim=True, out=total), partial(bias.sub_, total, alpha=0.5)]
    last = Layer(columnwise(len(weights), *shapes[-1], weights.device), layers[-1].bias)
    return [*layers[:-1], last], [*calls, partial(last.weight.copy_, layers[-1].weight)]


def columnwise(runs: int, rows: int, columns: int, device: torch.device) -> Tensor:
    """Zeros [R, rows, columns], in memory one column after the other if there are few."""
    if columns < NARROW:
        return torch.zeros(runs, columns, rows, device=device).transpose(1, 2)
    return torch.zeros(runs, rows, columns, device=device)


# Passes -------------------------------------------------------------------------------------------------------------------


class Buffers:
    """Memory for passes of so many rows through a network, forwards and back: fresh memory is a page fault for every 4 KiB.

    Forwards:   s ← σ(x F + c)
    Back:       ∂F = xᵀδ,  ∂c = Σ_b δ  of every layer with inputs x;  δ ← (δFᵀ) s(1 − s)  of the layer before
    """

    def __init__(self, network: MLP, rows: int) -> None:
        runs, padded, device = network.runs, network.padded_rows(rows), network.theta.device
        self.passes = 0
        self._network = network
        self._x = torch.zeros(runs, padded, network.widths[0], device=device)
        self._y = columnwise(runs, padded, network.widths[-1], device)
        self.x, self.y = self._x[:, :rows], self._y[:, :rows]  # [R, rows, O] and [R, rows, A]: inputs and outputs
        shapes = [(runs, padded, width) for width in network.widths[1:-1]]
        hidden = [in_whole_blocks(shape, device) for shape in shapes]  # s, and all of its memory, where nothing is left over
        self._inputs = [self._x, *(s for s, _ in hidden)]
        self._deltas: list[Tensor | None] = [None, *(torch.empty(shape, device=device) for shape in shapes)]  # of the inputs
        self.forwards: list[Call] = []
        outputs = [*hidden, (self._y, None)]
        for x, layer, (out, flat), work in zip(self._inputs, network.folded, outputs, self._deltas, strict=True):
            self.forwards += affine(x, layer, out, work)
            if flat is not None:
                self.forwards.append(flat.sigmoid_)
        self._back: list[Call] = []

    def forward(self) -> None:
        """From `x` to `y`."""
        self.passes += 1
        call_all(self.forwards)

    def gradient(self, delta: Tensor) -> Tensor:
        """The gradient with respect to θ, [R, P], from the gradient δ [R, B, A + C] with respect to the outputs."""
        if not self._back:
            self._prepare()
        outputs = self.y.shape[2]
        self._delta.copy_(delta[..., :outputs])
        call_all(self._back)
        if self._network.constants is not None:
            torch.sum(delta[..., outputs:], 1, keepdim=True, out=tail(self._gradient, delta.shape[2] - outputs))
        return self._gradient * self._network.scale

    def _prepare(self) -> None:
        """Memory and calls for the backward pass."""
        network = self._network
        runs, size = network.theta.shape
        self._gradient = aligned(runs, size, network.theta.device)  # with respect to F and c; then to W and b, over `scale`
        delta: Tensor = torch.zeros_like(self._y)
        self._delta = delta[:, : self.x.shape[1]]
        gradients = views(self._gradient, network.shapes)
        for i in range(len(gradients) - 1, -1, -1):
            x, before, (weight, bias) = self._inputs[i], self._deltas[i], gradients[i]
            self._back += [partial(torch.sum, delta, 1, keepdim=True, out=bias), *of_weight(x, delta, weight, before)]
            if before is not None:
                self._back += [
                    partial(weight.sub_, bias, alpha=0.5),
                    of_input(delta, network.folded[i].weight, before),
                    partial(torch.ops.aten.sigmoid_backward.grad_input, before, x, grad_input=before),
                ]
                delta = before


def affine(x: Tensor, layer: Layer, out: Tensor, work: Tensor | None) -> list[Call]:
    """The map x W + b of every run, [R, B, I] → [R, B, H], written to `out`; `work` is memory of x's shape."""
    (weight, bias), (inputs, outputs) = layer, layer.weight.shape[1:]
    if inputs == 1:  # as a product, its gradient would round by where in memory the result happens to lie
        return [partial(torch.addcmul, bias, x, weight, out=out)]
    if outputs == 1:  # as a product, a single run would be another routine than a batch; and slower
        work = torch.empty_like(x) if work is None else work
        return [
            partial(torch.mul, x, weight.transpose(1, 2), out=work),
            partial(torch.sum, work, -1, keepdim=True, out=out),
            partial(out.add_, bias),
        ]
    if outputs < NARROW:
        x, weight, bias, out = (t.transpose(1, 2) for t in (x, weight, bias, out))
        x, weight = weight, x
    return [partial(torch.baddbmm, bias, x, weight, out=out)]


def of_weight(x: Tensor, delta: Tensor, out: Tensor, work: Tensor | None) -> list[Call]:
    """The gradient xᵀδ [R, I, H] of a weight, from inputs x [R, B, I] and the gradient δ [R, B, H] of its outputs."""
    inputs, outputs = x.shape[2], delta.shape[2]
    if 1 in (inputs, outputs):  # for the reasons in `affine`
        product = work if work is not None and outputs == 1 else x.new_empty(torch.broadcast_shapes(x.shape, delta.shape))
        return [partial(torch.mul, x, delta, out=product), partial(torch.sum, product, 1, out=out.view(len(x), -1))]
    if outputs < NARROW:
        product = x.new_empty(len(x), outputs, inputs)
        return [partial(torch.bmm, delta.transpose(1, 2), x, out=product), partial(out.copy_, product.transpose(1, 2))]
    product = x.new_empty(len(x), inputs, outputs)  # contiguous, or torch would go through the runs one by one
    return [partial(torch.bmm, x.transpose(1, 2), delta, out=product), partial(out.copy_, product)]


def of_input(delta: Tensor, weight: Tensor, out: Tensor) -> Call:
    """The gradient δWᵀ [R, B, I] of a layer's inputs, written to `out`."""
    return partial(torch.mul if weight.shape[2] == 1 else torch.bmm, delta, weight.transpose(1, 2), out=out)


class MLPFunction(torch.autograd.Function):
    """Outputs [R, B, A + C] of x [R, B, O] as one node of autograd, with a gradient with respect to θ (not to x)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, theta: Tensor, network: MLP) -> Tensor:
        network.fold()
        buffers = network.buffers(x.shape[1])
        buffers.x.copy_(x)
        buffers.forward()
        ctx.save_for_backward(x, theta)
        ctx.buffers, ctx.passes = buffers, buffers.passes
        if network.constants is None:
            return buffers.y.clone(memory_format=torch.contiguous_format)
        return torch.cat([buffers.y, network.constants.expand(-1, x.shape[1], -1)], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        if torch.is_grad_enabled() or ctx.needs_input_grad[0]:  # the former is create_graph=True
            raise RuntimeError("networks have first derivatives with respect to their weights alone: no create_graph, no d/dx")
        x, _ = ctx.saved_tensors  # torch refuses if θ has changed since; F and c are of its last pass
        if ctx.passes != ctx.buffers.passes:  # another pass has used the memory
            ctx.buffers.x.copy_(x)
            ctx.buffers.forward()
        return None, ctx.buffers.gradient(gradients[0]), None


class ActingNetwork:
    """A network arranged for acting: as many rows at every step, the same weights for a rollout, no gradients."""

    def __init__(self, network: MLP, rows: int) -> None:
        """For observations [R, rows, O]."""
        buffers = Buffers(network, rows)
        x, y = buffers.x.cpu(), buffers.y.cpu()  # the buffers' own memory, if it is on the CPU
        into = [] if x is buffers.x else [partial(buffers.x.copy_, x)]
        out = [] if y is buffers.y else [partial(y.copy_, buffers.y)]
        self._calls: list[Call] = [*into, *buffers.forwards, *out]
        self._x, self._y = x.numpy(), y.numpy()
        self.update_weights = network.fold
        """Take the network's present weights, for all steps until the next call."""
        self.update_weights()

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs [R, rows, A] of x [R, rows, O], without those that do not depend on x; the next call overwrites them."""
        self._x[:] = x
        call_all(self._calls)
        return self._y


def orthogonal(shape: Sequence[int], generator: np.random.Generator) -> Tensor:
    """A matrix with orthonormal rows or columns, uniform over such matrices (Saxe et al. 2014), as torch's `orthogonal_`."""
    rows, columns = shape
    q, r = np.linalg.qr(generator.standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.sign(np.diag(r))
    return torch.from_numpy(q if rows >= columns else q.T).float()
