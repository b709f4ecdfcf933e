"""Gradients of the agents' losses by the compiled kernel: acting's rollout in, the gradient of both networks out, run by run.

    A2C, REINFORCE   `a2c_gradient`                         the loss of agents/a2c.py, one call an update
    PPO              `ppo_prepare`, then `ppo_gradient`     the loss of agents/ppo.py, one call a rollout and one a minibatch

Passes, advantages, loss and back follow one another while a run's activations are in the cache; nothing is a node of autograd.
The formulas are those of the text in torch, which is the definition (tests/test_native_kernel.py holds both to float64).
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.experience import Rollout
from agents.kernels.native_kernel import NativeKernel
from rl_rmsprop.native import library


class Prepared(NamedTuple):
    """What PPO's minibatches are made of, run by run, and its memory for the kernel."""

    pointers: library.Prepared
    tensors: tuple[Tensor, ...]
    explained_variance: Tensor  # [R]


class NativeLosses:
    """The losses of one policy, whose networks are native kernels."""

    def __init__(
        self,
        actor: tuple[NativeKernel, Tensor],
        critic: tuple[NativeKernel, Tensor],
        sizes: Sequence[int],
        settings: library.Settings,
    ) -> None:
        """Each network's kernel and the memory of its gradient [R, P].

        `sizes` are of how many each choice of an action is one, none of real actions.
        """
        lib = library.load()
        assert lib is not None
        self._library, self._set, self._runs = lib, actor[0].set, actor[0].runs
        self._sizes, self._settings = np.array(sizes, np.int32), settings
        self._kept = (actor, critic)
        self._outputs = int(actor[0].widths[-1])
        self._policy = library.Policy(
            self._runs, networks(*actor), networks(*critic), len(sizes), self._sizes.ctypes.data, self._outputs
        )
        self._heads = len(sizes)

    def a2c_gradient(self, rollout: Rollout) -> Tensor:
        """Set both gradients, clipped.

        Returns policy loss, value loss, entropy, explained variance, and length before clipping, of each run [R, 5].
        """
        statistics = torch.empty(self._runs, 5)
        arrays = contiguous(rollout)
        self._call("a2c_gradient", self._rollout(arrays), self._settings, statistics)
        return statistics

    def ppo_prepare(self, rollout: Rollout) -> Prepared:
        """Evaluate a rollout before the first update on it."""
        arrays = contiguous(rollout)
        steps, runs, envs = arrays.rewards.shape
        rows = steps * envs
        observations = torch.empty(runs, rows, arrays.observations.shape[-1])
        actions = torch.empty(runs, rows, self._heads or self._outputs, dtype=arrays.actions.dtype)
        valid = torch.empty(runs, rows, dtype=torch.bool)
        columns = [torch.empty(runs, rows) for _ in ("log_prob", "advantage", "returns")]
        explained = torch.empty(runs)
        chosen, real = (actions.data_ptr(), None) if self._heads else (None, actions.data_ptr())
        pointers = library.Prepared(
            rows, observations.data_ptr(), chosen, real, valid.data_ptr(), *[x.data_ptr() for x in columns]
        )
        self._call("ppo_prepare", self._rollout(arrays), self._settings, pointers, explained)
        return Prepared(pointers, (observations, actions, valid, *columns), explained)

    def ppo_gradient(self, prepared: Prepared, order: NDArray[np.int64], start: int, count: int) -> Tensor:
        """Set both gradients to those on `count` rows of each run's `order` [R, B] from `start` on, clipped.

        Returns policy loss, value loss, entropy, estimated divergence, clip fraction and length before clipping [R, 6].
        """
        statistics = torch.empty(self._runs, 6)
        first = order.ctypes.data + start * order.itemsize
        self._call("ppo_gradient", prepared.pointers, self._settings, first, order.shape[1], count, statistics)
        return statistics

    def _call(self, name: str, *arguments: ctypes.Structure | Tensor | int) -> None:
        plain = [
            ctypes.byref(x) if isinstance(x, ctypes.Structure) else x.data_ptr() if isinstance(x, Tensor) else x
            for x in arguments
        ]
        getattr(self._library, name)(self._set, ctypes.byref(self._policy), *plain)

    def _rollout(self, arrays: Rollout) -> library.Rollout:
        steps, _, envs = arrays.rewards.shape
        chosen, real = (arrays.actions.data_ptr(), None) if self._heads else (None, arrays.actions.data_ptr())
        observations, _, *rest = (x.data_ptr() for x in arrays)
        return library.Rollout(steps, envs, observations, chosen, real, *rest)


def passed(x: ctypes.Structure | Tensor | int) -> Any:
    """An argument as C takes it."""
    if isinstance(x, ctypes.Structure):
        return ctypes.byref(x)
    return x.data_ptr() if isinstance(x, Tensor) else x


def networks(kernel: NativeKernel, gradient: Tensor) -> library.Networks:
    """Where a network's numbers are."""
    return library.Networks(
        *kernel.network, kernel.theta.data_ptr(), kernel.theta.stride(0), kernel.gain_address,
        gradient.data_ptr(), gradient.stride(0), gradient.shape[1],
    )  # fmt: skip


def contiguous(rollout: Rollout) -> Rollout:
    """The same tensors, each in one piece of memory."""
    return Rollout(*(x.contiguous() for x in rollout))
