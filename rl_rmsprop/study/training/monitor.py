"""Between a batch at work and whoever watches it: how far it is, when to save, whether to stop."""

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


class Note(NamedTuple):
    """Something that a reader should know, in a line."""

    text: str


class Stopped(Exception):
    """The work was told to stop; what it has saved can be taken up."""


class Monitor:
    """What a batch is given: it tells its progress, and asks now and then what to do."""

    def __init__(self, send: Callable[[Progress | Note], None], every: float = float("inf")) -> None:
        """`send` takes news; a checkpoint is due every so many seconds."""
        self.report: Callable[[Progress], None] = send
        self._send, self._every = send, every
        self._last = time.monotonic()
        self.stopping = False
        """Whether to save and raise `Stopped`."""

    def note(self, text: str) -> None:
        """Say something that is not progress."""
        self._send(Note(text))

    def is_due(self) -> bool:
        """Whether to save now; the next time is counted from here on."""
        now = time.monotonic()
        if not self.stopping and now - self._last < self._every:
            return False
        self._last = now
        return True


UNWATCHED = Monitor(lambda news: None)
"""Nobody listens, nothing is saved."""
