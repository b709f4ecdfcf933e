"""Signals stop a study: the first one saves and stops, the second one ends the process."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rl_rmsprop.study.execution.executor import Executor
from rl_rmsprop.study.training.monitor import Stopped


@contextmanager
def interruptible(executor: Executor) -> Iterator[None]:
    """Within it SIGINT (Ctrl-C) and SIGTERM stop the work, which raises `Stopped`; the second one ends the process at once."""
    if threading.current_thread() is not threading.main_thread():  # others may not touch signals, and get none
        yield
        return
    signals = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal signals
        signals += 1
        if signals > 1:
            executor.kill()
            os._exit(128 + number)
        executor.stop()
        if executor.is_idle:  # nothing is being trained: there is nothing to wait for
            raise Stopped

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
