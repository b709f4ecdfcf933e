"""The passes of networks by torch's batched products: the definition, on any device.

    h₁ = tanh(x W₁ + b₁),  h₂ = tanh(h₁ W₂ + b₂),  y = h₂ W₃ + b₃          x: [R, B, O],  W: [R, I, H],  b: [R, 1, H]

They are computed as sigmoids σ, because torch's sigmoid takes a third of its tanh's time: with s = σ(2z) is tanh z = 2s − 1, and

    s₁ = σ(x F₁ + c₁),     s₂ = σ(s₁ F₂ + c₂),     y = s₂ F₃ + c₃
    F₁ = 2W₁, c₁ = 2b₁;    F₂ = 4W₂, c₂ = 2(b₂ − Σᵢ W₂);    F₃ = 2W₃, c₃ = b₃ − Σᵢ W₃                  (`TorchKernel`)

is the same function (to a few units in the last place; tests hold it to float64). The gradient is written out with respect to F
and c and folded back to W and b. Memory is reused, and calls are prepared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from agents.kernels.base import Call, Layer, size_of, views
from agents.reproducible import aligned, in_whole_blocks, reproducible_products

NARROW = 16
"""Outputs below which a product is computed transposed: MKL takes up to six times as long otherwise."""


class TorchKernel:
    """F and c of R networks."""

    def __init__(self, theta: Tensor, widths: Sequence[int], input_gain: Tensor | None = None) -> None:
        """Of weights θ [R, P]. Inputs are multiplied by `input_gain` [O] first, if there is one."""
        reproducible_products()
        self.runs, self.widths, self.shapes, self.device = len(theta), tuple(widths), list(pairwise(widths)), theta.device
        self.size = size_of(widths)
        weights = theta[:, : self.size]
        self.scale = scale_of(self.shapes, self.size, input_gain).to(theta.device)  # [P]
        self.folded, self._fold = folding(weights, self.scale, self.shapes)
        self._multiple = max([4, *(16 // math.gcd(16, width) for width in widths[1:-1])])  # see `padded_rows`

    def take_weights(self) -> None:
        call_all(self._fold)

    def passes(self, rows: int) -> TorchPasses:
        return TorchPasses(self, rows)

    def padded_rows(self, rows: int) -> int:
        """`rows`, or as many more as make each run's part of every layer a multiple of 64 bytes: see `aligned`."""
        return -(-rows // self._multiple) * self._multiple


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


class TorchPasses:
    """Memory for passes of so many rows, forwards and back: fresh memory is a page fault for every 4 KiB.

    Forwards:   s ← σ(x F + c)
    Back:       ∂F = xᵀδ,  ∂c = Σ_b δ  of every layer with inputs x;  δ ← (δFᵀ) s(1 − s)  of the layer before
    """

    def __init__(self, kernel: TorchKernel, rows: int) -> None:
        runs, padded, device = kernel.runs, kernel.padded_rows(rows), kernel.device
        self.count = 0
        self._kernel = kernel
        self._x = torch.zeros(runs, padded, kernel.widths[0], device=device)
        self._y = columnwise(runs, padded, kernel.widths[-1], device)
        self.x, self.y = self._x[:, :rows], self._y[:, :rows]  # [R, rows, O] and [R, rows, A]: inputs and outputs
        shapes = [(runs, padded, width) for width in kernel.widths[1:-1]]
        hidden = [in_whole_blocks(shape, device) for shape in shapes]  # s, and all of its memory, where nothing is left over
        self._inputs = [self._x, *(s for s, _ in hidden)]
        self._deltas: list[Tensor | None] = [None, *(torch.empty(shape, device=device) for shape in shapes)]  # of the inputs
        self.forwards: list[Call] = []
        outputs = [*hidden, (self._y, None)]
        for x, layer, (out, flat), work in zip(self._inputs, kernel.folded, outputs, self._deltas, strict=True):
            self.forwards += affine(x, layer, out, work)
            if flat is not None:
                self.forwards.append(flat.sigmoid_)
        self._back: list[Call] = []

    def forward(self) -> None:
        self.count += 1
        call_all(self.forwards)

    def gradient(self, delta: Tensor) -> Tensor:
        if not self._back:
            self._prepare()
        self._delta.copy_(delta)
        call_all(self._back)
        return self._gradient * self._kernel.scale

    def _prepare(self) -> None:
        """Memory and calls for the backward pass."""
        kernel = self._kernel
        self._gradient = aligned(kernel.runs, kernel.size, kernel.device)  # with respect to F and c
        delta: Tensor = torch.zeros_like(self._y)
        self._delta = delta[:, : self.x.shape[1]]
        gradients = views(self._gradient, kernel.shapes)
        for i in range(len(gradients) - 1, -1, -1):
            x, before, (weight, bias) = self._inputs[i], self._deltas[i], gradients[i]
            self._back += [partial(torch.sum, delta, 1, keepdim=True, out=bias), *of_weight(x, delta, weight, before)]
            if before is not None:
                self._back += [
                    partial(weight.sub_, bias, alpha=0.5),
                    of_input(delta, kernel.folded[i].weight, before),
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
