"""Runs batches in worker processes, one process and one torch thread a batch, and says how they are doing.

A process per batch: whatever happens in one (an exception, a crash of a simulator) cannot touch another. Where the system
can fork, processes start from a server that has imported torch already.

    a worker ends by        the batch has                         and then
    its own end             finished                              –
    an exception, sys.exit  failed: the same would happen again   the others go on
    a signal, no memory     been lost                             is started again, from its checkpoint, RETRIES times
    a disk that is full …   –                                     all stop, and OSError tells why
    the driver's end        –                                     it ends itself: no work goes on that nobody waits for
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import platform
import signal
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, Protocol

from rl_rmsprop import files
from rl_rmsprop.study.monitor import Monitor, Note, Progress, Stopped
from rl_rmsprop.study.optimizers import Arm

RETRIES = 2
GRACE = 4.0
"""Seconds that workers have to save and stop."""
CHECKPOINT_EVERY = 60.0
"""Seconds between checkpoints."""


class Work(Protocol):
    """A picklable description of a batch that can be trained: a BatchSpec, or trials."""

    @property
    def arm(self) -> Arm:
        """What is trained."""
        ...

    @property
    def label(self) -> str:
        """What it is, for whoever reads of its failure."""
        ...

    @property
    def parts(self) -> Sequence[str]:
        """What fails with it, each by its name: its runs."""
        ...

    @property
    def total_steps(self) -> int:
        """Environment steps of all its runs together."""
        ...

    @property
    def error_file(self) -> Path:
        """Where the reason of a failure goes."""
        ...

    @property
    def study_folder(self) -> Path:
        """The folder of the study that it belongs to."""
        ...

    def run(self, monitor: Monitor) -> Sequence[str]:
        """Do all of it, telling `monitor` at every logging step; raises `Stopped` soon after it says so.

        Returns a line for each run that has failed while the others went on.
        """
        ...


class Event(NamedTuple):
    """News of one batch."""

    batch: int  # its number
    progress: Progress | None = None
    note: str | None = None
    ended: bool = False
    error: str | None = None  # why it failed, if it did
    failures: tuple[str, ...] = ()  # in the last event: a line for each of its runs that has failed while the others went on


class Ended(NamedTuple):
    """A worker's last word: it has done its work."""

    failures: tuple[str, ...]  # a line for each run that has failed by itself


class Lost(NamedTuple):
    """A worker's last word, or that of whoever found it dead: it may go better the next time."""

    reason: str


class DiskFailed(NamedTuple):
    """A worker's last word: nothing more can be written."""

    number: int
    reason: str
    file: str


class Failed(NamedTuple):
    """A worker's last word: this will not work the next time either."""

    reason: str


class Pool:
    """Worker processes, and how to stop them."""

    def __init__(self, workers: int, checkpoint_every: float = CHECKPOINT_EVERY) -> None:
        """At most `workers` at a time; each saves a checkpoint every so many seconds."""
        self._workers, self._every = workers, checkpoint_every
        self._running: dict[Connection, tuple[int, BaseProcess]] = {}
        self._deadline = float("inf")  # when the workers have to be gone

    def run(self, specs: Sequence[Work]) -> Iterator[Event]:
        """Do all the work; yields an event for every logging step, every note and every end.

        Raises `Stopped` after `stop` has been called, and OSError when a worker could not write.
        """
        waiting = list(enumerate(specs))[::-1]
        losses = [0] * len(specs)
        try:
            while waiting or self._running:
                if self._stopping and not self._running:
                    raise Stopped
                while waiting and len(self._running) < self._workers and not self._stopping:
                    index, spec = waiting.pop()
                    self._start(index, spec)
                if self._stopping:  # a signal may have come while one was started
                    self.stop()
                for pipe in self._ready():
                    index, process = self._running[pipe]
                    said = hear(pipe, process)
                    if not isinstance(said, (Progress, Note)):
                        process.join()
                        pipe.close()
                        del self._running[pipe]
                    if isinstance(said, DiskFailed):
                        raise OSError(*said)
                    if isinstance(said, Lost) and not self._stopping and losses[index] < RETRIES:
                        losses[index] += 1
                        waiting.append((index, specs[index]))
                        yield Event(index, note=f"{specs[index].label}: {said.reason}; started again")
                    elif not (isinstance(said, Lost) and self._stopping):
                        yield event_of(index, said)
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

    def _start(self, index: int, spec: Work) -> None:
        context = process_context()
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(spec, theirs, self._every), daemon=True)
        with interrupts_ignored():
            process.start()
        theirs.close()
        self._running[ours] = (index, process)

    def _ready(self) -> list[Connection]:
        """Pipes of workers that have something to say, or have ended; all others are killed when their time is over."""
        left = None if not self._stopping else max(0.0, self._deadline - time.monotonic())
        ready = wait(list(self._running), left if left is not None else 1.0)  # now and then: a signal may have come in between
        if left == 0.0 and not ready:
            self.kill()
        return [pipe for pipe in ready if isinstance(pipe, Connection)]


def event_of(index: int, said: Any) -> Event:
    """A worker's word as news of its batch."""
    if isinstance(said, Progress):
        return Event(index, progress=said)
    if isinstance(said, Note):
        return Event(index, note=said.text)
    if isinstance(said, Ended):
        return Event(index, ended=True, failures=said.failures)
    return Event(index, ended=True, error=said.reason)


@contextmanager
def interruptible(pool: Pool) -> Iterator[None]:
    """Within it SIGINT (Ctrl-C) and SIGTERM stop the work, which raises `Stopped`; the second one ends the process at once."""
    if threading.current_thread() is not threading.main_thread():  # others may not touch signals, and get none
        yield
        return
    heard = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal heard
        heard += 1
        if heard > 1:
            pool.kill()
            os._exit(128 + number)
        pool.stop()
        if pool.is_idle:  # nothing is being trained: there is nothing to wait for
            raise Stopped

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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


def hear(pipe: Connection, process: BaseProcess) -> Any:
    """A worker's next word; of one that died without a last one, why it did."""
    try:
        return pipe.recv()
    except (EOFError, OSError):
        process.join()
        code = process.exitcode or 0
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
            hint = ": the system may be out of memory, and fewer --workers need less" if name == "SIGKILL" else ""
            return Lost(f"its process was ended by {name}{hint}")
        return Failed(f"its process ended by itself, with exit code {code}")


# In a worker --------------------------------------------------------------------------------------------------------------


def work(spec: Work, pipe: Connection, checkpoint_every: float) -> None:
    """The body of a worker process: do the work, tell how far it is, and how it ended."""
    import torch

    torch.set_num_threads(1)

    def send(news: Progress | Note) -> None:
        return_freed_memory()
        pipe.send(news)

    monitor = Monitor(send, checkpoint_every)
    signal.signal(signal.SIGTERM, lambda *_: setattr(monitor, "stopping", True))
    end_with_the_driver()
    last_word = outcome(spec, monitor)
    with suppress(OSError):  # the process that wanted the results has ended
        pipe.send(last_word)


def outcome(spec: Work, monitor: Monitor) -> Any:
    """Do the work; how it ended."""
    try:
        with files.Lock(spec.study_folder, shared=True):
            return Ended(tuple(spec.run(monitor)))
    except Stopped:
        return Lost("it was stopped")
    except MemoryError as error:
        return Lost(f"out of memory {error}".rstrip())
    except (BrokenPipeError, BlockingIOError):
        return Lost("another driver has taken its place")
    except files.Unwritable as error:
        return DiskFailed(error.errno or 0, str(error.strerror), str(error.filename))
    except BaseException as error:  # the study goes on without this batch, and says why; SystemExit of a simulator too
        return failure(spec, error)


def failure(spec: Work, error: BaseException) -> Failed:
    """What failed, with its traceback in a file."""
    with suppress(OSError):  # a full disk may be the very reason
        spec.error_file.parent.mkdir(parents=True, exist_ok=True)  # the failure may have come before anything was written
        spec.error_file.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    return Failed(f"{type(error).__name__}: {' '.join(str(error).split())}")


def end_with_the_driver() -> None:
    """End this process when the one that waits for it has ended, however that came."""
    driver = multiprocessing.parent_process()
    if driver is None:
        return

    def watch() -> None:
        driver.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def return_freed_memory() -> None:
    """Hand freed memory back to the system, where the C library is glibc; elsewhere there is nothing to do.

    Tensors and the small objects of a simulator share a heap with holes between them that glibc keeps: a worker in
    LunarLander grew by 12 MB every 50,000 environment steps. One call takes half a millisecond; the settings that make
    glibc do it by itself slow the large batches of CartPole by a third (mallopt(3): M_MMAP_THRESHOLD).
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def process_context() -> Any:
    """Processes forked from a clean server with torch imported; where that is not possible, fresh ones."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["rl_rmsprop.study.trials", "torch._dynamo"])
    return context


def default_workers() -> int:
    """One worker per core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
