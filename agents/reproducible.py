"""How a run computes the same bits alone and in any batch, whatever the width of the processor's vectors.

Torch goes through a tensor on the CPU in steps of two vectors (8 to 32 numbers in single precision) and takes what is left over
at its end one by one. Some functions round differently there, the sigmoid among them; which numbers are at the end depends on the
size of the batch. With several threads, each has an end of its own. Therefore

    sigmoid             in memory filled up to whole BLOCKs: nothing is left over                        `in_whole_blocks`
    sum, norm, softmax  along one run's own axis, which lies in memory in the same way in every batch
    products            of the same shape and alignment for every run; MKL is asked to ignore the rest   `reproducible_products`
    threads             one, while a run acts and learns                                                 `one_thread`
    everything else     is rounded correctly (+ − × ÷), or in the same way at every place (exp, log, √)

tests/test_batching.py holds training to this list operation by operation, and checks the last line.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

BLOCK = 128
"""Numbers in single precision: four times what torch takes in one step with the widest vectors, of 512 bits."""


def reproducible_products() -> None:
    """Ask Intel's MKL to round a product the same way wherever in memory its factors lie. It costs no time.

    Sets the environment variable MKL_CBWR of this process and its children unless it is set. MKL reads it once, at the first
    matrix product of the process: networks call this when they are made; call it yourself if you multiply matrices before.

    >>> reproducible_products()
    >>> os.environ["MKL_CBWR"]
    'AUTO,STRICT'
    """
    os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread, and afterwards with as many as before.

    >>> with one_thread():
    ...     torch.get_num_threads()
    1
    """
    before = torch.get_num_threads()
    if before != 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if before != 1:
            torch.set_num_threads(before)


def whole_blocks(size: int) -> int:
    """`size`, or as much more as makes it a multiple of BLOCK."""
    return -(-size // BLOCK) * BLOCK


def in_whole_blocks(shape: Sequence[int], device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Zeros of this shape, contiguous, and the same memory as a flat tensor of whole blocks."""
    size = torch.Size(shape).numel()
    flat = torch.zeros(whole_blocks(size), device=device)
    return flat[:size].view(*shape), flat


def aligned(runs: int, size: int, device: torch.device | str) -> Tensor:
    """Zeros [R, P] in which the row of every run begins at a multiple of BLOCK.

    A product may round by where in memory its factors begin (MKL on processors with AVX2): a run must find its weights at the
    same alignment whichever place in a batch it has. What goes through the rows without a gap has no numbers left over.
    """
    return torch.zeros(runs, whole_blocks(size), device=device)[:, :size]
