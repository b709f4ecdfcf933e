"""Acting by the compiled kernel, in environments that it steps as well: no call of Python a step.

The bits are those of acting step by step with a native network (tests/test_native.py): only the time differs.
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.kernels.native_kernel import NativeKernel
from rl_rmsprop.native import library


class Experience(NamedTuple):
    """What acting records, as in agents/experience.py, in arrays."""

    observations: NDArray[np.float32]  # [T + 1, R, N, O]; the first are those of now
    actions: NDArray[np.int64]  # [T, R, N]
    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    valid: NDArray[np.bool_]


def act(
    kernel: NativeKernel, environments: Any, noise: NDArray[np.float32], outputs: NDArray[np.float32], experience: Experience
) -> None:
    """T steps of every environment with the network's present weights; fills in its outputs [T, R, N, A] and the experience.

    `environments` is what the batch's `compiled` returned, `noise` [T, R, N, A] is added to the network's outputs.
    """
    lib = library.load()
    assert lib is not None
    noise = np.ascontiguousarray(noise)
    observations, *rest = (library.address(array) for array in experience)
    recorded = library.Recorded(library.address(noise), library.address(outputs), observations, *rest)
    network = library.Networks(*kernel.network, kernel.theta.data_ptr(), kernel.theta.stride(0), kernel.gain_address, None, 0, 0)
    policy = library.Policy(kernel.runs, network, network, 1, None, int(kernel.widths[-1]))
    function = getattr(lib, environments.function)
    pointers = (ctypes.byref(policy), ctypes.byref(environments.structure), ctypes.byref(recorded))
    function(kernel.set, *pointers, len(noise))
