"""What runs on the nodes of a Ray cluster: a look at the node, the inbox of a driver, and the training of one task.

    train(task) ── progress, notes, files ──▸ Inbox (an actor beside the driver) ──▸ driver
                ◂── whether to stop, files ──

Nothing here imports Ray: the driver makes tasks and an actor of it (see ray_executor.py), and calls into an actor come as
functions of a handle.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from envs.watch import every
from rl_rmsprop.storage import atomic
from rl_rmsprop.study.execution import parcels
from rl_rmsprop.study.execution.elsewhere import difference_between, only_attempt, versions_here
from rl_rmsprop.study.execution.executor import DiskFailed, Failed, Task, WorkerLost
from rl_rmsprop.study.execution.parcels import Listing, Piece, Sender
from rl_rmsprop.study.training.monitor import Monitor, Note, Stopped

LOOK_EVERY = 0.5
"""Seconds between two looks at whether to stop."""


class Node(NamedTuple):
    """What a node is to a study."""

    host: str
    versions: dict[str, str]
    """Of everything that can change a number."""
    processor: str
    """Its vector instructions, on which the last bits of torch depend."""
    shares_folder: bool
    """Whether it sees the study's folder."""


def look(probe: Path | None) -> Node:
    """Look at the node that this runs on; `probe` is a file in the study's folder."""
    from rl_rmsprop.study.spec.run_config import processor

    return Node(platform.node(), versions_here(), processor(), probe is not None and probe.is_file())


class Place(NamedTuple):
    """Where a task is trained."""

    directory: str
    """The driver's working directory."""
    path: tuple[str, ...]
    """Where the driver imports from."""
    versions: dict[str, str]
    """What a node must have."""
    shares: dict[str, bool]
    """Whether a node, by its id, sees the study's folder; those that come later are taken to see nothing."""


def train(
    task: Task, index: int, attempt: int, place: Place, shared: bool, checkpoint_every: float, inbox: Callable[..., Any]
) -> Any:
    """Make sure that a task is done; returns how it ended, see executor.py. `shared` is whether this node sees its folder.

    `inbox` calls a method of the driver's `Inbox` by its name and returns what it returns; with `wait=False` it returns at once.
    """
    import torch

    import envs
    from rl_rmsprop.study.execution.worker import outcome, return_freed_memory

    if difference := difference_between(place.versions, versions_here()):
        return Failed(f"{difference} on {platform.node()}")
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.path += [entry for entry in place.path if entry not in sys.path]

    def send(message: Any) -> None:
        return_freed_memory()
        inbox("send", index, attempt, message, wait=False)

    with workplace(task, index, place if shared else None, inbox) as (here, sender):
        refusals: list[Any] = []

        def deliver() -> None:
            if sender is not None and (refusal := undelivered(sender, here, index, attempt, inbox)) is not None:
                refusals.append(refusal)
                raise Stopped

        monitor = Monitor(send, checkpoint_every, saved=deliver)
        with envs.watching(lambda line: send(Note(f"{task.label}: {line}"))), stopping_when_told(monitor, inbox):
            result = outcome(here, monitor)
            if not refusals:
                with suppress(Stopped):
                    deliver()
    if isinstance(result, DiskFailed) and not shared:
        result = result._replace(file=f"{platform.node()}:{result.file}")
    return refusals[0] if refusals else result


@contextmanager
def workplace(task: Task, index: int, place: Place | None, inbox: Callable[..., Any]) -> Iterator[tuple[Task, Sender | None]]:
    """The task where its files are; a sender of them if they are in a scratch folder, with what an earlier attempt has left."""
    if place is not None:
        os.chdir(place.directory)
        with only_attempt(task, str(index)):
            yield task, None
        return
    scratch = Path(tempfile.mkdtemp(prefix="rl-rmsprop-"))
    try:
        here = task.moved(scratch / task.study_folder.name)
        here.study_folder.mkdir()
        left = inbox("listing", index)
        parcels.match(here.study_folder, here.outputs, left)
        for path in left.files:
            offset, complete = 0, False
            while not complete:
                piece: Piece = inbox("read", index, path, offset)
                parcels.write(here.study_folder, piece)
                offset, complete = offset + len(piece.data), piece.complete
        yield here, Sender(here.study_folder, here.outputs)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def stopping_when_told(monitor: Monitor, inbox: Callable[..., Any]) -> AbstractContextManager[None]:
    """Ask every now and then whether the study is to stop."""

    def ask() -> None:
        with suppress(BrokenPipeError):  # without the driver, Ray ends this process
            monitor.stopping = monitor.stopping or inbox("is_stopping")

    return every(LOOK_EVERY, ask)


def undelivered(sender: Sender, task: Task, index: int, attempt: int, inbox: Callable[..., Any]) -> Any:
    """Send what has changed; returns None, or how the task has ended because the driver does not take it."""
    present = parcels.listing(task.study_folder, task.outputs)
    for parcel in sender.parcels():
        if (refusal := inbox("write", index, attempt, parcel)) is not None:
            return refusal
    return inbox("match", index, attempt, present)


class Inbox:
    """Takes what workers send: messages for the driver, and files for the study's folder. It is a process beside the driver.

    Only the latest attempt at a task is listened to: a node that was thought dead may still be there.
    """

    def __init__(self, tasks: Sequence[Task], directory: str) -> None:
        """`directory` is the driver's working directory, from which relative paths go."""
        os.chdir(directory)
        self._tasks = tasks
        self._attempts = [-1] * len(tasks)
        self._messages: list[tuple[int, Any]] = []
        self._stopping = False

    def begin(self, index: int, attempt: int) -> None:
        """Listen to this attempt at a task, and to no earlier one."""
        self._attempts[index] = attempt

    def messages(self) -> list[tuple[int, Any]]:
        """What has come since the last time, with the place of each one's task."""
        messages, self._messages = self._messages, []
        return messages

    def stop(self) -> None:
        """Let all workers save and stop."""
        self._stopping = True

    # For workers:

    def is_stopping(self) -> bool:
        """Whether to save and stop."""
        return self._stopping

    def send(self, index: int, attempt: int, message: Any) -> None:
        """Progress or a note."""
        if attempt == self._attempts[index]:
            self._messages.append((index, message))

    def listing(self, index: int) -> Listing:
        """What a task has."""
        task = self._tasks[index]
        return parcels.listing(task.study_folder, task.outputs)

    def read(self, index: int, path: str, offset: int) -> Piece:
        """A piece of one of them."""
        return next(parcels.pieces(self._tasks[index].study_folder, path, offset))

    def write(self, index: int, attempt: int, parcel: Sequence[Piece]) -> Any:
        """Put pieces of files in their places; returns None, or how the task has ended if that cannot be."""

        def change(task: Task) -> None:
            for piece in parcel:
                parcels.write(task.study_folder, piece)

        return self._change(index, attempt, change)

    def match(self, index: int, attempt: int, wanted: Listing) -> Any:
        """Make a task's folders, and remove what it has no more; returns None, or how the task has ended if that cannot be."""
        return self._change(index, attempt, lambda task: parcels.match(task.study_folder, task.outputs, wanted))

    def _change(self, index: int, attempt: int, change: Callable[[Task], None]) -> Any:
        if attempt != self._attempts[index]:
            return WorkerLost("a later attempt has taken its place")
        try:
            change(self._tasks[index])
        except atomic.Unwritable as error:
            return DiskFailed(error.errno or 0, str(error.strerror), str(error.filename))
        except atomic.Damaged as error:
            return WorkerLost(str(error))
        return None
