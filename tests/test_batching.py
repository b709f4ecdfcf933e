"""The promise of batching: a run alone and the same run within any batch write the same bytes; so does a command given twice."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents.distributions import Categorical, Gaussian
from agents.networks import ActorCritic
from rl_rmsprop.study.spec.arms import BASELINES, make_arm
from rl_rmsprop.study.spec.batch_spec import BatchSpec
from rl_rmsprop.study.spec.presets import make_agent
from rl_rmsprop.study.training.batch import train_batch
from rl_rmsprop.telemetry.csv_table import read_table
from tests.builders import batch_of

with warnings.catch_warnings():
    # Box2D's C module warns while it is being built; a warning turned into an error there is a segmentation fault.
    warnings.simplefilter("ignore")
    import Box2D  # noqa: F401

torch.set_num_threads(1)

FILES = ("metrics.csv", "episodes.csv", "checkpoint/weights.npz", "config.json")
"""All that a run leaves but the view of it and its timing, in which the clock on the wall has a part."""

SEED = 7
PAIR, SEVEN = (4, SEED), (0, 1, SEED, 2, 3, 5, 6)
THIRTY_TWO = (*range(100, 120), SEED, *range(200, 211))


class Walk(gym.Env):
    """A random walk on a line, pushed left or right: the observation is one number."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,))
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = self.np_random.normal()
        return np.array([self.x], np.float32), {}

    def step(self, action):
        self.x += 0.5 * (2 * action - 1) + 0.1 * self.np_random.normal()
        return np.array([self.x], np.float32), -abs(self.x), abs(self.x) > 3, False, {}


@pytest.fixture(autouse=True)
def walk():
    gym.register("TestWalk-v0", entry_point=Walk, max_episode_steps=50)
    yield
    gym.registry.pop("TestWalk-v0")


def spec(
    folder: Path, env_id: str, agent: str, rule: str, seeds, steps: int, episodes: int, options: dict[str, Any]
) -> BatchSpec:
    settings = make_agent(agent, env_id, options)
    return batch_of(str(folder), env_id, agent, settings, make_arm(rule, rule in BASELINES), seeds, steps, episodes)


def files_of(batch: BatchSpec, seed: int = SEED) -> dict[str, bytes]:
    """What the run with this seed has written."""
    return {name: (batch.run_folder(seed) / name).read_bytes() for name in FILES}


def trained(*args) -> dict[str, bytes]:
    """Train a batch and return what the run of interest has written."""
    train_batch(batch := spec(*args))
    return files_of(batch)


LINEAR = "linear:start=0.5,end=0.99"
ASYMMETRIC = "asymmetric:rise=0.9,fall=0.999"
CUSUM = "cusum:arl=50000,max=0.99"
SENSITIVE = "cusum:arl=1.5,burn_in=2,max=0.99"  # alarms every few updates

SMALL = {"n_envs": 3, "n_steps": 25, "batch_size": 16, "n_epochs": 2}
NORMALIZED = {"normalize_observations": True, "normalize_rewards": True, "observation_scale": ()}

ROWS = {
    # name: (environment, agent, rule, steps, evaluation episodes, settings)
    "CartPole a2c 64-64 x8": ("CartPole-v1", "a2c", "0.99", 3000, 12, {"n_envs": 8}),
    "CartPole a2c 10 x3": ("CartPole-v1", "a2c", CUSUM, 2000, 12, {"n_envs": 3, "n_steps": 5, "hidden": (10,)}),
    "CartPole a2c alarms": ("CartPole-v1", "a2c", SENSITIVE, 2000, 3, {"n_envs": 3, "hidden": (10,)}),
    "CartPole a2c plain": ("CartPole-v1", "a2c", LINEAR, 2000, 3, {"normalize_advantage": False, "reward_scale": 1.0}),
    "CartPole reinforce 64-64 x3": ("CartPole-v1", "reinforce", ASYMMETRIC, 3000, 3, {"n_envs": 3, "n_steps": 100}),
    "CartPole reinforce 10 x8": ("CartPole-v1", "reinforce", LINEAR, 3000, 3, {"n_envs": 8, "n_steps": 50, "hidden": (10,)}),
    "CartPole Adam": ("CartPole-v1", "a2c", "adam", 2000, 3, {"n_envs": 5, "hidden": (33, 17)}),
    "Acrobot a2c 10 x8": ("Acrobot-v1", "a2c", ASYMMETRIC, 4100, 2, {"n_envs": 8, "hidden": (10,)}),
    "Acrobot a2c 64-64 x3": ("Acrobot-v1", "a2c", LINEAR, 2000, 2, {"n_envs": 3}),
    "Acrobot reinforce 10 x3": ("Acrobot-v1", "reinforce", "0.99", 2000, 2, {"n_envs": 3, "n_steps": 100, "hidden": (10,)}),
    "Acrobot reinforce 64-64 x8": ("Acrobot-v1", "reinforce", SENSITIVE, 1500, 2, {"n_envs": 8, "n_steps": 25}),
    "LunarLander a2c": ("LunarLander-v3", "a2c", CUSUM, 600, 12, {"n_envs": 3, "hidden": (10,)}),
    "CartPole ppo 64-64 x8": ("CartPole-v1", "ppo", CUSUM, 1500, 12, {"n_steps": 32, "batch_size": 100, "n_epochs": 3}),
    "CartPole ppo 10 x3": ("CartPole-v1", "ppo", SENSITIVE, 700, 3, {**SMALL, "hidden": (10,), "normalize_observations": True}),
    "Acrobot ppo normalised": ("Acrobot-v1", "ppo", LINEAR, 1600, 2, {**SMALL, "n_envs": 5, "n_steps": 40, **NORMALIZED}),
    "Pendulum a2c x8": ("Pendulum-v1", "a2c", ASYMMETRIC, 2500, 5, {"n_envs": 8}),
    "Pendulum reinforce x3 normalised": (
        "Pendulum-v1",
        "reinforce",
        "0.99",
        2000,
        5,
        {"n_envs": 3, "n_steps": 100, **NORMALIZED},
    ),
    "Pendulum ppo Adam": ("Pendulum-v1", "ppo", "adam", 1200, 5, {**SMALL, "n_steps": 50, "batch_size": 64}),
    "LunarLanderContinuous ppo": (
        "LunarLanderContinuous-v3",
        "ppo",
        CUSUM,
        1000,
        5,
        {**SMALL, "n_steps": 120, "batch_size": 50, "hidden": (9, 7), "normalize_observations": True, "observation_scale": ()},
    ),
    "one observation ppo": ("TestWalk-v0", "ppo", "0.99", 600, 3, {**SMALL, "n_envs": 1, "batch_size": 7, **NORMALIZED}),
    "one environment": ("CartPole-v1", "a2c", "0.99", 600, 1, {"n_envs": 1, "hidden": (10,)}),
    "one step": ("CartPole-v1", "a2c", "0.99", 80, 1, {"n_envs": 1, "n_steps": 1, "hidden": (10,)}),
    "one observation": ("TestWalk-v0", "a2c", "0.99", 1000, 3, {"n_envs": 8}),
    "one hidden unit": ("CartPole-v1", "reinforce", "0.99", 4000, 3, {"n_envs": 8, "n_steps": 100, "hidden": (3, 1)}),
    "no hidden layer": ("CartPole-v1", "a2c", "0.99", 1000, 3, {"n_envs": 3, "hidden": ()}),
}


@pytest.mark.parametrize(("env_id", "agent", "rule", "steps", "episodes", "options"), ROWS.values(), ids=ROWS)
def test_a_run_alone_equals_itself_in_batches(tmp_path, env_id, agent, rule, steps, episodes, options):
    """Silent failure: a result depends on which seeds were trained beside it, so that nobody can reproduce one of them."""

    def of(name, seeds):
        return trained(tmp_path / name, env_id, agent, rule, seeds, steps, episodes, options)

    alone, pair, seven = of("alone", (SEED,)), of("pair", PAIR), of("seven", SEVEN)
    different = [(name, batch) for batch, files in (("2", pair), ("7", seven)) for name in FILES if files[name] != alone[name]]
    assert not different
    assert alone["metrics.csv"].count(b"\n") > 2


def test_a_run_alone_equals_itself_among_thirty_two_and_its_repetition(tmp_path):
    """Silent failure: large batches take other code paths (threads, blocked products); something draws from the system."""

    def of(name, seeds):
        return trained(tmp_path / name, "CartPole-v1", "a2c", SENSITIVE, seeds, 2000, 12, {})

    alone = of("alone", (SEED,))
    assert of("again", (SEED,)) == alone
    assert of("many", THIRTY_TWO) == alone
    assert read_table(next((tmp_path / "alone").rglob("metrics.csv")))["detector/alarms"][-1] >= 1


def test_runs_with_different_seeds_differ(tmp_path):
    """Silent failure: the tests above compare a run with copies of itself."""
    batch = spec(tmp_path, "CartPole-v1", "a2c", "0.99", PAIR, 500, 3, {"hidden": (10,)})
    train_batch(batch)
    one, other = (files_of(batch, seed) for seed in PAIR)
    assert all(one[name] != other[name] for name in FILES)


def test_another_process_writes_the_same_bytes(tmp_path):
    """Silent failure: the order of a set, which changes from process to process, or the number of threads, is in the result."""
    args = ("CartPole-v1", "a2c", SENSITIVE, (SEED, 1), 2000, 3, {"hidden": [10, 6]})
    here = trained(tmp_path / "here", *args)
    code = f"""
import torch; torch.set_num_threads(2)
from pathlib import Path
from tests.test_batching import spec, train_batch
train_batch(spec(Path({str(tmp_path / "there")!r}), *{args!r}))
"""
    root = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, check=True)
    there = files_of(spec(tmp_path / "there", *args))
    for name in FILES[:-1]:  # config.json holds the commit, which may change while tests run
        assert there[name] == here[name], name


# The operation that batching stands on ------------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", [(64, 64), (10,), (1,), (3, 1), ()], ids=str)
@pytest.mark.parametrize("O", [1, 2, 4])
def test_forward_and_gradient_of_a_run_alone_equal_those_in_a_batch(O, hidden):  # noqa: E741  # the axes' letters
    """Silent failure: a product with one row or column is another routine for R = 1, and rounds differently."""
    for B in (1, 3, 8, 128, 800):
        for A in (2, 3):
            noise = torch.Generator().manual_seed(B)
            x, weight = torch.randn(3, B, O, generator=noise), torch.randn(3, B, A, generator=noise)
            results = []
            for runs in (slice(0, 3), slice(1, 2)):
                policy = ActorCritic(O, Categorical(A), hidden, [np.random.default_rng(r) for r in range(3)][runs])
                logits, values = policy.outputs(x[runs].clone()), policy.values(x[runs].clone())
                policy.backward((torch.log_softmax(logits, -1) * weight[runs]).sum((1, 2)) + values.square().sum(1))
                row = 1 if runs.stop == 3 else 0
                results.append([t[row] for t in (logits, values, *(p.grad for p in policy.parameters()))])
            names = ("logits", "values", "actor gradient", "critic gradient")
            different = [name for name, a, b in zip(names, *results, strict=True) if not torch.equal(a, b)]
            assert not different, f"B = {B}, A = {A}"


@pytest.mark.parametrize("A", [1, 2, 3])
def test_forward_and_gradient_of_continuous_actions_alone_equal_those_in_a_batch(A):
    """Silent failure: means and deviations share a tensor, so that gradients reach the last product strided."""
    for B in (1, 3, 8, 128, 800):
        noise = torch.Generator().manual_seed(B)
        x, actions, weight = (torch.randn(3, B, *size, generator=noise) for size in ((4,), (A,), ()))
        results = []
        for runs in (slice(0, 3), slice(1, 2)):
            head = Gaussian(-np.ones(A), np.ones(A))
            policy = ActorCritic(4, head, (10,), [np.random.default_rng(r) for r in range(3)][runs])
            log_prob, entropy = policy.judge(x[runs].clone(), actions[runs].clone())
            policy.backward((log_prob * weight[runs]).sum(1) + entropy.sum(1) + policy.values(x[runs].clone()).sum(1))
            row = 1 if runs.stop == 3 else 0
            results.append([t[row] for t in (log_prob, entropy, policy.actor.theta.grad)])
        assert all(torch.equal(a, b) for a, b in zip(*results, strict=True)), f"B = {B}"


@pytest.mark.parametrize("hidden", [(64, 64), (7, 7), (3, 5), (30,), (1, 7), (33, 17)], ids=str)
@pytest.mark.parametrize("B", [5, 24, 136])
def test_a_run_is_the_same_at_every_place_of_a_batch(B, hidden):
    """Silent failure: operands of odd widths lie differently in memory from place to place, and MKL rounds them differently."""
    twins = [np.random.default_rng(9) for _ in range(7)]
    policy = ActorCritic(3, Categorical(3), hidden, twins)
    x = torch.randn(1, B, 3, generator=torch.Generator().manual_seed(1)).expand(7, -1, -1).contiguous()
    logits, values = policy.outputs(x), policy.values(x)
    policy.backward(torch.log_softmax(logits, -1).square().sum((1, 2)) + values.square().sum(1))
    for t in (logits, values, *(p.grad for p in policy.parameters())):
        assert [r for r in range(7) if not torch.equal(t[r], t[0])] == []
