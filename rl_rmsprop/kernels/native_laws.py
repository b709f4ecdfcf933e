"""The update of laws by the compiled kernel, in one or two passes over the memory, where torch makes ten to sixty.

The laws' own texts (rl_rmsprop/laws) are the definition; the two differ in the last bits. It computes in one thread.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rl_rmsprop.kernels import native_step
from rl_rmsprop.kernels.backends import State
from rl_rmsprop.kernels.equations import Slot
from rl_rmsprop.native import library


class CompiledLaw(NamedTuple):
    """What a law has in the compiled kernel, cpp/laws.h; names and settings in the order that it has there."""

    function: str
    """Its name there."""
    settings: tuple[float, ...] = ()
    """The law's, in its own order."""
    entries: tuple[str, ...] = ()
    """The parameter's state that has a number for every entry, or a bank of them."""
    numbers: str | None = None
    """The parameter's state that has a number for every run, or a bank of them, beside `weight`."""
    state: str | None = None
    """The group's."""
    bank: int = 1
    """Numbers in a bank."""


def supports(
    law: CompiledLaw, params: Sequence[Tensor], grads: Sequence[Tensor], states: Sequence[State], group: dict[str, Any],
    runs: int | None,
) -> bool:  # fmt: skip
    """Whether `step` can update these: single precision on the CPU, in rows, one lr, and neither momentum nor `centered`."""
    if not native_step.has_plain_options(group):
        return False
    names = ("square_avg", *law.entries)
    return all([has_rows(t, runs) and t.numel() > 0 for t in (*params, *grads)]) and all(
        [state[name].is_contiguous() and state[name].dtype is torch.float32 for state in states for name in names]
    )


def has_rows(t: Tensor, runs: int | None) -> bool:
    """Whether a tensor is a row, or with runs [R, …] a row for each of them."""
    if runs is not None and native_step.is_table(t):
        return True
    return t.dtype is torch.float32 and t.is_cpu and t.layout is torch.strided and t.is_contiguous()


def step(law: CompiledLaw, slots: Sequence[Slot], group: dict[str, Any], runs: int | None) -> tuple[State, Tensor]:
    """One update of E, w, θ and what the law stores of all parameters, in place.

    Returns, as `Law.update`, the group's new state and the mean β, [] or [R] float64.
    """
    lib = library.load()
    assert lib is not None  # or the update would not have come here
    state = {name: t.clone() for name, t in group["rule_state"].items()}
    beta = torch.empty([] if runs is None else [runs], dtype=torch.float64)
    parameters = (library.LawParameter * len(slots))(*[parameter(law, slot, runs or 1) for slot in slots])
    settings = np.array(law.settings)
    arguments = library.LawStep(
        runs or 1, len(slots), ctypes.addressof(parameters), law.bank, float(group["lr"]), group["eps"], group["eps_in_sqrt"],
        group["bias_correction"], library.address(settings), state[law.state].data_ptr() if law.state else None, beta.data_ptr(),
    )  # fmt: skip
    getattr(lib, f"{law.function}_step")(library.instruction_sets()[library.quickest()], ctypes.byref(arguments))
    for slot in slots:
        native_step.mark_changed(slot.p)
    return state, beta


def parameter(law: CompiledLaw, slot: Slot, runs: int) -> library.LawParameter:
    """A parameter as the kernel takes it."""
    strides = [t.stride(0) if runs > 1 else 0 for t in (slot.p, slot.g)]
    entries = (ctypes.c_void_p * library.LawParameter.MOST)(*[slot.state[name].data_ptr() for name in law.entries])
    return library.LawParameter(
        slot.p.numel() // runs, slot.p.data_ptr(), strides[0], slot.g.data_ptr(), strides[1], slot.E.data_ptr(), entries,
        slot.state["weight"].data_ptr(), slot.state[law.numbers].data_ptr() if law.numbers else None,
    )  # fmt: skip
