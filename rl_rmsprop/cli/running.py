"""What `train` and `compare` do with a study: its folder, its runs, its report."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from rl_rmsprop.cli.options import ReportOptions, RunOptions
from rl_rmsprop.cli.output import announce, console

SOME_FAILED, TERMINATED = 3, 143


def run_study(study: Any, run: RunOptions, compared: ReportOptions) -> int:
    """Make room, run everything, write the report, say what came out."""
    from rl_rmsprop.study import conduct, footprint, report, runner

    cores = runner.default_workers()
    workers = cores if run.workers is None else run.workers
    if not 1 <= workers <= 4 * cores:
        raise ValueError(f"workers must be at least 1 and at most {4 * cores}, four for each of {cores} cores, got {workers}")
    footprint.check(study, workers)
    reported = report.make_settings(study, **vars(compared))
    prepare_folder(study.folder, run.overwrite)
    study.save()
    report.save_settings(reported, study.folder)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # workers are ended on the way out
    out = console()
    sizes = ((study.arms, "arm"), (study.env_ids, "environment"), (study.seeds, "seed"))
    what = " × ".join(f"{len(things)} {name}{'s' * (len(things) > 1)}" for things, name in sizes)
    out.print(f"{what} → {study.folder}", soft_wrap=True)
    study, failures = conduct.conduct(study, workers, out)
    for failure in failures:
        print(failure, file=sys.stderr)
    try:
        announce(study, report.write_report(study))
    except report.NothingFinished:  # the failures above say why
        out.print("no run finished")
    return SOME_FAILED if failures else 0


def prepare_folder(folder: Path, overwrite: bool) -> None:
    """Make room for a study; ValueError if the folder holds something that must not be lost."""
    import shutil

    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise ValueError(f"{there} is not a folder: choose another --out")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"{there} must be a folder that you may write to, and is not: choose another --out")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / "study.json").is_file():
        raise ValueError(f"{folder} holds files that are not a study's: choose another --out")
    if not overwrite:
        raise ValueError(f"{folder} holds a study already: choose another --out, or --overwrite to replace it")
    shutil.rmtree(folder)
