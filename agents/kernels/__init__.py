"""Who computes the passes of networks: torch, or a compiled kernel where one is installed.

    agents/mlp.py → a Kernel (base.py) → Passes through so many rows
                    ├ torch_kernel.py    the definition: batched products of torch, on any device
                    └ native_kernel.py   rl_rmsprop/native, one run after the other, in the cache; and native_losses.py

Both compute the same functions but for the last bits, and each promises that a run alone has the same bits in every batch. The
native one promises more: its bits are the same on every processor (rl_rmsprop/native/cpp/vector.h). It is built when the package
is installed, if a C++ compiler is there, and is then what a training takes by itself; nothing is lost without it but time.

>>> "torch" in KERNELS
True
"""

from __future__ import annotations

from typing import Literal, get_args

from rl_rmsprop.native import library

KernelName = Literal["native", "torch"]

KERNELS: tuple[str, ...] = get_args(KernelName)


def default_kernel() -> KernelName:
    """The fastest kernel that this machine has."""
    return "native" if library.is_useful() else "torch"


def kernel_here(name: str) -> KernelName:
    """The kernel of this name, or torch where the machine lacks it: for what computes with trained weights, as an evaluation."""
    return "native" if name == "native" and library.is_useful() else "torch"


def check_kernel(name: str) -> None:
    """ValueError unless there is such a kernel on this machine."""
    if name not in KERNELS:
        raise ValueError(f"kernel must be one of {', '.join(KERNELS)}, got {name!r}")
    if name == "native" and kernel_here(name) != name:
        remedy = "install a C++ compiler and then the package again, or take --kernel torch"
        raise ValueError(f"kernel must be one that this machine has, got native, which is not built here: {remedy}")
