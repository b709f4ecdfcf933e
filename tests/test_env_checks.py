"""What `reset` and `step` return in environments as people write them: accepted, refused at once, or named when it fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import envs
from envs import SerialBatch, ShiftWrapper, check_env_id, make, seed_sequence
from envs.shifts.shift import parse_all
from envs.transitions import EnvironmentFailure
from tests import odd_envs
from tests.odd_envs import LENGTH, TAKEN, WRONG, Changed, raising

ACTIONS = np.random.default_rng(0).integers(0, 2, (20, 2, 3))


def play(env: envs.EnvBatch) -> list[list[np.ndarray]]:
    """All arrays of 20 calls, three episodes and their resets."""
    return [[env.reset()], *([*env.step(a)] for a in ACTIONS)]


# Refused -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WRONG)
def test_a_step_that_returns_something_else_is_refused_and_the_value_named(name: str) -> None:
    """Silent failure: every run of the study fails in its worker, with NumPy's words; `"False"` counts as an episode's end."""
    with pytest.raises(ValueError, match=f"environment Odd/{name}-v0 failed in step 1: ") as error:
        check_env_id(f"Odd/{name}-v0")
    assert WRONG[name][2] in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="failed in step 1: "):
        make(f"Odd/{name}-v0", (0,), 2)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "FourValues",
            "step must return five values, observation, .* and info, got 4 values: that is the API of the old gym",
        ),
        ("GrowsAtReset", r"cannot begin an episode: observation must have its space's shape \(3,\), got \(4,\)"),
        ("ObservationAlone", "cannot begin an episode: reset must return two values, observation and info, got ndarray of"),
        ("Nothing", r"observation space must have at least one number, Odd/Nothing-v0 has Box\(.*\): an agent would act blindly"),
    ],
)
def test_the_old_api_and_observations_of_other_sizes_are_refused(name: str, message: str) -> None:
    """Silent failure: as above; networks of no inputs train in silence."""
    with pytest.raises(ValueError, match=message):
        check_env_id(f"Odd/{name}-v0")


def test_a_time_limit_does_not_hide_what_is_wrong() -> None:
    """Silent failure: the registered time limit unpacks the step first: `not enough values to unpack` names nothing."""
    gym.register("Odd/Limited-v0", entry_point=odd_envs.FourValues, max_episode_steps=10)
    try:
        with pytest.raises(ValueError, match="got 4 values: that is the API of the old gym"):
            check_env_id("Odd/Limited-v0")
    finally:
        gym.registry.pop("Odd/Limited-v0")


def test_the_check_ends_with_the_episode_or_after_16_steps(late: Any) -> None:
    """Silent failure: an expensive simulator is stepped for hours before anything is trained, or past its episode's end."""
    check_env_id(late(4, raising(RuntimeError()), LENGTH + 1))
    check_env_id(late(4, raising(RuntimeError()), 17, endless=True))
    with pytest.raises(ValueError, match="failed in step 16: RuntimeError"):
        check_env_id(late(4, raising(RuntimeError()), 16, endless=True))


# Taken -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TAKEN)
def test_a_value_in_an_array_list_or_tensor_of_one_counts_as_the_value(name: str) -> None:
    """Silent failure: a done of np.array([False]) resets the environment at every second call, and no episode ever ends."""
    rounded = name == "RewardHalf"
    expected = play(make("Odd/Plain-v0", (3, 8), 3))
    assert sum(step[2].sum() for step in expected[1:]) == 18
    for ours, theirs in zip(play(make(f"Odd/{name}-v0", (3, 8), 3)), expected, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=1e-3 if rounded else 0)


@pytest.mark.parametrize("name", [name for name in TAKEN if name != "RewardHalf"])
def test_the_shift_wrapper_takes_the_same_values(name: str) -> None:
    """Silent failure: [False] is true: each step counts as an episode's end, and shifts by episodes come at once."""
    shift = "reward_scale:values=1/3,at=1,clock=episodes obs_gain:values=1/2,at=2,clock=episodes"
    results = []
    for env_id in ("Odd/Plain-v0", f"Odd/{name}-v0"):
        env = ShiftWrapper(gym.make(env_id, disable_env_checker=True), shift)
        rows: list[tuple[Any, ...]] = []
        for _ in range(3):
            env.reset(seed=None if rows else 7)
            done = False
            while not done:
                observation, reward, terminated, truncated, info = env.step(1)
                done = terminated or truncated
                assert type(terminated) is type(truncated) is bool
                rows.append((np.asarray(observation).tolist(), reward, terminated, info["shift/reward_scale"]))
        results.append(rows)
    assert results[0] == results[1]
    assert [row[2] for row in results[0]] == [step == LENGTH for _ in range(3) for step in range(1, LENGTH + 1)]


# Failing later -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def late() -> Iterator[Any]:
    """Registers an environment that changes a value from some step on, counted over all its episodes."""
    names: list[str] = []

    class Endless(Changed):
        def step(self, action: Any) -> Any:
            observation, reward, _, truncated, info = super().step(action)
            return observation, reward, False, truncated, info

    def register(position: int, change: Any, first_step: int, seed: int | None = None, endless: bool = False) -> str:
        names.append(f"Odd/Late{len(names)}-v0")
        kwargs = {"position": position, "change": change, "first_step": first_step, "seed": seed}
        gym.register(names[-1], entry_point=Endless if endless else Changed, kwargs=kwargs)
        return names[-1]

    yield register
    for name in names:
        gym.registry.pop(name)


@pytest.mark.parametrize("name", [name for name in WRONG if name != "ObservationText"])  # NumPy reads numbers in texts
def test_what_goes_wrong_in_training_is_told_with_environment_and_step(name: str, late: Any) -> None:
    """Silent failure: which of 320 environments it was, and when, is left to guesswork; or a reward of None becomes a NaN.

    Environment 1 of the run with seed 8 fails in its step 7, which is step 2 of its second episode of 5.
    """
    position, change, message = WRONG[name]
    seed = int(seed_sequence(8, "env", 1).generate_state(1)[0])
    env = make(late(position, change, LENGTH + 2, seed), (3, 8), 3)
    env.reset()
    for call in range(LENGTH + 2):  # 5 steps, a reset, a step
        env.step(ACTIONS[call])
    with pytest.raises(EnvironmentFailure) as error:
        env.step(ACTIONS[-1])
    assert str(error.value).startswith("Odd/Late0-v0 failed in step 2 of an episode (environment 1 of the run with seed 8): ")
    assert message in str(error.value)


def test_observations_that_all_grow_at_once_are_noticed(late: Any) -> None:
    """Silent failure: [K, 4] is an array too, and the networks fail with words about matrices."""
    env = make(late(0, lambda x: np.append(x, 0), LENGTH + 2), (3,), 2)
    env.reset()
    for call in range(LENGTH + 2):
        env.step(ACTIONS[call, :1, :2])
    with pytest.raises(EnvironmentFailure, match=r"step 2 of an episode \(environment 0 of .* seed 3\): observation must have"):
        env.step(ACTIONS[-1, :1, :2])


def test_a_reset_that_fails_is_told_as_one() -> None:
    """Silent failure: the step of the episode before is blamed."""
    env = SerialBatch("Odd/GrowsAtReset-v0", (3,), 2)
    env.reset()
    for call in range(LENGTH):
        env.step(ACTIONS[call, :1, :2])
    with pytest.raises(EnvironmentFailure, match=r"failed at a reset \(environment 0 of .* seed 3\): observation must have"):
        env.step(ACTIONS[-1, :1, :2])


def test_memory_that_runs_out_is_not_the_environments_fault(late: Any) -> None:
    """Silent failure: a worker that ran out of memory is not started again with fewer beside it."""
    env = make(late(4, raising(MemoryError()), LENGTH + 1), (3,), 1)
    env.reset()
    for call in range(LENGTH + 1):
        env.step(ACTIONS[call, :1, :1])
    with pytest.raises(MemoryError):
        env.step(ACTIONS[-1, :1, :1])


# Time limits from outside ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Odd/NoLimit-v0", "Pendulum-v1"])
def test_truncated_environments_are_reset_by_their_next_call_and_the_others_are_not(env_id: str) -> None:
    """Silent failure: an evaluation that cuts off one environment ends the episodes of all, or of none."""
    env = make(env_id, (0, 1), 2)
    which, nothing = np.array([[True, False], [False, True]]), np.zeros((2, 2, *(env.action_space.shape or ())), int)
    env.reset()
    before = env.step(nothing).observations
    env.truncate(which)
    step = env.step(nothing)
    np.testing.assert_array_equal(step.valid, ~which)
    assert not step.rewards[which].any()
    assert not (step.terminated | step.truncated).any()
    assert (step.observations != before).any(-1).all()
    assert env.step(nothing).valid.all()


def test_a_truncated_episode_counts_as_one_for_shifts() -> None:
    """Silent failure: shifts by episodes, or at reset, never come to environments that are cut off from outside."""
    shifts = parse_all("reward_scale:values=1/2,at=2,clock=episodes reward_offset:values=0/10,at=1,apply=reset")
    env = make("Odd/NoLimit-v0", (0,), 2, shifts)
    nothing, both = np.zeros((1, 2), int), np.ones((1, 2), bool)
    env.reset()
    assert env.step(nothing).rewards.tolist() == [[1, 1]]
    env.truncate(both)
    assert env.step(nothing).rewards.tolist() == [[0, 0]]
    assert env.step(nothing).rewards.tolist() == [[12, 12]]
