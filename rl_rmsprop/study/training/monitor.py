"""How a batch that trains reports its progress, and is told to save or to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple


class Progress(NamedTuple):
    """How far a batch is."""

    steps: int  # environment steps of all its runs together
    episode_return: float  # mean over runs of the mean of the last 100 episodes, NaN before the first
    beta: float  # mean over runs, NaN for baselines
    alarms: float  # of all runs so far
    phase: str = ""  # what the batch does, where it does not train


class Note(NamedTuple):
    """A line that a reader should see."""

    text: str


class Stopped(Exception):
    """The work was told to stop; it can be resumed from what it has saved."""


class Monitor:
    """What a batch reports to while it is trained, and what it asks whether to save or to stop."""

    def __init__(
        self,
        send: Callable[[Progress | Note], None],
        every: float = float("inf"),
        saved: Callable[[], None] = lambda: None,
    ) -> None:
        """`send` takes progress and notes; a checkpoint is due every so many seconds, never if that is infinite.

        `saved` is called after each checkpoint.
        """
        self.report: Callable[[Progress], None] = send
        self.saved = saved
        self._send, self._every = send, every
        self._last = time.monotonic()
        self.stopping = False
        """Whether to save and raise `Stopped`."""

    def save_soon(self) -> None:
        """Save at the next iteration, and train on."""
        self._last = -float("inf")

    @property
    def saves(self) -> bool:
        """Whether checkpoints are wanted at all."""
        return self._every < float("inf")

    def note(self, text: str) -> None:
        """Report something that is not progress."""
        self._send(Note(text))

    def is_due(self) -> bool:
        """Whether to save now; the next time is counted from here on."""
        now = time.monotonic()
        if not self.stopping and now - self._last < self._every:
            return False
        self._last = now
        return True

    def check(self) -> None:
        """Raise `Stopped` if the batch is to stop."""
        if self.stopping:
            raise Stopped


UNWATCHED = Monitor(lambda message: None)
"""Nobody watches, nothing is saved."""
