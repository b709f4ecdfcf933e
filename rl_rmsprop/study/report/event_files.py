"""TensorBoard's event files made again from the tables, which are the truth: for runs whose files are missing or damaged.

Of what an event file holds the histograms are missing then: no table has them.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rl_rmsprop.study.results.runs import columns
from rl_rmsprop.study.spec.batch_spec import BatchSpec
from rl_rmsprop.study.spec.run_config import hparams, hparams_group
from rl_rmsprop.study.spec.run_files import EVENTS, METRICS, TIMING
from rl_rmsprop.study.spec.study import Study
from rl_rmsprop.telemetry import tags, tensorboard
from rl_rmsprop.telemetry.event_file import EventFile

SPEED = "time/steps_per_second"


class Curves(NamedTuple):
    """What an event file of one run is made of."""

    spec: BatchSpec
    folder: Path
    columns: dict[str, NDArray[np.float64]]
    """Tag → values, and `step`."""


def read(study: Study, all_of_them: bool) -> list[Curves]:
    """The curves of runs that have no event files, or of all runs; ValueError for tables that are not whole."""
    return [
        Curves(spec, folder, columns_of(folder))
        for spec in study.batches()
        for folder in map(spec.run_folder, spec.seeds)
        if (folder / METRICS).is_file() and (all_of_them or not any(folder.glob(EVENTS)))
    ]


def columns_of(folder: Path) -> dict[str, NDArray[np.float64]]:
    """What the tables of one run say; ValueError if they are not whole."""
    metrics = columns(folder / METRICS, ("step", *tags.TAGS))
    speed = columns(folder / TIMING, (SPEED,))[SPEED]
    if len(speed) != len(metrics["step"]):
        raise ValueError(f"{folder / 'timing.csv'} must have as many rows as metrics.csv, got {len(speed)}: train the run again")
    return metrics | {SPEED: speed}


def write(run: Curves) -> None:
    """Replace the event file of one run by what its tables say."""
    spec, folder = run.spec, run.folder
    curves = dict(run.columns)
    steps = curves.pop("step").astype(int).tolist()
    for old in folder.glob(EVENTS):
        old.unlink()
    events = EventFile(folder)
    for summary in tensorboard.preamble(hparams(spec), hparams_group(spec), spec.aggregated, bool(spec.options.shift)):
        events.add(0, summary)
    for step, *values in zip(steps, *(column.tolist() for column in curves.values()), strict=True):
        events.add(step, tensorboard.scalars(dict(zip(curves, values, strict=True))))
    events.close()
