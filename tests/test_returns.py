"""Advantages against the λ-return as Sutton and Barto define it, n-step return by n-step return, and against SB3's buffer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.buffers import RolloutBuffer

from agents.returns import advantages

torch.set_num_threads(1)
modest = settings(deadline=None, derandomize=True, max_examples=60, database=None)


class Stream(NamedTuple):
    """What one environment with next-step autoreset shows in a rollout of T steps."""

    rewards: np.ndarray  # [T]
    values: np.ndarray  # [T + 1]
    terminated: np.ndarray  # [T]
    truncated: np.ndarray  # [T]
    valid: np.ndarray  # [T]  False where the call only reset the environment


def slow_advantages(rewards, values, terminated, truncated, gamma, gae_lambda):
    """A_t = G_t^λ − V(s_t) of one environment, from the definition (Sutton & Barto 2018, eq. 12.3), in O(T²) n-step returns.

    With K steps from t to the end of the episode or the rollout:  G^λ = (1 − λ) Σ_{n<K} λ^{n−1} G^{(n)} + λ^{K−1} G^{(K)}.
    """
    T = len(rewards)
    result = np.zeros(T)
    for t in range(T):
        n_step, discounted = [], 0.0
        for k in range(t, T):
            discounted += gamma ** (k - t) * rewards[k]
            rest = 0.0 if terminated[k] else gamma ** (k - t + 1) * values[k + 1]
            n_step.append(discounted + rest)
            if terminated[k] or truncated[k]:
                break
        K = len(n_step)
        G = sum((1 - gae_lambda) * gae_lambda**n * n_step[n] for n in range(K - 1)) + gae_lambda ** (K - 1) * n_step[-1]
        result[t] = G - values[t]
    return result


@st.composite
def streams(draw, ends=("goes on", "terminates", "truncates", "both"), max_steps=9):
    """A rollout that may begin, and may end, with a reset step."""
    plan = draw(st.lists(st.sampled_from(ends), min_size=1, max_size=max_steps))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    over = draw(st.booleans())  # whether the last step before the rollout ended an episode
    T = len(plan)
    terminated, truncated, valid = (np.zeros(T, bool) for _ in range(3))
    for t, what in enumerate(plan):
        valid[t] = not over
        terminated[t] = valid[t] and what in ("terminates", "both")
        truncated[t] = valid[t] and what in ("truncates", "both")
        over = terminated[t] or truncated[t]
    rewards = rng.normal(size=T).astype(np.float32) * valid
    return Stream(rewards, rng.normal(size=T + 1).astype(np.float32), terminated, truncated, valid)


factors = st.floats(0, 1) | st.sampled_from([0.0, 1.0])


def fast(stream, gamma, gae_lambda):
    rewards, values, terminated, truncated = (torch.from_numpy(np.asarray(a)) for a in stream[:4])
    return advantages(rewards, values, terminated, truncated, gamma, gae_lambda).numpy()


@modest
@given(streams(), factors, factors)
def test_advantages_equal_the_lambda_return_of_the_textbook(stream, gamma, gae_lambda):
    """Silent failure: an episode's end cuts too much (no bootstrap through truncation) or too little (V of a dead state)."""
    expected = slow_advantages(*stream[:4], gamma, gae_lambda)
    np.testing.assert_allclose(fast(stream, gamma, gae_lambda)[stream.valid], expected[stream.valid], rtol=1e-5, atol=1e-5)


def test_advantages_by_hand():
    """Silent failure: the reference and the code share a mistake; three steps on paper share none with either.

    γ = ½, λ = 1, r = 1, 2, 4, V = 10, 20, 30, 40, alive at the end: G₂ = 4 + ½·40 = 24, G₁ = 2 + ½·24 = 14, G₀ = 1 + ½·14 = 8.
    """
    no = np.zeros(3, bool)
    stream = Stream(np.float32([1, 2, 4]), np.float32([10, 20, 30, 40]), no, no, ~no)
    np.testing.assert_array_equal(fast(stream, 0.5, 1.0), [8 - 10, 14 - 20, 24 - 30])


@pytest.mark.parametrize(("end", "expected"), [("terminated", 1 - 10), ("truncated", 1 + 0.5 * 20 - 10), ("both", 1 - 10)])
def test_truncation_bootstraps_and_termination_does_not(end, expected):
    """Silent failure: time limits are taught as deaths, or deaths as worth V(s'); γ = ½, r = 1, V = 10, 20."""
    terminated, truncated = np.array([end != "truncated"]), np.array([end != "terminated"])
    stream = Stream(np.float32([1]), np.float32([10, 20]), terminated, truncated, np.array([True]))
    np.testing.assert_array_equal(fast(stream, 0.5, 0.95), np.float32([expected]))


@modest
@given(streams(), factors, factors, st.data())
def test_nothing_after_an_episodes_end_leaks_into_it(stream, gamma, gae_lambda, data):
    """Silent failure: the reset step or the next episode is credited to the actions of the last one."""
    ends = np.flatnonzero(stream.terminated | stream.truncated)
    if len(ends) == 0:
        return
    end = data.draw(st.sampled_from(ends.tolist()))
    other = Stream(*(a.copy() for a in stream))
    other.rewards[end + 1 :] = 1e6
    other.values[end + 1 + (not stream.terminated[end]) :] = -1e6  # V(s_{end+1}) counts only where the end is a truncation
    other.terminated[end + 1 :] = ~other.terminated[end + 1 :]
    before, after = fast(stream, gamma, gae_lambda), fast(other, gamma, gae_lambda)
    np.testing.assert_array_equal(before[: end + 1], after[: end + 1])


def sb3_advantages(rewards, values, last_value, dones, gamma, gae_lambda):
    """SB3's estimate for one environment; it marks an episode's start where we mark the end before."""
    T = len(rewards)
    buffer = RolloutBuffer(T, spaces.Box(-1, 1, (1,)), spaces.Discrete(2), "cpu", gae_lambda, gamma, n_envs=1)
    buffer.rewards[:, 0], buffer.values[:, 0] = rewards, values
    buffer.episode_starts[1:, 0] = dones[:-1]
    buffer.compute_returns_and_advantage(torch.tensor([last_value]), np.array([dones[-1]]))
    return buffer.advantages[:, 0], buffer.returns[:, 0]


@modest
@given(streams(ends=("goes on", "terminates")), factors, factors)
def test_advantages_equal_sb3s_once_reset_steps_are_taken_out(stream, gamma, gae_lambda):
    """Silent failure: next-step autoreset shifts the estimate by a step against every other library's.

    SB3 resets within the step that ends the episode, so its rollout has no reset steps: those of ours are removed.
    """
    kept = np.flatnonzero(stream.valid)
    if len(kept) == 0:
        return
    arrays = stream.rewards[kept], stream.values[kept], stream.values[kept[-1] + 1], stream.terminated[kept]
    advantage, returns = sb3_advantages(*arrays, gamma, gae_lambda)
    ours = fast(stream, gamma, gae_lambda)[kept]
    np.testing.assert_allclose(ours, advantage, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ours + stream.values[kept], returns, rtol=1e-5, atol=1e-5)


@modest
@given(st.integers(1, 6), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_every_run_and_environment_is_estimated_as_if_alone(T, R, N, seed):
    """Silent failure: broadcasting over [R, N] mixes neighbours."""
    rng = np.random.default_rng(seed)
    rewards, values = rng.normal(size=(T, R, N)).astype(np.float32), rng.normal(size=(T + 1, R, N)).astype(np.float32)
    terminated, truncated = rng.random((2, T, R, N)) < 0.2
    batched = fast(Stream(rewards, values, terminated, truncated, ~terminated), 0.9, 0.8)
    for r in range(R):
        for n in range(N):
            alone = slow_advantages(rewards[:, r, n], values[:, r, n], terminated[:, r, n], truncated[:, r, n], 0.9, 0.8)
            np.testing.assert_allclose(batched[:, r, n], alone, rtol=1e-5, atol=1e-5)
