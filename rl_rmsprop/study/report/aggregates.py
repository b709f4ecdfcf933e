"""The arms in TensorBoard: a run `_agg/<arm>` for each, with the IQM over seeds of each charted tag and the ends of its interval.

One run an arm, whatever the number of environments, so that TensorBoard gives an arm one colour; and these runs come first in its
order, so that the colours are the report's (see plotting.py). `LiveAggregates` writes them while a study trains,
`write_aggregates` when it is finished.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.summary_pb2 import Summary

from rl_rmsprop.study.execution.executor import Event, Task
from rl_rmsprop.study.execution.observer import Observer
from rl_rmsprop.study.results.runs import ArmResults, Run
from rl_rmsprop.study.results.scores import Episodes
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.batch_spec import BatchSpec
from rl_rmsprop.study.spec.run_files import ERROR, METRICS
from rl_rmsprop.study.spec.study import Study
from rl_rmsprop.study.statistics.intervals import Interval
from rl_rmsprop.telemetry import csv_table, tags, tensorboard
from rl_rmsprop.telemetry.event_file import replace_events
from rl_rmsprop.telemetry.tensorboard import PARTS, aggregate_tag

FOLDER = "_agg"
"""In the study's folder: a folder an arm."""
TAGS = tuple(tag for tag in tags.CHARTS.values() if tag in tags.TAGS)
"""What is aggregated."""
POINTS, RESAMPLES = 80, 300
"""Of a curve while the study trains, when it is drawn often."""
SPARING = 50

Curve = tuple[NDArray[np.float64], Interval]
"""Steps [K], and what the tag was there over the seeds."""


def run_folder(study: Study, arm: Arm) -> Path:
    """Where the aggregates of an arm are; the folder's name is what TensorBoard calls the run."""
    return study.folder / FOLDER / (arm.label if arm.is_fixed else arm.name)


def write_aggregates(study: Study, results: Sequence[ArmResults]) -> None:
    """The arms of a study from the runs that have finished."""
    for arm in study.arms:
        curves = {(r.env_id, tag): curve for r in results if r.arm == arm for tag in TAGS if (curve := r.curve(tag)) is not None}
        write(study, arm, curves)


def write(study: Study, arm: Arm, curves: dict[tuple[str, str], Curve]) -> None:
    """The event file of one arm, from its curves by environment and tag."""
    summaries = [(0, tensorboard.layout(bool(study.options.shift), study.env_ids))]
    for (env_id, tag), curve in curves.items():
        summaries += points(env_id, tag, curve)
    replace_events(run_folder(study, arm), summaries, rank=study.arms.index(arm) + 1)


def points(env_id: str, tag: str, curve: Curve) -> Iterator[tuple[int, Summary]]:
    """A curve as summaries, by its decimal logarithm where its chart is, without what has none: a step size of 0, say."""
    steps, interval = curve
    parts = [np.log10(np.where(x > 0, x, np.nan)) for x in interval] if tag in tags.LOGARITHMIC else interval
    names = [aggregate_tag(env_id, tag, part) for part in PARTS]
    for step, *values in zip(steps.astype(int).tolist(), *(x.tolist() for x in parts), strict=True):
        entries = zip(names, values, strict=True)
        yield step, Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in entries if value == value])


# While it trains ------------------------------------------------------------------------------------------------------------


class FileVersion(NamedTuple):
    """What a table was like when it was last read."""

    size: int
    modified: int


State = dict[str, list[FileVersion]]
"""Text of an arm → the tables that its aggregates were made of."""


def refresh(study: Study, state: State) -> None:
    """Write the aggregates of those arms whose runs have new rows since the last call with the same `state`, which it changes.

    Runs may be at any place of their training, and their tables in the middle of a row. An arm that cannot be read or written
    now is left as it is.
    """
    for arm in study.arms:
        batches = study.batches([arm])
        tables = [spec.run_folder(seed) / METRICS for spec in batches for seed in spec.seeds]
        try:
            versions = [FileVersion(s.st_size, s.st_mtime_ns) for path in tables if path.is_file() for s in [path.stat()]]
            if versions != state.get(arm.text, []):
                write(study, arm, curves_so_far(batches))
                state[arm.text] = versions
        except (OSError, ValueError):
            continue


def curves_so_far(batches: Sequence[BatchSpec]) -> dict[tuple[str, str], Curve]:
    """The curves of an arm's batches by environment and tag, as far as they are."""
    curves: dict[tuple[str, str], Curve] = {}
    for env_id in dict.fromkeys(spec.env_id for spec in batches):
        runs = [run for spec in batches if spec.env_id == env_id for run in runs_so_far(spec)]
        furthest = max((run.end for run in runs), default=0.0)
        runs = [run for run in runs if run.end >= furthest / 2]  # a batch that begins late joins when it has caught up
        arm = ArmResults(env_id, batches[0].arm, tuple(runs))
        curves |= {(env_id, tag): curve for tag in TAGS if (curve := arm.aggregate(tag, POINTS, RESAMPLES)) is not None}
    return curves


def runs_so_far(spec: BatchSpec) -> list[Run]:
    """The runs of a batch that have begun and not failed, with the curves that they have so far."""
    folders = {seed: spec.run_folder(seed) for seed in spec.seeds}
    active = {seed: folder for seed, folder in folders.items() if (folder / METRICS).is_file() and not (folder / ERROR).is_file()}
    tables = {seed: csv_table.read_growing(folder / METRICS, ("step", *TAGS)) for seed, folder in active.items()}
    return [Run(seed, table, {}, NO_EPISODES) for seed, table in tables.items() if len(table["step"])]


NO_EPISODES = Episodes(np.empty(0), np.empty(0), np.empty(0))


class LiveAggregates(Observer):
    """Refreshes the arms of a study in TensorBoard while it trains, and passes every event on to another observer.

    At most one part in `SPARING` of the time goes into it.
    """

    def __init__(self, study: Study, observer: Observer, every: float = 10.0) -> None:
        """Refresh every so many seconds, or less often where that takes long."""
        self._study, self._observer, self._every = study, observer, every
        self._state: State = {}
        self._due = 0.0

    def started(self, folder: Path) -> None:
        self._observer.started(folder)

    def message(self, text: str) -> None:
        self._observer.message(text)

    def begin(self, tasks: Sequence[Task]) -> None:
        self._observer.begin(tasks)

    def event(self, event: Event) -> None:
        self._observer.event(event)
        begin = time.monotonic()
        if begin >= self._due:
            refresh(self._study, self._state)
            end = time.monotonic()
            self._due = end + max(self._every, SPARING * (end - begin))

    def end(self) -> None:
        self._observer.end()
