"""Shows a study's progress: a bar on a terminal, a plain line now and then anywhere else."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from rl_rmsprop.study.execution.executor import Event, Task
from rl_rmsprop.study.execution.observer import Observer
from rl_rmsprop.study.report.analysis import Analysis
from rl_rmsprop.study.report.tables import terminal

PLAIN_EVERY = 5.0  # seconds between plain lines
WIDE = 110  # characters; on a narrower terminal the numbers need the bar's place


class ProgressState:
    """What is known of all batches together."""

    def __init__(self, specs: Sequence[Task]) -> None:
        self.specs = specs
        self.total = sum(spec.total_steps for spec in specs)
        self.latest: dict[int, Event] = {}
        self.ended: set[int] = set()
        self._first: tuple[float, int] | None = None  # time and steps of the first event with steps

    def take(self, event: Event) -> None:
        """Note one event."""
        if event.ended:
            self.ended.add(event.batch)
        if event.progress is not None:
            self.latest[event.batch] = event
        if self._first is None and self.steps:
            self._first = time.perf_counter(), self.steps

    @property
    def steps(self) -> int:
        """Environment steps done; a batch that has ended counts as a whole."""
        going = sum(e.progress.steps for b, e in self.latest.items() if b not in self.ended and e.progress)
        return going + sum(self.specs[b].total_steps for b in self.ended)

    @property
    def rate(self) -> float | None:
        """Environment steps per second since the first event with steps; None until there are more.

        Neither the steps before a resume count nor the time of loading.
        """
        if self._first is None or self.steps == self._first[1]:
            return None
        return (self.steps - self._first[1]) / (time.perf_counter() - self._first[0])

    def line(self, event: Event) -> str:
        """Rate, and phase, return, β and alarms of the batch that the event is from."""
        parts = [] if self.rate is None else [f"{self.rate:,.0f} steps/s"]
        if event.batch in self.latest and (progress := self.latest[event.batch].progress):
            earned = "–" if math.isnan(progress.episode_return) else f"{progress.episode_return:.1f}"
            beta = "" if math.isnan(progress.beta) else f", β {progress.beta:.3f}, alarms {progress.alarms:.0f}"
            parts += [progress.phase] if progress.phase else []
            parts.append(f"{self.specs[event.batch].arm.label}: return {earned}{beta}")
        return " · ".join(parts)


class ProgressView(Observer):
    """Shows a study on a console."""

    def __init__(self, console: Console, title: str = "") -> None:
        """`title` is shown when the study is accepted."""
        self._console, self._title = console, title
        self._bar: Progress | None = None

    def started(self, folder: Path) -> None:
        if self._title:
            self.message(self._title)

    def message(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, markup=False)

    def begin(self, tasks: Sequence[Task]) -> None:
        self._state, self._last = ProgressState(tasks), 0.0
        if self._console.is_terminal:
            self._bar = progress_bar(self._console)
            self._bar.start()
            self._task = self._bar.add_task("starting", total=self._state.total)

    def event(self, event: Event) -> None:
        state = self._state
        state.take(event)
        if event.note is not None:
            self.message(event.note)
        if self._bar is not None:
            self._bar.update(self._task, completed=state.steps, description=state.line(event))
        elif time.perf_counter() - self._last > PLAIN_EVERY:
            self._last = time.perf_counter()
            left = [f"{(state.total - state.steps) / state.rate:.0f} s left"] if state.rate else []
            parts = [f"{state.steps / state.total:4.0%}", *left, state.line(event)]
            self._console.print(" · ".join([part for part in parts if part]), soft_wrap=True)

    def end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def progress_bar(console: Console) -> Progress:
    """A bar with the time that is left and a line of text; without the bar itself on a narrow terminal."""
    columns = (
        *([BarColumn(bar_width=30)] if console.width >= WIDE else []),
        TextColumn("{task.percentage:3.0f} %", table_column=Column(no_wrap=True, min_width=5)),
        TimeRemainingColumn(table_column=Column(no_wrap=True, min_width=7)),
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
    )
    return Progress(*columns, console=console)


def arms_table(analysis: Analysis) -> Table:
    """The table of arms for the terminal."""
    title = f"{analysis.env_id} · {analysis.updates:,} optimizer updates per run"
    view, table = Table(title=title, title_justify="left"), terminal(analysis)
    for i, name in enumerate(table.header):
        view.add_column(name, justify="left" if i < table.words else "right", overflow="fold")
    for cells in table.rows:
        view.add_row(*cells)
    return view
