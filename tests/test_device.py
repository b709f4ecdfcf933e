"""Networks and optimizer on a device of their own: what is trained is the same, and nothing is taken for being on the CPU.

No GPU is needed but for one test: tests/pretended_device.py stands for it, and raises where a GPU would.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor

from rl_rmsprop.cli import main, parse
from rl_rmsprop.cli.compare import Compare
from rl_rmsprop.study.spec.arms import make_arm
from rl_rmsprop.study.spec.batch_spec import BatchSpec
from rl_rmsprop.study.spec.presets import make_agent
from rl_rmsprop.study.training.monitor import UNWATCHED
from rl_rmsprop.study.training.train import train_batch
from rl_rmsprop.study.tuning.trials import Setting, TrialBatch
from rl_rmsprop.telemetry import tags
from rl_rmsprop.telemetry.csv_table import read_table
from tests.builders import batch_of, with_options
from tests.nonfinite_envs import Sick
from tests.pretended_device import DEVICE, Remote, pretended
from tests.test_resume import NORMALIZED, Interrupting, cut_off, digest, spec

ITERATIONS = 8
ILL = {3: {7: ("reward", math.nan), 30: (2, math.inf), 31: ("reward", -math.inf)}}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "detector": ("CartPole-v1", {"shift": "force_mag:values=10/-10,at=100"}),
    "schedule, no hidden layer": ("CartPole-v1", {"rule": "linear:start=0.5,end=0.99", "hidden": ()}),
    "number, wide": ("CartPole-v1", {"rule": "0.99", "hidden": (16, 20)}),
    "cosine": ("CartPole-v1", {"rule": "page_hinkley:arl=50,burn_in=5,signal=cosine"}),
    "oracle": ("CartPole-v1", {"rule": "oracle", "shift": "gravity:values=9.8/25,at=60"}),
    "mixture": ("CartPole-v1", {"rule": "mixture"}),
    "asymmetric": ("CartPole-v1", {"rule": "asymmetric:rise=0.9,fall=0.99"}),
    "Adam": ("CartPole-v1", {"rule": "adam"}),
    "Muon": ("CartPole-v1", {"rule": "muon", "hidden": (8, 6)}),
    "momentum": ("CartPole-v1", {"rule": "momentum"}),
    "PPO": ("CartPole-v1", {"agent": "ppo", "n_epochs": 1, "rule": "ewma:arl=50,burn_in=5,signal=grad_norm"}),
    "REINFORCE": ("CartPole-v1", {"agent": "reinforce", "rule": "random:every=10"}),
    "continuous": ("Pendulum-v1", NORMALIZED),
    "ill": ("IllOnce-v0", {}),
    "ill, Adam": ("IllOnce-v0", {"rule": "adam"}),
    "ill, Muon": ("IllOnce-v0", {"rule": "muon"}),
}


@pytest.fixture(autouse=True)
def environments() -> Iterator[None]:
    gym.register("IllOnce-v0", Sick, max_episode_steps=40, kwargs={"plans": ILL})
    yield
    gym.registry.pop("IllOnce-v0")


def on(device: str, folder: Path, case: str) -> BatchSpec:
    """A batch of two runs whose networks are there."""
    env_id, options = CASES[case]
    batch = spec(folder, env_id, **options)
    steps = ITERATIONS * batch.agent.n_envs * batch.agent.n_steps
    return with_options(batch, steps=steps, device=device, kernel="torch")  # that of all devices


def agree(there: BatchSpec, here: BatchSpec) -> None:
    """Both have written the same, but for their device; a detector's statistic in all but its last bits.

    Torch works it out there, NumPy here, and their square roots differ (see rl_rmsprop/kernels/backends.py).
    """
    found, expected = digest(there), digest(here)
    assert found.keys() == expected.keys()
    other = {name for name, sha in found.items() if sha != expected[name]}
    assert {Path(name).name for name in other} <= {"config.json", "metrics.csv"}
    for seed in here.seeds:
        folders = [batch.run_folder(seed) for batch in (there, here)]
        configs = [json.loads((folder / "config.json").read_text()) for folder in folders]
        assert configs == [{**configs[1], "device": batch.options.device} for batch in (there, here)]
        mine, reference = (read_table(folder / "metrics.csv") for folder in folders)
        for name, column in reference.items():
            np.testing.assert_allclose(mine[name], column, rtol=1e-12 if name == "detector/statistic" else 0, err_msg=name)


# Trainings -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("ill")] + ["detector"])
def test_what_is_trained_on_another_device_is_what_is_trained_on_the_cpu(case: str, tmp_path: Path) -> None:
    """Silent failure: on a GPU, acting goes on with weights from before the last update, or learning with other data.

    The other cases, and the last one again, are in the test below, whose trainings begin like this one.
    """
    here, there = on("cpu", tmp_path / "here", case), on(str(DEVICE), tmp_path / "there", case)
    train_batch(here)
    with pretended():
        train_batch(there)
    agree(there, here)


@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith("ill")])  # they cannot be taken up
def test_a_batch_on_another_device_goes_on_from_its_checkpoint(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint comes back on the CPU: what is not sent over fails hours later, at the first update after a fault."""
    monkeypatch.setattr(tags, "POINTS", 3)  # so that there is something to remember since the last row
    here, there = on("cpu", tmp_path / "here", case), on(str(DEVICE), tmp_path / "there", case)
    train_batch(here)
    monitor = Interrupting(0, None)
    with pretended():
        cut_off(there, save=4, die=6)
        train_batch(there, monitor)
    assert (monitor.iterations, monitor.notes) == (ITERATIONS - 4, [])
    agree(there, here)


@pytest.mark.parametrize("rule", ["cusum:arl=8,burn_in=3", "adam"])
def test_trials_on_another_device_come_to_the_same(rule: str, tmp_path: Path) -> None:
    """Tuning measures the updates by itself: it must look for them where they are."""
    agent = make_agent("a2c", "CartPole-v1", {"hidden": (8,)})
    for device in ("cpu", str(DEVICE)):
        given = batch_of(
            "x", "CartPole-v1", "a2c", agent, make_arm(rule, rule == "adam"), (4, 9), 600, 1, device=device, kernel="torch"
        )
        batch = TrialBatch(given, (Setting(0, 1e-3, rule), Setting(1, 2e-2, rule)), str(tmp_path / f"{device}.csv"))
        with pretended():
            batch.run(UNWATCHED)
    assert (tmp_path / f"{DEVICE}.csv").read_bytes() == (tmp_path / "cpu.csv").read_bytes()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")
def test_two_runs_train_on_a_gpu(tmp_path: Path) -> None:
    """What a pretended device cannot show: that a GPU has every operation, and begins with the same update.

    Later updates may differ in more and more bits, and then in actions.
    """
    places = {"here": "cpu", "there": "cuda", "cut": "cuda"}
    here, there, cut = (with_options(on(at, tmp_path / name, "detector"), steps=2000, shift=()) for name, at in places.items())
    train_batch(here)
    train_batch(there)
    monitor = Interrupting(0, None)
    cut_off(cut, save=60, die=70)
    train_batch(cut, monitor)
    assert (monitor.iterations, monitor.notes) == (cut.iterations - 60, [])
    for seed in here.seeds:
        first, reference = (read_table(batch.run_folder(seed) / "metrics.csv") for batch in (there, here))
        for name in ("train/policy_loss", "train/value_loss", "train/entropy", "optim/grad_norm", "optim/E_q50", "optim/beta"):
            np.testing.assert_allclose(first[name][0], reference[name][0], rtol=1e-3, err_msg=name)
        for batch in (there, cut):
            folder = batch.run_folder(seed)
            assert np.isfinite(read_table(folder / "metrics.csv")["eval/mean_reward"][-1])
            with np.load(folder / "checkpoint" / "weights.npz") as weights:
                assert all(np.isfinite(weights[name]).all() for name in ("actor", "critic"))


# The device that is not there ----------------------------------------------------------------------------------------------

MISTAKES: dict[str, Callable[[Tensor], object]] = {
    "memory shared with NumPy": lambda x: x.numpy(),
    "an array of it": np.asarray,
    "a sum with a tensor of the CPU": lambda x: x + torch.ones(3),
    "a result in memory of the CPU": lambda x: torch.mul(x, 2.0, out=torch.empty(3)),
    "a choice by a mask of the CPU": lambda x: torch.where(torch.ones(3, dtype=torch.bool), x, 0.0),
    "a place in a list with a number of the CPU": lambda x: torch.stack([x.sum(), torch.tensor(1.0)]),
    "a list with a tensor of the CPU": lambda x: torch._foreach_mul([x, x], [torch.ones(3), torch.ones(3)]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_pretended_device_refuses_what_a_gpu_does(mistake: str) -> None:
    """If it let everything pass, the tests above would show nothing."""
    with pretended() as device:
        for x in (torch.ones(3, device=device), torch.tensor([1.0, 1.0, 1.0], device=device), torch.ones(3).to(device)):
            assert isinstance(x, Remote)
            assert (x.device, x.is_cpu) == (device, False)
            with pytest.raises((RuntimeError, TypeError)):
                MISTAKES[mistake](x)
            assert x.cpu().tolist() == [1.0, 1.0, 1.0]
            assert (x * torch.tensor(2.0)).sum().item() == 6.0


# Studies -------------------------------------------------------------------------------------------------------------------

LINE = ["--env", "CartPole-v1", "--steps", "200", "--seeds", "0-1", "--eval-episodes", "1"]


def test_the_flag_reaches_every_batch_and_the_study_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Silent failure: the study trains on the CPU for days and says that it was the GPU."""
    line = ["compare", *LINE, "--betas", "0.9", "0.99", "--baselines", "adam"]
    described = parse([*line, "--device", "cuda"])
    assert isinstance(described, Compare)
    assert [batch.options.device for batch in described.described().batches()] == ["cuda"] * 3
    assert main([*line, "--device", "cuda", "--print-config"]) == 0  # which may be for another machine
    (tmp_path / "study.toml").write_text(text := capsys.readouterr().out)
    assert 'device = "cuda"\n' in text
    assert parse(["compare", str(tmp_path / "study.toml")]).described().options.device == "cuda"
    assert parse(line).described().options.device == "cpu"
    assert parse(line).described().folder != described.described().folder  # both can be there


@pytest.mark.parametrize("verb", ["train", "resume"])
def test_a_gpu_that_is_not_there_is_said_before_anything_is_made(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else every worker would fail by itself, with a traceback each and an empty study left behind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    if verb == "resume":
        study = parse(["compare", *LINE, "--betas", "0.9", "--out", "x"]).described()
        replace(study, options=replace(study.options, device="cuda")).save()
    line = ["train", *LINE, "--device", "cuda"] if verb == "train" else ["resume", "x"]
    assert main(line) == 2
    output = "device must be one that this machine has, got cuda: torch sees no GPU; leave --device out to train on the CPU"
    assert output in capsys.readouterr().err
    assert {path.name for path in tmp_path.rglob("*")} <= {"x", "study.json"}


def test_a_study_that_was_trained_on_a_gpu_is_evaluated_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights are looked at on a laptop: the device that they were trained on must not be asked for."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["train", *LINE, "--workers", "1", "--out", str(tmp_path / "x")]) == 0
    for path in [tmp_path / "x" / "study.json", *tmp_path.rglob("config.json")]:
        content = json.loads(path.read_text())
        options = content.get("options", content)  # a run's are beside everything else that made it
        assert options["device"] == "cpu"
        options["device"] = "cuda"
        if path.name == "config.json":
            options["kernel"] = "torch"  # what it would have been trained by
        path.write_text(json.dumps(content))
    assert main(["evaluate", str(tmp_path / "x"), "--episodes", "2"]) == 0
    assert main(["report", str(tmp_path / "x")]) == 0
    assert "2 episodes per run" in capsys.readouterr().out
