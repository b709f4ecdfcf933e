"""The driver of a study dies: nothing is lost, nothing is done twice, nobody is left behind."""

from __future__ import annotations

import csv
import os
import random
import signal
import tempfile
import time
from pathlib import Path

from tests.faults.kills import digest, finished, kin, started
from tests.faults.table import Row

LINE = (
    "compare --env CartPole-v1 --betas 0.5 0.99 linear:start=0.5,end=0.99 cusum:arl=5000 --seeds 0-9 --steps 12000 "
    "--eval-episodes 2 --n-envs 4 --hidden 16 16"
)
RUNS = 40


def rows(quick: bool) -> list[Row]:
    """Kill the driver at 30 random instants (a quick check: 2), each of a study of its own."""
    times, chance = 2 if quick else 30, random.Random(1)
    identical = complete = orphans = refused = 0
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        begun = time.monotonic()
        whole = finished(f"{LINE} --out whole", home)
        assert whole.returncode == 0, whole.stderr
        duration, truth = time.monotonic() - begun, digest(home / "whole")
        for n in range(times):
            out = home / f"killed-{n}"
            study = started(f"{LINE} --out {out} --checkpoint-every 0.5", home)
            time.sleep(chance.uniform(0.1, duration))
            if study.poll() is None and (out / "study.json").is_file() and n % 5 == 0:
                second = finished(f"resume {out}", home)
                refused += second.returncode == 2 and "another process trains in it" in second.stderr
            else:
                refused += n % 5 == 0  # it had ended, or not begun
            os.kill(study.pid, signal.SIGKILL)
            study.communicate()
            time.sleep(2)
            orphans += len(kin(study.pid))
            last = finished(f"resume {out}" if (out / "study.json").is_file() else f"{LINE} --out {out}", home)
            with (out / "report" / "results.csv").open(encoding="utf-8", newline="") as file:
                runs = [(row["arm"], row["seed"]) for row in csv.DictReader(file)]
            complete += len(runs) == len(set(runs)) == RUNS
            identical += last.returncode == 0 and digest(out) == truth
    looked = -(-times // 5)
    return [
        Row(
            f"driver killed at {times} instants of a study of {RUNS} runs",
            f"{RUNS} rows each, none twice",
            f"{complete}/{times}",
            complete == times,
        ),
        Row("the same, all files", "byte-identical", f"{identical}/{times}", identical == times),
        Row("the same, processes left 2 s later", "none", str(orphans), orphans == 0),
        Row("a second driver in the same folder", "refused", f"{refused}/{looked}", refused == looked),
    ]
