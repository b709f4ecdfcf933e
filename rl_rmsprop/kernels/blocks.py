"""Parameters in blocks of a good size, for updates that treat every entry alike: small tensors joined, large ones cut.

A call of torch costs microseconds, however small its tensors, and a tensor of many megabytes is fetched from memory by each call
anew. An update of thirty calls therefore takes the small tensors of a group side by side, as if they were one parameter, and the
large ones in pieces that stay in the cache.

    with blocks(slots, numbers, workspace) as parts:    slots → blocks, each a Slot
        …                                               update each block in place
                                                        what was done to the joined copies is now in the slots

Tensors of a parameter's shape, and banks [K, …] of them, are joined and cut. `numbers` names the state that belongs to a
parameter as a whole (its weight w, say): every block has its own copy of it, which goes back at the end, so that all blocks of a
parameter must change it in the same way; parameters in which it differs are not joined.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor

from rl_rmsprop.kernels.equations import Slot
from rl_rmsprop.kernels.torch_internals import foreach_copy_
from rl_rmsprop.kernels.workspace import Workspace

JOINED = 2**14
"""Most entries of a parameter that is joined with others."""
CUT = 2**17
"""Most entries of a block that a larger parameter is cut into: 512 KiB in single precision."""
OWN = ("step", "square_avg", "momentum_buffer", "grad_avg")
"""State that a slot names itself."""


@contextmanager
def blocks(slots: Sequence[Slot], numbers: Sequence[str], workspace: Workspace) -> Iterator[list[Slot]]:
    """The slots as blocks; those without entries are left out."""
    rows = [Row(slot, tensors(slot)) for slot in slots if slot.E.numel()]
    small = [row.slot.E.is_cpu and row.slot.E.numel() <= JOINED for row in rows]
    joined = [row for row, is_small in zip(rows, small, strict=True) if is_small]
    if len(joined) < 2 or not are_alike(joined, numbers):
        joined, small = [], [False] * len(rows)
    parts: list[Join | Cut] = [Join(joined, numbers, workspace)] if joined else []
    parts += [Cut(row, numbers) for row, is_small in zip(rows, small, strict=True) if not is_small]
    yield [block for part in parts for block in part.blocks]
    for part in parts:
        part.write_back()


class Row(NamedTuple):
    """A parameter."""

    slot: Slot
    tensors: dict[str, Tensor]


def tensors(slot: Slot) -> dict[str, Tensor]:
    """All that an update reads or writes, by name."""
    named = {"p": slot.p, "g": slot.g, "E": slot.E, "buffer": slot.buffer}
    return {name: t for name, t in (*named.items(), *slot.state.items()) if t is not None and name not in OWN}


def are_alike(rows: Sequence[Row], numbers: Sequence[str]) -> bool:
    """Whether these can be updated as one: state of the same kinds and dtypes, and the same numbers."""
    first, *others = [kinds(row, numbers) for row in rows]
    return all([other == first for other in others])


def kinds(row: Row, numbers: Sequence[str]) -> list[Any]:
    """What must be the same in parameters that are joined: numbers; dtypes and lengths of banks."""
    dims = row.slot.p.dim()
    return [t.tolist() if name in numbers else (name, t.dtype, t.shape[: t.dim() - dims]) for name, t in row.tensors.items()]


def slot_of(named: dict[str, Tensor], like: Slot) -> Slot:
    """The slot with these tensors."""
    state = {name: t for name, t in named.items() if name not in ("p", "g", "E", "buffer")}
    buffer = named.get("buffer")
    return like._replace(p=named["p"], g=named["g"], E=named["E"], w=state.get("weight"), buffer=buffer, state=state)


class Join:
    """Small parameters as one."""

    def __init__(self, rows: Sequence[Row], numbers: Sequence[str], workspace: Workspace) -> None:
        whole: dict[str, Tensor] = {}
        self._to: list[Tensor] = []
        self._of: list[Tensor] = []  # what goes back there
        for name in rows[0].tensors:
            column = [row.tensors[name] for row in rows]
            if name in numbers:
                whole[name] = column[0].clone()
                parts = [whole[name]] * len(column)
            else:
                whole[name], parts = workspace.row(name, column, column[0].dim() - rows[0].slot.p.dim())
                foreach_copy_(parts, column)
            if name != "g":
                self._to += column
                self._of += parts
        self.blocks = [slot_of(whole, rows[0].slot)]

    def write_back(self) -> None:
        """Put everything but the gradients where it was."""
        foreach_copy_(self._to, self._of)


class Cut:
    """A parameter in pieces, if it is large and its tensors are contiguous; otherwise as it is."""

    def __init__(self, row: Row, numbers: Sequence[str]) -> None:
        slot, named = row
        size = slot.E.numel()
        if not (slot.E.is_cpu and size > CUT and all([t.is_contiguous() for t in named.values()])):
            self.blocks, self._numbers = [slot], {}
            return
        self._numbers = {name: t for name, t in named.items() if name in numbers}
        entries = {name: t for name, t in named.items() if name not in numbers}
        pieces = {n: t.view(*t.shape[: t.dim() - slot.p.dim()], size).split(CUT, dim=-1) for n, t in entries.items()}
        self.blocks = []
        for of_block in zip(*pieces.values(), strict=True):
            own = {name: t.clone() for name, t in self._numbers.items()}
            self.blocks.append(slot_of(dict(zip(pieces, of_block, strict=True)) | own, slot))

    def write_back(self) -> None:
        """Put the numbers where they were; all else has not moved."""
        for name, number in self._numbers.items():
            number.copy_(self.blocks[-1].state[name])
