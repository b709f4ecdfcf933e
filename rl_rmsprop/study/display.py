"""Shows a study's progress: a bar on a terminal, a plain line now and then anywhere else."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from rl_rmsprop.study.report.analysis import Analysis
from rl_rmsprop.study.report.tables import terminal
from rl_rmsprop.study.runner import Event, Work

PLAIN_EVERY = 5.0  # seconds between plain lines
WIDE = 110  # characters; on a narrower terminal the numbers need the bar's place


class Watch:
    """What is known of all batches together."""

    def __init__(self, specs: Sequence[Work]) -> None:
        self.specs = specs
        self.total = sum(spec.total_steps for spec in specs)
        self.latest: dict[int, Event] = {}
        self.ended: set[int] = set()
        self._first: tuple[float, int] | None = None  # when steps were first heard of, and how many

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
        """Environment steps per second since the first that were heard of; none until there are more.

        Neither the steps of another day count nor the time of loading.
        """
        if self._first is None or self.steps == self._first[1]:
            return None
        return (self.steps - self._first[1]) / (time.perf_counter() - self._first[0])

    def line(self, event: Event) -> str:
        """Rate, return, β and alarms of the batch that spoke last."""
        said = [] if self.rate is None else [f"{self.rate:,.0f} steps/s"]
        if event.batch in self.latest and (progress := self.latest[event.batch].progress):
            earned = "–" if math.isnan(progress.episode_return) else f"{progress.episode_return:.1f}"
            beta = "" if math.isnan(progress.beta) else f", β {progress.beta:.3f}, alarms {progress.alarms:.0f}"
            said.append(f"{self.specs[event.batch].arm.rule}: return {earned}{beta}")
        return " · ".join(said)


def follow(events: Iterable[Event], specs: Sequence[Work], console: Console) -> list[str]:
    """Consume a study's events and show them; returns a line for every failed run."""
    watch, failures = Watch(specs), []
    with shower(watch, console) as show:
        for event in events:
            watch.take(event)
            if event.note is not None:
                console.print(event.note, soft_wrap=True, markup=False)
            if event.error is not None:
                failures += [f"failed: {part}: {event.error}" for part in specs[event.batch].parts]
            failures += [f"failed: {line}" for line in event.failures]
            show(event)
    return failures


@contextmanager
def shower(watch: Watch, console: Console) -> Iterator:
    """A function that shows one event."""
    if not console.is_terminal:
        last = [0.0]

        def plain(event: Event) -> None:
            if time.perf_counter() - last[0] > PLAIN_EVERY:
                last[0] = time.perf_counter()
                left = [f"{(watch.total - watch.steps) / watch.rate:.0f} s left"] if watch.rate else []
                said = [f"{watch.steps / watch.total:4.0%}", *left, watch.line(event)]
                console.print(" · ".join([part for part in said if part]), soft_wrap=True)

        yield plain
        return
    columns = (
        *([BarColumn(bar_width=30)] if console.width >= WIDE else []),
        TextColumn("{task.percentage:3.0f} %", table_column=Column(no_wrap=True, min_width=5)),
        TimeRemainingColumn(table_column=Column(no_wrap=True, min_width=7)),
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("starting", total=watch.total)
        yield lambda event: bar.update(task, completed=watch.steps, description=watch.line(event))


def arms_table(analysis: Analysis) -> Table:
    """The table of arms for the terminal."""
    shown, table = Table(title=analysis.env_id, title_justify="left"), terminal(analysis)
    for i, name in enumerate(table.header):
        shown.add_column(name, justify="left" if i < table.words else "right", overflow="fold")
    for cells in table.rows:
        shown.add_row(*cells)
    return shown
