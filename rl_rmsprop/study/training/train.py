"""Trains a batch from its spec to its folders of results, in one go or in pieces.

begin, or resume the last whole checkpoint → train, saving now and then → save once more → evaluate → finished
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import envs
from rl_rmsprop.storage import checkpoint
from rl_rmsprop.storage.atomic import Damaged
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.batch_spec import BatchSpec
from rl_rmsprop.study.spec.run_config import commit
from rl_rmsprop.study.spec.run_files import ERROR
from rl_rmsprop.study.training.batch import Batch
from rl_rmsprop.study.training.monitor import UNWATCHED, Monitor
from rl_rmsprop.study.training.origin import check_origin, origin
from rl_rmsprop.study.training.tensorboard_sink import DEFAULT_SINKS
from rl_rmsprop.telemetry.sinks import SinkFactory


@dataclass(frozen=True)
class BatchTask:
    """A batch as something to be trained, for an executor."""

    spec: BatchSpec
    sinks: tuple[SinkFactory, ...] = DEFAULT_SINKS

    @property
    def arm(self) -> Arm:
        return self.spec.arm

    @property
    def label(self) -> str:
        return self.spec.label

    @property
    def parts(self) -> list[str]:
        return [self.spec.run_label(seed) for seed in self.spec.seeds]

    @property
    def total_steps(self) -> int:
        return self.spec.total_steps

    @property
    def error_file(self) -> Path:
        return self.spec.run_folder(self.spec.seeds[0]) / ERROR

    @property
    def study_folder(self) -> Path:
        return self.spec.folder

    @property
    def outputs(self) -> list[Path]:
        return [*map(self.spec.run_folder, self.spec.seeds), self.spec.checkpoints]

    @property
    def reads_other_runs(self) -> bool:
        return self.spec.trained_arm.reads_other_runs

    def moved(self, folder: Path) -> BatchTask:
        return replace(self, spec=replace(self.spec, folder=folder))

    def run(self, monitor: Monitor) -> list[str]:
        """See `train_batch`."""
        envs.import_modules(self.spec.modules)
        return train_batch(self.spec, monitor, self.sinks)


def train_batch(spec: BatchSpec, monitor: Monitor = UNWATCHED, sinks: Sequence[SinkFactory] = DEFAULT_SINKS) -> list[str]:
    """Train, evaluate and write down all runs of `spec`, from the last checkpoint on if there is one.

    Tells `monitor` how far it is at every logging step, and saves a checkpoint when it says so. Raises `Stopped`, after a last
    checkpoint, if it says that too.

    Returns a line for each run that has failed (see agents/nonfinite.py): its folder has the reason in ERROR, and LAST_GOOD
    instead of the final weights. The others are not affected.
    """
    batch = resumed(spec, sinks, monitor) or Batch(spec, sinks)
    checkpoints = Checkpoints(spec, monitor)
    with batch.recorder:
        for update in batch.training:
            batch.log.take(update)
            batch.record_failures()
            if batch.recorder.take(update):
                monitor.report(batch.recorder.progress())
            if checkpoints.due(update.iteration):
                checkpoints.save(batch, update.iteration)
            monitor.check()
        failures = batch.finish(monitor)
    shutil.rmtree(spec.checkpoints, ignore_errors=True)
    return failures


class Checkpoints:
    """Saves a batch now and then, for as long as its environments can be saved."""

    def __init__(self, spec: BatchSpec, monitor: Monitor) -> None:
        self._spec, self._monitor, self._possible = spec, monitor, True

    def due(self, iteration: int) -> bool:
        """Whether to save after this iteration: when the monitor says so, and after the last one, before the evaluation."""
        if not self._possible:
            return False
        return self._monitor.is_due() or (iteration == self._spec.iterations and self._monitor.saves)

    def save(self, batch: Batch, iteration: int) -> None:
        """A checkpoint after this iteration; a note instead, once, if the environments cannot be saved."""
        try:
            tree = {"origin": origin(self._spec), "commit": commit(), **batch.snapshot()}
        except envs.NotReplayable as error:
            self._possible = False
            self._monitor.note(f"{self._spec.label}: {error} if they are interrupted")
            return
        checkpoint.save(self._spec.checkpoints, iteration, tree)
        self._monitor.saved()


def resumed(spec: BatchSpec, sinks: Sequence[SinkFactory], monitor: Monitor) -> Batch | None:
    """The batch at its last checkpoint that is whole and of the same study; None if it must start from the beginning."""
    has_started = False
    for saved in checkpoint.load(spec.checkpoints):
        has_started = True
        try:
            if isinstance(saved, Damaged):
                raise saved
            check_origin(spec, saved.get("origin"))
            batch = Batch(spec, sinks, saved)
        except (Damaged, envs.NotReplayable) as error:
            monitor.note(f"{spec.label}: {error}")
            continue
        if saved.get("commit") != commit():
            was, now = (str(x)[:12] for x in (saved.get("commit"), commit()))
            monitor.note(f"{spec.label}: resumes a checkpoint of source {was} with source {now}; what changed may change numbers")
        return batch
    if has_started:
        monitor.note(f"{spec.label}: starts again from its beginning")
        shutil.rmtree(spec.checkpoints, ignore_errors=True)
    return None
