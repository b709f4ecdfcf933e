"""The driver of a study dies: nothing is lost, nothing is done twice, nobody is left behind."""

from __future__ import annotations

import csv
import os
import random
import shutil
import signal
import tempfile
import time
from pathlib import Path

from tests.faults.kills import digest, finished, kin, started
from tests.faults.table import Row

LINE = (
    "compare --env CartPole-v1 --betas 0.5 0.99 linear:start=0.5,end=0.99 cusum:arl=5000 --seeds 0-9 --steps 6000 "
    "--eval-episodes 2 --n-envs 4 --hidden 16 16"
)
RUNS = 40


LONG = "train --env LunarLander-v3 --steps 2000000 --seeds 0-1 --workers 2 --out long"


def rows(quick: bool) -> list[Row]:
    """Kill the driver at 30 random instants (a quick check: 2), each of a study of its own."""
    times, chance = 2 if quick else 30, random.Random(1)
    identical = complete = left = 0
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        begun = time.monotonic()
        whole = finished(f"{LINE} --out whole", home)
        assert whole.returncode == 0, whole.stderr
        duration, truth = time.monotonic() - begun, digest(home / "whole")
        for n in range(times):
            out = home / f"killed-{n}"
            left += killed(f"{LINE} --out {out} --checkpoint-every 0.5", out, duration, chance)
            last = finished(f"resume {out}" if (out / "study.json").is_file() else f"{LINE} --out {out}", home)
            with (out / "report" / "results.csv").open(encoding="utf-8", newline="") as file:
                runs = [(row["arm"], row["seed"]) for row in csv.DictReader(file)]
            complete += len(runs) == len(set(runs)) == RUNS
            identical += last.returncode == 0 and digest(out) == truth
            shutil.rmtree(out)
        refused = is_refused(home)
    what = f"driver killed at {times} instants of a study of {RUNS} runs"
    return [
        Row(what, f"{RUNS} rows each, none twice", f"{complete}/{times}", complete == times),
        Row("the same, all files", "byte-identical", f"{identical}/{times}", identical == times),
        Row("the same, processes left after 2 s", "none", str(left), left == 0),
        Row("a second driver in the same folder", "refused", "refused" if refused else "not refused", refused),
    ]


def killed(line: str, out: Path, duration: float, chance: random.Random) -> int:
    """Kill the driver of a study in the folder `out` at a random instant; returns how many processes are left 2 s later."""
    while True:
        study = started(line, out.parent)
        time.sleep(chance.uniform(0.1, duration))
        if study.poll() is None:
            break
        study.communicate()
        shutil.rmtree(out)  # it had ended before
    os.kill(study.pid, signal.SIGKILL)
    study.communicate()
    until = time.monotonic() + 2
    while kin(study.pid) and time.monotonic() < until:
        time.sleep(0.05)
    return len(kin(study.pid))


def is_refused(home: Path) -> bool:
    """Whether a second driver is told that there is a first one."""
    study = started(LONG, home)
    while not (home / "long" / "study.json").is_file():
        time.sleep(0.05)
    second = finished("resume long", home)
    os.kill(study.pid, signal.SIGKILL)
    study.communicate()
    return second.returncode == 2 and "another process trains in it" in second.stderr
