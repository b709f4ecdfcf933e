"""Classic control in arrays against Gymnasium's own environments: the same starts, actions and physics give the same bits."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import envs
from envs.classic_control import KINDS, ClassicControlBatch, equations
from envs.classic_control.acrobot import wrapped
from envs.classic_control.cartpole import CartPoles
from envs.classic_control.equations import Equations, square
from envs.dynamics import family_of, with_dynamics
from envs.dynamics.cartpole import CartPoleArrays

each_kind = pytest.mark.parametrize("env_id", KINDS)


def gymnasiums(env_id: str) -> Any:
    """Gymnasium's environment, whose dynamics can be set, without time limit."""
    env = with_dynamics(gym.make(env_id, disable_env_checker=True, max_episode_steps=-1))
    env.reset()
    return env


def put(env: Any, state: NDArray[np.float64]) -> None:
    """Begin an episode of Gymnasium's environment in this state, held as its own reset holds it."""
    env.unwrapped.state = state.astype(env.unwrapped.state.dtype) if env.spec.id == "Acrobot-v1" else state.copy()


def random_actions(env: Any, rng: np.random.Generator, count: int) -> NDArray:
    """Actions of all environments, some of a Box beyond its limits."""
    space = env.action_space
    if isinstance(space, gym.spaces.Discrete):
        return rng.integers(0, space.n, count)
    return rng.normal(0.0, 1.2 * space.high, (count, *space.shape)).astype(np.float32)


@each_kind
@settings(max_examples=12, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), shifting=st.booleans(), count=st.integers(1, 9))
def test_equations_are_gymnasiums_bit_for_bit(env_id: str, seed: int, shifting: bool, count: int) -> None:
    """Silent failure: an equation rewritten for speed is nearly the environment, and no published score can be compared."""
    rng = np.random.default_rng(seed)
    ours, theirs = KINDS[env_id](count), [gymnasiums(env_id) for _ in range(count)]
    parameters = family_of(theirs[0].unwrapped).parameters
    assert set(ours.usual) == {parameter.name for parameter in parameters}
    over = np.ones(count, bool)
    for t in range(60):
        over |= t % 25 == 0
        ours.state[:, over] = ours.start(rng, over.sum()).T
        ours.observations(over)
        for k in np.flatnonzero(over):
            theirs[k].reset()
            put(theirs[k], ours.state[:, k])
        if shifting and t % 10 == 3:
            parameter = parameters[rng.integers(len(parameters))]
            values = rng.uniform(*parameter.tested, count)
            ours.set(parameter.name, values)
            for env, value in zip(theirs, values.tolist(), strict=True):
                env.set(parameter.name, value)
            np.testing.assert_array_equal(ours.get(parameter.name), values)
        actions = random_actions(theirs[0], rng, count)
        rewards, terminated = ours.step(actions)
        observations = ours.observations(np.zeros(count, bool))
        for k, env in enumerate(theirs):
            observation, reward, ends, *_ = env.step(actions[k] if actions.ndim > 1 else int(actions[k]))
            np.testing.assert_array_equal(observations[k], observation, err_msg=f"step {t}")
            assert (rewards[k], terminated[k]) == (np.float32(reward), ends), f"step {t}"
        over = terminated.copy()


@each_kind
def test_starts_are_gymnasiums(env_id: str) -> None:
    """Silent failure: episodes begin elsewhere, or an agent sees their first state in another precision."""
    ours, env = KINDS[env_id](40), gym.make(env_id)
    env.reset(seed=3)
    generator = np.random.default_rng()
    generator.bit_generator.state = env.unwrapped.np_random.bit_generator.state
    ours.state[:] = ours.start(generator, 40).T
    np.testing.assert_array_equal(ours.observations(np.ones(40, bool)), [env.reset()[0] for _ in range(40)])


@each_kind
def test_a_batch_has_gymnasiums_spaces_and_time_limit(env_id: str) -> None:
    """Silent failure: a network for other actions, or episodes of another length than the published ones."""
    batch, env = envs.make(env_id, (3, 8), 3), gym.make(env_id)
    assert isinstance(batch, ClassicControlBatch)
    assert env.spec is not None
    assert (batch.observation_space, batch.action_space) == (env.observation_space, env.action_space)
    assert batch.max_episode_steps == env.spec.max_episode_steps


@each_kind
def test_a_restored_batch_goes_on_bit_for_bit(env_id: str) -> None:
    """Silent failure: the precision of a first state, or a shifted mass, is not in the checkpoint."""
    rng = np.random.default_rng(0)
    one, other = (ClassicControlBatch(KINDS[env_id], (0, 1), 3, max_episode_steps=20) for _ in range(2))
    one.reset()
    name, value = next(iter(KINDS[env_id].usual.items()))
    one.dynamics().set(name, value * rng.uniform(0.5, 2, 6))
    space = one.action_space

    def actions() -> NDArray:
        return rng.integers(0, space.n, (2, 3)) if isinstance(space, gym.spaces.Discrete) else rng.normal(0, 2, (2, 3, 1))

    for calls in (20, 21):  # before and after the call that resets
        for _ in range(calls):
            one.step(actions())
        saved = one.snapshot()
        other.restore(saved)
        for _ in range(30):
            a = actions()
            for ours, theirs in zip(one.step(a), other.step(a), strict=True):
                np.testing.assert_array_equal(ours, theirs)
        one.restore(saved)


@pytest.mark.parametrize("shifting", [False, True])
def test_poles_are_those_of_gymnasiums_vector_environment(shifting: bool) -> None:
    """The one that people train on in Gymnasium; its dynamics are set by a class of ours."""
    rng = np.random.default_rng(0)
    ours, theirs = CartPoles(50), CartPoleVectorEnv(50)
    theirs.reset(seed=1)
    ours.state = theirs.state.copy()
    for _ in range(300):
        if shifting:
            for name, usual in {"gravity": 9.8, "masspole": 0.1, "length": 0.5, "force_mag": 10.0}.items():
                values = usual * rng.uniform(0.5, 2, 50)
                ours.set(name, values)
                CartPoleArrays(theirs).set(name, values)
        actions = rng.integers(0, 2, 50)
        before = theirs.prev_done.copy()
        fallen = ours.step(actions)[1]
        _, _, terminated, _, _ = theirs.step(actions)
        np.testing.assert_array_equal(fallen[~before], terminated[~before])
        ours.state[:, before] = theirs.state[:, before]  # starts are drawn elsewhere
        np.testing.assert_array_equal(ours.state, theirs.state)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("has_power_of_c", [True, False])
def test_squares_are_those_of_single_numbers(dtype: type, has_power_of_c: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent failure: x·x, which is another number once in a thousand, and after some steps another trajectory."""
    if not has_power_of_c:
        monkeypatch.setattr(equations, "has_power_of_c", lambda dtype: False)
    x = (np.random.default_rng(0).normal(size=20_000) * 3).astype(dtype)
    expected = np.array([number**2 for number in x])
    for count in (len(x), 7, 1):
        np.testing.assert_array_equal(
            np.concatenate([square(part) for part in np.split(x, range(count, len(x), count))]), expected
        )
    assert dtype is np.float32 or (expected != x * x).any()
    assert square(np.array([1e200, 1.0]))[0] == np.inf


def test_an_angle_that_has_diverged_is_nan() -> None:
    """Gymnasium's own loop never ends with it: a training under extreme physics would hang."""
    angles = wrapped(np.array([4.0, -7.0, 1e17, np.inf, np.nan, 0.5]))
    np.testing.assert_array_equal(np.isnan(angles), [False, False, True, True, True, False])
    np.testing.assert_array_equal(angles[[0, 1, 5]], [4.0 - 2 * np.pi, -7.0 + 2 * np.pi, 0.5])


def test_every_environment_says_what_it_lacks() -> None:
    """A file of equations that forgets a method."""
    for name in ("start", "step"):
        with pytest.raises(TypeError, match=f"Equations must define {name}"):
            getattr(Equations, name)(object.__new__(Equations), *[None] * (2 if name == "start" else 1))
