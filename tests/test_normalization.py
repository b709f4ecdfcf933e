"""Running normalisation against Stable-Baselines3's VecNormalize, number for number."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from agents.distributions import Categorical
from agents.evaluation import episode_returns
from agents.networks import ActorCritic
from agents.normalization import Identity, Moments, Normalization, ObservationNormalizer, RewardNormalizer
from agents.rollout import Actor
from envs import SerialBatch
from rl_rmsprop.seeding import seed_sequence
from tests.test_mlp import generators

torch.set_num_threads(1)
modest = settings(deadline=None, derandomize=True, max_examples=25, database=None)
GAMMA, EPISODES, LENGTH = 0.9, 7, 7


class Drift(gym.Env):
    """Observations and rewards from the environment's own generator, whatever the action; far from mean 0 and variance 1."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float64)  # of float32 theirs would take float32 means
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.look(), {}

    def look(self):
        return (self.np_random.normal(size=2) * [30, 0.1] + [500, -7]).astype(np.float32).astype(np.float64)

    def step(self, action):
        self.t += 1
        over = self.t == LENGTH
        return self.look(), float(self.np_random.normal(3, 50)), over and self.np_random.random() < 0.5, over, {}


@pytest.fixture
def drift():
    gym.register("TestDrift-v0", entry_point=Drift)
    yield "TestDrift-v0"
    gym.registry.pop("TestDrift-v0")


def normalizing(env: SerialBatch) -> ActorCritic:
    normalization = Normalization(ObservationNormalizer(env.runs, 2), RewardNormalizer(env.runs, env.envs_per_run, GAMMA))
    return ActorCritic(2, Categorical(2), (), generators(*range(env.runs)), (), normalization)


def test_observations_rewards_and_statistics_are_those_of_vec_normalize(drift):
    """Silent failure: another ε, clip or order of update and use, and no published setting with `normalize` can be repeated.

    Episodes are equally long everywhere, so that both libraries' environments stay in step: ours reset in a call of their own.
    """
    N, seeds = 3, (4, 9)
    batch = SerialBatch(drift, seeds, N)
    policy = normalizing(batch)
    rollout = Actor(batch, policy, generators(0, 1)).collect(EPISODES * (LENGTH + 1))[0]
    arrays = policy.normalization.arrays()
    acted = rollout.valid[:, 0, 0]
    for r, seed in enumerate(seeds):
        theirs = VecNormalize(DummyVecEnv([Drift] * N), gamma=GAMMA)
        for n, env in enumerate(theirs.venv.envs):
            env.reset = with_seed(env.reset, int(seed_sequence(seed, "env", n).generate_state(1)[0]))
        seen, earned = [theirs.reset()], []
        for _ in range(EPISODES * LENGTH):
            observations, rewards, _, _ = theirs.step(np.zeros(N, int))
            seen.append(observations)
            earned.append(rewards)
        np.testing.assert_array_equal(np.stack(seen[:-1]), rollout.observations[:-1, r][acted])
        np.testing.assert_array_equal(seen[-1], rollout.observations[-1, r])
        np.testing.assert_array_equal(np.stack(earned), rollout.rewards[acted, r])
        for part, moments in (("observations", theirs.obs_rms), ("rewards", theirs.ret_rms)):
            np.testing.assert_allclose(arrays[f"{part}_mean"][r], moments.mean, rtol=1e-12)
            np.testing.assert_allclose(arrays[f"{part}_variance"][r], moments.var, rtol=1e-12)
            np.testing.assert_allclose(arrays[f"{part}_count"][r], moments.count, rtol=1e-12)


def with_seed(reset, seed):
    """A reset whose first call is seeded."""
    seeds = iter([seed])
    return lambda **_: reset(seed=next(seeds, None))


@modest
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), st.integers(0, 99))
def test_moments_are_those_of_what_counts_in_each_run(R, N, steps, seed):
    """Silent failure: steps that only reset count as zeros, or one run's observations move another's mean."""
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(steps, R, N, 2)) * 100 + 1e4).astype(np.float32)
    counts = rng.random((steps, R, N)) < 0.6
    moments = Moments(R, 2)
    for row, mask in zip(x, counts, strict=True):
        moments.update(row, mask)
    for r in range(R):
        truth = RunningMeanStd(shape=(2,))
        for row, mask in zip(x[:, r], counts[:, r], strict=True):
            if mask.any():
                truth.update(row[mask].astype(np.float64))
        np.testing.assert_allclose(moments.mean[r], truth.mean, rtol=1e-12)
        np.testing.assert_allclose(moments.variance[r], truth.var, rtol=1e-9)
        assert moments.count[r] == pytest.approx(truth.count)


def test_values_beyond_ten_deviations_are_cut():
    """Silent failure: one broken sensor saturates every unit."""
    normalizer = ObservationNormalizer(1, 1)
    normalizer.update(np.array([[[1.0], [-1.0]]] * 2, np.float32).reshape(1, 4, 1), np.ones((1, 4), bool))
    assert normalizer.apply(np.array([[[1e9], [-1e9]]], np.float32)).ravel().tolist() == [10, -10]
    scaled = RewardNormalizer(1, 1, 0.0)
    assert scaled.update(np.array([[1e9]], np.float32), np.array([[False]]), np.array([[False]])).item() == 10


def test_reported_returns_are_not_normalised(drift):
    """Silent failure: every learning curve shows rewards in units that change over the training."""
    batch = SerialBatch(drift, (4,), 2)
    _, episodes = Actor(batch, normalizing(batch), generators(0)).collect(40)
    plain = SerialBatch(drift, (4,), 2)
    policy = ActorCritic(2, Categorical(2), (), generators(0))
    _, expected = Actor(plain, policy, generators(0)).collect(40)
    assert len(episodes.run) > 5
    assert episodes.episode_return.tolist() == expected.episode_return.tolist()
    assert np.abs(episodes.episode_return).max() > 50


def test_evaluation_uses_the_statistics_and_leaves_them_alone(drift):
    """Silent failure: the policy is evaluated on raw observations, or learns from those of the test."""
    policy = normalizing(batch := SerialBatch(drift, (4,), 2))
    Actor(batch, policy, generators(0)).collect(40)
    before = {name: array.copy() for name, array in policy.normalization.arrays().items()}
    seen = []
    network = policy.acting_network(2)
    policy.acting_network = lambda rows: lambda observations: seen.append(observations.copy()) or network(observations)
    episode_returns(SerialBatch(drift, (5,), 2), policy, 4)
    shown = np.concatenate(seen, 1)
    assert np.abs(shown).max() < 5
    assert shown.std() > 0.5
    for name, array in policy.normalization.arrays().items():
        np.testing.assert_array_equal(array, before[name])


def test_nothing_is_normalised_without_being_asked_for():
    """Silent failure: observations are copied or cast on the way through."""
    x = np.zeros((1, 2, 3), np.float32)
    assert Identity().update(x, np.ones((1, 2), bool)) is x
    assert Identity().apply(x) is x
    assert Identity().arrays() == {}
