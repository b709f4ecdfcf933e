"""What `train` and `compare` do with a study: its folder, its runs, its report."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

from rl_rmsprop.cli.options import RunOptions
from rl_rmsprop.cli.output import announce, console

SOME_FAILED, TERMINATED = 3, 143


def run_study(study: Any, run: RunOptions) -> int:
    """Make room, run everything, write the report, say what came out."""
    from rl_rmsprop.study import conduct, runner

    if run.workers is not None and run.workers < 1:
        raise ValueError(f"workers must be at least 1, got {run.workers}")
    prepare_folder(study.folder, run.overwrite)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # workers are ended on the way out
    out = console()
    sizes = ((study.arms, "arm"), (study.env_ids, "environment"), (study.seeds, "seed"))
    what = " × ".join(f"{len(things)} {name}{'s' * (len(things) > 1)}" for things, name in sizes)
    out.print(f"{what} → {study.folder}", soft_wrap=True)
    study, failures = conduct.conduct(study, run.workers or runner.default_workers(), out)
    for failure in failures:
        print(failure, file=sys.stderr)
    try:
        make_report(study)
    except ValueError:  # no run has finished: the failures above say why
        out.print("no run finished")
    return SOME_FAILED if failures else 0


def make_report(study: Any) -> None:
    """Write all that goes into the study's report, and say what is in it; ValueError if no run has finished."""
    from rl_rmsprop.study import report, sensitivity, tuning

    announce(study, report.write_report(study))
    if (study.folder / tuning.FILE).is_file():
        sensitivity.write_report(study, console())


def prepare_folder(folder: Path, overwrite: bool) -> None:
    """Make room for a study; ValueError if the folder holds something that must not be lost."""
    import shutil

    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise ValueError(f"{there} is not a folder: choose another --out")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / "study.json").is_file():
        raise ValueError(f"{folder} holds files that are not a study's: choose another --out")
    if not overwrite:
        raise ValueError(f"{folder} holds a study already: choose another --out, or --overwrite to replace it")
    shutil.rmtree(folder)
