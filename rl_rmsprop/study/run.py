"""Runs a study from its description; `rl_rmsprop.compare` is the short way, from numbers and rules.

    study = Study(folder, env_ids, agents, arms, seeds, TrainingOptions(steps=100_000))
    results = run_study(study)                     trains what is not finished; the same call again resumes
    results.arms[0].mean_return, results.failures        the results; the report is in folder/report/

A script must call it under `if __name__ == "__main__":`, since worker processes import the file that started them.

Nothing here knows the command line. The executor decides where batches are trained, the observer shows progress, and the sinks
take scalars besides the tables.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rl_rmsprop.storage import atomic
from rl_rmsprop.study import report
from rl_rmsprop.study.execution.executor import Executor
from rl_rmsprop.study.execution.local_pool import Pool, default_workers
from rl_rmsprop.study.execution.observer import Observer
from rl_rmsprop.study.execution.pipeline import train_study
from rl_rmsprop.study.execution.slurm_executor import SlurmExecutor, take_over
from rl_rmsprop.study.report.aggregates import LiveAggregates
from rl_rmsprop.study.report.settings import ReportSettings, make_settings, save_settings
from rl_rmsprop.study.results.runs import ArmResults, load_results
from rl_rmsprop.study.spec.names import STUDY_FILE
from rl_rmsprop.study.spec.study import Study, load_study
from rl_rmsprop.study.training.tensorboard_sink import DEFAULT_SINKS
from rl_rmsprop.telemetry.sinks import SinkFactory

IfExists = Literal["resume", "refuse", "replace"]


@dataclass(frozen=True)
class StudyResults:
    """The results of a study."""

    study: Study
    """The study, with the settings that tuning, matching and finished arms have chosen."""
    arms: list[ArmResults]
    """The runs of every arm in every environment, in the study's order."""
    report: report.Report | None
    """Findings and tables; None if no run finished."""
    failures: list[str]
    """A line for everything that failed."""


def run_study(
    study: Study,
    executor: Executor | None = None,
    sinks: Sequence[SinkFactory] = DEFAULT_SINKS,
    observer: Observer | None = None,
    *,
    settings: ReportSettings | None = None,
    if_exists: IfExists = "resume",
) -> StudyResults:
    """Train every run of a study that is not finished, write its report, and return the results.

    Args:
        study: what to train. A folder that holds the same study already is resumed, bit for bit on the CPU.
        executor: where batches are trained; a process for each core of this machine by default.
        sinks: where the scalars of every run go beside its tables, by default to a TensorBoard event file.
        observer: shows progress; nothing by default.
        settings: how the report compares; by default as before, or the defaults.
        if_exists: what to do where the folder holds a study already: `resume` it, if it is the same, `refuse`, or `replace` it.

    Raises:
        ValueError: for environments, devices or sizes that are not possible here, and for a folder that is in use, or holds
            another study or other files; nothing is changed then.
        Stopped: if the executor was stopped; what is under way is saved.
        OSError: if a worker could not write.
    """
    executor, observer = executor or Pool(default_workers()), observer or Observer()
    study.check_environments()
    study.check_machine()
    executor.check(study)
    begins = prepare_folder(study, if_exists)
    with locked(study.folder):
        observer.started(study.folder)
        if begins:
            study = study.cut_for(executor.workers)
            study.save()
            save_settings(settings or make_settings(study), study.folder)
        else:
            study = load_study(study.folder)
            if settings is not None:
                save_settings(settings, study.folder)
            if not isinstance(executor, SlurmExecutor):
                take_over(study.folder, observer.message)
        return _train(study, executor, sinks, observer)


def resume_study(
    folder: Path,
    executor: Executor | None = None,
    sinks: Sequence[SinkFactory] = DEFAULT_SINKS,
    observer: Observer | None = None,
) -> StudyResults:
    """Continue the study that a folder holds; see `run_study`. ValueError if it holds none."""
    return run_study(load_study(folder), executor, sinks, observer)


def _train(study: Study, executor: Executor, sinks: Sequence[SinkFactory], observer: Observer) -> StudyResults:
    """Train and report; the study's folder is locked."""
    observers = LiveAggregates(study, observer) if len(study.seeds) > 1 else observer
    study, failures = train_study(study, executor, sinks, observers)
    try:
        summary = report.write_report(study)
    except report.NothingFinished:  # the failures say why
        summary = None
    return StudyResults(study, load_results(study), summary, failures)


# The folder -----------------------------------------------------------------------------------------------------------------


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep others from training in the folder; ValueError if someone does.

    Its own workers share the lock: when the driver is killed, the next one waits until the last of them has noticed.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(atomic.Lock(folder, patience=3.0)).share()
        except BlockingIOError:
            raise ValueError(f"{folder} is in use: another process trains in it; wait until it has ended, or stop it") from None
        yield


def prepare_folder(study: Study, if_exists: IfExists) -> bool:
    """Make room for a study; returns whether it begins there. ValueError if the folder holds something that must not be lost."""
    folder = study.folder
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise ValueError(f"{existing} is not a folder: choose another --out")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ValueError(f"{existing} must be a folder that you may write to, and is not: choose another --out")
    if all(path.name.endswith(atomic.PART) for path in (folder.iterdir() if folder.exists() else ())):
        atomic.disk.make_folder(folder)  # which holds nothing, or what is left of a study that was killed before it had begun
        return True
    if not (folder / STUDY_FILE).is_file():
        raise ValueError(f"{folder} holds files that are not a study's: choose another --out")
    if if_exists == "replace":
        with locked(folder):
            take_over(folder, lambda line: None)
            for path in folder.iterdir():
                atomic.disk.remove(path)
        return True
    if if_exists == "refuse":
        again = f"rl-rmsprop resume {shlex.quote(str(folder))}"
        raise ValueError(f"{folder} holds a study already: choose another --out, resume it ({again}), or --overwrite it")
    if not load_study(folder).is_same(study):
        raise ValueError(f"{folder} holds another study: choose another folder, or replace it")
    return False
