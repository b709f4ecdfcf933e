"""What `train`, `compare` and `resume` do with a study: its folder, its runs, its report."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rl_rmsprop.cli.options import ReportOptions, RunOptions, WorkerOptions
from rl_rmsprop.cli.output import announce, console

SOME_FAILED, IO_FAILED, STOPPED = 3, 74, 75


def run_study(study: Any, run: RunOptions, workers: WorkerOptions, compared: ReportOptions) -> int:
    """Make room, run everything, write the report, say what came out."""
    from rl_rmsprop.study import report
    from rl_rmsprop.study.execution import local_pool, memory_estimate

    workers.check()
    study.check_device()
    memory_estimate.check(study, workers.workers or local_pool.default_workers())
    reported = report.make_settings(study, **vars(compared))
    prepare_folder(study.folder, run.overwrite)
    with locked(study.folder):
        study = study.cut_for(workers.workers or local_pool.default_workers())
        study.save()
        report.save_settings(reported, study.folder)
        sizes = ((study.arms, "arm"), (study.env_ids, "environment"), (study.seeds, "seed"))
        what = " × ".join(f"{len(things)} {name}{'s' * (len(things) > 1)}" for things, name in sizes)
        console().print(f"{what} → {study.folder}", soft_wrap=True)
        return go_on(study, workers)


def go_on(study: Any, workers: WorkerOptions) -> int:
    """Train what is not finished, write the report, say what came out; the study's folder is locked."""
    from rl_rmsprop.cli.views import progress
    from rl_rmsprop.study import report
    from rl_rmsprop.study.execution import interrupts, local_pool, pipeline
    from rl_rmsprop.study.training import monitor

    pool = local_pool.Pool(workers.workers or local_pool.default_workers(), workers.checkpoint_every)
    again = f"rl-rmsprop resume {shlex.quote(str(study.folder))}"
    try:
        with interrupts.interruptible(pool):
            study, failures = pipeline.conduct(study, pool, progress.ProgressView(console()))
            for failure in failures:
                print(failure, file=sys.stderr)
            try:
                announce(study, report.write_report(study))
            except report.NothingFinished:  # the failures above say why
                console().print("no run finished")
    except monitor.Stopped:
        print(f"stopped; to go on: {again}", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:
        raise
    except OSError as error:
        print(f"error: {error.strerror or error}: {error.filename or ''}; when that is mended: {again}", file=sys.stderr)
        return IO_FAILED
    return SOME_FAILED if failures else 0


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep others from training in the folder; ValueError if someone does.

    Its own workers share the lock: when the driver is killed, the next one waits until the last of them has noticed.
    """
    from rl_rmsprop.storage import atomic

    with ExitStack() as stack:
        try:
            stack.enter_context(atomic.Lock(folder, patience=3.0)).share()
        except BlockingIOError:
            raise ValueError(f"{folder} is in use: another process trains in it; wait until it has ended, or stop it") from None
        yield


def prepare_folder(folder: Path, overwrite: bool) -> None:
    """Make room for a study; ValueError if the folder holds something that must not be lost."""
    from rl_rmsprop.storage import atomic

    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise ValueError(f"{there} is not a folder: choose another --out")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"{there} must be a folder that you may write to, and is not: choose another --out")
    atomic.disk.make_folder(folder)
    if all(path.name.endswith(atomic.PART) for path in folder.iterdir()):  # of a study that was killed before it had begun
        return
    if not (folder / "study.json").is_file():
        raise ValueError(f"{folder} holds files that are not a study's: choose another --out")
    if not overwrite:
        again = f"rl-rmsprop resume {shlex.quote(str(folder))}"
        raise ValueError(
            f"{folder} holds a study already: choose another --out, go on with it ({again}), or --overwrite to replace it"
        )
    with locked(folder):
        for path in folder.iterdir():
            atomic.disk.remove(path)
