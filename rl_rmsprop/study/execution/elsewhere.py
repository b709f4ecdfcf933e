"""What must hold where a batch is trained on another machine than its driver's: the same versions, and one attempt at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rl_rmsprop.storage import atomic
from rl_rmsprop.study.execution.executor import LOCKS, Task

FORMER_ATTEMPT = 60.0
"""Seconds that an attempt waits until the one before, on a node that is lost, has ended."""


def versions_here() -> dict[str, str]:
    """Of everything that can change a number, in this process."""
    from rl_rmsprop.native import library
    from rl_rmsprop.study.spec.run_config import source_hash, versions

    return {**versions(), "source": source_hash(), "compiled kernel": "none" if library.load() is None else "yes"}


def difference_between(driver: dict[str, str], node: dict[str, str]) -> str:
    """What a node has in another version than the driver; empty if nothing.

    >>> difference_between({"torch": "2.13.0"}, {"torch": "2.12.1"})
    'torch must be the same on all nodes, is 2.13.0 here and 2.12.1'
    """
    for name, version in driver.items():
        if (there := node.get(name)) != version:
            return f"{name} must be the same on all nodes, is {version} here and {there}"
    return ""


@contextmanager
def only_attempt(task: Task, name: str) -> Iterator[None]:
    """Wait until an earlier attempt at the task has ended, which a node may not know yet that was lost.

    BlockingIOError if it does not end. `name` is that of the task's file among the locks of the study.
    """
    lock = task.study_folder / LOCKS / name
    lock.parent.mkdir(exist_ok=True)
    lock.touch()
    with atomic.Lock(lock, patience=FORMER_ATTEMPT):
        yield
