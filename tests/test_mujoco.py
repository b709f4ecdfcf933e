"""MuJoCo's robots: what can change in them, against MuJoCo's own functions, and episodes that are taken up again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray

import envs
from envs.dynamics import family_of, with_dynamics
from envs.mujoco_states import MujocoStates, is_mujoco, redirect_messages
from envs.shifts.shift import parse
from tests.builders import ROBOTS
from tests.test_resume import assert_goes_on, spec

mujoco = pytest.importorskip("mujoco")
redirect_messages("Ant-v5")

each_robot = pytest.mark.parametrize("env_id", ROBOTS)


def robot(env_id: str) -> Any:
    """A robot at the start of an episode, whose dynamics can be set."""
    env = with_dynamics(gym.make(env_id, disable_env_checker=True))
    env.reset(seed=1)
    return env


def actions(env: Any, count: int) -> NDArray[np.float32]:
    """Random actions within the limits."""
    space = env.action_space
    return np.random.default_rng(0).uniform(space.low, space.high, (count, *space.shape)).astype(np.float32)


def states(env: Any, moves: NDArray[np.float32]) -> NDArray[np.float64]:
    """Positions and velocities after each of the actions, whether or not the episode ends."""
    found = []
    for action in moves:
        env.unwrapped.do_simulation(action, env.unwrapped.frame_skip)
        found.append(np.concatenate((env.unwrapped.data.qpos, env.unwrapped.data.qvel)))
    return np.array(found)


# What can change ----------------------------------------------------------------------------------------------------------


@each_robot
def test_defaults_are_the_models_own(env_id: str) -> None:
    """Silent failure: a shift to the default value changes the robot, or there are other motors than the list says."""
    env, twin = robot(env_id), robot(env_id)
    parameters = family_of(env.unwrapped).parameters
    assert max(p.high for p in parameters if p.name == "failed_actuator") == env.unwrapped.model.nu
    for parameter in parameters:
        assert env.get(parameter.name) == parameter.default
        env.set(parameter.name, parameter.default)
    np.testing.assert_array_equal(states(env, actions(env, 20)), states(twin, actions(env, 20)))


@each_robot
def test_mass_is_what_mujoco_makes_of_a_total_mass(env_id: str) -> None:
    """Silent failure: masses change and what MuJoCo derives of them does not, such as the weights of contacts."""
    env, twin = robot(env_id), robot(env_id)
    model = twin.unwrapped.model
    mujoco.mj_setTotalmass(model, 2.5 * mujoco.mj_getTotalmass(model))
    mujoco.mj_setConst(model, mujoco.MjData(model))
    env.set("body_mass", 7.0)
    env.set("body_mass", 2.5)  # of the model's own, not of the last ones
    for name in ("body_mass", "body_inertia", "body_subtreemass", "body_invweight0", "dof_invweight0"):
        np.testing.assert_allclose(getattr(env.unwrapped.model, name), getattr(model, name), rtol=1e-12, err_msg=name)
    np.testing.assert_allclose(states(env, actions(env, 5)), states(twin, actions(env, 5)), rtol=1e-6, atol=1e-9)


@each_robot
def test_motors_turn_around_and_fail(env_id: str) -> None:
    """Silent failure: the sign of a motor is lost, or another motor fails than the one that is named."""
    env, twin = robot(env_id), robot(env_id)
    moves = actions(env, 10)
    env.set("actuator_gain", -1.0)
    np.testing.assert_array_equal(states(env, moves), states(twin, -moves))
    for motor in range(1, env.unwrapped.model.nu + 1):
        env, twin = robot(env_id), robot(env_id)
        env.set("failed_actuator", motor)
        env.set("actuator_gain", 0.5)
        without = np.where(np.arange(1, moves.shape[1] + 1) == motor, 0.0, 0.5 * moves).astype(np.float32)
        np.testing.assert_allclose(states(env, moves), states(twin, without), rtol=1e-6, atol=1e-8)


@each_robot
@pytest.mark.parametrize("name", ["gravity", "friction", "joint_damping"])
def test_a_models_numbers_are_what_was_set(env_id: str, name: str) -> None:
    """Truth: the same field of the model set by hand in a twin, at once and in the middle of an episode."""
    env, twin = robot(env_id), robot(env_id)
    moves, model = actions(env, 30), twin.unwrapped.model
    own = {"friction": model.geom_friction.copy(), "joint_damping": model.dof_damping.copy()}
    for value in (0.5, 2.0):
        if name == "gravity":
            env.set(name, -9.81 * value)
            model.opt.gravity[:] = 0, 0, -9.81 * value
        else:
            env.set(name, value)
            field = model.geom_friction[:, 0] if name == "friction" else model.dof_damping
            field[:] = value * (own[name][:, 0] if name == "friction" else own[name])
        np.testing.assert_array_equal(states(env, moves), states(twin, moves))


# Episodes that are taken up again -----------------------------------------------------------------------------------------


@each_robot
def test_a_restored_robot_goes_on_bit_for_bit(env_id: str) -> None:
    """Silent failure: contact forces, places of bodies or the clock of the time limit are those of another moment."""
    one = envs.make(env_id, (0, 1), 2)
    assert isinstance(one, envs.SerialBatch)
    one.reset()
    rng = np.random.default_rng(2)
    space = one.action_space

    def moves() -> NDArray[np.float32]:
        return rng.uniform(space.low, space.high, (2, 2, *space.shape)).astype(np.float32)  # type: ignore[union-attr]

    saved, later = [one.snapshot()], []
    for step in range(75):  # Reacher's episodes have 50 steps, and others may fall
        if step % 20 == 7:
            one.dynamics().set("body_mass", rng.uniform(0.5, 2.0, 4))
        if step % 20 == 8:
            one.dynamics().set("gravity", rng.uniform(-15, -5, 4))
            saved.append(one.snapshot())  # changed, and not stepped yet
        later.append((step, action := moves(), one.step(action)))
        if step in (0, 30, 48, 49, 50):
            saved.append(one.snapshot())
    begun = [0, 1, 8, 28, 31, 48, 49, 50, 51, 68]
    for first, state in zip(begun, saved, strict=True):
        other = envs.make(env_id, (0, 1), 2)
        other.dynamics()
        other.restore(state)
        for step, action, expected in later[first:]:
            if step % 20 in (7, 8) and step > first:
                break  # what was set then is not known here
            for ours, theirs in zip(other.step(action), expected, strict=True):
                np.testing.assert_array_equal(ours, theirs, err_msg=f"saved before step {first}, step {step}")


def test_a_training_of_a_robot_goes_on_bit_for_bit(tmp_path: Path) -> None:
    """Silent failure: what a checkpoint of a shifted robot holds is another robot."""
    more = {"normalize_observations": True, "shift": "friction:values=1/0.2,at=100 body_mass:values=1/2,at=150", "agent": "ppo"}
    whole, cut = (spec(tmp_path / name, "HalfCheetah-v5", "0.99", **more) for name in ("whole", "cut"))
    assert_goes_on(whole, cut)


def test_states_are_saved_where_no_wrapper_has_a_memory_of_its_own() -> None:
    """Silent failure: a wrapper that remembers, such as one that stacks frames, forgets at a resume; replay keeps its memory."""
    env = gym.make("HalfCheetah-v5")
    assert is_mujoco(env)
    assert is_mujoco(with_dynamics(env))
    assert not is_mujoco(gym.wrappers.TimeAwareObservation(env))
    assert not is_mujoco(gym.make("CartPole-v1"))


def test_a_robot_that_shows_something_else_is_not_resumed() -> None:
    """Silent failure: a checkpoint of another version of MuJoCo, whose steps differ, is taken up as if they did not."""
    one, other = (envs.make("Hopper-v5", (0,), 1) for _ in range(2))
    one.reset()
    one.step(np.zeros((1, 1, 3), np.float32))
    saved = one.snapshot()
    assert isinstance(one._log, MujocoStates)  # type: ignore[attr-defined]
    saved["episodes"][0]["state"][3] += 1e-6
    with pytest.raises(envs.NotReplayable, match="did not repeat its last step"):
        other.restore(saved)


def test_what_mujoco_says_goes_to_a_logger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Silent failure: a file MUJOCO_LOG.TXT in everybody's folder, and a line on the terminal for each of 512 environments."""
    monkeypatch.chdir(tmp_path)
    env = envs.make("Hopper-v5", (0,), 1)
    inner: Any = env._envs[0].unwrapped  # type: ignore[attr-defined]
    env.reset()
    with caplog.at_level(logging.INFO, logger="mujoco"):
        inner.data.qvel[:] = 1e12
        env.step(np.zeros((1, 1, 3), np.float32))
    assert "unstable" in caplog.text
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


# Threads --------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Three, for batches made in the test."""
    envs.set_num_threads(3)
    yield 3
    envs.set_num_threads(1)


def outputs(batch: envs.EnvBatch, steps: int) -> list[NDArray]:
    """All that a batch returns in a reset and some steps."""
    (size,) = batch.action_space.shape or (0,)
    random = np.random.default_rng(3)
    found: list[NDArray] = [batch.reset()]
    for _ in range(steps):
        found += batch.step(random.uniform(-1, 1, (batch.runs, batch.envs_per_run, size)).astype(np.float32))
    return found


@pytest.mark.parametrize("env_id", ["Hopper-v5", "HalfCheetah-v5", "Ant-v5"])
def test_robots_are_the_same_in_several_threads(env_id: str, threads: int) -> None:
    """Episodes of Hopper end within these steps, so that resets are among them; the gravity changes in all."""
    shifts = [parse("gravity:values=9.81/5,at=20")]
    several = envs.make(env_id, (0, 1), 4, shifts)
    numbers = several._batch._parts._others  # type: ignore[attr-defined]
    envs.set_num_threads(1)
    in_turn = outputs(envs.make(env_id, (0, 1), 4, shifts), 60)
    assert len(numbers) == threads - 1
    assert all(a.tobytes() == b.tobytes() for a, b in zip(in_turn, outputs(several, 60), strict=True))


def test_the_first_environment_that_fails_in_any_thread_is_named(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two fail in the same step, in two threads; which one is named does not depend on which was faster."""
    batch = envs.SerialBatch("Hopper-v5", (0, 1), 3)
    batch.reset()

    def fails(_: Any) -> Any:
        raise ArithmeticError("no contact")

    for number in (4, 3):
        monkeypatch.setattr(batch._envs[number], "step", fails)
    where = r"Hopper-v5 failed in step 1 of an episode \(environment 0 of the run with seed 1\): ArithmeticError: no contact"
    with pytest.raises(envs.EnvironmentFailure, match=where):
        batch.step(np.zeros((2, 3, 3), np.float32))
    batch.close()


def test_only_robots_of_gymnasiums_own_step_in_threads(threads: int) -> None:
    """Others hold Python's lock, or may have memory in common; so do unknown wrappers."""
    for batch in (
        envs.SerialBatch("Acrobot-v1", (0, 1), 3),
        envs.SerialBatch("Hopper-v5", (0, 1), 3, wrappers=["gymnasium.wrappers:ClipAction"]),
    ):
        assert batch._parts._pool is None, batch


def test_what_mujoco_says_in_a_thread_goes_to_the_logger_too(threads: int, caplog: pytest.LogCaptureFixture) -> None:
    """MuJoCo calls Python from its C code, where Python's lock had been released."""
    batch = envs.SerialBatch("HalfCheetah-v5", (0,), 6)
    batch.reset()
    for env in batch._envs:
        env.unwrapped.data.qvel[:] = 1e12  # type: ignore[attr-defined]
    with caplog.at_level(logging.INFO, "mujoco"):
        batch.step(np.zeros((1, 6, 6), np.float32))
    assert len(caplog.records) >= 6
    assert {"Nan" in record.message or "unstable" in record.message for record in caplog.records} == {True}
