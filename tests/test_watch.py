"""Environments that do not come back: which one it is, and in which call, is said while a study waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import envs
from envs import SerialBatch, check_env_id, watching
from rl_rmsprop.study.execution import local_pool, worker
from rl_rmsprop.study.execution.executor import Ended
from rl_rmsprop.study.training.monitor import Monitor, Note
from tests.odd_envs import LENGTH, Plain

PATIENCE = 0.1
SLOW = 5 * PATIENCE


class Hanging(Plain):
    """Stays long in its reset number `reset`, or its step number `step`, counted over all episodes; from 1."""

    def __init__(self, reset: int = 0, step: int = 0) -> None:
        self.left = {"reset": reset, "step": step}

    def wait(self, kind: str) -> None:
        self.left[kind] -= 1
        if self.left[kind] == 0:
            time.sleep(SLOW)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.wait("reset")
        return super().reset(seed=seed)

    def step(self, action: Any) -> Any:
        self.wait("step")
        return super().step(action)


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    gym.register("Test/Hanging-v0", entry_point=Hanging)
    yield
    gym.registry.pop("Test/Hanging-v0")


def heard(call: Any) -> list[str]:
    """What is said while something is called."""
    lines: list[str] = []
    with watching(lines.append, PATIENCE):
        call()
    return lines


def test_a_check_that_waits_for_an_environment_says_so() -> None:
    """Silent failure: the command prints nothing, creates nothing, and never ends."""
    lines = heard(lambda: check_env_id("Test/Hanging-v0", kwargs={"reset": 1}))
    assert lines == ["Test/Hanging-v0 has not come back from a reset for 0.1 s: it may hang; Ctrl-C ends everything"]
    lines = heard(lambda: check_env_id("Test/Hanging-v0", kwargs={"step": 3}))
    assert lines == ["Test/Hanging-v0 has not come back from step 3 of an episode for 0.1 s: it may hang; Ctrl-C ends everything"]


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        ({"reset": 1}, "a reset"),
        ({"step": 2}, "step 2 of an episode"),
        ({"reset": 2}, "a reset"),
        ({"step": LENGTH + 1}, "step 1 of an episode"),
    ],
)
def test_a_batch_names_the_environment_and_its_call(kwargs: dict[str, int], expected: str) -> None:
    """Silent failure: one of 320 environments waits for a server, and the study for it; nobody knows which, or for what."""
    batch = SerialBatch("Test/Hanging-v0", (3, 8), 2)
    batch._envs[3].unwrapped.left.update(kwargs)  # type: ignore[attr-defined]

    def play() -> None:
        batch.reset()
        for _ in range(LENGTH + 2):
            batch.step(np.zeros((2, 2), int))

    assert heard(play) == [
        f"Test/Hanging-v0 has not come back from {expected} for 0.1 s (environment 1 of the run with seed 8): it may hang; "
        "Ctrl-C ends everything"
    ]


def test_many_quick_calls_are_no_hang_and_neither_is_a_pause_between_calls() -> None:
    """Silent failure: every study of a slow learner is told that its environment hangs."""
    batch = SerialBatch("Test/Hanging-v0", (3,), 2)

    def play() -> None:
        batch.reset()
        end = time.monotonic() + SLOW
        while time.monotonic() < end:
            batch.step(np.zeros((1, 2), int))
        time.sleep(SLOW)

    assert heard(play) == []


def test_an_environment_that_fails_is_not_waited_for() -> None:
    """Silent failure: a batch that raised an error is reported as one that hangs, for as long as it is kept."""
    batch = SerialBatch("Odd/Error-v0", (3,), 1)
    batch.reset()
    with pytest.raises(envs.EnvironmentFailure):
        batch.step(np.zeros((1, 1), int))
    assert heard(lambda: time.sleep(SLOW)) == []


class Task:
    """A task for a worker that only resets an environment."""

    label, arm, parts, total_steps = "Hanging · 0.99", None, ("seed 3",), 1

    def __init__(self, folder: Path) -> None:
        self.study_folder, self.error_file = folder, folder / "error.txt"

    def run(self, monitor: Monitor) -> Sequence[str]:
        SerialBatch("Test/Hanging-v0", (3,), 1, kwargs={"reset": 1}).reset()
        return ()


def test_a_worker_tells_its_driver_what_it_waits_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent failure: the worker knows and the driver shows a bar that stands still."""
    sent: list[Any] = []
    pipe = type("Pipe", (), {"send": lambda self, message: sent.append(message)})()
    monkeypatch.setattr(worker.envs, "watching", lambda tell: watching(tell, PATIENCE))
    monkeypatch.setattr(worker.signal, "signal", lambda *_: None)
    worker.work(Task(tmp_path), pipe, 60.0)  # type: ignore[arg-type]
    assert [type(message) for message in sent] == [Note, Ended]
    assert sent[0].text.startswith("Hanging · 0.99: Test/Hanging-v0 has not come back from a reset for 0.1 s (environment 0 of")


def test_a_worker_without_a_word_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent failure: a library in C that never lets Python run keeps the worker itself from saying that it hangs."""
    monkeypatch.setattr(local_pool, "SILENCE", PATIENCE)
    pool = local_pool.Pool(1)
    pool._running, pool._heard = {object(): (0, None)}, {0: time.monotonic()}  # type: ignore[dict-item]
    tasks: Any = [Task(tmp_path)]
    assert list(pool._silent(tasks)) == []
    time.sleep(PATIENCE)
    (event,) = pool._silent(tasks)
    assert event.note is not None
    assert event.note.startswith("Hanging · 0.99: no news for 0.1 s: an environment may hang")
    assert list(pool._silent(tasks)) == []  # once until the next time


def test_the_watch_ends_with_what_it_watches() -> None:
    """Silent failure: a thread is left behind for every study of a notebook."""
    before = threading.active_count()
    with watching(print, PATIENCE):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
