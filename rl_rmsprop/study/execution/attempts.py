"""The tasks of a study that have not ended: which is next, and what follows from how a worker ended.

    a worker ends by                       the task                            and then
    its own end                            has finished                        –
    an exception, sys.exit                 has failed: it would fail again     the others continue
    a signal, no memory, its node's death  is lost                             it starts again from its checkpoint, RETRIES times
    a disk that is full …                  –                                   all stop, and OSError tells why

Every executor starts and ends its tasks by this.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from rl_rmsprop.study.execution.executor import DiskFailed, Ended, Event, Task, WorkerLost
from rl_rmsprop.study.training.monitor import Note, Progress

RETRIES = 2


class Attempts:
    """Which tasks wait, and how often each has been lost."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = tasks
        self._waiting = list(range(len(tasks)))[::-1]
        self._losses = [0] * len(tasks)

    @property
    def waiting(self) -> int:
        """How many have to be started."""
        return len(self._waiting)

    @property
    def next_up(self) -> int:
        """The place of the task that is to be started next."""
        return self._waiting[-1]

    def next(self) -> int:
        """The place of the task that is to be started now."""
        return self._waiting.pop()

    def take(self, indices: Collection[int]) -> None:
        """Let these tasks wait no more: somebody does them already."""
        self._waiting = [index for index in self._waiting if index not in indices]

    def number(self, index: int) -> int:
        """Which attempt at a task this is, from 0."""
        return self._losses[index]

    def ended(self, index: int, message: Any, stopping: bool) -> Event | None:
        """The event that a worker's last message is, if it is one; OSError if its disk has failed.

        A task that is lost waits again, unless the study is `stopping`: then that was what it was to do.
        """
        if isinstance(message, DiskFailed):
            raise OSError(*message)
        if isinstance(message, WorkerLost) and stopping:
            return None
        if isinstance(message, WorkerLost) and self._losses[index] < RETRIES:
            self._losses[index] += 1
            self._waiting.append(index)
            return Event(index, note=f"{self._tasks[index].label}: {message.reason}; started again")
        return event_of(index, message)


def event_of(index: int, message: Any) -> Event:
    """A worker's message as an event of its batch."""
    if isinstance(message, Progress):
        return Event(index, progress=message)
    if isinstance(message, Note):
        return Event(index, note=message.text)
    if isinstance(message, Ended):
        return Event(index, ended=True, failures=message.failures)
    return Event(index, ended=True, error=message.reason)
