"""What `train` and `compare` do with their options: a study, its folder, its runs, its report."""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path
from typing import Any

from rl_rmsprop.cli.options import RunOptions, Settings
from rl_rmsprop.cli.output import announce, console

SOME_FAILED, TERMINATED = 3, 143


def run_study(run: RunOptions, settings: Settings, env_ids: list[str], arms: list[tuple[str, bool]]) -> int:
    """Check everything, run all batches, write the report, say what came out."""
    from rl_rmsprop.study import display, report, runner

    if run.workers is not None and run.workers < 1:
        raise ValueError(f"workers must be at least 1, got {run.workers}")
    study = make_study(run, settings, env_ids, arms)
    prepare_folder(study.folder, run.overwrite)
    study.save()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # workers are ended on the way out
    workers = run.workers or runner.default_workers()
    specs = study.batches(workers)
    out = console()
    sizes = ((study.arms, "arm"), (study.env_ids, "environment"), (study.seeds, "seed"))
    what = " × ".join(f"{len(things)} {name}{'s' * (len(things) > 1)}" for things, name in sizes)
    out.print(f"{what} → {study.folder}", soft_wrap=True)
    failures = display.follow(runner.run_batches(specs, min(workers, len(specs))), specs, out)
    for failure in failures:
        print(failure, file=sys.stderr)
    try:
        announce(study, report.write_report(study))
    except ValueError:  # no run has finished: the failures above say why
        out.print("no run finished")
    return SOME_FAILED if failures else 0


def make_study(run: RunOptions, settings: Settings, env_ids: list[str], arms: list[tuple[str, bool]]) -> Any:
    """The study that the options describe; ValueError for whatever cannot be run."""
    from rl_rmsprop.study import presets, spec
    from rl_rmsprop.study.optimizers import make_arm

    if not env_ids:
        raise ValueError("an environment is needed: --env CartPole-v1; rl-rmsprop envs lists the known ones")
    if not arms:
        raise ValueError("at least one arm is needed: --betas 0.9 0.99 …; rl-rmsprop rules lists them")
    if not 0 <= run.eps < float("inf"):
        raise ValueError(f"eps must be at least 0 and finite, got {run.eps}")
    made = tuple(make_arm(text, base, eps=run.eps, bias_correction=run.bias_correction) for text, base in arms)
    seeds = spec.parse_seeds(run.seeds)
    overrides = {name: value for name, value in vars(settings).items() if value is not None}
    agents = tuple(presets.make_agent(run.agent, env_id, overrides) for env_id in env_ids)
    folder = run.out or spec.default_folder(env_ids, run.agent, made, seeds, run.steps, run.shift)
    return spec.Study(
        folder, tuple(env_ids), run.agent, agents, made, seeds, run.steps, run.eval_episodes,
        command=shlex.join(["rl-rmsprop", *sys.argv[1:]]), shifts=run.shift, record_signals=run.record_signals,
    )  # fmt: skip


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
