"""Trains batches in worker processes of this machine, one process and one torch thread a batch, and reports how they are doing.

Where there are fewer batches than workers, those that are left out lend their cores to environments that step in threads.

A process per batch: whatever happens in one (an exception, a crash of a simulator) cannot touch another. Where the system
can fork, processes start from a server that has imported torch already.

    a worker ends by        the batch                             and then
    its own end             has finished                          –
    an exception, sys.exit  has failed: it would fail again       the others continue
    a signal, no memory     is lost                               it starts again from its checkpoint, RETRIES times
    a disk that is full …   –                                     all stop, and OSError tells why
    the driver's end        –                                     the worker ends itself: nobody waits for its results
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from rl_rmsprop.study.execution.executor import DiskFailed, Ended, Event, Failed, Task, WorkerLost
from rl_rmsprop.study.execution.worker import work
from rl_rmsprop.study.training.monitor import Note, Progress, Stopped

RETRIES = 2
GRACE = 4.0
"""Seconds that workers have to save and stop."""
CHECKPOINT_EVERY = 60.0
"""Seconds between checkpoints."""
SILENCE = 600.0
"""Seconds without a word of a worker after which one is said about it."""
PRELOAD = ("rl_rmsprop.study.execution.server_path", "rl_rmsprop.study.tuning.trials", "torch._dynamo")
"""Modules that workers find imported, after the first: all that a task imports, and what torch imports at a first step."""


class Pool:
    """Worker processes, and how to stop them."""

    def __init__(self, workers: int, checkpoint_every: float = CHECKPOINT_EVERY) -> None:
        """At most `workers` at a time; each saves a checkpoint every so many seconds."""
        self.workers, self._every = workers, checkpoint_every
        self._running: dict[Connection, tuple[int, BaseProcess]] = {}
        self._heard: dict[int, float] = {}  # when a task's worker has last said something
        self._deadline = float("inf")  # when the workers have to be gone

    def run(self, tasks: Sequence[Task]) -> Iterator[Event]:
        """Do all the tasks; yields an event for every logging step, every note and every end.

        Raises `Stopped` after `stop` has been called, and OSError when a worker could not write.
        """
        waiting = list(enumerate(tasks))[::-1]
        losses = [0] * len(tasks)
        try:
            while waiting or self._running:
                if self._stopping and not self._running:
                    raise Stopped
                while waiting and len(self._running) < self.workers and not self._stopping:
                    index, task = waiting.pop()
                    self._start(index, task, max(1, self.workers // (len(self._running) + 1 + len(waiting))))
                if self._stopping:  # a signal may have come while one was started
                    self.stop()
                for pipe in self._ready():
                    index, process = self._running[pipe]
                    self._heard[index] = time.monotonic()
                    message = receive(pipe, process)
                    if not isinstance(message, (Progress, Note)):
                        process.join()
                        pipe.close()
                        del self._running[pipe]
                    if isinstance(message, DiskFailed):
                        raise OSError(*message)
                    if isinstance(message, WorkerLost) and not self._stopping and losses[index] < RETRIES:
                        losses[index] += 1
                        waiting.append((index, tasks[index]))
                        yield Event(index, note=f"{tasks[index].label}: {message.reason}; started again")
                    elif not (isinstance(message, WorkerLost) and self._stopping):
                        yield event_of(index, message)
                yield from self._silent(tasks)
            if self._stopping:
                raise Stopped
        finally:
            self.kill()

    def stop(self) -> None:
        """Let all workers save and stop; `run` raises `Stopped` when they have, or when their time is over."""
        self._deadline = min(self._deadline, time.monotonic() + GRACE)
        for _, process in list(self._running.values()):
            process.terminate()

    def kill(self) -> None:
        """End all workers at once."""
        for _, process in list(self._running.values()):
            process.kill()

    @property
    def _stopping(self) -> bool:
        return self._deadline < float("inf")

    @property
    def is_idle(self) -> bool:
        """Whether no worker is running."""
        return not self._running

    def _start(self, index: int, task: Task, cores: int) -> None:
        context = process_context()
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(task, theirs, self._every, cores), daemon=True)
        with interrupts_ignored():
            process.start()
        theirs.close()
        self._running[ours] = (index, process)
        self._heard[index] = time.monotonic()

    def _silent(self, tasks: Sequence[Task]) -> Iterator[Event]:
        """A note about each worker that has said nothing for long; it says so itself, if Python can still run in it."""
        now = time.monotonic()
        for index, _ in list(self._running.values()):
            if now - self._heard[index] >= SILENCE:
                self._heard[index] = now
                why = "an environment may hang, or an iteration takes that long"
                yield Event(index, note=f"{tasks[index].label}: no news for {SILENCE:g} s: {why}; Ctrl-C ends everything")

    def _ready(self) -> list[Connection]:
        """Pipes of workers that have sent something, or have ended; all others are killed when their time is over."""
        left = None if not self._stopping else max(0.0, self._deadline - time.monotonic())
        ready = wait(list(self._running), left if left is not None else 1.0)  # now and then: a signal may have come in between
        if left == 0.0 and not ready:
            self.kill()
        return [pipe for pipe in ready if isinstance(pipe, Connection)]


def event_of(index: int, message: Any) -> Event:
    """A worker's message as an event of its batch."""
    if isinstance(message, Progress):
        return Event(index, progress=message)
    if isinstance(message, Note):
        return Event(index, note=message.text)
    if isinstance(message, Ended):
        return Event(index, ended=True, failures=message.failures)
    return Event(index, ended=True, error=message.reason)


@contextmanager
def interrupts_ignored() -> Iterator[None]:
    """Processes started here ignore Ctrl-C, which a terminal sends to all of them: the one that started them ends them."""
    if threading.current_thread() is not threading.main_thread():  # others may not touch signals, and get no Ctrl-C
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def receive(pipe: Connection, process: BaseProcess) -> Any:
    """A worker's next message; where it died without a last one, why it did."""
    try:
        return pipe.recv()
    except (EOFError, OSError):
        process.join()
        code = process.exitcode or 0
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
            hint = ": the system may be out of memory, and fewer --workers need less" if name == "SIGKILL" else ""
            return WorkerLost(f"its process was ended by {name}{hint}")
        return Failed(f"its process ended by itself, with exit code {code}")


def process_context() -> Any:
    """Processes forked from a clean server with torch imported; where that is not possible, fresh ones."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOAD))
    return context


def default_workers() -> int:
    """One worker per core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
