"""Signals stop a study: the first one saves and stops, the second one ends the process."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rl_rmsprop.study.execution.executor import Executor
from rl_rmsprop.study.training.monitor import Stopped


@contextmanager
def interruptible(executor: Executor, end: Callable[[int], object] = os._exit) -> Iterator[list[int]]:
    """Within it SIGINT (Ctrl-C) and SIGTERM stop the work, which raises `Stopped`; the second one ends the process at once.

    `end` is called with the exit code then; it may raise instead, where the process must live on. Yields the signals so far.
    """
    signals: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # others may not touch signals, and get none
        yield signals
        return

    def handle(number: int, frame: FrameType | None) -> None:
        signals.append(number)
        if len(signals) > 1:
            executor.kill()
            end(128 + number)
        executor.stop()
        if executor.is_idle:  # nothing is being trained: there is nothing to wait for
            raise Stopped

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
