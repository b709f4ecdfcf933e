"""An observer of a study while it trains: progress bars, logs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rl_rmsprop.study.execution.executor import Event, Task


class Observer:
    """Told of everything, and says nothing; subclasses show what they like."""

    def started(self, folder: Path) -> None:
        """The study is accepted, and its folder is there."""

    def message(self, text: str) -> None:
        """One line about the study as a whole."""

    def begin(self, tasks: Sequence[Task]) -> None:
        """These tasks are about to be trained together."""

    def event(self, event: Event) -> None:
        """News of one of them, by its place among the tasks."""

    def end(self) -> None:
        """No more news of these tasks will come."""


SILENT = Observer()
"""Shows nothing."""
