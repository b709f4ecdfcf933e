"""Exact resume: what was cut off and taken up again is, byte for byte, what was never cut off."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import envs
from rl_rmsprop.baselines import names_baseline
from rl_rmsprop.study.spec.arms import make_arm
from rl_rmsprop.study.spec.batch_spec import BatchSpec
from rl_rmsprop.study.spec.presets import make_agent
from rl_rmsprop.study.training.monitor import Monitor, Note
from rl_rmsprop.study.training.train import train_batch
from tests import space_envs  # noqa: F401  # registers environments
from tests.builders import batch_of, with_options

SMALL = {"hidden": (8,), "n_envs": 2, "n_steps": 8}


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it, and what was not handed to the system is lost."""


class Interrupting(Monitor):
    """Saves after the iteration `save`, dies after the iteration `die`."""

    def __init__(self, save: int, die: int | None) -> None:
        self.notes: list[str] = []
        super().__init__(lambda report: self.notes.append(report.text) if isinstance(report, Note) else None)
        self._iteration, self._save, self._die = 0, save, die
        self.iterations = 0

    def is_due(self) -> bool:
        """Asked once an iteration."""
        self.iterations += 1
        if self.iterations == self._die:
            raise Killed
        return self.iterations == self._save


def spec(folder: Path, env_id: str, rule: str = "cusum:arl=50,burn_in=5,max=0.99", shift: str = "", agent: str = "a2c", **more):
    settings = {**SMALL, **({"batch_size": 8, "n_epochs": 2} if agent == "ppo" else {}), **more}
    arm = make_arm(rule, baseline=names_baseline(rule))
    made = make_agent(agent, env_id, settings)
    steps = 30 * made.n_envs * made.n_steps
    shifts = tuple(shift.split()) if shift else ()
    return batch_of(str(folder), env_id, agent, made, arm, (3, 8), steps, 2, shift=shifts, record_signals=True)


def digest(batch: BatchSpec) -> dict[str, str]:
    """SHA-256 of every file that must not depend on how often a run was cut off."""
    home = batch.run_folder(batch.seeds[0]).parent
    return {
        str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(home.rglob("*"))
        if path.is_file() and path.name != "timing.csv" and "tfevents" not in path.name
    }


def cut_off(batch: BatchSpec, save: int, die: int) -> None:
    with pytest.raises(Killed):
        train_batch(batch, Interrupting(save, die))


def assert_goes_on(whole: BatchSpec, cut: BatchSpec) -> None:
    """A batch that is cut off once and taken up again writes what the other one does."""
    train_batch(whole)
    cut_off(cut, save=13, die=17)
    monitor = Interrupting(0, None)
    train_batch(cut, monitor)
    assert (monitor.iterations, monitor.notes) == (30 - 13, [])
    assert digest(cut) == digest(whole)


NORMALIZED = {"normalize_observations": True, "normalize_rewards": True}
CASES: dict[str, tuple[str, dict]] = {
    "CartPole": ("CartPole-v1", {}),
    "CartPole, shifted": ("CartPole-v1", {"shift": "force_mag:values=10/-10,at=200 obs_noise:values=0/0.1,at=100"}),
    "CartPole, random shifts": ("CartPole-v1", {"shift": "gravity:profile=poisson,values=9.8/25,every=60"}),
    "CartPole, walking": ("CartPole-v1", {"shift": "length:profile=walk,first=0.5,low=0.2,high=1,sd=0.1,every=20"}),
    "CartPole, by updates": ("CartPole-v1", {"shift": "push:values=0/3,at=12,clock=updates,apply=reset"}),
    "Acrobot, shifted": ("Acrobot-v1", {"shift": "torque:values=1/-1,at=220"}),
    "LunarLander, shifted": ("LunarLander-v3", {"shift": "gravity:values=-10/-4,at=230 main_engine_power:values=13/8,at=300"}),
    "LunarLander, wind": ("LunarLander-v3", {"shift": "wind_power:values=0/15,at=150"}),
    "LunarLander, continuous": ("LunarLanderContinuous-v3", NORMALIZED),
    "Pendulum": ("Pendulum-v1", NORMALIZED),
    "PPO": ("CartPole-v1", {"agent": "ppo", "rule": "ewma:arl=50,burn_in=5,signal=grad_norm"}),
    "REINFORCE": ("CartPole-v1", {"agent": "reinforce", "rule": "linear:start=0.5,end=0.99"}),
    "law": ("CartPole-v1", {"rule": "mixture"}),
    "number": ("CartPole-v1", {"rule": "0.99", "lr_schedule": "linear"}),
    "random control": ("CartPole-v1", {"rule": "random:every=10"}),
    "Adam with keys": ("CartPole-v1", {"rule": "adam:beta1=0.5,beta2=0.99"}),
    "Muon, PPO": ("CartPole-v1", {"agent": "ppo", "rule": "muon:momentum=0.5", "hidden": (8, 6)}),
    "several choices": ("Spaces/Buttons-v0", {"ent_coef": 0.01}),
    "switches, PPO": ("Spaces/Switches-v0", {"agent": "ppo", **NORMALIZED}),
    "table and tuple, REINFORCE": ("Spaces/Mixed-v0", {"agent": "reinforce"}),
}
"""More rules are cut off in tests/test_device.py."""


@pytest.mark.parametrize("case", CASES)
def test_a_batch_that_was_cut_off_goes_on_bit_for_bit(case: str, tmp_path: Path) -> None:
    """Silent failure: one thing is not in the checkpoint, and the resumed run is another experiment that nobody can tell."""
    env_id, options = CASES[case]
    whole, cut = (spec(tmp_path / name, env_id, **options) for name in ("whole", "cut"))
    train_batch(whole)
    cut_off(cut, save=13, die=17)
    assert cut.checkpoints.is_dir()
    cut_off(cut, save=5, die=9)  # iteration 18, iteration 22: resumed, saved, cut off once more
    monitor = Interrupting(0, None)
    train_batch(cut, monitor)
    assert monitor.iterations == 30 - 18  # from the second checkpoint on
    assert monitor.notes == []
    assert digest(cut) == digest(whole)
    assert not cut.checkpoints.exists()


def test_a_batch_goes_on_where_only_its_files_have_come(tmp_path: Path) -> None:
    """Archives and other nodes may leave out empty folders."""
    whole, cut = (spec(tmp_path / name, "CartPole-v1") for name in ("whole", "cut"))
    train_batch(whole)
    cut_off(cut, save=13, die=17)
    empty = [path for path in cut.folder.rglob("*") if path.is_dir() and not any(path.iterdir())]
    assert empty
    for path in empty:
        path.rmdir()
    monitor = Interrupting(0, None)
    train_batch(cut, monitor)
    assert (monitor.iterations, monitor.notes) == (30 - 13, [])
    assert digest(cut) == digest(whole)


# Environments -------------------------------------------------------------------------------------------------------------


def test_environments_go_on_after_many_episodes(tmp_path: Path) -> None:
    """Silent failure: what is cut off of a long history is what an episode under way still needs."""
    actions = np.random.default_rng(0).uniform(-2, 2, (2500, 1, 3, 1)).astype(np.float32)
    first, second = (envs.SerialBatch("Pendulum-v1", (5,), 3) for _ in range(2))
    first.reset()
    for action in actions[:2390]:
        first.step(action)
    saved = first.snapshot()
    assert max(len(episode["actions"]) for episode in saved["episodes"]) <= 200
    second.reset()
    second.restore(saved)
    for action in actions[2390:]:
        for ours, theirs in zip(second.step(action), first.step(action), strict=True):
            np.testing.assert_array_equal(ours, theirs)


class Forgetful(gym.Env):  # type: ignore[type-arg]
    """Depends on something that no seed decides."""

    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)
    made: Iterator[int] = iter(range(10**9))

    def reset(self, *, seed=None, options=None):  # type: ignore[no-untyped-def]
        super().reset(seed=seed)
        return self.np_random.random(2, np.float32), {}

    def step(self, action):  # type: ignore[no-untyped-def]
        return np.full(2, next(self.made) / 1e9, np.float32), 1.0, False, self.np_random.random() < 0.1, {}


@pytest.fixture
def forgetful() -> Iterator[str]:
    gym.register("Forgetful-v0", entry_point=Forgetful)
    yield "Forgetful-v0"
    gym.registry.pop("Forgetful-v0")


def test_an_environment_that_does_not_do_the_same_again_starts_again(tmp_path: Path, forgetful: str) -> None:
    """Silent failure: a run goes on from a place where it never was."""
    batch = spec(tmp_path, forgetful, rule="0.99")
    cut_off(batch, save=13, die=17)
    monitor = Interrupting(0, None)
    train_batch(batch, monitor)
    assert monitor.iterations == 30
    assert len(monitor.notes) == 2
    assert "Forgetful-v0 did not repeat its episode" in monitor.notes[0]
    assert monitor.notes[1].endswith("starts again from its beginning")


def test_an_environment_that_keeps_its_world_is_not_saved(tmp_path: Path) -> None:
    """Silent failure: BipedalWalker shows the same for a while, but its solver remembers other contacts."""
    batch = spec(tmp_path, "BipedalWalker-v3", rule="0.99")
    monitor = Interrupting(13, None)
    train_batch(batch, monitor)
    assert monitor.iterations == 13  # it does not try again
    assert "BipedalWalker-v3 keeps its Box2D world from episode to episode" in monitor.notes[0]


# What is not taken ---------------------------------------------------------------------------------------------------------


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(tmp_path: Path) -> None:
    """Silent failure: the run goes on from garbage, or hours are thrown away for one bad block."""
    whole, cut = (spec(tmp_path / name, "CartPole-v1") for name in ("whole", "cut"))
    train_batch(whole)
    cut_off(cut, save=5, die=8)
    cut_off(cut, save=5, die=8)  # iterations 10 and 13
    damaged = cut.checkpoints / "00000010" / "state.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    monitor = Interrupting(0, None)
    train_batch(cut, monitor)
    assert monitor.iterations == 30 - 5
    assert len(monitor.notes) == 1
    assert f"{damaged} is damaged" in monitor.notes[0]
    assert digest(cut) == digest(whole)


@pytest.mark.parametrize("what", ["metrics.csv is shorter", "metrics.csv is another", "config", "versions"])
def test_a_batch_whose_files_or_settings_are_others_starts_again(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silent failure: half of a curve is from one experiment and half from another."""
    whole, cut = (spec(tmp_path / name, "CartPole-v1") for name in ("whole", "cut"))
    train_batch(whole)
    cut_off(cut, save=13, die=17)
    metrics = cut.run_folder(3) / "metrics.csv"
    if what == "metrics.csv is shorter":
        metrics.write_bytes(metrics.read_bytes()[:300])
    elif what == "metrics.csv is another":
        metrics.write_bytes(metrics.read_bytes().replace(b"1", b"2"))
    elif what == "config":
        cut = with_options(cut, eval_episodes=3)
        whole = with_options(whole, eval_episodes=3)
        train_batch(whole)
    else:
        monkeypatch.setattr("rl_rmsprop.study.spec.run_config.versions", lambda: {"torch": "0.1"})
        train_batch(whole)
    monitor = Interrupting(0, None)
    train_batch(cut, monitor)
    assert monitor.iterations == 30
    assert len(monitor.notes) == 2
    assert digest(cut) == digest(whole)
