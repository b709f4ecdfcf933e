"""Environments made with arguments and wrappers of the user's: from words and tables to every place that makes environments."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import envs
from rl_rmsprop.cli import main, parse
from rl_rmsprop.storage import toml_writer
from rl_rmsprop.study.spec import env_kwargs
from rl_rmsprop.study.spec.env_kwargs import Argument, canonical, from_table, kwargs_of, to_table
from rl_rmsprop.study.training.batch import Batch
from rl_rmsprop.study.training.policies import evaluate_batch
from rl_rmsprop.study.training.train import train_batch
from tests.odd_envs import Plain
from tests.test_resume import Interrupting, cut_off, digest, spec

ROOT = Path(__file__).parents[1]
modest = settings(deadline=None, derandomize=True, max_examples=60, database=None)

MADE: list[dict[str, Any]] = []
"""How environments of this module were made."""


class Made(Plain):
    """Remembers how it was made."""

    def __init__(self, size: int = 3, bonus: float = 0.0) -> None:
        MADE.append({"size": size, "bonus": bonus})
        self.bonus = bonus

    def step(self, action: Any) -> Any:
        observation, reward, *rest = super().step(action)
        return observation, reward + self.bonus, *rest


class Doubled(gym.RewardWrapper):
    """Rewards times two."""

    def reward(self, reward: Any) -> float:
        return 2 * float(reward)


class PlusOne(gym.RewardWrapper):
    """Rewards plus one."""

    def reward(self, reward: Any) -> float:
        return float(reward) + 1


class Twice(gym.ObservationWrapper):
    """Observations and their squares."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (2 * env.observation_space.shape[0],))  # type: ignore[index]

    def observation(self, observation: Any) -> Any:
        return np.concatenate([observation, np.square(observation)])


def no_wrapper(env: gym.Env) -> gym.Env:
    return env


if "Test/Made-v0" not in gym.registry:
    gym.register("Test/Made-v0", entry_point=Made)


def studied(line: str) -> Any:
    """The study that a command line describes."""
    return parse(["compare", *shlex.split(line)]).described()


def refusal(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command line that is refused says."""
    assert main(shlex.split(line)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


# Texts and tables --------------------------------------------------------------------------------------------------------

keys = st.sampled_from(["size", "gravity", "map_name"])
plain = st.one_of(st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False), st.text(max_size=12))
values = st.one_of(plain, st.sampled_from(["True", "false", "1e5", "[1", "", " x", "None", "nan", "a=b", "x:y", '"'])) | st.lists(
    plain
)


@modest
@given(st.dictionaries(keys, values), st.dictionaries(keys, values, min_size=1))
def test_arguments_survive_the_way_through_texts_tables_and_toml(for_all: dict[str, Any], for_one: dict[str, Any]) -> None:
    """Silent failure: the text '3' comes back as a number, or a path with an = is cut; the resumed study has another size."""
    arguments = [Argument("", *pair) for pair in for_all.items()] + [Argument("m:Walk-v0", *pair) for pair in for_one.items()]
    texts = canonical(argument.text for argument in arguments)
    assert canonical(texts) == texts
    ours = kwargs_of(texts, "m:Walk-v0")
    assert ours == {**for_all, **for_one}
    assert {key: type(value) for key, value in ours.items()} == {k: type(v) for k, v in {**for_all, **for_one}.items()}
    assert kwargs_of(texts, "Run-v0") == for_all
    table = tomllib.loads(toml_writer.write({"env_kwargs": to_table(texts)}))["env_kwargs"]
    assert from_table(table, "env_kwargs") == texts


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("x=3", 3), ("x=1e5", 1e5), ("x=-0.5", -0.5), ("x=true", True), ("x=False", False), ("x=4x4", "4x4"), ("x='3'", "3"),
        ("x=[1, 2.5]", [1, 2.5]), ("x=a,b", "a,b"), ("x = 3", 3), ("x=1\ny=2", "1\ny=2"), ("x={a=1}", "{a=1}"),
        ("x=inf", float("inf")),
    ],
)  # fmt: skip
def test_values_are_those_of_toml_and_all_else_is_text(text: str, value: Any) -> None:
    """Silent failure: continuous=False arrives as the text 'False', which is true."""
    parsed = env_kwargs.parse(text).value
    assert (parsed, type(parsed)) == (value, type(value))


@pytest.mark.parametrize("text", ["x", "=3", "x=", "x y=3", "Walk-v0:=3", "x=None", "-v0:x"])
def test_what_is_no_argument_is_refused(text: str) -> None:
    """Silent failure: an argument without a value is one that nobody gets."""
    with pytest.raises(ValueError, match="env_kwargs must "):
        env_kwargs.parse(text)


# Words and files ---------------------------------------------------------------------------------------------------------


def test_words_and_a_table_of_a_study_file_describe_the_same_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent failure: one of the two ways loses a value, or an environment gets that of another."""
    monkeypatch.chdir(tmp_path)
    Path("study.toml").write_text(
        'env = ["LunarLander-v3", "CartPole-v1"]\nbetas = 0.9\nwrapper = "gymnasium.wrappers:FlattenObservation"\n'
        "[env_kwargs]\nmax_episode_steps = 50\n[env_kwargs.LunarLander-v3]\ncontinuous = true\n"
    )
    words = (
        "--env LunarLander-v3 CartPole-v1 --betas 0.9 --wrapper gymnasium.wrappers:FlattenObservation "
        "--env-kwargs LunarLander-v3:continuous=True max_episode_steps=50"
    )
    of_words, of_file = studied(words), studied("study.toml")
    assert of_words == replace(of_file, command=of_words.command)
    assert of_words.options.env_kwargs == ("max_episode_steps=50", "LunarLander-v3:continuous=true")
    assert of_words.options.made_with("LunarLander-v3")["kwargs"] == {"max_episode_steps": 50, "continuous": True}
    assert of_words.options.made_with("CartPole-v1")["kwargs"] == {"max_episode_steps": 50}
    assert of_words.folder != studied("--env LunarLander-v3 CartPole-v1 --betas 0.9").folder


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--env-kwargs continous=true", "LunarLander-v3 takes no argument 'continous': did you mean continuous?"),
        ("--env-kwargs Acrobot-v1:x=1", "env_kwargs must be of one of the environments, got 'Acrobot-v1'"),
        ("--env-kwargs continuous", "env_kwargs must be written key=value, or Env-v1:key=value, got 'continuous'"),
        ("--env-kwargs gravity=-5 gravity=-6", "each of the env_kwargs may be given once, got gravity twice"),
        ("--env-kwargs gravity=-50", "cannot be made with gravity=-50: AssertionError"),
        ("--env-kwargs disable_env_checker=true", "got disable_env_checker, which is set here: leave it out"),
        ("--wrapper tests.test_env_kwargs:no_wrapper", "wrapper must be a class that inherits from gymnasium.Wrapper"),
        ("--wrapper tests.test_env_kwargs:Doublet", "has no wrapper 'Doublet': did you mean Doubled?"),
        ("--wrapper no_such_module:Doubled", "wrapper must be in a module that can be imported, got 'no_such_module'"),
        ("--wrapper Doubled", "wrapper must be written module:Class, got 'Doubled'"),
        ("--wrapper gymnasium.wrappers:TimeLimit", "cannot be put around LunarLander-v3: TypeError"),
        ("--wrapper tests.test_env_kwargs:Twice --observation-scale 1 1", "observation_scale must have one number a sensor, 16"),
    ],
)
def test_what_an_environment_does_not_take_is_refused_in_one_line_before_anything_is_created(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Silent failure: every run fails in its worker, an hour later; or the wrong argument is dropped without a word."""
    monkeypatch.chdir(tmp_path)
    assert message in refusal(f"train --env LunarLander-v3 {words}", capsys)
    assert list(tmp_path.iterdir()) == []


# Everywhere --------------------------------------------------------------------------------------------------------------


def test_classic_control_with_arguments_or_wrappers_is_stepped_one_by_one() -> None:
    """Silent failure: the environments in arrays ignore them."""
    batch = envs.make("CartPole-v1", (0,), 1, kwargs={"sutton_barto_reward": True})
    batch.reset()
    assert batch.step(np.zeros((1, 1), int)).rewards.tolist() == [[0.0]]
    assert isinstance(envs.make("CartPole-v1", (0,), 1), envs.ClassicControlBatch)
    batch = envs.make("CartPole-v1", (0,), 1, wrappers=["tests.test_env_kwargs:Doubled", "tests.test_env_kwargs:PlusOne"])
    batch.reset()
    assert batch.step(np.zeros((1, 1), int)).rewards.tolist() == [[3.0]]  # the first is innermost


def test_training_and_evaluation_are_in_environments_made_alike(tmp_path: Path) -> None:
    """Silent failure: trained in one environment, evaluated in another, and the score is of neither."""
    plain_batch = spec(tmp_path, "Test/Made-v0")
    options = replace(
        plain_batch.options, env_kwargs=("bonus=0.5", "Test/Made-v0:size=4"), wrapper=("tests.test_env_kwargs:Doubled",)
    )
    batch = replace(plain_batch, options=options)
    MADE.clear()
    with (trained := Batch(batch)).recorder:
        policy = trained.policy
    returns = evaluate_batch(batch, policy, 3, {})
    assert {tuple(made.items()) for made in MADE} == {(("size", 4), ("bonus", 0.5))}
    plain_returns = evaluate_batch(plain_batch, policy, 3, {})
    np.testing.assert_allclose(returns, 2 * (plain_returns + 5 * 0.5))
    config = json.loads((batch.run_folder(3) / "config.json").read_text())
    assert (config["env_kwargs"], config["wrapper"]) == (list(options.env_kwargs), list(options.wrapper))


@pytest.mark.parametrize("changed", [{"env_kwargs": ("bonus=0.25",)}, {"wrapper": ()}])
def test_a_checkpoint_is_not_continued_in_environments_made_otherwise(changed: dict[str, Any], tmp_path: Path) -> None:
    """Silent failure: half of a run is of one environment and half of another."""
    batch = spec(tmp_path, "Test/Made-v0")
    made = {"env_kwargs": ("bonus=0.5",), "wrapper": ("tests.test_env_kwargs:Twice",)}
    batch = replace(batch, options=replace(batch.options, **made))
    cut_off(batch, save=3, die=5)
    other = replace(batch, options=replace(batch.options, **changed))
    monitor = Interrupting(0, None)
    train_batch(other, monitor)
    assert any(f"the checkpoint is rejected, since a run would not continue exactly: {name} was" in note
               for note in monitor.notes for name in changed)  # fmt: skip
    assert monitor.iterations == 30


def test_a_run_with_arguments_and_wrappers_goes_on_bit_for_bit(tmp_path: Path) -> None:
    """Silent failure: the replayed episode is that of the bare environment."""
    made = {"env_kwargs": ("bonus=0.5",), "wrapper": ("tests.test_env_kwargs:Twice", "tests.test_env_kwargs:Doubled")}
    whole, cut = (spec(tmp_path / name, "Test/Made-v0") for name in ("whole", "cut"))
    whole, cut = (replace(batch, options=replace(batch.options, **made)) for batch in (whole, cut))
    train_batch(whole)
    cut_off(cut, save=5, die=9)
    train_batch(cut, monitor := Interrupting(0, None))
    assert (monitor.iterations, monitor.notes) == (30 - 5, [])
    assert digest(cut) == digest(whole)


def test_a_wrapper_leaves_the_scales_of_a_preset_out() -> None:
    """Silent failure: LunarLander's preset refuses every wrapper that adds a sensor, for a setting that nobody gave."""
    study = studied("--env LunarLander-v3 --betas 0.9 --wrapper tests.test_env_kwargs:Twice")
    assert study.agents[0].observation_scale == ()
    assert studied("--env LunarLander-v3 --betas 0.9").agents[0].observation_scale


def described(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What `rl-rmsprop envs` says of an environment."""
    assert main(["envs", *shlex.split(line)]) == 0
    return capsys.readouterr().out


def test_an_environment_is_described_as_a_training_with_these_options_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Silent failure: four actions and gravity −10 are shown of a lander whose training has neither."""
    options = "--env-kwargs continuous=true gravity=-5.5 LunarLander-v3:max_episode_steps=70"
    output = described(f"LunarLander-v3 {options} --wrapper gymnasium.wrappers:TimeAwareObservation", capsys)
    batch = envs.make(
        "LunarLander-v3", (0,), 1, **studied(f"--env LunarLander-v3 --betas 0.9 {options}").options.made_with("LunarLander-v3")
    )
    assert (batch.observation_space.shape, batch.action_space.shape, batch.max_episode_steps) == ((8,), (2,), 70)
    first = output.splitlines()[0]
    assert first.startswith(
        "LunarLander-v3 with continuous=true, gravity=-5.5, max_episode_steps=70 in gymnasium.wrappers:TimeAware"
    )
    assert first.endswith(": observations of 9 numbers, 2 continuous actions, episodes of at most 70 steps, solved at 200")
    assert re.search(r"│ gravity .*│ -5\.5 +│ -11\.9 +│ -2 +│", output)
    assert "action_permutation" not in output  # of real numbers
    assert "cost a trained policy" not in output  # which was measured in the environment as it is


def test_an_environment_without_options_is_described_with_its_usual_values_and_losses(capsys: pytest.CaptureFixture[str]) -> None:
    """Silent failure: the table of losses is gone where it holds."""
    output = described("LunarLander-v3", capsys)
    assert output.startswith(
        "LunarLander-v3: observations of 8 numbers, 4 actions, episodes of at most 1000 steps, solved at 200\n"
    )
    assert re.search(r"│ gravity .*│ -10 +│ -11\.9 +│ -2 +│", output)
    assert "action_permutation" in output
    assert "cost a trained policy" in output
    assert ": observations of 3 numbers, 2 actions, episodes without a time limit\n" in described("Odd/Plain-v0", capsys)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--env-kwargs size=3", "env_kwargs and wrapper are of one environment: rl-rmsprop envs needs its ID before them"),
        ("--wrapper a:B", "env_kwargs and wrapper are of one environment: rl-rmsprop envs needs its ID before them"),
        ("Test/Made-v0 --env-kwargs size", "env_kwargs must be written key=value, or Env-v1:key=value, got 'size'"),
        ("Test/Made-v0 --env-kwargs Other-v0:size=3", "env_kwargs must be of one of the environments, got 'Other-v0'"),
        ("Test/Made-v0 --env-kwargs sise=3", "takes no argument 'sise': did you mean size?"),
        ("Test/Made-v0 --wrapper tests.test_env_kwargs:Doublet", "has no wrapper 'Doublet': did you mean Doubled?"),
    ],
)
def test_what_cannot_be_described_is_refused_in_one_line(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Silent failure: the environment is described without the argument that is mistyped."""
    assert message in refusal(f"envs {line}", capsys)


# The working directory -----------------------------------------------------------------------------------------------------

MODULE = """
import gymnasium as gym
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

class Doubled(gym.RewardWrapper):
    def reward(self, reward):
        return 2 * reward

gym.register("Local/Pole-v0", entry_point=CartPoleEnv, max_episode_steps=20)
"""


def test_an_installed_command_finds_modules_in_the_working_directory_and_so_do_its_workers(tmp_path: Path) -> None:
    """Silent failure: `python -m rl_rmsprop` finds my_envs.py, `rl-rmsprop` does not, or its workers do not.

    Folders named agents and envs, which every other repository of reinforcement learning has, are not taken for ours.
    """
    (tmp_path / "my_envs.py").write_text(MODULE)
    for name in ("agents", "envs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('a stranger')")
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "rl-rmsprop").write_text(  # as pip writes it, for this source
        f"import sys\nsys.path.insert(1, {str(ROOT)!r})\nfrom rl_rmsprop.cli import main\n"
        "if __name__ == '__main__':\n    sys.exit(main())\n"
    )
    words = (
        "train --env my_envs:Local/Pole-v0 --wrapper my_envs:Doubled --seeds 0 --steps 64 --n-envs 1 --eval-episodes 1 --out out"
    )
    command = [sys.executable, str(bin_folder / "rl-rmsprop"), *words.split()]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list((tmp_path / "out").rglob("weights.npz"))) == 1
