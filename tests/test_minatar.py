"""MinAtar's games: registered, repeatable, and the games that MinAtar itself plays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils import seeding
from gymnasium.utils.env_checker import check_env

import envs
from envs.dynamics import with_dynamics
from envs.minatar import GAMES, RAMPING
from envs.parameters import parameters_of
from envs.registration import make_env
from tests.test_resume import assert_goes_on, spec

each_game = pytest.mark.parametrize("name", GAMES)


def test_a_game_without_minatar_says_what_to_install(tmp_path: Path) -> None:
    """Silent failure: an ImportError from within Gymnasium, and no word of the extra."""
    code = "import sys; sys.modules['minatar'] = None; import envs; envs.check_env_id('MinAtar/Breakout-v1')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "environment MinAtar/Breakout-v1 needs a package that is not installed" in done.stderr
    assert "pip install 'rl-rmsprop[minatar]'" in done.stderr


minatar = pytest.importorskip("minatar")


def old_random(seed: int) -> np.random.RandomState:
    """Random numbers as MinAtar takes them, from the generator that Gymnasium makes of a seed."""
    return np.random.RandomState(seeding.np_random(seed)[0].bit_generator)


def played(env: Any, actions: np.ndarray, seed: int) -> list[tuple[bytes, float, bool]]:
    """What is seen in a game with these actions; a new one begins where it ends."""
    seen = [(np.asarray(env.reset(seed=seed)[0], bool).tobytes(), 0.0, False)]
    for action in actions.tolist():
        observation, reward, ends, _, _ = env.step(action)
        seen.append((np.asarray(observation, bool).tobytes(), float(reward), bool(ends)))
        if ends:
            seen.append((np.asarray(env.reset()[0], bool).tobytes(), 0.0, False))
    return seen


@each_game
@pytest.mark.parametrize("version", ["v0", "v1"])
def test_a_game_is_the_one_that_minatar_plays(name: str, version: str) -> None:
    """Truth: MinAtar's own class, told to begin without a last action, with the same random numbers."""
    from minatar.gym import BaseEnv

    theirs = BaseEnv(GAMES[name], use_minimal_action_set=version == "v1")
    begin = theirs.reset

    def reset(seed: int | None = None) -> Any:
        theirs.game.last_action = 0
        if seed is not None:
            theirs.game.random = theirs.game.env.random = old_random(seed)
        return begin()

    theirs.reset = reset  # type: ignore[method-assign]
    ours = make_env(f"MinAtar/{name}-{version}")
    assert ours.action_space == theirs.action_space
    actions = np.random.default_rng(0).integers(0, ours.action_space.n, 400)  # type: ignore[attr-defined]
    assert played(ours.unwrapped, actions, 3) == played(theirs, actions, 3)


@each_game
def test_gymnasiums_checker_accepts_a_game(name: str) -> None:
    """Silent failure: a box of booleans, or a reset that is not the same with the same seed."""
    check_env(gym.make(f"MinAtar/{name}-v1").unwrapped, skip_render_check=True)
    envs.check_env_id(f"MinAtar/{name}-v1")


@each_game
def test_a_restored_game_goes_on_bit_for_bit(name: str) -> None:
    """Silent failure: the game's own random numbers, or its last action, begin elsewhere when an episode is replayed."""
    one, other = (envs.make(f"MinAtar/{name}-v1", (0, 1), 2) for _ in range(2))
    one.reset()
    rng = np.random.default_rng(1)
    for _ in range(150):
        one.step(rng.integers(0, one.action_space.n, (2, 2)))  # type: ignore[union-attr]
    other.restore(one.snapshot())
    for _ in range(150):
        actions = rng.integers(0, one.action_space.n, (2, 2))  # type: ignore[union-attr]
        for ours, theirs in zip(other.step(actions), one.step(actions), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_training_in_a_changing_game_goes_on_bit_for_bit(tmp_path: Path) -> None:
    """Silent failure: what is shifted in a game is not in the checkpoint."""
    shift = "sticky_action_prob:values=0.1/0.5,at=100 difficulty_ramping:values=1/0,at=150"
    whole, cut = (spec(tmp_path / name, "MinAtar/SpaceInvaders-v1", "0.99", shift) for name in ("whole", "cut"))
    assert_goes_on(whole, cut)


@each_game
def test_what_shifts_in_a_game_is_what_minatar_was_made_with(name: str) -> None:
    """Silent failure: a shift that does nothing, or one that changes the game to what it was."""
    env = with_dynamics(gym.make(f"MinAtar/{name}-v1"))
    known = {p.name: p.default for p in parameters_of(env).values()}
    assert ("difficulty_ramping" in known) == (name in RAMPING)
    twin = minatar.Environment(GAMES[name], sticky_action_prob=0.7, difficulty_ramping=False)
    env.reset(seed=5)
    twin.random = twin.env.random = old_random(5)
    twin.reset()
    for parameter, value in {"sticky_action_prob": 0.7, "difficulty_ramping": 0.0}.items():
        if parameter in known:
            assert env.get(parameter) == known[parameter]  # type: ignore[attr-defined]
            env.set(parameter, value)  # type: ignore[attr-defined]
            assert env.get(parameter) == value  # type: ignore[attr-defined]
    rng = np.random.default_rng(2)
    for _ in range(600):
        action = int(rng.integers(env.action_space.n))  # type: ignore[attr-defined]
        observation, reward, ends, _, _ = env.step(action)
        expected = twin.act(twin.minimal_action_set()[action])
        assert (reward, ends) == expected
        np.testing.assert_array_equal(observation, twin.state().ravel())
        if ends:
            env.reset()
            twin.last_action = 0
            twin.reset()


def test_a_game_can_be_seen() -> None:
    """Silent failure: a video of nothing."""
    env = gym.make("MinAtar/Breakout-v1", render_mode="rgb_array")
    env.reset(seed=0)
    env.step(0)
    picture: Any = env.render()
    assert picture.shape == (240, 240, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) >= 4  # nothing, paddle, ball, bricks
