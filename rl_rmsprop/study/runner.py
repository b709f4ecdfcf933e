"""Runs batches in worker processes, one process and one torch thread a batch, and says how they are doing.

A process per batch: whatever happens in one (an exception, a crash of a simulator) cannot touch another. Where the system
can fork, processes start from a server that has imported torch already.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import platform
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from rl_rmsprop.study.optimizers import Arm
from rl_rmsprop.study.recorder import Progress


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
    def total_steps(self) -> int:
        """Environment steps of all its runs together."""
        ...

    @property
    def error_file(self) -> Path:
        """Where the reason of a failure goes."""
        ...

    def run(self, report: Callable[[Progress], None]) -> Sequence[str]:
        """Do all of it; calls `report` at every logging step, and returns a line for each run that has failed alone."""
        ...


class Event(NamedTuple):
    """News of one batch."""

    batch: int  # its number
    progress: Progress | None = None  # None in the last event of a batch
    error: str | None = None  # why it failed, if it did
    failures: tuple[str, ...] = ()  # in the last event: a line for each of its runs that has failed while the others went on


def run_batches(specs: Sequence[Work], workers: int) -> Iterator[Event]:
    """Train all batches, at most `workers` at a time; yields an event for every logging step and for every end."""
    context = process_context()
    waiting = list(enumerate(specs))[::-1]
    running: dict[Connection, tuple[int, BaseProcess]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                index, spec = waiting.pop()
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=work, args=(spec, theirs), daemon=True)
                with interrupts_ignored():
                    process.start()
                theirs.close()
                running[ours] = (index, process)
            for pipe in wait(list(running)):
                assert isinstance(pipe, Connection)
                index, process = running[pipe]
                event = receive(pipe, index, process)
                if event.progress is None:
                    process.join()
                    pipe.close()
                    del running[pipe]
                yield event
    finally:
        for _, process in running.values():
            process.terminate()


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


def receive(pipe: Connection, index: int, process: BaseProcess) -> Event:
    """The next event of a batch; a process that died without a word is a failed batch."""
    try:
        message = pipe.recv()
    except EOFError:
        process.join()
        return Event(index, error=f"worker process ended with exit code {process.exitcode}")
    if isinstance(message, Progress):
        return Event(index, message)
    return Event(index, error=message) if isinstance(message, str) else Event(index, failures=tuple(message))


def work(spec: Work, pipe: Connection) -> None:
    """The body of a worker process: train, send progress, then a list of single runs that failed or the reason why all did."""
    import torch

    torch.set_num_threads(1)

    def report(progress: Progress) -> None:
        return_freed_memory()
        pipe.send(progress)

    try:
        pipe.send(list(spec.run(report)))
    except BrokenPipeError:
        return  # the process that wanted the results has ended
    except Exception as error:  # the study goes on without this batch, and says why
        pipe.send(f"{type(error).__name__}: {' '.join(str(error).split())}")
        with suppress(OSError):  # a full disk may be the very reason
            spec.error_file.parent.mkdir(parents=True, exist_ok=True)  # the failure may have come before anything was written
            spec.error_file.write_text(traceback.format_exc(), encoding="utf-8")


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
