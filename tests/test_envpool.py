"""EnvPool's environments beside Gymnasium's, which need the extra envpool, and what is refused, with a fake one in its place."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from scipy import stats

import envs
from agents import A2C
from envs.episode_replay import NotReplayable
from envs.make import BACKENDS
from envs.shifts.shift import parse_all
from rl_rmsprop.cli import main, parse
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.run_files import WEIGHTS
from rl_rmsprop.study.training.monitor import Monitor
from rl_rmsprop.study.training.train import train_batch
from tests import odd_envs
from tests.builders import batch_of

torch.set_num_threads(1)
LANDER = "LunarLander-v3"
HERE = importlib.util.find_spec("envpool") is not None
needed = pytest.mark.skipif(not HERE, reason="needs the extra envpool")


def pooled(env_id, seeds, N, shifts=()):
    return envs.make(env_id, seeds, N, parse_all(shifts), backend="envpool")


def played(batch, steps, seed=0):
    """All that a batch does under random actions drawn run by run, [T, R, N, …] each."""
    N = batch.envs_per_run
    actions = np.stack([np.random.default_rng((seed, r)).integers(0, 4, (steps, N)) for r in range(batch.runs)], 1)
    first = batch.reset()
    steps_made = [batch.step(a) for a in actions]
    batch.close()
    return first, [np.stack(column) for column in zip(*steps_made, strict=True)]


def test_without_envpool_its_backend_says_what_to_install(monkeypatch):
    """Silent failure: a traceback of imports, or a training in Gymnasium that calls itself EnvPool's."""
    monkeypatch.setitem(sys.modules, "envpool", None)
    with pytest.raises(ValueError, match=r"needs a package that is not installed .*pip install 'rl-rmsprop\[envpool\]'"):
        pooled(LANDER, (0,), 1)


def test_an_unknown_backend_is_refused():
    """Silent failure: a typo in a study's file falls back to another backend."""
    with pytest.raises(ValueError, match="backend must be one of gymnasium, envpool, got 'pool'"):
        envs.make(LANDER, (0,), 1, backend="pool")
    assert BACKENDS[0] == "gymnasium"


@needed
def test_a_run_does_not_depend_on_its_neighbours_and_is_the_same_every_time():
    """Silent failure: seeds of the pool as a whole: every run changes with the batch it is in."""
    _, batched = played(pooled(LANDER, (3, 4, 5), 2), 300)
    first, again = played(pooled(LANDER, (3, 4, 5), 2), 300)
    assert all(np.array_equal(a, b) for a, b in zip(batched, again, strict=True))
    batch = pooled(LANDER, (5,), 2)
    assert np.array_equal(batch.reset()[0], first[2])
    actions = np.stack([np.random.default_rng((0, 2)).integers(0, 4, (300, 2))], 1)
    alone = [np.stack(column) for column in zip(*[batch.step(a) for a in actions], strict=True)]
    assert all(np.array_equal(a[:, 2], b[:, 0]) for a, b in zip(batched, alone, strict=True))
    assert not np.array_equal(batched[0][:, 0], batched[0][:, 1])


@needed
def test_the_step_after_an_end_only_resets():
    """Silent failure: an episode's first observation is learned from as if an action had led there."""
    _, (observations, rewards, terminated, truncated, valid) = played(pooled(LANDER, (0, 1), 4), 400)
    over = terminated | truncated
    assert over.sum() > 20
    assert np.array_equal(~valid[1:], over[:-1])
    assert valid[0].all()
    assert not rewards[~valid].any()
    assert (observations[~valid][:, 1] > 1.3).all()  # at the top again


@needed
def test_episodes_are_others_than_gymnasiums_but_distributed_alike():
    """Silent failure: another game under the same name. Kolmogorov-Smirnov of returns and lengths under random actions."""

    def episodes(batch):
        first, (_, rewards, terminated, truncated, valid) = played(batch, 1500, seed=1)
        ends = (terminated | truncated).reshape(len(rewards), -1)
        earned, made = rewards.reshape(ends.shape).cumsum(0), valid.reshape(ends.shape).cumsum(0)
        returns = [np.diff(earned[ends[:, k], k], prepend=0.0) for k in range(ends.shape[1])]
        lengths = [np.diff(made[ends[:, k], k], prepend=0) for k in range(ends.shape[1])]
        return first, np.concatenate(returns), np.concatenate(lengths)

    first, returns, lengths = episodes(pooled(LANDER, (0, 1), 20))
    their_first, their_returns, their_lengths = episodes(envs.make(LANDER, (0, 1), 20))
    assert not np.array_equal(first, their_first)
    assert len(returns) > 500
    assert stats.ks_2samp(returns, their_returns).pvalue > 0.01
    assert stats.ks_2samp(lengths, their_lengths).pvalue > 0.01


@needed
def test_mujocos_robots_are_stepped():
    """Silent failure: real actions, or observations in double precision, are refused or misread."""
    from envpool import list_all_envs

    assert "HalfCheetah-v5" in list_all_envs()
    pool = pooled("HalfCheetah-v5", (3, 4), 2)
    observations = pool.reset()
    step = pool.step(np.full((2, 2, 6), 0.5, np.float32))
    assert (observations.shape, step.observations.dtype) == ((2, 2, 17), np.float32)
    assert not np.array_equal(observations, step.observations)
    assert step.valid.all()


@needed
def test_dynamics_cannot_shift_and_rewards_can():
    """Silent failure: a study of gravity in which gravity never changes."""
    with pytest.raises(ValueError, match="leave --backend out to change the dynamics"):
        pooled(LANDER, (0,), 1, ("gravity:values=-10/-5,at=100",))
    shifted = pooled(LANDER, (0,), 2, ("reward_scale:values=1/3,at=0",))
    _, (_, rewards, *_) = played(shifted, 50)
    _, (_, plain, *_) = played(pooled(LANDER, (0,), 2), 50)
    np.testing.assert_allclose(rewards, 3 * plain, rtol=1e-6)
    with pytest.raises(ValueError, match="registered Gymnasium id"):
        pooled("BipedalStroller-v3", (0,), 1)


@needed
def test_a_run_trains_in_it_and_starts_again_instead_of_being_resumed(tmp_path: Path):
    """Silent failure: a run goes on from a checkpoint in another place of the game than it was in."""
    notes: list[str] = []
    spec = batch_of(str(tmp_path), LANDER, "a2c", A2C(), Arm("0.99"), (1,), 1_024, 2, backend="envpool")
    monitor = Monitor(lambda report: notes.append(getattr(report, "text", "")), every=0.0)
    assert train_batch(spec, monitor) == []
    assert (spec.run_folder(1) / WEIGHTS).is_file()
    assert any("start again" in note for note in notes)
    assert not spec.checkpoints.exists()


# What is refused, with a fake EnvPool, whether the real one is installed or not ----------------------------------------------


class FakePool:
    """As many environments as asked for, which show zeros."""

    spec = SimpleNamespace(config=SimpleNamespace(max_episode_steps=1000))
    closed = False

    def __init__(self, env_id: str, num_envs: int, **options: Any) -> None:
        self.made = {"env_id": env_id, "num_envs": num_envs, **options}

    def reset(self) -> Any:
        return np.zeros((self.made["num_envs"], 8)), {}  # float64, as MuJoCo's observations are

    def step(self, actions: Any) -> Any:
        count = self.made["num_envs"]
        over = np.zeros(count, bool)
        return np.zeros((count, 8)), np.ones(count), over, over, {"elapsed_step": np.ones(count, np.int64)}

    def close(self) -> None:
        self.closed = True


class OneBased(odd_envs.Plain):
    """Numbers its actions from 1."""

    action_space = gym.spaces.Discrete(2, start=1)


class Choices(odd_envs.Plain):
    """Takes two choices at once."""

    action_space = gym.spaces.MultiDiscrete([2, 2])

    def step(self, action: Any) -> Any:
        return super().step(action[0])


for kind in (OneBased, Choices):
    if f"Test/{kind.__name__}-v0" not in gym.registry:
        gym.register(f"Test/{kind.__name__}-v0", entry_point=kind)

IN_FAKE = (LANDER, "CartPole-v1", "FrozenLake-v1", "Test/OneBased-v0", "Test/Choices-v0")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """An EnvPool that has a few environments."""
    module = ModuleType("envpool")
    module.list_all_envs = lambda: list(IN_FAKE)  # type: ignore[attr-defined]
    module.make = FakePool  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "envpool", module)


REFUSED = {
    "Acrobot-v1": "backend envpool must have the environment, and has no Acrobot-v1: leave --backend out",
    f"{LANDER} --env-kwargs continuous=true": f"backend envpool makes {LANDER} as it is, without --env-kwargs and --wrapper",
    "CartPole-v1 --wrapper gymnasium.wrappers:FlattenObservation": "without --env-kwargs and --wrapper: leave --backend out",
    "FrozenLake-v1": "takes vectors and single choices, FrozenLake-v1 has Discrete(16): leave --backend out",
    "Test/OneBased-v0": "takes vectors and single choices, Test/OneBased-v0 has Discrete(2, start=1): leave --backend out",
    "Test/Choices-v0": "takes vectors and single choices, Test/Choices-v0 has MultiDiscrete([2 2]): leave --backend out",
    f"{LANDER} --shift gravity:values=-10/-5,at=100": "must be of rewards, observations or actions with backend envpool, "
    "got gravity: leave --backend out to change the dynamics",
    "CartPole-v1 --shift reward_scale:values=1/2,at=9 length:values=0.5/1,at=9": "with backend envpool, got length: leave",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_envpool_cannot_do_is_refused_in_one_line_before_anything_is_created(
    words: str, fake: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Silent failure: EnvPool trains in another environment than the one asked for, or in one that never shifts."""
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--backend", "envpool", "--env", *words.split()]) == 2
    error = capsys.readouterr().err
    assert REFUSED[words] in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words", [LANDER, "CartPole-v1", f"{LANDER} --shift reward_scale:values=1/2,at=9 obs_noise:values=0/1,at=9"]
)
def test_what_envpool_can_do_is_not_refused(words: str, fake: None) -> None:
    """Silent failure: a check that refuses everything would pass the test above."""
    study = parse(["compare", "--backend", "envpool", "--betas", "0.9", "--env", *words.split()]).described()
    study.check_environments()


def test_a_pool_says_that_it_can_be_neither_cut_short_nor_saved_nor_changed(fake: None) -> None:
    """Silent failure: a run goes on from a checkpoint that holds nothing, or in dynamics that did not change."""
    pool = pooled(LANDER, (3, 4), 2)
    assert pool.reset().shape == (2, 2, 8)
    with pytest.raises(RuntimeError, match="EnvPool's environments end their episodes themselves, by their time limits"):
        pool.truncate(np.ones((2, 2), bool))
    for attempt in (pool.snapshot, lambda: pool.restore({})):
        with pytest.raises(NotReplayable, match="EnvPool's environments cannot be saved: their runs start again"):
            attempt()
    dynamics = pool.dynamics()
    with pytest.raises(AttributeError, match="EnvPool's environments do not show their gravity"):
        dynamics.get("gravity")
    with pytest.raises(AttributeError, match="EnvPool's environments cannot change gravity"):
        dynamics.set("gravity", np.ones(4))
    pool.close()
    assert pool._pool.closed


def test_a_pool_of_doubles_gives_single_precision(fake: None) -> None:
    """Silent failure: networks of single precision are shown MuJoCo's doubles, by whichever kernel takes them as they come."""
    pool = pooled(LANDER, (3, 4), 2)
    assert pool.reset().dtype == np.float32
    step = pool.step(np.zeros((2, 2), np.int64))
    assert (step.observations.dtype, step.rewards.dtype) == (np.float32, np.float32)


def test_every_environment_of_a_pool_has_a_seed_of_its_own_that_fits_into_its_integers(fake: None) -> None:
    """Silent failure: a seed of 2³¹ or more becomes another one, or ends EnvPool."""
    made = pooled(LANDER, range(40), 3)._pool.made
    assert (made["env_id"], made["num_envs"], made["num_threads"]) == (LANDER, 120, 1)
    assert len(set(made["env_seed"])) == 120
    assert 2**30 < max(made["env_seed"]) < 2**31
    assert made["env_seed"][6:9] == pooled(LANDER, (2,), 3)._pool.made["env_seed"]
