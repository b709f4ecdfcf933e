"""The final evaluation ends, tells how far it is, and can be stopped."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import envs
from agents import evaluation
from agents.distributions import Categorical
from agents.evaluation import episode_returns
from agents.networks import ActorCritic
from rl_rmsprop.cli import main
from rl_rmsprop.seeding import seed_sequence
from rl_rmsprop.study.training.policies import evaluation_seed
from tests import odd_envs


def policy(runs: int, observations: int = 4) -> ActorCritic:
    return ActorCritic(observations, Categorical(2), (8,), [np.random.default_rng(seed) for seed in range(runs)])


def always(runs: int, action: int) -> ActorCritic:
    """A policy that pushes in one direction."""
    constant = policy(runs)
    constant.actor.layers[-1].weight.data.zero_()
    constant.actor.layers[-1].bias.data[..., action] = 9.0
    return constant


class Survivor(gym.Env):
    """Pays 1 a step. Every second episode has 3 steps, the others have no end."""

    observation_space, action_space = gym.spaces.Box(-1, 1, (4,), np.float32), gym.spaces.Discrete(2)
    episodes = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.episodes = 0, self.episodes + 1
        return np.zeros(4, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.zeros(4, np.float32), 1.0, self.episodes % 2 == 0 and self.steps == 3, False, {}


@pytest.fixture
def survivor():
    gym.register("TestSurvivor-v0", entry_point=Survivor)
    yield "TestSurvivor-v0"
    gym.registry.pop("TestSurvivor-v0")


def test_episodes_without_an_end_are_cut_off_and_count_with_their_return_so_far(survivor, monkeypatch):
    """Silent failure: a policy that survives is evaluated for ever, and its run never finishes; or later episodes are lost.

    By hand: episodes of 50, 3, 50, 3, … steps; five episodes of two environments are 3 and 2.
    """
    monkeypatch.setattr(evaluation, "MAX_EPISODE_STEPS", 50)
    env = envs.make(survivor, (0, 1), 2)
    assert env.max_episode_steps is None
    returns = episode_returns(env, policy(2), 5)
    assert returns.tolist() == [[50, 50, 3, 3, 50]] * 2


def test_the_limit_is_ten_thousand_steps(survivor):
    """Silent failure: a limit that cuts off what people evaluate: Gymnasium's longest episodes have 2,000 steps."""
    assert episode_returns(envs.make(survivor, (0,), 1), policy(1), 1).tolist() == [[10_000]]


def test_environments_with_a_time_limit_keep_their_own(monkeypatch):
    """Silent failure: an episode of 500 steps is cut off after the 20 of another limit."""
    monkeypatch.setattr(evaluation, "MAX_EPISODE_STEPS", 20)
    gym.register("TestSurvivor200-v0", entry_point=Survivor, max_episode_steps=200)
    try:
        assert episode_returns(envs.make("TestSurvivor200-v0", (0,), 1), policy(1), 1).tolist() == [[200]]
    finally:
        gym.registry.pop("TestSurvivor200-v0")


def test_a_pole_that_falls_ends_its_episode_without_a_time_limit_too():
    """Silent failure: the limit replaces the environment's own end."""
    returns = episode_returns(envs.make("Odd/NoLimit-v0", (0, 1), 2), always(2, 1), 4)
    assert returns.shape == (2, 4)
    assert returns.max() < 20


def test_no_episodes_are_no_steps():
    """Silent failure: --eval-episodes 0 divides by nothing, or evaluates one episode."""

    class Untouched:
        runs, envs_per_run = 3, 2

    assert episode_returns(Untouched(), policy(3), 0).shape == (3, 0)  # type: ignore[arg-type]


def test_progress_counts_the_episodes_of_all_runs_and_can_stop(survivor, monkeypatch):
    """Silent failure: an evaluation of an hour looks like one that hangs, and Ctrl-C waits for its end.

    By hand: calls 0–49 are the first episodes, 50 resets, 51–53 the second ones; at call 100 the third have 46 steps.
    """
    monkeypatch.setattr(evaluation, "MAX_EPISODE_STEPS", 50)
    counts: list[int] = []
    episode_returns(envs.make(survivor, (0, 1), 2), policy(2), 16, progress=counts.append)
    assert counts[:2] == [0, 2 * 2 * 2]
    assert counts == sorted(counts)

    class Stopped(Exception):
        pass

    def stop(finished: int) -> None:
        if finished:
            raise Stopped

    with pytest.raises(Stopped):
        episode_returns(envs.make(survivor, (0, 1), 2), policy(2), 10**6, progress=stop)


def test_a_run_whose_environment_fails_is_named_and_the_others_are_evaluated(tmp_path, monkeypatch, capsys):
    """Silent failure: a page of traceback, and the evaluation of all other runs is lost with it."""
    out, plain = tmp_path / "study", "tests.odd_envs:Odd/Plain-v0"
    assert main(["train", "--env", plain, "--seeds", "3-4", "--steps", "64", "--workers", "1", "--out", str(out)]) == 0
    broken = {int(seed_sequence(evaluation_seed(4), "env", 1).generate_state(1)[0])}
    step = odd_envs.Plain.step

    def fails(self, action):
        if self.np_random_seed in broken:
            raise ZeroDivisionError("division by zero")
        return step(self, action)

    monkeypatch.setattr(odd_envs.Plain, "step", fails)
    capsys.readouterr()
    assert main(["evaluate", str(out), "--episodes", "2"]) == 3
    line = capsys.readouterr().err
    assert line.startswith(f"not evaluated: {plain} · 0.99 · seed 4: ")
    assert "ZeroDivisionError: division by zero" in line
    assert len(line.splitlines()) == 1
    rows = (out / "report" / "evaluation.csv").read_text(encoding="utf-8").splitlines()
    assert [row.split(",")[2] for row in rows] == ["seed", "3"]
    broken.add(int(seed_sequence(evaluation_seed(3), "env", 0).generate_state(1)[0]))
    assert main(["evaluate", str(out), "--episodes", "2"]) == 3
    assert len(capsys.readouterr().err.splitlines()) == 2
