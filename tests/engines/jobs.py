"""What Slurm does to jobs: it cancels them, their time is over, it puts them back into the queue, it takes their cores."""

from __future__ import annotations

import random
import shutil
import sys
import time

from tests.engines.slurm_daemons import Slurm
from tests.engines.studies import ARMS, differences, truth
from tests.faults.table import Row

LINE = f"compare --env CartPole-v1 {ARMS} --seeds 0-7 --steps 100000 --eval-episodes 5 --out study"
LONG = "compare --env LunarLander-v3 --betas 0.9 0.99 --seeds 0-3 --steps 150000 --eval-episodes 5 --out study"
"""More than a minute of two cores, which is the shortest time that Slurm gives a job."""


def rows(quick: bool) -> list[Row]:
    """Ten instants (a quick check: 3) of each kind in turn."""
    kinds = ("cancelled", "requeued", "preempted by requeue", "preempted by cancelling")
    times, chance = 3 if quick else 10, random.Random(5)
    found: list[Row] = []
    with Slurm() as slurm:
        files = truth(LINE).files
        kept = 0
        for number in range(times):
            kind = kinds[number % len(kinds)]
            same, said = disturbed(slurm, kind, chance.uniform(4.0, 12.0), files)
            kept += same
            if not same:
                print(f"{kind}: {said}", file=sys.stderr)
        what = f"jobs {', '.join(kinds)} at {times} instants: files"
        found.append(Row(what, "byte-identical", f"{kept}/{times}", kept == times))
        if not quick:
            done = slurm.study(f"{LONG} --slurm array=2 time=1 signal=30 --checkpoint-every 1000")
            requeued = "its time" not in done.stderr
            different = differences(slurm.home / "study", truth(LONG).files)
            kept = done.returncode == 0 and not different and requeued
            if not kept:
                print(f"time over: {done.returncode} {done.stderr} {different[:5]}", file=sys.stderr)
            found.append(Row("jobs of one minute, again and again: files", "byte-identical", "yes" if kept else "no", kept))
        shutil.rmtree(slurm.home, ignore_errors=True)
    return found


def disturbed(slurm: Slurm, kind: str, after: float, files: dict[str, str]) -> tuple[bool, str]:
    """Whether a study is what it should be whose jobs were disturbed, and what it said."""
    partition = {"preempted by requeue": "modest", "preempted by cancelling": "poor"}.get(kind, "cpu")
    study = slurm.started(f"{LINE} --slurm array=2 partition={partition} --checkpoint-every 0.5")
    time.sleep(after)
    jobs = slurm.jobs()
    if kind == "cancelled":
        slurm.call("scancel", *jobs[:1], check=False)
    elif kind == "requeued":
        slurm.call("scontrol", "requeue", *jobs[-1:], check=False)
    else:
        slurm.call("sbatch", "--partition=rich", "--ntasks=2", "--output=/dev/null", "--wrap", "sleep 5")
    _, said = study.communicate()
    if study.returncode == 3 and kind == "cancelled":  # a job that somebody has cancelled is submitted again by resume
        done = slurm.study("resume study --slurm array=2")
        study.returncode, said = done.returncode, said + done.stderr
    same = study.returncode == 0 and not differences(slurm.home / "study", files)
    shutil.rmtree(slurm.home / "study", ignore_errors=True)
    return same, f"exit code {study.returncode}: {said}"
