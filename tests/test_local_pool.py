"""Workers that die, drivers that are told to stop: what goes on, what is tried again, and how it is told."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import gymnasium as gym
import pytest

import envs
from rl_rmsprop.cli import main
from rl_rmsprop.storage import atomic
from rl_rmsprop.study.execution import local_pool
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.training.monitor import Monitor
from tests.faults.kills import digest, finished, kin, started

ROOT = Path(__file__).parents[1]
MODULE = '''
"""Environments that end their process in its hundredth step: each in its way, the first time or always."""
import os, signal, sys
from pathlib import Path
import gymnasium as gym
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

def raise_error(error):
    raise error

ENDS = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "abort": os.abort,
    "exit": lambda: sys.exit("enough"),
    "_exit": lambda: os._exit(7),
    "memory": lambda: raise_error(MemoryError()),
    "error": lambda: 1 / 0,
}

class Deadly(CartPoleEnv):
    def __init__(self, kind, once, **kwargs):
        super().__init__(**kwargs)
        self.kind, self.once, self.count = kind, once, 0
        self.mark = Path(__file__).with_name(f"{kind}-{'once' if once else 'always'}")

    def step(self, action):
        self.count += 1
        if self.count == 100 and not (self.once and self.mark.exists()):
            with self.mark.open("a") as file:
                file.write("x")
            ENDS[self.kind]()
        return super().step(action)

for kind in ENDS:
    for once in (True, False):
        times = "once" if once else "always"
        gym.register(f"{kind}-{times}-v0", Deadly, max_episode_steps=500, kwargs={"kind": kind, "once": once})
'''
ENDS = [f"{kind}-{times}" for kind in ("kill", "abort", "exit", "_exit", "memory", "error") for times in ("once", "always")]
KILLED = "its process was ended by SIGKILL: the system may be out of memory, and fewer --workers need less"


@pytest.mark.parametrize(
    ("code", "ends"),
    [
        (0, {"kill-once": (1, ""), "abort-once": (1, ""), "memory-once": (1, "")}),
        (
            3,
            {
                "kill-always": (3, KILLED),
                "exit-always": (1, "SystemExit: enough"),
                "_exit-always": (1, "its process ended by itself, with exit code 7"),
                "error-always": (1, "ZeroDivisionError: division by zero"),
            },
        ),
    ],
    ids=["once", "always"],
)
def test_a_worker_that_dies_is_tried_again_only_if_that_may_help(
    code: int,
    ends: dict[str, tuple[int, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Silent failure: one bad simulator ends the night's study, or is started again for ever."""
    (tmp_path / "deadly.py").write_text(MODULE)
    monkeypatch.delitem(sys.modules, "deadly", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    ids = " ".join(f"deadly:{end}-v0" for end in ends)
    line = f"compare --env {ids} --betas 0.99 --steps 400 --seeds 0 --eval-episodes 1 --n-envs 2 --out {tmp_path / 'x'}"
    ended = main(line.split())
    for end in ENDS:
        gym.registry.pop(f"{end}-v0", None)
    errors = capfd.readouterr().err  # of the workers too
    assert ended == code, errors
    failures = [line for line in errors.splitlines() if line.startswith("failed: ")]
    assert len(failures) == (len(ends) if code else 0)
    for end, (tries, reason) in ends.items():
        assert (tmp_path / end).read_text() == "x" * tries
        assert not reason or any(end in line and line.endswith(reason) for line in failures), (end, failures)
    assert "Traceback" not in errors


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
LINE = "train --env CartPole-v1 --steps 24000 --seeds 0-1 --workers 2 --eval-episodes 2 --checkpoint-every 0.1 --out"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digests of the files of a study that was not stopped."""
    folder = tmp_path_factory.mktemp("whole") / "study"
    assert main([*LINE.split(), str(folder)]) == 0
    return digest(folder)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_study_that_is_told_to_stop_saves_and_says_how_to_resume(
    sent: signal.Signals, tmp_path: Path, whole: dict[str, str]
) -> None:
    """Ctrl-C reaches the workers too: each would print a traceback, or train on unseen."""
    study = started(f"{LINE} cut", tmp_path)
    wait_for(study, tmp_path / "cut")
    if sent == signal.SIGINT:
        os.killpg(study.pid, sent)  # as a terminal does
    else:
        study.send_signal(sent)
    _, errors = study.communicate(timeout=60)  # returns when the last process that holds the pipe has ended
    assert (study.returncode, errors) == (75, "stopped; to resume: rl-rmsprop resume cut\n")
    assert all_gone(study)
    assert main(["resume", str(tmp_path / "cut")]) == 0
    assert digest(tmp_path / "cut") == whole


def test_the_second_signal_ends_a_study_at_once(tmp_path: Path) -> None:
    """Whoever presses Ctrl-C twice wants out now."""
    study = started(f"{LONG} --out x", tmp_path)
    wait_for(study, tmp_path / "x")
    study.send_signal(signal.SIGINT)
    study.send_signal(signal.SIGINT)
    study.communicate(timeout=20)
    assert study.returncode in (75, 130)
    assert all_gone(study)


def test_a_second_driver_is_refused_and_a_finished_study_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two drivers on one folder write over each other, line by line."""
    folder = tmp_path / "x"
    line = f"train --env CartPole-v1 --steps 2000 --seeds 0 --eval-episodes 1 --out {folder}"
    assert main(line.split()) == 0
    before = {path: path.stat().st_mtime_ns for path in (folder / "CartPole-v1").rglob("*") if path.is_file()}
    capsys.readouterr()
    with atomic.Lock(folder):
        for words in (f"resume {folder}", f"{line} --overwrite"):
            assert main(words.split()) == 2
            assert capsys.readouterr().err.startswith(f"error: {folder} is in use: another process trains in it")
    assert main(["resume", str(folder)]) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_folder_of_a_study_that_was_killed_at_once_can_be_used(tmp_path: Path) -> None:
    """Silent failure: a kill in the first second leaves a folder in which nothing can be begun and nothing resumed."""
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / ".study.json.part").write_text("{")
    line = "train --env CartPole-v1 --steps 200 --seeds 0 --eval-episodes 1 --workers 1 --out"
    assert main([*line.split(), str(tmp_path / "x")]) == 0


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


@dataclass(frozen=True)
class Threads:
    """A task that returns how many threads its environments step in."""

    study_folder: Path
    arm: Arm = Arm("0.99")
    label: str = "threads"
    parts: tuple[str, ...] = ("threads",)
    total_steps: int = 1

    @property
    def error_file(self) -> Path:
        return self.study_folder / "error.txt"

    def run(self, monitor: Monitor) -> list[str]:
        batch = envs.SerialBatch("InvertedPendulum-v5", (0, 1), 2)
        return [str(1 + len(batch._parts._others))]


@pytest.mark.parametrize(("tasks", "threads"), [(1, ["4"]), (2, ["2", "2"]), (3, ["1", "1", "1"]), (5, ["1"] * 5)])
def test_workers_without_a_batch_lend_their_cores(tasks: int, threads: list[str], tmp_path: Path) -> None:
    """Silent failure: a single run of a robot leaves all cores but one idle, or many batches take more threads than workers."""
    pytest.importorskip("mujoco")
    events = local_pool.Pool(workers=4).run([Threads(tmp_path)] * tasks)
    assert [line for event in events for line in event.failures] == threads
