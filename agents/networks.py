"""The policy and value networks of R runs at once: two multilayer perceptrons whose every parameter has a leading run axis.

    h₁ = tanh(x W₁ + b₁),  h₂ = tanh(h₁ W₂ + b₂),  y = h₂ W₃ + b₃          x: [R, B, O],  W: [R, I, H],  b: [R, 1, H]

All weights of one network lie in one flat tensor θ [R, P], which is what the optimizer sees: gradient norms, clipping and
statistics per run are then operations along one axis. The layers are autograd leaves that share θ's memory, because slicing
θ inside autograd would cost a full-size gradient per slice; `ActorCritic.backward` gathers their gradients in `θ.grad`. Rows
never meet, so the gradient of the summed loss of all runs is, row by row, the gradient of each run's own loss. Outputs that do
not depend on the state (the ln σ of a Gaussian policy) stand behind the weights in θ.
"""

from __future__ import annotations

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
        for r, generator in enumerate(generators):
            for layer, gain in zip(self.layers, gains, strict=True):
                layer.weight.data[r] = gain * orthogonal(layer.weight.shape[1:], generator)

    def __call__(self, x: Tensor) -> Tensor:  # [R, B, O] → [R, B, A]
        """The outputs of every run, rounded alike whatever batch the run is in.

        Rows are filled up to a multiple of four, for the same reason as in `aligned_zeros`.
        """
        rows = x.shape[1]
        if fill := -rows % 4:
            x = torch.nn.functional.pad(x, (0, 0, 0, fill))
        for layer in self.layers[:-1]:
            x = torch.tanh(affine(x, layer))
        y = affine(x, self.layers[-1])
        y = y[:, :rows] if fill else y
        return y if self.constants is None else torch.cat([y, self.constants.expand(-1, rows, -1)], -1)

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


def affine(x: Tensor, layer: Layer) -> Tensor:
    """The map x W + b of every run: [R, B, I] → [R, B, H]."""
    if layer.weight.shape[1] == 1:  # as a product, its gradient would round by where in memory the result happens to lie
        return torch.addcmul(layer.bias, x, layer.weight)
    if layer.weight.shape[2] == 1:  # as a product, a single run would be another routine than a batch; and thrice as slow
        return (x * layer.weight.transpose(1, 2)).sum(-1, keepdim=True) + layer.bias
    return torch.baddbmm(layer.bias, x, layer.weight)


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
