"""Trains a study from a script or a notebook: what the command line does in a process of its own.

Two things differ there. Workers do not import the script that called, which may have no guard and would train anew in each of
them. And the process lives on after a signal: the first one saves and raises KeyboardInterrupt, the second one does not wait.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import NoReturn

import gymnasium as gym

import envs
from rl_rmsprop.api.progress import view
from rl_rmsprop.cli.compare import Compare
from rl_rmsprop.cli.options import ReportOptions, WorkerOptions
from rl_rmsprop.cli.running import executor_of, title_of
from rl_rmsprop.study import report
from rl_rmsprop.study.execution.executor import Executor
from rl_rmsprop.study.execution.observer import Observer
from rl_rmsprop.study.run import StudyResults, run_study
from rl_rmsprop.study.spec.study import Study, load_study
from rl_rmsprop.study.training.monitor import Stopped


def begin(study: Study, options: Compare, progress: bool) -> StudyResults:
    """Train a study, or what is left of it if its folder holds it already; the report's options replace those of before."""
    settings = report.make_settings(study, **vars(options.report))
    chosen = settings if options.report != ReportOptions() else None
    overwrite = options.run.overwrite
    return train(
        study,
        options.workers,
        progress,
        lambda executor, observer: run_study(
            study, executor, observer=observer, settings=chosen, if_exists="replace" if overwrite else "resume"
        ),
    )


def resume(folder: Path, workers: WorkerOptions, progress: bool) -> StudyResults:
    """Train what is left of the study in a folder."""
    study = load_study(folder)
    return train(study, workers, progress, lambda executor, observer: run_study(study, executor, observer=observer))


def train(
    study: Study, workers: WorkerOptions, progress: bool, training: Callable[[Executor, Observer], StudyResults]
) -> StudyResults:
    """Train in workers that do not import the caller's script."""
    check_environments_of_workers(study.env_ids, study.options.wrapper)
    observer = view(title_of(study)) if progress else Observer()
    signals: list[int] = []
    try:
        with executor_of(workers, imports_main=False, end=at_once) as (executor, signals):
            results = training(executor, observer)
    except Stopped:
        if signal.SIGTERM in signals:
            signal.raise_signal(signal.SIGTERM)  # whoever sent it wants the process to end, and all is saved
        again = f"the same call, or rl_rmsprop.load({str(study.folder)!r}).resume(), continues"
        raise KeyboardInterrupt(f"stopped, and what was under way is saved: {again}") from None
    for failure in results.failures:
        observer.message(failure)
    return results


def at_once(code: int) -> NoReturn:
    """What a second signal does."""
    raise KeyboardInterrupt("stopped at once: what was under way continues from its last checkpoint")


# Environments that workers know ---------------------------------------------------------------------------------------------


def check_environments_of_workers(env_ids: Sequence[str], wrappers: Sequence[str]) -> None:
    """ValueError for an environment or wrapper that only this process knows, because its script or notebook has defined it."""
    for name in (*envs.modules_of(env_ids), *(wrapper.partition(":")[0] for wrapper in wrappers)):
        if name == "__main__":
            raise ValueError(
                "environments and wrappers must be in a module, got some of __main__: put them into a file of theirs"
            )
    known = {"gymnasium", "envs", *plugins()}
    for env_id in env_ids:
        module = "" if ":" in env_id else module_of(env_id)
        if module and module.partition(".")[0] not in known:
            where = "a file of its own" if module == "__main__" else f"which {module.partition('.')[0]} may be"
            raise ValueError(
                f"environment {env_id} must be known to worker processes, which do not run this script: name the module that "
                f"registers it, {where}, as in env='MODULE:{env_id}'"
            )


def plugins() -> set[str]:
    """Packages whose environments Gymnasium registers by itself."""
    return {entry.module.partition(".")[0] for entry in metadata.entry_points(group="gymnasium.envs")}


def module_of(env_id: str) -> str:
    """The module that an environment's code is in; empty if that is not known."""
    entry_point = gym.spec(env_id).entry_point
    if isinstance(entry_point, str):
        return entry_point.partition(":")[0]
    return getattr(entry_point, "__module__", "") or ""
