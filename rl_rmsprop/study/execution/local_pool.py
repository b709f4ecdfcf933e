"""Trains batches in worker processes of this machine, one process and one torch thread a batch, and reports how they are doing.

Where there are fewer batches than workers, those that are left out lend their cores to environments that step in threads.

A process per batch: whatever happens in one (an exception, a crash of a simulator) cannot touch another. Where the system
can fork, processes start from a server that has imported torch already.

What follows from how a worker ends is in attempts.py. When the driver ends, its workers end themselves: nobody waits for them.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any

from rl_rmsprop import machine
from rl_rmsprop.study.execution import memory_estimate
from rl_rmsprop.study.execution.attempts import Attempts, event_of
from rl_rmsprop.study.execution.executor import Event, Failed, Task, WorkerLost
from rl_rmsprop.study.execution.worker import work
from rl_rmsprop.study.spec.study import Study
from rl_rmsprop.study.training.monitor import Note, Progress, Stopped

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

    def __init__(self, workers: int, checkpoint_every: float = CHECKPOINT_EVERY, imports_main: bool = True) -> None:
        """At most `workers` at a time; each saves a checkpoint every so many seconds.

        Workers import the script that started them, which may define sinks and environments, unless `imports_main` is false.
        """
        self.workers, self._every, self._imports_main = workers, checkpoint_every, imports_main
        self._running: dict[Connection, tuple[int, BaseProcess]] = {}
        self._heard: dict[int, float] = {}  # when a task's worker has last said something
        self._deadline = float("inf")  # when the workers have to be gone

    def check(self, study: Study) -> None:
        """ValueError if the study needs more memory than this machine has."""
        memory_estimate.check(study, self.workers)

    def close(self) -> None:
        """Nothing is left when `run` has returned."""

    def run(self, tasks: Sequence[Task]) -> Iterator[Event]:
        """Do all the tasks; yields an event for every logging step, every note and every end.

        Raises `Stopped` after `stop` has been called, and OSError when a worker could not write.
        """
        attempts = Attempts(tasks)
        try:
            while attempts.waiting or self._running:
                if self._stopping and not self._running:
                    raise Stopped
                while attempts.waiting and len(self._running) < self.workers and not self._stopping:
                    cores = max(1, self.workers // (len(self._running) + attempts.waiting))
                    index = attempts.next()
                    self._start(index, tasks[index], cores)
                if self._stopping:  # a signal may have come while one was started
                    self.stop()
                for pipe in self._ready():
                    index, process = self._running[pipe]
                    self._heard[index] = time.monotonic()
                    message = receive(pipe, process)
                    if isinstance(message, (Progress, Note)):
                        yield event_of(index, message)
                        continue
                    process.join()
                    pipe.close()
                    del self._running[pipe]
                    event = attempts.ended(index, message, self._stopping)
                    if event is not None:
                        yield event
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
        with interrupts_ignored(), nullcontext() if self._imports_main else script_hidden():
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


@contextmanager
def script_hidden() -> Iterator[None]:
    """Processes started here do not import the script that this one runs: a script without a guard would begin anew in each."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")  # has no file to import
    try:
        yield
    finally:
        sys.modules["__main__"] = script


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
    return machine.cores()
