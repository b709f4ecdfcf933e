"""Steps environments in several threads at a time, where their C code lets Python go on meanwhile.

Gymnasium's MuJoCo robots do; Box2D does not, and LunarLander's steps take as long in two threads as in one (`python -m
tests.benchmarks threads`). What an environment returns is the same in any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

_threads = 1


def set_num_threads(threads: int) -> None:
    """Let batches of environments that are made from now on use so many threads (≥ 1, which is what they do else).

    A setting of the process, as `torch.set_num_threads` is: nothing but time depends on it.

    >>> set_num_threads(1)
    """
    global _threads
    if threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    _threads = threads


class Parts:
    """The numbers of K environments in as many parts as there are threads; each part is stepped in one thread.

    >>> parts = Parts(5, 1)
    >>> parts.run(lambda numbers: print(list(numbers)))
    [0, 1, 2, 3, 4]
    """

    def __init__(self, environments: int, threads: int | None = None) -> None:
        """`threads` is the setting of the process by default."""
        parts = min(_threads if threads is None else threads, environments)
        bounds = [environments * part // parts for part in range(parts + 1)]
        self._first, *self._others = [range(begin, end) for begin, end in pairwise(bounds)]
        self._pool = ThreadPoolExecutor(len(self._others), "environments") if self._others else None

    def run(self, call: Callable[[Sequence[int]], None]) -> None:
        """Call `call` with the numbers of each part, the first part in this thread; raises the error of the first that fails."""
        if self._pool is None:
            call(self._first)
            return
        others = [self._pool.submit(call, part) for part in self._others]
        try:
            call(self._first)
        finally:
            errors = [other.exception() for other in others]  # waits for all
        for error in filter(None, errors):
            raise error

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()
