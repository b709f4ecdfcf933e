"""EnvPool's environments beside Gymnasium's; all but the refusals need the extra envpool."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

import envs
from agents import A2C
from envs.make import BACKENDS
from envs.shifts.shift import parse_all
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.run_files import WEIGHTS
from rl_rmsprop.study.training.monitor import Monitor
from rl_rmsprop.study.training.train import train_batch
from tests.builders import batch_of

torch.set_num_threads(1)
LANDER = "LunarLander-v3"
HERE = importlib.util.find_spec("envpool") is not None
needed = pytest.mark.skipif(not HERE, reason="needs the extra envpool")
absent = pytest.mark.skipif(HERE, reason="envpool is installed")


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


@absent
def test_without_envpool_its_backend_says_what_to_install():
    """Silent failure: a traceback of imports, or a training in Gymnasium that calls itself EnvPool's."""
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
