"""Workers that die, drivers that are told to stop: what goes on, what is tried again, and how it is told."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rl_rmsprop.storage import atomic
from rl_rmsprop.study.execution import local_pool
from tests.faults.kills import digest, finished, kin, started

ROOT = Path(__file__).parents[1]
MODULE = '''
"""An environment that ends its process in its hundredth step: as KIND says, once or always."""
import os, signal, sys
import gymnasium as gym
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

class Deadly(CartPoleEnv):
    def step(self, action):
        self.count = getattr(self, "count", 0) + 1
        done = os.environ["MARK"]
        if self.count == 100 and not (os.environ["TIMES"] == "once" and os.path.exists(done)):
            open(done, "a").write("x")
            {"kill": lambda: os.kill(os.getpid(), signal.SIGKILL), "abort": os.abort, "exit": lambda: sys.exit("enough"),
             "_exit": lambda: os._exit(7), "memory": self.hoard, "error": lambda: 1 / 0}[os.environ["KIND"]]()
        return super().step(action)

    def hoard(self):
        raise MemoryError

gym.register("Deadly-v0", Deadly, max_episode_steps=500)
'''
LINE = "train --env deadly:Deadly-v0 --steps 2000 --seeds 0-1 --workers 2 --eval-episodes 1 --n-envs 2 --out x"


@pytest.mark.parametrize(
    ("kind", "times", "code", "tries", "said"),
    [
        ("kill", "once", 0, 1, ""),
        ("abort", "once", 0, 1, ""),
        ("memory", "once", 0, 1, ""),
        (
            "kill",
            "always",
            3,
            6,
            "its process was ended by SIGKILL: the system may be out of memory, and fewer --workers need less",
        ),
        ("exit", "always", 3, 2, "SystemExit: enough"),
        ("_exit", "always", 3, 2, "its process ended by itself, with exit code 7"),
        ("error", "always", 3, 2, "ZeroDivisionError: division by zero"),
    ],
)
def test_a_worker_that_dies_is_tried_again_only_if_that_may_help(
    kind: str, times: str, code: int, tries: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silent failure: one bad simulator ends the night's study, or is started again for ever."""
    (tmp_path / "deadly.py").write_text(MODULE)
    for name, value in {"KIND": kind, "TIMES": times, "MARK": str(tmp_path / "mark")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("tests.faults.kills.ROOT", f"{ROOT}{os.pathsep}{tmp_path}")
    done = finished(LINE, tmp_path)
    assert done.returncode == code, done.stderr
    if said:
        assert done.stderr.count("failed: ") == 2  # one batch a worker, one run each
        assert done.stderr.count(said) == 2
    assert times == "once" or len((tmp_path / "mark").read_text()) == tries
    assert "Traceback" not in done.stderr


def wait_for(study: subprocess.Popen, folder: Path) -> None:
    """Return when the study has saved a checkpoint."""
    until = time.monotonic() + 120
    while not any(folder.rglob("manifest.json")):
        assert study.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)


def all_gone(study: subprocess.Popen) -> bool:
    """Whether no process of the study is left after a few seconds."""
    until = time.monotonic() + 5
    while kin(study.pid) and time.monotonic() < until:
        time.sleep(0.05)
    return not kin(study.pid)


LONG = "train --env LunarLander-v3 --steps 900000 --seeds 0-1 --workers 2 --checkpoint-every 0.5"


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_study_that_is_told_to_stop_saves_and_says_how_to_go_on(sent: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C reaches the workers too: each would print a traceback, or train on unseen."""
    line = "train --env CartPole-v1 --steps 60000 --seeds 0-1 --workers 2 --eval-episodes 2 --checkpoint-every 0.1 --out"
    assert finished(f"{line} whole", tmp_path).returncode == 0
    study = started(f"{line} cut", tmp_path)
    wait_for(study, tmp_path / "cut")
    if sent == signal.SIGINT:
        os.killpg(study.pid, sent)  # as a terminal does
    else:
        study.send_signal(sent)
    _, errors = study.communicate(timeout=60)  # returns when the last process that holds the pipe has ended
    assert (study.returncode, errors) == (75, "stopped; to resume: rl-rmsprop resume cut\n")
    assert all_gone(study)
    assert finished("resume cut", tmp_path).returncode == 0
    assert digest(tmp_path / "cut") == digest(tmp_path / "whole")


def test_the_second_signal_ends_a_study_at_once(tmp_path: Path) -> None:
    """Whoever presses Ctrl-C twice wants out now."""
    study = started(f"{LONG} --out x", tmp_path)
    wait_for(study, tmp_path / "x")
    study.send_signal(signal.SIGINT)
    study.send_signal(signal.SIGINT)
    study.communicate(timeout=20)
    assert study.returncode in (75, 130)
    assert all_gone(study)


def test_a_second_driver_is_refused_and_a_finished_study_is_left_alone(tmp_path: Path) -> None:
    """Two drivers on one folder write over each other, line by line."""
    line = "train --env CartPole-v1 --steps 2000 --seeds 0 --eval-episodes 1 --out x"
    assert finished(line, tmp_path).returncode == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "x" / "CartPole-v1").rglob("*") if path.is_file()}
    with atomic.Lock(tmp_path / "x"):
        for verb in ("resume x", f"{line} --overwrite"):
            refused = finished(verb, tmp_path)
            assert refused.returncode == 2
            assert refused.stderr.startswith("error: x is in use: another process trains in it")
    assert finished("resume x", tmp_path).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_folder_of_a_study_that_was_killed_at_once_can_be_used(tmp_path: Path) -> None:
    """Silent failure: a kill in the first second leaves a folder in which nothing can be begun and nothing resumed."""
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / ".study.json.part").write_text("{")
    line = "train --env CartPole-v1 --steps 200 --seeds 0 --eval-episodes 1 --workers 1 --out x"
    assert finished(line, tmp_path).returncode == 0


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Silent failure: `[Errno 13]`, or a traceback that ends in a library."""
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "x").mkdir(mode=0o500)
    done = finished("train --env CartPole-v1 --steps 2000 --out x/y", tmp_path)
    assert done.returncode == 74
    assert "Permission denied" in done.stderr
    assert "x/y" in done.stderr


def test_python_ends_a_worker_whose_driver_is_gone(tmp_path: Path) -> None:
    """Silent failure: after a kill -9 of the driver, workers train on for hours and write into a folder that is not theirs."""
    study = started(f"{LONG} --out x", tmp_path)
    wait_for(study, tmp_path / "x")
    assert len(kin(study.pid)) >= 3
    os.kill(study.pid, signal.SIGKILL)
    study.communicate()
    assert all_gone(study)


assert sys.platform != "win32", "these tests look into /proc"


def test_what_workers_find_imported_exists() -> None:
    """Silent failure: a module that is not there is passed over in silence, and every worker imports torch anew, for seconds."""
    assert [name for name in local_pool.PRELOAD if importlib.util.find_spec(name) is None] == []
