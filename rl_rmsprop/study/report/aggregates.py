"""The arms in TensorBoard: event files with the IQM over seeds of each charted tag and the ends of its interval."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rl_rmsprop.storage.atomic import env_folder
from rl_rmsprop.study.results.runs import ArmResults
from rl_rmsprop.telemetry import tags, tensorboard
from rl_rmsprop.telemetry.tensorboard import EventFile


def write_aggregates(folder: Path, results: Sequence[ArmResults], shifting: bool) -> None:
    """One event file an arm, in `<env>/_agg/<arm>` of the study's folder."""
    for result in results:
        arm_folder = folder / env_folder(result.env_id) / "_agg" / result.arm.name
        shutil.rmtree(arm_folder, ignore_errors=True)
        arm_folder.mkdir(parents=True)
        events = EventFile(arm_folder)
        events.add(0, tensorboard.layout(aggregates=True, shifting=shifting))
        for tag in tags.CHARTS.values():
            curve = result.curve(tag) if tag in tags.TAGS else None
            if curve is None:
                continue
            shown = [np.log10(x) for x in curve[1]] if tag in tags.LOGARITHMIC else curve[1]
            for step, *values in zip(curve[0].astype(int).tolist(), *(x.tolist() for x in shown), strict=True):
                names = [tensorboard.aggregate_tag(tag, part) for part in ("iqm", "low", "high")]
                events.add(step, tensorboard.scalars(dict(zip(names, values, strict=True))))
        events.close()
