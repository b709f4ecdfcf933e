"""SIGKILL at any instant: a study that was killed and resumed is, byte for byte, the study that was not.

Every study is run once undisturbed, then again and again with kills at random instants (of the driver, of one of its workers, or
of the whole process group; while starting, training, saving, evaluating, reporting, or resuming from the kill before), and
compared file by file.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tests.faults.table import Row

ROOT = Path(__file__).parents[2]
DIFFERS = ("timing.csv", "report.md", "report.html", "study.json")
"""Files that hold times, or the command that was typed."""
CHAIN = 5
"""Kills of one study before it is let through."""
LINES = {
    "CartPole-v1": "train --env CartPole-v1 --steps 60000 --seeds 0-3",
    "CartPole-v1, shifted": "train --env CartPole-v1 --steps 60000 --seeds 0-3 --beta cusum:arl=5000 --record-signals "
    "--shift force_mag:values=10/-10,at=30000 obs_noise:profile=poisson,values=0/0.05,every=5000",
    "Acrobot-v1": "train --env Acrobot-v1 --steps 25000 --seeds 0-1",
    "Acrobot-v1, shifted": "train --env Acrobot-v1 --steps 25000 --seeds 0-1 --agent ppo --n-steps 32 --batch-size 64 "
    "--shift torque:values=1/0.5,at=12000",
    "LunarLander-v3": "train --env LunarLander-v3 --steps 20000 --seeds 0-1 --beta ewma:arl=5000",
    "LunarLander-v3, shifted": "train --env LunarLander-v3 --steps 20000 --seeds 0-1 "
    "--shift gravity:values=-10/-4,at=10000 wind_power:values=0/15,at=5000",
    "HalfCheetah-v5": "train --env HalfCheetah-v5 --steps 20000 --seeds 0-1 --agent ppo --n-steps 32 --batch-size 64",
    "HalfCheetah-v5, shifted": "train --env HalfCheetah-v5 --steps 20000 --seeds 0-1 --beta cusum:arl=5000 "
    "--shift friction:profile=redrawn,first=1,low=0.02,high=2,every=3000 body_mass:values=1/2,at=8000",
    "MinAtar/Breakout-v1": "train --env MinAtar/Breakout-v1 --steps 20000 --seeds 0-1",
    "MinAtar/Breakout-v1, shifted": "train --env MinAtar/Breakout-v1 --steps 20000 --seeds 0-1 "
    "--shift sticky_action_prob:values=0.1/0.5,at=10000",
}
QUICK = ("CartPole-v1, shifted", "Acrobot-v1, shifted", "LunarLander-v3, shifted", "HalfCheetah-v5, shifted")
"""Those of a quick check."""
NEEDS = {"HalfCheetah": "mujoco", "MinAtar": "minatar"}
"""What an environment's id begins with, and the package that it needs: left out where that is not installed."""


class Outcome(NamedTuple):
    """What a chain of kills came to."""

    kills: int
    identical: bool
    said: str


def command(line: str) -> list[str]:
    """What runs a command line of ours."""
    return [sys.executable, "-m", "rl_rmsprop", *shlex.split(line)]


def started(line: str, cwd: Path) -> subprocess.Popen:
    """A command under way, in a session of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command(line), cwd=cwd, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def finished(line: str, cwd: Path) -> subprocess.CompletedProcess:
    """A command that has ended, and what it said."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command(line), cwd=cwd, env=environment, capture_output=True, text=True)


def digest(folder: Path) -> dict[str, str]:
    """SHA-256 of every file that must be the same."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in DIFFERS and "tfevents" not in path.name
    }


def kin(pid: int) -> list[int]:
    """All processes of a session, the driver first."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == pid and fields[0] != "Z":  # its session; the dead wait there for their parent
                found.append(int(entry.name))
    return sorted(found, key=lambda p: (p != pid, p))


def kill(study: subprocess.Popen, chance: random.Random) -> None:
    """Kill the driver, one of its processes, or all of them."""
    whom = chance.choice(("driver", "worker", "all"))
    family = kin(study.pid)
    end({"driver": [study.pid], "worker": [chance.choice(family)] if family else [], "all": family}[whom])


def end(processes: list[int]) -> None:
    """SIGKILL."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def chained(line: str, truth: dict[str, str], duration: float, kills: int, seed: int, home: Path) -> Outcome:
    """Kill a study `kills` times at random instants, then let it end."""
    chance, out = random.Random(seed), home / f"killed-{seed}"
    begin, again = f"{line} --out {out} --checkpoint-every 0.2", f"resume {out} --checkpoint-every 0.2"
    done = 0
    while done < kills:
        study = started(again if (out / "study.json").is_file() else begin, home)
        time.sleep(chance.uniform(0.0, duration))
        if study.poll() is None:
            kill(study, chance)
            done += 1
            if study.poll() is None and chance.random() < 0.5:  # of a worker alone: sometimes it is given time to recover
                time.sleep(chance.uniform(0.0, 1.0))
            end(kin(study.pid))
        study.communicate()
        if (out / "report" / "results.csv").is_file() and not any(out.rglob("batch_*")) and digest(out) == truth:
            shutil.rmtree(out)  # it had ended before: the next kill is of a new one
    last = finished(again if (out / "study.json").is_file() else begin, home)
    same = digest(out) == truth
    said = last.stderr if last.returncode else "" if same else str([k for k, v in digest(out).items() if truth.get(k) != v])
    if same:
        shutil.rmtree(out)
    return Outcome(kills, same and last.returncode == 0, said)


def is_possible(name: str) -> bool:
    """Whether the environment of a study is installed."""
    return all(importlib.util.find_spec(package) is not None for start, package in NEEDS.items() if name.startswith(start))


def rows(quick: bool) -> list[Row]:
    """Kill studies of all environments whose packages are installed, 34 times each; a quick check kills five of them once."""
    lines = {name: line for name, line in LINES.items() if (name in QUICK or not quick) and is_possible(name)}
    with tempfile.TemporaryDirectory() as folder:
        home, chains = Path(folder), []
        for place, case in enumerate(lines.values()):
            line, out = f"{case} --eval-episodes 5 --workers 2", home / f"whole-{place}"
            begun = time.monotonic()
            whole = finished(f"{line} --out {out} --checkpoint-every 1000", home)
            assert whole.returncode == 0, whole.stderr
            duration, each = time.monotonic() - begun, 1 if quick else 34
            for chain, first in enumerate(range(0, each, CHAIN)):
                chains.append((line, digest(out), duration, min(CHAIN, each - first), 1000 * place + chain, home))
        with ThreadPoolExecutor(1 if quick else 2) as pool:
            outcomes = list(pool.map(lambda chain: chained(*chain), chains))
        for outcome in outcomes:
            if not outcome.identical:
                print(f"not identical after {outcome.kills} kills: {outcome.said}", file=sys.stderr)
    kept = sum(outcome.kills for outcome in outcomes if outcome.identical)
    total = sum(outcome.kills for outcome in outcomes)
    what = f"SIGKILL at random instants, {len(lines)} studies, chains of {CHAIN}"
    return [Row(what, "all resume, byte-identical", f"{kept}/{total}", kept == total)]
