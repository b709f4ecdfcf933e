"""The distributions over actions that a policy network's outputs stand for, discrete or continuous.

    Categorical        y = logits [A]            a = argmax(y + g),  g standard Gumbel            π(a|s) = softmax(y)_a
    MultiCategorical   y = logits of H choices   a_h as above, for each choice h                  π(a|s) = Π_h softmax(y_h)_{a_h}
    Gaussian           y = (μ, ln σ) [2·A]       a = μ + σ z,        z standard normal            π(a|s) = Π_i N(a_i; μ_i, σ_i²)

An action is chosen from the outputs that depend on the state (logits, μ), to which noise (g, σ z) is added or, for the most
likely action, none. ln σ does not depend on the state: it is one of the network's constants (see `MLP`), and so part of the flat
θ that the optimizer sees. Noise is drawn beforehand, run by run. Acting is in numpy, evaluating actions in torch.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Generators = Sequence[np.random.Generator]


class ActionEvaluation(NamedTuple):
    """A policy's probabilities; each field [R, B]."""

    log_prob: Tensor  # ln π(a|s); of a density with continuous actions
    entropy: Tensor  # of π(·|s), in nats; differential with continuous actions


class ActionDistribution(Protocol):
    """One kind of actions. It holds no weights."""

    outputs: int
    """Outputs of the network that depend on the state."""
    constants: tuple[float, ...]
    """Initial values of the outputs behind them that do not."""
    choices: tuple[int, ...]
    """Of how many each choice is one; empty for real actions."""

    def noise(self, generators: Generators, steps: int, envs: int, constants: Tensor | None) -> NDArray[np.float32]:
        """Noise to add to the outputs, [T, R, N, A], drawn run by run; `constants` are the network's, [R, 1, C]."""
        ...

    def choose(self, y: NDArray[np.float32]) -> NDArray:
        """Actions from outputs y [R, N, A], with or without noise."""
        ...

    def evaluate_actions(self, y: Tensor, actions: Tensor) -> ActionEvaluation:
        """Log-probabilities of `actions` [R, B, …] and entropies, from outputs y [R, B, A + C]."""
        ...

    def divergence(self, y: Tensor, other: Tensor) -> Tensor:
        """Kullback-Leibler divergence, in nats, of the policy with outputs y from that with `other` [R, B, A + C]: [R, B]."""
        ...

    def to_env_action(self, actions: NDArray) -> NDArray:
        """The actions as an environment accepts them."""
        ...


class Categorical:
    """One of A actions, numbered from 0.

    >>> pi = Categorical(3)
    >>> y = np.array([[[0.0, 5.0, 0.0]]], np.float32)  # [R, N, A]: one run, one environment
    >>> pi.choose(y + pi.noise([np.random.default_rng(0)], steps=1, envs=1, constants=None)[0])
    array([[1]])
    >>> pi.evaluate_actions(torch.from_numpy(y), torch.tensor([[1]])).log_prob
    tensor([[-0.0134]])
    """

    constants: tuple[float, ...] = ()

    def __init__(self, actions: int) -> None:
        self.outputs = actions
        self.choices: tuple[int, ...] = (actions,)

    def noise(self, generators: Generators, steps: int, envs: int, constants: Tensor | None) -> NDArray[np.float32]:
        return gumbel_noise(generators, (steps, envs, self.outputs))

    def choose(self, y: NDArray[np.float32]) -> NDArray[np.int64]:
        return y.argmax(-1)

    def evaluate_actions(self, y: Tensor, actions: Tensor) -> ActionEvaluation:
        log_pi = torch.log_softmax(y, -1)  # [R, B, A]
        return ActionEvaluation(log_pi.gather(-1, actions.unsqueeze(-1)).squeeze(-1), -(log_pi.exp() * log_pi).sum(-1))

    def divergence(self, y: Tensor, other: Tensor) -> Tensor:
        log_pi = torch.log_softmax(y, -1)
        return (log_pi.exp() * (log_pi - torch.log_softmax(other, -1))).sum(-1)

    def to_env_action(self, actions: NDArray) -> NDArray:
        return actions


class MultiCategorical:
    """H choices at once, independent given the state: choice h is one of A_h, numbered from 0.

    Log-probabilities, entropies and divergences are the sums over the choices, added up in their order.

    >>> pi = MultiCategorical([2, 3])
    >>> y = np.array([[[0.0, 9.0, 5.0, 0.0, 0.0]]], np.float32)  # [R, N, A]: the logits of 2 and of 3
    >>> pi.choose(y)
    array([[[1, 0]]])
    >>> pi.evaluate_actions(torch.from_numpy(y), torch.tensor([[[1, 0]]])).log_prob
    tensor([[-0.0135]])
    """

    constants: tuple[float, ...] = ()

    def __init__(self, sizes: Sequence[int]) -> None:
        """`sizes`: of how many each choice is one, [H]."""
        self._sizes = [int(size) for size in sizes]
        self.choices: tuple[int, ...] = tuple(self._sizes)
        self._heads = [Categorical(size) for size in self._sizes]
        self._ends = np.cumsum(self._sizes)[:-1]
        self.outputs = sum(self._sizes)

    def noise(self, generators: Generators, steps: int, envs: int, constants: Tensor | None) -> NDArray[np.float32]:
        return gumbel_noise(generators, (steps, envs, self.outputs))

    def choose(self, y: NDArray[np.float32]) -> NDArray[np.int64]:
        return np.stack([part.argmax(-1) for part in np.split(y, self._ends, -1)], -1)

    def evaluate_actions(self, y: Tensor, actions: Tensor) -> ActionEvaluation:
        parts = zip(self._heads, y.split(self._sizes, -1), actions.unbind(-1), strict=True)
        log_probs, entropies = zip(*(head.evaluate_actions(part, chosen) for head, part, chosen in parts), strict=True)
        return ActionEvaluation(in_turn(log_probs), in_turn(entropies))

    def divergence(self, y: Tensor, other: Tensor) -> Tensor:
        parts = zip(self._heads, y.split(self._sizes, -1), other.split(self._sizes, -1), strict=True)
        return in_turn([head.divergence(part, other_part) for head, part, other_part in parts])

    def to_env_action(self, actions: NDArray) -> NDArray:
        return actions


class Gaussian:
    """A real numbers, independent given the state, in a box from `low` to `high`.

    The environment gets the sample clipped to the box; ln π is that of the sample as it was drawn, as in
    Stable-Baselines3: otherwise all samples beyond an edge would count as one and the same action.

    >>> pi = Gaussian(np.array([-1.0]), np.array([1.0]))
    >>> pi.to_env_action(np.array([[[1.7], [0.2]]]))  # [R, N, A]
    array([[[1. ],
            [0.2]]])
    """

    def __init__(self, low: NDArray, high: NDArray, log_std: float = 0.0) -> None:
        """`low` and `high` [A], which may be infinite; `log_std` is the initial ln σ of every action."""
        self._low, self._high = low, high
        self.choices: tuple[int, ...] = ()
        self.outputs = len(low)
        self.constants = (log_std,) * len(low)

    def noise(self, generators: Generators, steps: int, envs: int, constants: Tensor | None) -> NDArray[np.float32]:
        assert constants is not None
        shape = (steps, envs, self.outputs)
        z = np.stack([g.standard_normal(shape, np.float32) for g in generators], axis=1)  # [T, R, N, A]
        return z * constants.cpu().exp().numpy()

    def choose(self, y: NDArray[np.float32]) -> NDArray[np.float32]:
        return y

    def evaluate_actions(self, y: Tensor, actions: Tensor) -> ActionEvaluation:
        mean, log_std = y.chunk(2, -1)
        z = (actions - mean) / log_std.exp()
        log_prob = (-0.5 * z.square() - log_std - 0.5 * math.log(2 * math.pi)).sum(-1)
        return ActionEvaluation(log_prob, (log_std + 0.5 * math.log(2 * math.pi * math.e)).sum(-1))

    def divergence(self, y: Tensor, other: Tensor) -> Tensor:
        (mean, log_std), (other_mean, other_log_std) = y.chunk(2, -1), other.chunk(2, -1)
        squares = (2 * log_std).exp() + (mean - other_mean).square()
        return (other_log_std - log_std + 0.5 * squares * (-2 * other_log_std).exp() - 0.5).sum(-1)

    def to_env_action(self, actions: NDArray) -> NDArray:
        # NaN might crash a simulator; the update on it is skipped, see agents/nonfinite.py.
        return np.clip(np.where(np.isnan(actions), 0.0, actions), self._low, self._high)


def for_space(space: Any, log_std: float = 0.0) -> ActionDistribution:
    """The distribution over an action space; `log_std` is the initial ln σ of continuous actions.

    The space is recognised by its attributes, as Gymnasium names them: `n` and shape () of a Discrete, `nvec` of a MultiDiscrete,
    `n` and any other shape of a MultiBinary, `low` and `high` [A] of a Box. ValueError for any other.

    >>> import gymnasium as gym
    >>> for_space(gym.spaces.MultiBinary(3)).outputs  # yes or no, three times
    6
    """
    if hasattr(space, "nvec"):
        return MultiCategorical(space.nvec.ravel())
    if hasattr(space, "n"):
        return Categorical(int(space.n)) if space.shape == () else MultiCategorical([2] * math.prod(space.shape))
    if hasattr(space, "low") and len(space.shape) == 1:
        return Gaussian(space.low, space.high, log_std)
    raise ValueError(
        f"action_space must be Discrete, MultiDiscrete, MultiBinary, or a Box of one axis, got {space}: wrap the environment"
    )


def in_turn(terms: Sequence[Tensor]) -> Tensor:
    """The sum of tensors [R, B], one after the other: no entry is rounded otherwise because of those beside it."""
    return functools.reduce(torch.add, terms)


def gumbel_noise(generators: Generators, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Standard Gumbel noise −ln(−ln u) for `shape` = (T, N, A), drawn run by run: [T, R, N, A]."""
    u = np.stack([g.random(shape, np.float32) for g in generators], axis=1)
    # u = 0 would give −∞ and 0 · ∞ later; the smallest step of a 24-bit uniform variate is 2⁻²⁴.
    np.maximum(u, 2.0**-25, out=u)
    for _ in range(2):
        np.negative(np.log(u, out=u), out=u)
    return u
