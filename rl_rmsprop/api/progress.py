"""How far a study is, shown where it was started: below a notebook's cell, as a bar in a terminal, as plain lines elsewhere."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from rl_rmsprop.cli.views.progress import ProgressState, ProgressView
from rl_rmsprop.study.execution.executor import Event, Task
from rl_rmsprop.study.execution.observer import Observer

EVERY = 0.5
"""Seconds between updates of a notebook's display."""


def view(title: str) -> Observer:
    """What shows a study's progress here; `title` is shown first."""
    if in_notebook():
        return NotebookView(title)
    width = None if sys.stderr.isatty() else 120
    return ProgressView(Console(stderr=True, highlight=False, markup=False, width=width), title)


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this process, so that output can be replaced."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel")


class NotebookView(Observer):
    """One display below the cell that is replaced as the study goes on: a bar and lines of text. It needs no widgets."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._lines: list[str] = []
        self._share, self._latest = 0.0, ""
        self._state: ProgressState | None = None
        self._display: Any = None  # IPython's handle
        self._last = 0.0

    def started(self, folder: Path) -> None:
        self._show()

    def message(self, text: str) -> None:
        self._lines.append(text)
        self._show()

    def begin(self, tasks: Sequence[Task]) -> None:
        self._state, self._share, self._latest = ProgressState(tasks), 0.0, "starting"
        self._show()

    def event(self, event: Event) -> None:
        state = self._state
        assert state is not None  # `begin` comes first
        state.take(event)
        self._share = state.steps / max(state.total, 1)
        left = [f"{(state.total - state.steps) / state.rate:.0f} s left"] if state.rate else []
        self._latest = " · ".join(part for part in (f"{self._share:.0%}", *left, state.line(event)) if part)
        if event.note is not None:
            self.message(event.note)
        elif time.perf_counter() - self._last > EVERY:
            self._show()

    def end(self) -> None:
        self._latest = f"{self._share:.0%}"
        self._show()

    def _show(self) -> None:
        from IPython.display import display  # there is one, where a kernel runs

        self._last = time.perf_counter()
        lines = [self._title, *self._lines, self._latest]
        bar = f'<progress max="1" value="{self._share:.4f}" style="width: 24em"></progress>'
        text = "".join(f"<div>{html.escape(line)}</div>" for line in lines if line)
        content = {"text/html": f"<div>{bar}{text}</div>", "text/plain": "\n".join(filter(None, lines))}
        if self._display is None:
            self._display = display(content, raw=True, display_id=True)
        else:
            self._display.update(content, raw=True)
