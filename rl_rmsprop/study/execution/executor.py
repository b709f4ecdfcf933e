"""Where batches are trained: what an executor is given, and what it tells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.study import Study
from rl_rmsprop.study.training.monitor import Monitor, Progress


class Task(Protocol):
    """Something to be trained, picklable: a batch of a study, or trials of a tuning."""

    @property
    def arm(self) -> Arm:
        """What is trained."""
        ...

    @property
    def label(self) -> str:
        """What messages call it."""
        ...

    @property
    def parts(self) -> Sequence[str]:
        """What messages call its runs, which fail with it."""
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

    @property
    def outputs(self) -> Sequence[Path]:
        """Files and folders that it writes, and continues from when it is started again: all of them its own."""
        ...

    @property
    def reads_other_runs(self) -> bool:
        """Whether it reads files of other tasks, so that it can only be done where the study's folder is."""
        ...

    def moved(self, folder: Path) -> Task:
        """The same task with another study folder; what it writes there is the same."""
        ...

    def run(self, monitor: Monitor) -> Sequence[str]:
        """Do all of it, telling `monitor` at every logging step; raises `Stopped` soon after it says so.

        Returns a line for each single run that has failed.
        """
        ...


class Event(NamedTuple):
    """What has happened to one task."""

    batch: int  # its place among the tasks
    progress: Progress | None = None
    note: str | None = None
    ended: bool = False
    error: str | None = None  # why it failed, if it did
    failures: tuple[str, ...] = ()  # in the last event: a line for each of its runs that has failed


class Ended(NamedTuple):
    """A worker's last message: the task is done."""

    failures: tuple[str, ...]  # a line for each single run that has failed


class WorkerLost(NamedTuple):
    """A worker's last message, or that of its driver if it died: the task may succeed the next time."""

    reason: str


class DiskFailed(NamedTuple):
    """A worker's last message: nothing more can be written."""

    number: int
    reason: str
    file: str


class Failed(NamedTuple):
    """A worker's last message: the task would fail the next time too."""

    reason: str


LOCKS = ".attempts"
"""Folder in a study's folder with a file for each task, locked while the task is trained, where executors need that."""


class Executor(Protocol):
    """Somewhere to train batches: processes of this machine (see local_pool.py), or a cluster (see ray_executor.py).

    A study's folder, its tables and its report are the same whichever it is.
    """

    workers: int
    """Batches that it trains at a time; known after `check`."""

    def check(self, study: Study) -> None:
        """Get ready; ValueError if a study cannot be trained here. Nothing of the study exists yet."""
        ...

    def run(self, tasks: Sequence[Task]) -> Iterator[Event]:
        """Do all the tasks; yields an event for every logging step, every note and every end.

        Raises `Stopped` after `stop` has been called, and OSError when a worker could not write.
        """
        ...

    def stop(self) -> None:
        """Let all workers save and stop; `run` raises `Stopped` when they have, or when their time is over."""
        ...

    def kill(self) -> None:
        """End all workers at once."""
        ...

    @property
    def is_idle(self) -> bool:
        """Whether no worker is running."""
        ...

    def close(self) -> None:
        """Give back what `check` has taken, once all is done."""
        ...
