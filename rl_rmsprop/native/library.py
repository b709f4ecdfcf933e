"""The compiled kernel as a library: found beside this file, called through its plain C interface, tried out before it is used.

Nothing here imports torch, and to ask what is there not even numpy. Functions are those of cpp/kernel.cpp, structures those
of cpp/interface.h, field by field.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NAME = "_native"


class Networks(ctypes.Structure):
    """R networks and their gradients."""

    _fields_ = [
        ("widths", ctypes.c_void_p), ("layers", ctypes.c_int), ("theta", ctypes.c_void_p), ("stride", ctypes.c_long),
        ("gain", ctypes.c_void_p), ("gradient", ctypes.c_void_p), ("gradient_stride", ctypes.c_long),
        ("parameters", ctypes.c_long),
    ]  # fmt: skip


class Policy(ctypes.Structure):
    """Both networks, and what the actor's outputs stand for."""

    _fields_ = [
        ("runs", ctypes.c_long), ("actor", Networks), ("critic", Networks), ("heads", ctypes.c_int), ("sizes", ctypes.c_void_p),
        ("outputs", ctypes.c_long),
    ]  # fmt: skip


class Rollout(ctypes.Structure):
    """Where the arrays of a rollout begin."""

    _fields_ = [("steps", ctypes.c_long), ("envs", ctypes.c_long)] + [
        (name, ctypes.c_void_p) for name in ("observations", "chosen", "actions", "rewards", "terminated", "truncated", "valid")
    ]


class Settings(ctypes.Structure):
    """What the losses need of an agent's settings."""

    _fields_ = [
        *[(name, ctypes.c_float) for name in ("gamma", "gae_lambda", "reward_scale")],
        *[(name, ctypes.c_double) for name in ("vf_coef", "ent_coef", "clip_range")],
        ("normalize_advantage", ctypes.c_int),
        ("max_grad_norm", ctypes.c_double),
    ]


class Prepared(ctypes.Structure):
    """Where the arrays of a rollout begin that PPO learns from."""

    _fields_ = [("rows", ctypes.c_long)] + [
        (name, ctypes.c_void_p) for name in ("observations", "chosen", "actions", "valid", "log_prob", "advantage", "returns")
    ]


class Rmsprop(ctypes.Structure):
    """A step of RMSProp of tensors [R, P]."""

    _fields_ = [
        ("runs", ctypes.c_long), ("size", ctypes.c_long), ("p", ctypes.c_void_p), ("p_stride", ctypes.c_long),
        ("g", ctypes.c_void_p), ("g_stride", ctypes.c_long), ("E", ctypes.c_void_p), ("E_stride", ctypes.c_long),
        ("decay", ctypes.c_void_p), ("share", ctypes.c_void_p), ("weight", ctypes.c_void_p),
        ("lr", ctypes.c_float), ("eps", ctypes.c_float), ("eps_in_sqrt", ctypes.c_int), ("interpolates", ctypes.c_int),
    ]  # fmt: skip


class LawParameter(ctypes.Structure):
    """A parameter [R, P] under a law, and what the law stores of it."""

    MOST = 6
    _fields_ = [
        ("size", ctypes.c_long), ("p", ctypes.c_void_p), ("p_stride", ctypes.c_long), ("g", ctypes.c_void_p),
        ("g_stride", ctypes.c_long), ("E", ctypes.c_void_p), ("entries", ctypes.c_void_p * MOST), ("weight", ctypes.c_void_p),
        ("numbers", ctypes.c_void_p),
    ]  # fmt: skip


class LawStep(ctypes.Structure):
    """A step of a law."""

    _fields_ = [
        ("runs", ctypes.c_long), ("count", ctypes.c_int), ("parameters", ctypes.c_void_p), ("bank", ctypes.c_int),
        ("lr", ctypes.c_float), ("eps", ctypes.c_float), ("eps_in_sqrt", ctypes.c_int), ("bias_correction", ctypes.c_int),
        ("settings", ctypes.c_void_p), ("state", ctypes.c_void_p), ("beta", ctypes.c_void_p),
    ]  # fmt: skip


class Environments(ctypes.Structure):
    """R × N environments of classic control."""

    _fields_ = [("envs", ctypes.c_long), ("time_limit", ctypes.c_long)] + [
        (name, ctypes.c_void_p) for name in ("state", "lengths", "done", "values", "generators", "uniform")
    ]


class Recorded(ctypes.Structure):
    """What acting is given and what it records."""

    _fields_ = [
        (name, ctypes.c_void_p)
        for name in ("noise", "outputs", "observations", "chosen", "rewards", "terminated", "truncated", "valid")
    ]


INT, LONG, POINTER = ctypes.c_int, ctypes.c_long, ctypes.c_void_p
SIGNATURES = {
    "instruction_set": (ctypes.c_char_p, [INT]),
    "packed_size": (LONG, [POINTER, INT]),
    "hidden_size": (LONG, [POINTER, INT, LONG]),
    "work_size": (LONG, [POINTER, INT, LONG]),
    "network_pack": (None, [INT, POINTER, INT, LONG, POINTER, LONG, POINTER, POINTER]),
    "network_forward": (None, [INT, POINTER, INT, LONG, LONG, *[POINTER] * 4]),
    "network_backward": (None, [INT, POINTER, INT, LONG, LONG, *[POINTER] * 6, LONG, POINTER]),
    "a2c_gradient": (None, [INT, *[POINTER] * 4]),
    "ppo_prepare": (None, [INT, *[POINTER] * 5]),
    "act_in_cartpole": (None, [INT, *[POINTER] * 3, LONG]),
    "episodes": (LONG, [LONG, LONG, *[POINTER] * 9]),
    "rmsprop_step": (None, [INT, POINTER]),
    **{f"{law}_step": (None, [INT, POINTER]) for law in ("smorms3", "maxva", "adasmooth", "hypergradient", "mixture")},
    "ppo_gradient": (None, [INT, *[POINTER] * 4, LONG, LONG, POINTER]),
}
"""Result and arguments of every function."""


@cache
def load() -> ctypes.CDLL | None:
    """The library, or None where it has not been built."""
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name(NAME + suffix)
        if path.exists():
            library = ctypes.CDLL(str(path))
            for name, (result, arguments) in SIGNATURES.items():
                function = getattr(library, name)
                function.restype, function.argtypes = result, arguments
            return library
    return None


def is_useful() -> bool:
    """Whether there is a library, and it computes with vectors here; without them torch is faster."""
    return len(instruction_sets()) > 1


@cache
def quickest() -> str:
    """The first instruction set whose bits are those of plain arithmetic on a small network: all should have them."""
    found = instruction_sets()
    truth = trial(found["plain"]).tobytes()
    return next(name for name, number in found.items() if trial(number).tobytes() == truth)


@cache
def instruction_sets() -> dict[str, int]:
    """What the library can compute with on this processor, the quickest first, and their numbers; the last is `plain`."""
    library = load()
    names: list[str] = []  # empty for what this processor lacks
    while library is not None and (name := library.instruction_set(len(names))) is not None:
        names.append(name.decode())
    return {name: number for number, name in enumerate(names) if name}


def address(array: NDArray) -> int:
    """Where an array begins; whoever passes it on must keep the array."""
    return array.ctypes.data


def trial(number: int, widths: Sequence[int] = (3, 20, 17, 2), rows: int = 7) -> NDArray[np.float32]:
    """Outputs and gradient of a small network, by the instruction set of this number."""
    import numpy as np

    library = load()
    assert library is not None
    random = np.random.default_rng(0)
    sizes, layers = np.array(widths, np.int32), len(widths) - 1
    theta = random.standard_normal(sum((i + 1) * h for i, h in pairwise(widths))).astype(np.float32)
    x = random.standard_normal((rows, widths[0])).astype(np.float32)
    delta = random.standard_normal((rows, widths[-1])).astype(np.float32)
    y, gradient = np.empty_like(delta), np.empty_like(theta)
    network = (address(sizes), layers)
    packed, hidden, work = (
        np.zeros(size, np.float32)
        for size in (library.packed_size(*network), library.hidden_size(*network, rows), library.work_size(*network, rows))
    )
    library.network_pack(number, *network, 1, address(theta), len(theta), None, address(packed))
    library.network_forward(number, *network, 1, rows, *map(address, (packed, x, hidden, y)))
    memory = map(address, (x, hidden, delta, gradient))
    library.network_backward(number, *network, 1, rows, address(packed), None, *memory, len(theta), address(work))
    return np.concatenate([y.ravel(), gradient])
