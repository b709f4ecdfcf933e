"""What `train`, `compare` and `resume` do with a study, and the exit code that tells what came of it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from rl_rmsprop.cli.exit_codes import IO_FAILED, SOME_FAILED, STOPPED
from rl_rmsprop.cli.options import ReportOptions, WorkerOptions
from rl_rmsprop.cli.output import announce, console, reporting_hangs

if TYPE_CHECKING:
    from rl_rmsprop.study.execution.executor import Executor
    from rl_rmsprop.study.execution.observer import Observer
    from rl_rmsprop.study.run import StudyResults
    from rl_rmsprop.study.spec.study import Study


def begin(study: Study, overwrite: bool, workers: WorkerOptions, compared: ReportOptions) -> int:
    """Run a study in a folder of its own; ValueError for a folder that holds one already, unless it may be overwritten."""
    from rl_rmsprop.study import report, run

    workers.check()
    if workers.dry_run:
        return show_batches(study, workers)
    settings = report.make_settings(study, **vars(compared))
    if_exists: run.IfExists = "replace" if overwrite else "refuse"
    return follow(
        study,
        workers,
        title_of(study),
        lambda executor, observer: run.run_study(study, executor, observer=observer, settings=settings, if_exists=if_exists),
    )


def title_of(study: Study) -> str:
    """How large a study is and where it goes, in a line."""
    sizes = ((study.arms, "arm"), (study.env_ids, "environment"), (study.seeds, "seed"))
    what = " × ".join(f"{len(things)} {name}{'s' * (len(things) > 1)}" for things, name in sizes)
    return f"{what} → {study.folder}"


def resume(study: Study, workers: WorkerOptions) -> int:
    """Run what is left of a study."""
    from rl_rmsprop.study import run

    workers.check()
    if workers.dry_run:
        return show_batches(study, workers)
    return follow(study, workers, "", lambda executor, observer: run.run_study(study, executor, observer=observer))


def show_batches(study: Study, workers: WorkerOptions) -> int:
    """Print how the study would be cut into batches, and what Slurm would be given; returns the exit code. Makes nothing."""
    from rl_rmsprop.cli.views import batches

    batches.show(study, workers, console())
    return 0


@contextmanager
def executor_of(workers: WorkerOptions, imports_main: bool = True, end: Callable[[int], object] = os._exit) -> Iterator[Place]:
    """Where the work is done, while it is done: signals stop it (see `interruptible`), and environments that hang are named."""
    from rl_rmsprop.study.execution import engines, interrupts

    executor = engines.make_executor(
        workers.engine, workers.workers, workers.checkpoint_every, workers.address, workers.slurm, imports_main
    )
    with closing(executor), interrupts.interruptible(executor, end) as signals, reporting_hangs():
        yield Place(executor, signals)


class Place(NamedTuple):
    """Where work is done."""

    executor: Executor
    signals: list[int]  # that have come so far


def follow(study: Study, workers: WorkerOptions, title: str, training: Callable[[Executor, Observer], StudyResults]) -> int:
    """Train and show it; returns the exit code."""
    from rl_rmsprop.cli.views import progress
    from rl_rmsprop.study.training import monitor

    again = f"rl-rmsprop resume {shlex.quote(str(study.folder))}"
    try:
        with executor_of(workers) as place:
            results = training(place.executor, progress.ProgressView(console(), title))
            for failure in results.failures:
                print(failure, file=sys.stderr)
            if results.report is None:  # the failures say why
                console().print("no run finished")
            else:
                announce(results.study, results.report)
    except monitor.Stopped:
        print(f"stopped; to resume: {again}", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:
        raise
    except OSError as error:
        print(f"error: {error.strerror or error}: {error.filename or ''}; when that is mended: {again}", file=sys.stderr)
        return IO_FAILED
    return SOME_FAILED if results.failures else 0
