"""The study whose files must be the same whatever trains it, and how they are compared."""

from __future__ import annotations

import csv
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.faults.kills import digest, finished

ARMS = "--betas 0.5 0.99 linear:start=0.5,end=0.99 cusum:arl=500,max=0.99 asymmetric yoked@cusum"
WHOLE = f"compare --env CartPole-v1 LunarLander-v3 {ARMS} --seeds 0-7 --steps 12000 --eval-episodes 5 --out study"
SMALL = f"compare --env CartPole-v1 {ARMS} --seeds 0-7 --steps 30000 --eval-episodes 5 --out study"
RUNS = 48


class Truth(NamedTuple):
    """A study that nothing has disturbed."""

    files: dict[str, str]
    """Hashes of all its files."""
    seconds: float


def truth(line: str) -> Truth:
    """What processes of this machine make of a study."""
    with tempfile.TemporaryDirectory() as home:
        begun = time.monotonic()
        done = finished(line, Path(home))
        assert done.returncode == 0, done.stderr
        return Truth(digest(Path(home) / "study"), time.monotonic() - begun)


def differences(folder: Path, files: dict[str, str]) -> list[str]:
    """Files of a study that are not what they should be."""
    there = digest(folder)
    return sorted(name for name in there.keys() | files.keys() if there.get(name) != files.get(name))


def each_run_once(folder: Path, runs: int) -> bool:
    """Whether a study's table has every run, and none twice."""
    with (folder / "report" / "results.csv").open(encoding="utf-8", newline="") as file:
        found = [(row["env"], row["arm"], row["seed"]) for row in csv.DictReader(file)]
    return len(found) == len(set(found)) == runs
