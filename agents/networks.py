"""The policy and value networks of R runs at once: two multilayer perceptrons whose every parameter has a leading run axis.

    h₁ = tanh(x W₁ + b₁),  h₂ = tanh(h₁ W₂ + b₂),  y = h₂ W₃ + b₃          x: [R, B, O],  W: [R, I, H],  b: [R, 1, H]

tanh z is 2σ(2z) − 1 here: torch's sigmoid takes a third of its tanh's time. To learn, a network is one node of autograd
(`Layers`), with its gradient written out; to act, its weights are arranged once a window so that a step is products and sigmoids
alone (`Reflex`). Both are the equations above to a few units in the last place, and tests hold them to it.

All weights of one network lie in one flat tensor θ [R, P], which is what the optimizer sees: gradient norms, clipping and
statistics per run are then operations along one axis. The layers are autograd leaves that share θ's memory, because slicing
θ inside autograd would cost a full-size gradient per slice; `ActorCritic.backward` gathers their gradients in `θ.grad`. Rows
never meet, so the gradient of the summed loss of all runs is, row by row, the gradient of each run's own loss. Outputs that do
not depend on the state (the ln σ of a Gaussian policy) stand behind the weights in θ.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from agents.heads import Head, Judgement
from agents.normalization import UNCHANGED, Normalization
from rl_rmsprop.state import put_back, taken

# Intel's MKL rounds a product by how its operands lie in memory, so that a run would depend on its place in the batch, unless
# this is set before the process's first product. It costs no time, and networks whose widths are multiples of 4 no bit.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")


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
    ) -> None:
        """Orthogonal weights scaled by `gains` (one a layer), zero biases; `generators` holds one generator per run.

        `constants` are initial values of further outputs behind the last layer's, trained as well, the same for every x.
        """
        shapes = list(pairwise(widths))
        size = sum((i + 1) * h for i, h in shapes) + len(constants)
        weights, gradients = (aligned_zeros(len(generators), size) for _ in range(2))
        self.theta = nn.Parameter(weights)  # [R, P]
        self.theta.grad = gradients
        self.layers = [Layer(*(v.requires_grad_() for v in layer)) for layer in views(weights, shapes)]
        self.gradients = [v for layer in views(gradients, shapes) for v in layer]
        self.constants = tail(weights, len(constants)).copy_(torch.tensor(constants)).requires_grad_() if constants else None
        if constants:
            self.gradients.append(tail(gradients, len(constants)))
        self._multiple = max([4, *(16 // math.gcd(16, width) for width in widths[1:-1])])  # see `filled`
        for r, generator in enumerate(generators):
            for layer, gain in zip(self.layers, gains, strict=True):
                layer.weight.data[r] = gain * orthogonal(layer.weight.shape[1:], generator)

    def __call__(self, x: Tensor) -> Tensor:  # [R, B, O] → [R, B, A]
        """The outputs of every run, rounded alike whatever batch the run is in."""
        rows = x.shape[1]
        if fill := self.filled(rows) - rows:
            x = torch.nn.functional.pad(x, (0, 0, 0, fill))
        y: Tensor = Layers.apply(x, *[leaf for layer in self.layers for leaf in layer])
        y = y[:, :rows] if fill else y
        return y if self.constants is None else torch.cat([y, self.constants.expand(-1, rows, -1)], -1)

    def filled(self, rows: int) -> int:
        """`rows` filled up, so that each run's part of every tensor is a multiple of 16 numbers and rounds by itself.

        Torch computes sigmoids 16 at a time and what is left over by another routine; products, see `aligned_zeros`.
        """
        return -(-rows // self._multiple) * self._multiple

    def leaves(self) -> list[Tensor]:
        """Weights, biases and constants in the order in which they lie in `theta`."""
        constants = [] if self.constants is None else [self.constants]
        return [leaf for layer in self.layers for leaf in layer] + constants


def aligned_zeros(runs: int, size: int) -> Tensor:
    """Zeros [R, P] in which every run begins at a multiple of 64 bytes.

    How a product rounds may depend on where in memory its factors begin (Intel MKL on processors with AVX2): a run must
    find its weights at the same alignment whichever place in a batch it has.
    """
    return torch.zeros(runs, -(-size // 16) * 16)[:, :size]


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


class Layers(torch.autograd.Function):
    """All layers of R networks as one node: y of x [R, B, I] and of every layer's weight and bias, in turn."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *leaves: Tensor) -> Tensor:
        """[R, B, I] → [R, B, A]; what each layer gets is kept for the gradient."""
        layers = in_pairs(leaves)
        inputs = [x]
        for layer in layers[:-1]:
            inputs.append(tanh(affine(inputs[-1], layer)))
        ctx.save_for_backward(*inputs, *leaves[::2])
        return affine(inputs[-1], layers[-1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Of a layer's output δ [R, B, H]: xᵀδ and Σ_b δ for weight and bias, (δWᵀ)(1 − x²) for the layer before."""
        saved, (delta,) = ctx.saved_tensors, gradients
        inputs, weights = saved[: len(saved) // 2], saved[len(saved) // 2 :]
        found: list[Tensor | None] = []
        for i in range(len(weights) - 1, -1, -1):
            x, weight = inputs[i], weights[i]
            narrow = 1 in weight.shape[1:]  # for the reasons in `affine`
            of_weight = summed(x, delta, weight.shape) if narrow else torch.bmm(x.transpose(1, 2), delta)
            found += [delta.sum(1, keepdim=True), of_weight]
            if i:
                back = delta * weight.transpose(1, 2) if weight.shape[2] == 1 else torch.bmm(delta, weight.transpose(1, 2))
                delta = torch.ops.aten.tanh_backward(back, x)
        return (None, *found[::-1])


def in_pairs(leaves: Sequence[Tensor]) -> list[Layer]:
    """Weights and biases as layers."""
    return [Layer(weight, bias) for weight, bias in zip(leaves[::2], leaves[1::2], strict=True)]


def tanh(z: Tensor) -> Tensor:
    """In place: 2σ(2z) − 1."""
    return z.mul_(2).sigmoid_().mul_(2).sub_(1)


def affine(x: Tensor, layer: Layer, out: Tensor | None = None) -> Tensor:
    """The map x W + b of every run: [R, B, I] → [R, B, H]; written to `out` where that is given."""
    if layer.weight.shape[1] == 1:  # as a product, its gradient would round by where in memory the result happens to lie
        return torch.addcmul(layer.bias, x, layer.weight, out=out)
    if layer.weight.shape[2] == 1:  # as a product, a single run would be another routine than a batch; and thrice as slow
        return torch.add((x * layer.weight.transpose(1, 2)).sum(-1, keepdim=True), layer.bias, out=out)
    return torch.baddbmm(layer.bias, x, layer.weight, out=out)


def summed(x: Tensor, delta: Tensor, shape: Sequence[int]) -> Tensor:
    """The gradient Σ_b x_b δ_b of a weight with one input or one output, [R, I, H]."""
    return (x * delta).sum(1).view(shape)


class Reflex:
    """R networks arranged for acting: as many rows at every step, the same weights for a window, no gradients.

    With s = σ(2z), tanh z = 2s − 1, and a layer behind it is 2(2s − 1)W + 2b = s(4W) + 2(b − Σ_i W_i): every 2 and the −1 move
    into weights and biases, and each step writes into the same memory.
    """

    def __init__(self, network: MLP, rows: int, gain: Tensor | None) -> None:
        """For observations [R, rows, O], which are multiplied by `gain` [O] first, if there is one."""
        self._network, self._gain, self._rows = network, gain, rows
        padded = network.filled(rows)
        shapes = [(w.shape[1], w.shape[2]) for w, _ in network.layers]
        runs, (size, _) = len(network.theta), shapes[0]
        self._filled = torch.zeros(runs, padded, size) if padded > rows else None
        self._layers = views(aligned_zeros(runs, network.theta.shape[1]), shapes)
        self._outputs = [torch.empty(runs, padded, width) for _, width in shapes]
        self._constants = network.constants
        more = 0 if self._constants is None else self._constants.shape[2]
        self._y = torch.empty(runs, rows, shapes[-1][1] + more) if more else None

    @torch.no_grad()
    def learn(self) -> None:
        """Take over the network's weights of now."""
        for i, (ours, theirs) in enumerate(zip(self._layers, self._network.layers, strict=True)):
            last = i == len(self._layers) - 1
            weight, bias = theirs.weight, theirs.bias
            if i:  # the input is s, not 2s − 1
                bias = bias - weight.transpose(1, 2).contiguous().sum(-1).unsqueeze(1)  # along an axis of one run alone
                weight = weight * 2
            elif self._gain is not None:
                weight = weight * self._gain[:, None]
            torch.mul(weight, 1 if last else 2, out=ours.weight)
            torch.mul(bias, 1 if last else 2, out=ours.bias)
        if self._y is not None and self._constants is not None:
            self._y[..., -self._constants.shape[2] :] = self._constants

    def __call__(self, x: Tensor) -> Tensor:
        """Outputs [R, rows, A] of x [R, rows, O]; the next call writes over them."""
        h = x
        if self._filled is not None:
            self._filled[:, : self._rows] = x
            h = self._filled
        for layer, out in zip(self._layers[:-1], self._outputs[:-1], strict=True):
            h = affine(h, layer, out).sigmoid_()
        y = affine(h, self._layers[-1], self._outputs[-1])[:, : self._rows]
        if self._y is None:
            return y
        self._y[..., : y.shape[2]] = y
        return self._y


def orthogonal(shape: Sequence[int], generator: np.random.Generator) -> Tensor:
    """A matrix with orthonormal rows or columns, uniform over such matrices (Saxe et al. 2014), as torch's `orthogonal_`."""
    rows, columns = shape
    q, r = np.linalg.qr(generator.standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.sign(np.diag(r))
    return torch.from_numpy(q if rows >= columns else q.T).float()


class ActorCritic:
    """A policy and a state value for each of R runs; separate networks of the same hidden widths.

    Initial gains follow Stable-Baselines3: √2 in hidden layers, 0.01 for the policy's output (so that all actions start
    nearly equally likely, or have means near 0), 1 for the value's. Observations given to its methods are normalised ones:
    `normalization` is applied by whoever acts, once for each observation.
    """

    def __init__(
        self,
        observation_size: int,
        head: Head,
        hidden: Sequence[int],
        generators: Sequence[np.random.Generator],  # one a run
        observation_scale: Sequence[float] = (),
        normalization: Normalization = UNCHANGED,
    ) -> None:
        """`head` says what kind of actions the policy takes.

        `observation_scale`, one number a sensor, divides observations first; ValueError if it is of another length.
        """
        check_scale(observation_scale, observation_size)
        self._gain = 1 / torch.tensor(observation_scale) if observation_scale else None  # [O]
        self.head, self.normalization = head, normalization
        gains = [2**0.5] * len(hidden)
        self.actor = MLP([observation_size, *hidden, head.outputs], [*gains, 0.01], generators, head.constants)
        self.critic = MLP([observation_size, *hidden, 1], [*gains, 1.0], generators)

    def parameters(self) -> list[nn.Parameter]:
        """What the optimizer trains: θ of the actor [R, P_actor] and of the critic [R, P_critic]."""
        return [self.actor.theta, self.critic.theta]

    def named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """The same with names, for optimizers and error messages."""
        return [("actor", self.actor.theta), ("critic", self.critic.theta)]

    def snapshot(self) -> dict[str, Any]:
        """Weights and running statistics of all runs."""
        return {"weights": taken([theta.data for theta in self.parameters()]), "normalization": taken(list(self.normalization))}

    def restore(self, saved: dict[str, Any]) -> None:
        """Put them back, in place."""
        for theta, weights in zip(self.parameters(), saved["weights"], strict=True):
            theta.data.copy_(weights)
        put_back(list(self.normalization), saved["normalization"])

    def backward(self, loss: Tensor) -> None:  # loss: [R]
        """Set `theta.grad` of both networks to the gradient of each run's loss."""
        networks = (self.actor, self.critic)
        gradients = torch.autograd.grad(loss.sum(), [leaf for network in networks for leaf in network.leaves()])
        torch._foreach_copy_([view for network in networks for view in network.gradients], gradients)

    def outputs(self, observations: Tensor) -> Tensor:  # [R, B, O] → [R, B, …]
        """What the head makes a distribution of: logits, or means and ln σ."""
        return self.actor(self._scaled(observations))

    def reflex(self, rows: int) -> Reflex:
        """The actor arranged for acting on observations [R, rows, O]."""
        return Reflex(self.actor, rows, self._gain)

    def judge(self, observations: Tensor, actions: Tensor) -> Judgement:  # [R, B, O], [R, B, …]
        """Log-probabilities of actions taken, and entropies."""
        return self.head.judge(self.outputs(observations), actions)

    def values(self, observations: Tensor) -> Tensor:  # [R, B, O] → [R, B]
        """Expected discounted return from each state."""
        return self.critic(self._scaled(observations)).squeeze(-1)

    def _scaled(self, observations: Tensor) -> Tensor:
        return observations if self._gain is None else observations * self._gain


def check_scale(observation_scale: Sequence[float], observation_size: int) -> None:
    """ValueError unless there is one number a sensor, or none at all."""
    if observation_scale and len(observation_scale) != observation_size:
        raise ValueError(
            f"observation_scale must have one number a sensor, {observation_size}, got {len(observation_scale)}: "
            "give all of them, or none"
        )
