"""What a policy network's outputs mean: a distribution over actions, discrete or continuous.

    Categorical    y = logits [A]            a = argmax(y + g),  g standard Gumbel            π(a|s) = softmax(y)_a
    Gaussian       y = (μ, ln σ) [2·A]       a = μ + σ z,        z standard normal            π(a|s) = Π_i N(a_i; μ_i, σ_i²)

A head is a pure function of the outputs y [R, B, …] and holds no weights. ln σ does not depend on the state: it is part of the
network's constants (see `MLP`), and with them of the flat θ that the optimizer sees. Noise is drawn run by run, beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Generators = Sequence[np.random.Generator]


class Judgement(NamedTuple):
    """What a policy says of actions; each field [R, B]."""

    log_prob: Tensor  # ln π(a|s); of a density with continuous actions
    entropy: Tensor  # of π(·|s), in nats; differential with continuous actions


class Head(Protocol):
    """One kind of actions."""

    outputs: int
    """Outputs of the network that depend on the state."""
    constants: tuple[float, ...]
    """Initial values of the outputs behind them that do not."""

    def empty(self, shape: Sequence[int]) -> Tensor:
        """Room for the actions of `shape` = (…) environments."""
        ...

    def noise(self, generators: Generators, steps: int, envs: int) -> Tensor:
        """What `sample` needs, drawn run by run: [T, R, N, A]."""
        ...

    def sample(self, y: Tensor, noise: Tensor, out: Tensor) -> Tensor:
        """Actions of outputs y [R, N, …], written to `out`; y may be overwritten."""
        ...

    def greedy(self, y: Tensor) -> Tensor:
        """The most likely actions."""
        ...

    def judge(self, y: Tensor, actions: Tensor) -> Judgement:
        """How likely `actions` [R, B, …] are, and how undecided the policy is."""
        ...

    def sent(self, actions: NDArray) -> NDArray:
        """What an environment gets for `actions`."""
        ...


class Categorical:
    """One of A actions, numbered from 0."""

    constants: tuple[float, ...] = ()

    def __init__(self, actions: int) -> None:
        self.outputs = actions

    def empty(self, shape: Sequence[int]) -> Tensor:
        return torch.empty(*shape, dtype=torch.int64)

    def noise(self, generators: Generators, steps: int, envs: int) -> Tensor:
        return gumbel_noise(generators, (steps, envs, self.outputs))

    def sample(self, y: Tensor, noise: Tensor, out: Tensor) -> Tensor:
        return torch.argmax(y.add_(noise), -1, out=out)

    def greedy(self, y: Tensor) -> Tensor:
        return y.argmax(-1)

    def judge(self, y: Tensor, actions: Tensor) -> Judgement:
        log_pi = torch.log_softmax(y, -1)  # [R, B, A]
        return Judgement(log_pi.gather(-1, actions.unsqueeze(-1)).squeeze(-1), -(log_pi.exp() * log_pi).sum(-1))

    def sent(self, actions: NDArray) -> NDArray:
        return actions


class Gaussian:
    """A real numbers, independent given the state, in a box from `low` to `high`.

    The environment gets the sample clipped to the box; ln π is that of the sample as it was drawn, as in
    Stable-Baselines3: otherwise all samples beyond an edge would count as one and the same action.
    """

    def __init__(self, low: NDArray, high: NDArray, log_std: float = 0.0) -> None:
        """`low` and `high` [A], which may be infinite; `log_std` is the initial ln σ of every action."""
        self._low, self._high = low, high
        self.outputs = len(low)
        self.constants = (log_std,) * len(low)

    def empty(self, shape: Sequence[int]) -> Tensor:
        return torch.empty(*shape, self.outputs)

    def noise(self, generators: Generators, steps: int, envs: int) -> Tensor:
        shape = (steps, envs, self.outputs)
        return torch.from_numpy(np.stack([g.standard_normal(shape, np.float32) for g in generators], axis=1))

    def sample(self, y: Tensor, noise: Tensor, out: Tensor) -> Tensor:
        mean, log_std = y.chunk(2, -1)
        return torch.add(mean, log_std.exp() * noise, out=out)

    def greedy(self, y: Tensor) -> Tensor:
        return y.chunk(2, -1)[0].contiguous()

    def judge(self, y: Tensor, actions: Tensor) -> Judgement:
        mean, log_std = y.chunk(2, -1)
        z = (actions - mean) / log_std.exp()
        log_prob = (-0.5 * z.square() - log_std - 0.5 * math.log(2 * math.pi)).sum(-1)
        return Judgement(log_prob, (log_std + 0.5 * math.log(2 * math.pi * math.e)).sum(-1))

    def sent(self, actions: NDArray) -> NDArray:
        # A simulator may not survive what is no number; the update on it is skipped, see agents/health.py.
        return np.clip(np.where(np.isnan(actions), 0.0, actions), self._low, self._high)


def gumbel_noise(generators: Generators, shape: tuple[int, int, int]) -> Tensor:
    """Standard Gumbel noise −ln(−ln u) for `shape` = (T, N, A), drawn run by run: [T, R, N, A]."""
    uniform = np.stack([g.random(shape, np.float32) for g in generators], axis=1)
    # u = 0 would give −∞ and 0 · ∞ later; the smallest step of a 24-bit uniform variate is 2⁻²⁴.
    return torch.from_numpy(uniform).clamp_(min=2.0**-25).log_().neg_().log_().neg_()
