"""Notices an environment that does not come back from a reset or a step.

    with watching(print):                          # in a thread of its own, every 30 seconds
        batch.reset()                              # Walk-v0 has not come back from a reset for 30 s (environment 0 …

Nothing is interrupted: an environment may be slow for good reasons. What is being called is known from those who call; a batch
says it only when it is asked, so that stepping costs nothing more. An environment that never lets Python run, in a library
written in C, keeps this thread from running too: the driver of a study then notices that the worker is silent.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

PATIENCE = 30.0
"""Seconds between two looks; a call that is under way at both is reported."""


class Call(NamedTuple):
    """A call into an environment that has not come back."""

    number: Hashable  # another one for every call of the same caller
    environment: str
    kind: str  # a reset, step 3 of an episode
    place: str = ""  # which of many environments it is


class Caller(Protocol):
    """Someone who calls environments."""

    def call_under_way(self) -> Call | None:
        """The call that is being made; asked from another thread, at any time."""
        ...


class SingleCall:
    """A caller of one call."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def call_under_way(self) -> Call | None:
        return self._call


_callers: list[weakref.ref[Caller]] = []


def register(caller: Caller) -> None:
    """Let `watching` ask this caller for as long as it lives."""
    _callers[:] = [known for known in _callers if known() is not None] + [weakref.ref(caller)]


@contextmanager
def calling(environment: str, kind: str) -> Iterator[None]:
    """Says that the environment of this name is being called."""
    caller = SingleCall(Call(0, environment, kind))  # is forgotten when it goes out of scope
    register(caller)
    try:
        yield
    finally:
        del caller


@contextmanager
def every(seconds: float, call: Callable[[], object]) -> Iterator[None]:
    """Within it `call` is called every so many seconds, first after that time, from a thread of its own.

    >>> import time
    >>> times = []
    >>> with every(0.01, lambda: times.append(time.monotonic())):
    ...     time.sleep(0.2)
    >>> len(times) > 2
    True
    """
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(seconds):
            call()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def watching(report: Callable[[str], object], patience: float = PATIENCE) -> Iterator[None]:
    """Report, once and in one line, each call that takes longer than `patience` seconds; it is noticed before twice of them.

    `report` is called from another thread.

    >>> import time
    >>> with watching(print, patience=0.05), calling("Walk-v0", "a reset"):
    ...     time.sleep(0.25)
    Walk-v0 has not come back from a reset for 0.05 s: it may hang; Ctrl-C ends everything
    """
    with every(patience, Look(report, patience)):
        yield


class Look:
    """A look at all callers; reports those calls that were under way at the look before too, each once."""

    def __init__(self, report: Callable[[str], object], patience: float) -> None:
        """`patience` is the time between two looks, in seconds."""
        self._report, self._patience = report, patience
        self._before: dict[int, Call] = {}
        self._reported: dict[int, Call] = {}

    def __call__(self) -> None:
        callers = [caller for known in tuple(_callers) if (caller := known()) is not None]
        calls = {id(caller): call for caller in callers if (call := caller.call_under_way()) is not None}
        for key, call in calls.items():
            if self._before.get(key) == call and self._reported.get(key) != call:
                self._reported[key] = call
                place = f" ({call.place})" if call.place else ""
                line = f"{call.environment} has not come back from {call.kind} for {self._patience:g} s{place}"
                self._report(f"{line}: it may hang; Ctrl-C ends everything")
        self._before = calls
