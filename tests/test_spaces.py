"""Spaces of observations and actions: what agents see is Gymnasium's own `flatten`, what environments get is in their space."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Graph, MultiBinary, MultiDiscrete, Sequence, Text, Tuple
from gymnasium.spaces.utils import flatten, flatten_space
from hypothesis import given, settings
from hypothesis import strategies as st

import envs
from agents.config import A2C
from agents.evaluation import episode_returns
from agents.networks import make_policy
from envs import SerialBatch, check_env_id, check_spaces
from envs.spaces import IMAGE_SIDE, is_image
from tests.space_envs import BUTTONS, LENGTH, MIXED, SWITCHES, VECTOR, Samples

modest = settings(deadline=None, derandomize=True, max_examples=30, database=None)

sizes = st.lists(st.integers(1, 3), max_size=3).map(tuple)
boxes = st.builds(
    lambda shape, dtype: Box(0, 1, shape, dtype), sizes, st.sampled_from([np.float32, np.float64, np.int8, np.int64, np.bool_])
)
leaves = st.one_of(
    boxes,
    st.builds(Discrete, st.integers(1, 4), start=st.integers(-3, 3)),
    st.lists(st.integers(1, 4), min_size=1, max_size=3).map(MultiDiscrete),
    st.one_of(st.integers(1, 4), st.tuples(st.integers(1, 2), st.integers(1, 3))).map(MultiBinary),
)
spaces = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(Tuple), st.dictionaries(st.sampled_from("zab"), inner, min_size=1).map(Dict)
    ),
    max_leaves=5,
)
actions = st.one_of(
    st.builds(Discrete, st.integers(1, 4), start=st.integers(-3, 3)),
    st.lists(st.integers(1, 4), min_size=1, max_size=3).flatmap(
        lambda nvec: st.builds(
            MultiDiscrete, st.just(nvec), st.sampled_from([np.int8, np.int32, np.int64]),
            start=st.lists(st.integers(-3, 3), min_size=len(nvec), max_size=len(nvec)),
        )
    ),
    st.just(MultiDiscrete([[2, 3], [4, 1]], start=[[0, 1], [-1, 7]])),
    st.one_of(st.integers(1, 4), st.tuples(st.integers(1, 2), st.integers(1, 3))).map(MultiBinary),
    st.just(Box(-1, 1, (2,), np.float64)),
)  # fmt: skip


def batch_of(observation: gym.Space, action: gym.Space, runs: int = 2, n: int = 2) -> tuple[SerialBatch, list[Samples]]:
    """A batch of environments with these spaces, and the environments inside their wrappers."""
    gym.register("Spaces/Any-v0", entry_point=Samples, kwargs={"observation": observation, "action": action})
    try:
        batch = SerialBatch("Spaces/Any-v0", tuple(range(runs)), n)
    finally:
        gym.registry.pop("Spaces/Any-v0")
    return batch, [env.unwrapped for env in batch._envs]  # type: ignore[misc]


@modest
@given(spaces, actions, st.integers(0, 99))
def test_agents_see_gymnasiums_flatten_and_environments_get_their_own_actions(observation: Any, action: Any, seed: int) -> None:
    """Silent failure: an index is taken for a magnitude, parts in another order, action 0 for the first one of another space."""
    batch, inside = batch_of(observation, action)
    assert batch.observation_space.shape == flatten_space(observation).shape
    policy = make_policy(batch, A2C(hidden=(3,)), [0, 1])
    pi, rng = policy.distribution, np.random.default_rng(seed)
    seen = [batch.reset()]
    for _ in range(LENGTH + 2):
        y = rng.standard_normal((2, 2, pi.outputs)).astype(np.float32)
        chosen = pi.choose(y)
        counts = [env.steps for env in inside]
        step = batch.step(pi.to_env_action(chosen))
        seen.append(step.observations)
        flat = chosen.reshape(4, -1)
        for i, env in enumerate(inside):
            if counts[i] == LENGTH:  # this call only reset it
                continue
            got = env.actions[-1]
            if not isinstance(action, Discrete):
                assert (got.shape, got.dtype) == (action.shape, action.dtype)
            start = np.ravel(getattr(action, "start", 0))
            edge = np.clip(flat[i], -1, 1) if isinstance(action, Box) else flat[i] + start
            np.testing.assert_array_equal(np.ravel(got), edge.astype(action.dtype))
    for i, env in enumerate(inside):
        expected = [flatten(observation, x).astype(np.float32) for x in env.observed]
        np.testing.assert_array_equal(np.array([x.reshape(4, -1)[i] for x in seen]), np.array(expected))


def test_a_vector_keeps_its_environment_unwrapped() -> None:
    """Silent failure: every step of every flat environment pays for a copy."""
    batch, _ = batch_of(VECTOR, Discrete(2))
    assert isinstance(batch._envs[0], Samples)


@pytest.mark.parametrize("env_id", ["FrozenLake-v1", "Blackjack-v1", "Taxi-v3"])
def test_gymnasiums_own_tables_and_tuples_can_be_trained_in(env_id: str) -> None:
    """Silent failure: the simplest environments of a textbook are refused."""
    env_id = envs.newest_version(env_id)
    check_env_id(env_id)
    env = envs.make(env_id, (0, 1), 2)
    assert env.reset().shape == (2, 2, flatten_space(gym.make(env_id).observation_space).shape[0])


# Refused ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("space", "image"),
    [
        (Box(0, 255, (96, 96, 3), np.uint8), True),
        (Box(0, 255, (4, 84, 84, 1), np.uint8), True),
        (Box(0, 255, (IMAGE_SIDE, IMAGE_SIDE), np.uint8), True),
        (Box(0, 255, (IMAGE_SIDE - 1, IMAGE_SIDE), np.uint8), False),
        (Box(0, 255, (128,), np.uint8), False),
        (Box(0, 1, (10, 10, 4), np.bool_), False),
        (Box(0, 1, (96, 96), np.float32), False),
    ],
    ids=str,
)
def test_images_are_refused_alone_and_inside_others_and_tables_are_not(space: Box, image: bool) -> None:
    """Silent failure: 27,648 pixels become the inputs of a perceptron, which learns nothing for hours."""
    assert is_image(space) is image
    for whole in (space, Dict(a=VECTOR, b=Tuple((space,)))):
        if not image:
            batch, _ = batch_of(whole, Discrete(2), 1, 1)
            assert batch.reset().shape[-1] == flatten_space(whole).shape[0]
            continue
        with pytest.raises(
            ValueError, match=r"observations must not be images, .* has .*: choose numbers, as --env-kwargs"
        ) as error:
            batch_of(whole, Discrete(2))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "space",
    [Text(3), Sequence(Discrete(2)), Dict(a=VECTOR, b=Text(3)), Graph(VECTOR, None), Tuple((Sequence(Discrete(2)),))],
    ids=lambda space: type(space).__name__,
)
def test_what_has_no_fixed_number_of_numbers_is_refused(space: gym.Space) -> None:
    """Silent failure: words count as numbers of letters; lists of changing length end in NumPy's words."""
    with pytest.raises(
        ValueError, match=r"observation space must be a Box, Discrete, .*: give a --wrapper that makes numbers of"
    ):
        batch_of(space, Discrete(2))


@pytest.mark.parametrize("space", [Box(-1, 1, (2, 2)), Box(0, 3, (2,), np.int64), Dict(a=Discrete(2)), Box(0, 1, (0,))], ids=str)
def test_actions_that_are_none_of_the_agents_are_refused(space: gym.Space) -> None:
    """Silent failure: a matrix is taken for one number, or whole numbers get a density."""
    with pytest.raises(
        ValueError, match=r"action space must be Discrete, MultiDiscrete, MultiBinary, or a Box of floats with one"
    ):
        batch_of(VECTOR, space)


def test_the_spaces_of_an_environment_can_be_asked_before_it_is_wrapped() -> None:
    """Silent failure: `rl-rmsprop envs` shows the sensors of a Dict as something else than networks have inputs."""
    observation, action = check_spaces(Samples(MIXED, SWITCHES))
    assert (observation, action) == (flatten_space(MIXED), SWITCHES)


# Trained -------------------------------------------------------------------------------------------------------------------


def test_evaluation_hands_over_the_most_likely_of_each_choice() -> None:
    """Silent failure: evaluated with other actions than trained, or with those of a space that starts at 0."""
    batch, inside = batch_of(VECTOR, BUTTONS, 1, 1)
    policy = make_policy(batch, A2C(hidden=()), [0])
    theta = policy.actor.theta
    theta.data.zero_()
    theta.data[0, -6:] = np.log(1.0)  # biases of 2 + 3 + 1 logits
    theta.data[0, -5] = 1.0  # the second of two
    theta.data[0, -2] = 1.0  # the third of three
    returns = episode_returns(batch, policy, episodes=2)
    assert {tuple(action.tolist()) for env in inside for action in env.actions} == {(1, 1, 5)}
    assert returns.tolist() == [[LENGTH * (1 + 2 * 1 + 3 * 5)] * 2]
