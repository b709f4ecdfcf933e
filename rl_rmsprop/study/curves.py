"""TensorBoard's event files made again from the tables, which are the truth: for runs whose files are missing or damaged.

Of what an event file holds the histograms are missing then: no table has them.
"""

from __future__ import annotations

from pathlib import Path

from rl_rmsprop import telemetry
from rl_rmsprop.study.batch import BatchSpec, hparams, hparams_group
from rl_rmsprop.study.results import columns
from rl_rmsprop.study.spec import Study
from rl_rmsprop.telemetry import EventFile

PATTERN = "events.out.tfevents.*"
SPEED = "time/steps_per_second"


def rebuild(study: Study, all_of_them: bool) -> int:
    """Write the event files of runs that have none, or of all runs; returns of how many."""
    count = 0
    for spec in study.batches():
        for seed in spec.seeds:
            folder = spec.run_folder(seed)
            if (folder / "metrics.csv").is_file() and (all_of_them or not any(folder.glob(PATTERN))):
                rebuild_run(spec, folder)
                count += 1
    return count


def rebuild_run(spec: BatchSpec, folder: Path) -> None:
    """Replace the event file of one run by what its tables say; ValueError, with the old one kept, if they are not whole."""
    metrics = columns(folder / "metrics.csv", ("step", *telemetry.TAGS))
    speed = columns(folder / "timing.csv", (SPEED,))[SPEED]
    if len(speed) != len(metrics["step"]):
        raise ValueError(
            f"{folder / 'timing.csv'} must have as many rows as metrics.csv, and has {len(speed)}: train the run again"
        )
    curves = metrics | {SPEED: speed}
    steps = curves.pop("step").astype(int).tolist()
    for old in folder.glob(PATTERN):
        old.unlink()
    events = EventFile(folder)
    for summary in telemetry.preamble(hparams(spec), hparams_group(spec), spec.aggregated, bool(spec.shifts)):
        events.add(0, summary)
    for step, *values in zip(steps, *(column.tolist() for column in curves.values()), strict=True):
        events.add(step, telemetry.scalars(dict(zip(curves, values, strict=True))))
    events.close()
