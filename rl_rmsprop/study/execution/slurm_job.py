"""What runs in a job of Slurm's, the training of one task, and the report that it leaves for a driver, there or not.

    Job(task, …)() ── a line for each message ──▸ STUDY/.attempts/NAME.jsonl ──▸ the driver, which reads what is new

    SIGUSR2, Slurm's warning that the time is nearly over   save, stop, and go back into the queue
    SIGTERM, before Slurm preempts or cancels               save, and train on: what follows is Slurm's decision

Whether a job goes back into the queue is submitit's part, which has installed a handler for SIGUSR2: it is called when everything
is saved. A job that has come no further than the time before does not go back: its time is too short.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rl_rmsprop.study.execution.elsewhere import difference_between, only_attempt, versions_here
from rl_rmsprop.study.execution.executor import LOCKS, DiskFailed, Ended, Failed, Task, WorkerLost
from rl_rmsprop.study.training.monitor import Monitor, Note, Progress

REPORT_EVERY = 2.0
"""Seconds between two lines about progress."""


class Queued(NamedTuple):
    """A line of a report: the job has gone back into the queue."""

    steps: int
    """Environment steps that it had done then."""


KINDS: dict[str, Callable[..., Any]] = {
    kind.__name__: kind for kind in (Progress, Note, Queued, Ended, Failed, WorkerLost, DiskFailed)
}
"""What a line of a report may be."""
LAST = (Ended, Failed, WorkerLost, DiskFailed)
"""What a task's last line is."""


def report_file(study_folder: Path, name: str) -> Path:
    """Where a task's report is."""
    return study_folder / LOCKS / f"{name}.jsonl"


class Report:
    """The report of a task, to which every attempt at it adds."""

    def __init__(self, path: Path) -> None:
        """Continue the report; the line that an attempt was writing when it was killed ends here."""
        path.parent.mkdir(exist_ok=True)
        self._path = path
        self._write(b"")
        self._last = -float("inf")
        self.steps = 0
        """Environment steps done, as far as is known."""

    def add(self, message: Any) -> None:
        """Add a line; progress only now and then. A disk that takes none is not this line's matter."""
        if isinstance(message, Progress):
            self.steps = message.steps
            if time.monotonic() - self._last < REPORT_EVERY:
                return
            self._last = time.monotonic()
        self._write(json.dumps([type(message).__name__, *message]).encode("utf-8"))

    def _write(self, line: bytes) -> None:
        with suppress(OSError), self._path.open("ab") as file:
            file.write(line + b"\n")


def read(path: Path, offset: int = 0) -> Iterator[tuple[Any, int]]:
    """The messages of a report from `offset` on, each with the offset behind it; a line that is not complete comes later."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            with suppress(ValueError, KeyError, TypeError):  # an attempt was killed while it wrote this line
                kind, *values = json.loads(line)
                yield KINDS[kind](*(tuple(value) if isinstance(value, list) else value for value in values)), offset


@dataclass(frozen=True)
class Job:
    """A task as a function without arguments, which submitit calls on a node."""

    task: Task
    name: str
    """Of its files in the folder of attempts."""
    directory: str
    """The driver's working directory."""
    path: tuple[str, ...]
    """Where the driver imports from."""
    versions: dict[str, str]
    """What a node must have."""
    checkpoint_every: float
    """Seconds."""

    def checkpoint(self) -> Any:
        """What is to be called when the job comes out of the queue again: the same; see submitit."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    def __call__(self) -> None:
        import torch

        import envs
        from rl_rmsprop.study.execution.worker import outcome

        os.chdir(self.directory)
        sys.path += [entry for entry in self.path if entry not in sys.path]
        file = report_file(self.task.study_folder, self.name)
        if not file.parent.is_dir():  # the study is over, and its attempts with it
            return
        before = max((message.steps for message, _ in read(file) if isinstance(message, Queued)), default=-1)
        report = Report(file)
        if difference := difference_between(self.versions, versions_here()):
            report.add(Failed(f"{difference} on {platform.node()}"))
            return
        torch.set_num_threads(1)
        monitor = Monitor(report.add, self.checkpoint_every)
        go_back = signal.getsignal(signal.SIGUSR2)
        signal.signal(signal.SIGUSR2, lambda *_: setattr(monitor, "stopping", True))
        signal.signal(signal.SIGTERM, lambda *_: monitor.save_soon())
        with envs.watching(lambda line: report.add(Note(f"{self.task.label}: {line}"))):
            try:
                with only_attempt(self.task, self.name):
                    if any(isinstance(message, Ended) for message, _ in read(file)):
                        return  # an attempt that was thought lost has done it meanwhile
                    result = outcome(self.task, monitor, detached=True)
            except BlockingIOError:  # another attempt is at it, and will say how it ends
                return
        if monitor.stopping and isinstance(result, WorkerLost):
            result = self._back_into_the_queue(go_back, report, before)
        report.add(result)

    def _back_into_the_queue(self, go_back: Any, report: Report, before: int) -> Any:
        """End this process with its job in the queue again; returns how the task has ended if that cannot be."""
        if report.steps <= before:
            return Failed(f"its time is too short, it came no further than {before:,} steps twice: give --slurm time=longer")
        report.add(Queued(report.steps))
        try:
            run_handler(go_back)
        except Exception as error:  # whatever submitit and Slurm have to say
            return WorkerLost(f"its time was over, and Slurm does not queue it again ({' '.join(str(error).split())})")
        return WorkerLost("its time was over, and it was not queued again")


def run_handler(handler: Callable[[int, Any], Any] | int | None) -> None:
    """Call a signal handler as the signal would have."""
    if callable(handler):
        handler(signal.SIGUSR2, None)
