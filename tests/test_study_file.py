"""Study files: what they say reaches the study, flags win, and what is wrong with them is said with file and key."""

import json
import shlex
import tomllib
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rl_rmsprop.cli import main, parse
from rl_rmsprop.study.spec.options import TrainingOptions
from rl_rmsprop.study.spec.presets import AGENTS, PRESETS, make_agent

ROOT = Path(__file__).parent.parent
WHOLE = """
env = ["CartPole-v1", "Acrobot-v1"]
betas = [0.9, "cusum:arl=50000,max=0.99", "yoked@cusum"]
baselines = ["adam"]
seeds = [0, 1, 5]
steps = 3000
eps = 1e-4
shift = ["reward_scale:values=1/2,at=1000"]

[settings]
lr = 1
hidden = [8, 8]

[settings.Acrobot-v1]
lr = 0.25
"""


def studied(line: list[str]) -> Any:
    """The study that a command line describes."""
    return parse(["compare", *line]).described()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study file in the working directory."""
    monkeypatch.chdir(tmp_path)
    path = Path("study.toml")
    path.write_text(WHOLE)
    return path


def test_everything_in_the_file_reaches_the_study(file: Path) -> None:
    """A key that is read and then dropped runs another study than the one that is published."""
    study = studied([str(file)])
    assert study.env_ids == ("CartPole-v1", "Acrobot-v1")
    assert [(arm.text, arm.is_baseline, study.options.eps) for arm in study.arms] == [
        ("0.9", False, 1e-4), ("cusum:arl=50000,max=0.99", False, 1e-4), ("yoked@cusum", False, 1e-4), ("adam", True, 1e-4),
    ]  # fmt: skip
    assert (study.seeds, study.options.steps, study.options.shift) == ((0, 1, 5), 3000, ("reward_scale:values=1/2,at=1000",))
    assert [(agent.lr, agent.hidden) for agent in study.agents] == [(1.0, (8, 8)), (0.25, (8, 8))]


def test_defaults_lose_to_presets_to_the_file_to_the_file_for_one_environment_to_flags(file: Path) -> None:
    """A flag that loses to a file nobody looks at is found after the run."""
    preset = PRESETS["a2c", "CartPole-v1"]
    study = studied([str(file)])
    assert [agent.vf_coef for agent in study.agents] == [preset["vf_coef"], AGENTS["a2c"]().vf_coef]
    flags = ["--steps", "500", "--lr", "0.5", "--betas", "0.5", "0.99", "--no-bias-correction", "--shift"]
    study = studied([str(file), *flags])
    assert (study.options.steps, study.options.shift, study.seeds) == (500, (), (0, 1, 5))
    assert [agent.lr for agent in study.agents] == [0.5, 0.5]
    assert [(arm.text, study.options.bias_correction) for arm in study.arms] == [("0.5", False), ("0.99", False), ("adam", False)]
    assert [agent.hidden for agent in study.agents] == [(8, 8), (8, 8)]


def test_the_file_may_stand_behind_options(file: Path) -> None:
    """Not everyone types the file first."""
    for line in (["--steps", "9", str(file)], ["--overwrite", str(file), "--steps", "9"], [str(file), "--steps", "9"]):
        assert studied(line).options.steps == 9


def test_a_value_stands_for_a_list_of_it_and_numbers_for_their_text(file: Path) -> None:
    """TOML has five ways to write one thing; whoever uses another than the example's must not get another study."""
    file.write_text('env = "CartPole-v1,Acrobot-v1"\nbetas = 0.9\nseeds = [0, "2-3"]\nsteps = 3e3\nsettings.hidden = 8')
    study = studied([str(file)])
    assert (study.env_ids, study.seeds) == (("CartPole-v1", "Acrobot-v1"), (0, 2, 3))
    assert ([arm.text for arm in study.arms], study.options.steps, study.agents[0].hidden) == (["0.9"], 3000, (8,))


def test_an_error_is_placed_in_the_file_only_if_its_value_comes_from_there(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever is sent to a file for a typing error on the command line searches it in vain."""
    assert main(["compare", str(file), "--seeds", "x", "--betas", "0.9"]) == 2
    assert capsys.readouterr().err.startswith("error: seeds must be whole numbers")
    assert main(["compare", str(file), "--lr", "-1", "--betas", "0.9"]) == 2
    assert capsys.readouterr().err.startswith("error: lr must be greater than 0")


LINES = (
    "--env CartPole-v1 --betas 0.9 cusum:max=0.99 --baselines adam sgd --seeds 0-2,9 --steps 1000",
    "--env CartPole-v1 Acrobot-v1 --betas cusum --controls --shift reward_scale:values=1/2,at=100 --lr 1e-05 --hidden 5",
    "--env CartPole-v1 --betas 0.9 mixture --controls --tune 3 --tune-seeds 70-71 --agent reinforce --no-bias-correction --eps 0",
    "--env CartPole-v1 --betas 0.9 0.99 --metric final --baseline 0.9 --threshold 475 --agent ppo --normalize-rewards True",
    "--env CartPole-v1 --betas 0.9 0.99 --match-update-rms 0.99 --record-signals --max-grad-norm inf --out 'a b/c'",
    "study.toml --seeds 3-4",
)


@pytest.mark.parametrize("line", LINES)
def test_the_printed_file_describes_the_same_study(line: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A printed study that runs as another one is worse than none."""
    words = shlex.split(line)
    assert main(["compare", *words, "--print-config"]) == 0
    printed = capsys.readouterr().out
    Path("printed.toml").write_text(printed)
    again = studied(["printed.toml"])
    assert asdict(again) == asdict(studied(words))
    assert parse(["compare", "printed.toml"]).report == parse(["compare", *words]).report
    assert sorted(path.name for path in Path().iterdir()) == ["printed.toml", "study.toml"]
    assert main(["compare", "printed.toml", "--print-config"]) == 0
    assert capsys.readouterr().out == printed  # canonical


def test_the_printed_file_has_every_option_and_every_setting_of_the_agent(capsys: pytest.CaptureFixture[str]) -> None:
    """A setting left to a preset would change with the next version of the preset, unseen."""
    assert main(["compare", "--env", "CartPole-v1", "--betas", "0.9", "--print-config"]) == 0
    printed = tomllib.loads(capsys.readouterr().out)
    assert set(printed["settings"]["CartPole-v1"]) == set(asdict(make_agent("a2c", "CartPole-v1", {})))
    assert {field.name for field in fields(TrainingOptions)} <= set(printed)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seeds=st.lists(st.integers(0, 10**6), min_size=1, max_size=8, unique=True),
    lr=st.floats(1e-12, 1e3),
    eps=st.floats(0, 1),
    steps=st.integers(1, 10**12),
)
def test_numbers_survive_the_way_through_the_file(seeds: list[int], lr: float, eps: float, steps: int, tmp_path: Path) -> None:
    """A digit lost in the file is a study that cannot be repeated."""
    path = tmp_path / "any.toml"
    path.write_text(
        f'env = "CartPole-v1"\nbetas = [0.9]\nseeds = {seeds}\nsteps = {steps}\neps = {eps!r}\nsettings.lr = {lr!r}\n'
    )
    study = studied([str(path)])
    assert (study.seeds, study.options.steps, study.options.eps, study.agents[0].lr) == (tuple(seeds), steps, eps, lr)


BAD = {
    "env = ": "study.toml is not TOML: Invalid value (at ",
    "envs = []": "study.toml has no key 'envs': did you mean env?",
    "workers = 2": "study.toml has no key 'workers': known are env, betas",
    'env = "CartPol-v1"': "study.toml: env: environment must be a registered Gymnasium id, got 'CartPol-v1'",
    "betas = [1.5]": "study.toml: betas: beta must be in [0, 1), got 1.5",
    'betas = ["liner:start=0,end=0.9"]': "study.toml: betas: β rule must be a number in [0, 1) or a known rule, got 'liner'",
    "betas = [true]": "study.toml: betas must be a text in quotes, got true",
    "betas = [[0.9]]": "study.toml: betas must be a text in quotes, got [0.9]",
    'betas = ["0.9,0.99"]': 'study.toml: betas must be texts in quotes of their own: ["0.9", "0.99"]',
    'shift = "a:values=1/2,at=1,b:values=1/2,at=1"': 'of their own: ["a:values=1/2,at=1", "b:values=1/2,at=1"]',
    'baselines = ["adan"]': "study.toml: baselines: baseline must be a known optimizer, got 'adan': did you mean adam?",
    'baselines = ["adam:beta=0.9"]': "study.toml: baselines: 'adam:beta=0.9' has no key 'beta': did you mean beta2?",
    'baselines = ["adam:beta1=2"]': "study.toml: baselines: beta1 must be in [0, 1), got 2.0",
    "steps = 1.5": "study.toml: steps must be a whole number such as 64 or 1e5, got 1.5",
    "steps = 0": "steps must be from 1",
    'steps = "many"': 'study.toml: steps must be a whole number such as 64 or 1e5, got "many"',
    "steps = true": "study.toml: steps must be a whole number such as 64 or 1e5, got true",
    "controls = 1": "study.toml: controls must be true or false, got 1",
    "out = 3": "study.toml: out must be a text in quotes, got 3",
    "out = 2026-01-01": 'study.toml: out must be a text in quotes, got "2026-01-01"',
    'agent = "dqn"': "study.toml: agent must be a2c, ppo or reinforce, got",
    'seeds = "5-1"': "study.toml: seeds: a range of seeds must rise, got '5-1': write 1-5",
    "seeds = [-1]": "study.toml: seeds: seeds must be whole numbers from 0",
    'tune_seeds = "x"': "study.toml: tune_seeds: seeds must be whole numbers from 0",
    'shift = ["gravity"]': "study.toml: shift: ",
    "settings = 3": "study.toml: settings must be a table such as [settings], got 3",
    "settings.lrr = 3": "study.toml: settings has no key 'lrr': did you mean lr?",
    'settings.lr = "fast"': 'study.toml: settings.lr must be a number such as 0.001, got "fast"',
    "settings.hidden = [8, 0.5]": "study.toml: settings.hidden must be a whole number such as 64 or 1e5, got 0.5",
    "settings.lr = -1": "study.toml: settings: lr must be greater than 0, got -1.0",
    'settings.lr_schedule = "cosine"': 'study.toml: settings.lr_schedule must be constant or linear, got "cosine"',
    "settings.CartPole-v1.gamma = 2": "study.toml: settings.CartPole-v1: gamma must be in [0, 1], got 2.0",
    'env = ["CartPole-v1"]\nsettings.CartPol-v1.lr = 2': "settings has no environment 'CartPol-v1': did you mean CartPole-v1?",
    'agent = "reinforce"\nsettings.gae_lambda = 1': "study.toml: settings: reinforce has no setting 'gae_lambda'",
    "betas = []": "at least one arm is needed",
    "env = []": "an environment is needed",
}


USUAL = {"env =": 'env = "CartPole-v1"\n', "betas": "betas = [0.9]\n"}
"""What every file needs."""


@pytest.mark.parametrize("content", BAD)
def test_what_is_wrong_with_a_file_is_said_in_one_line(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`KeyError: 'envs'` leaves its reader to search forty lines."""
    monkeypatch.chdir(tmp_path)
    Path("study.toml").write_text("".join(line for key, line in USUAL.items() if key not in content) + content)
    assert main(["compare", "study.toml"]) == 2
    output = capsys.readouterr()
    assert BAD[content] in output.err
    assert (output.err.count("\n"), output.out) == (1, "")
    assert [path.name for path in tmp_path.iterdir()] == ["study.toml"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nowhere.toml", "no study file nowhere.toml"),
        (
            "CartPole-v1 --betas 0.9",
            "no study file CartPole-v1: rl-rmsprop compare … --print-config > CartPole-v1 writes one; --env",
        ),
        (". --betas 0.9", "a study file must be a file of TOML, . is a folder"),
        ("study.toml other.toml", "compare takes one study file, got study.toml and other.toml"),
        ("latin.toml", "latin.toml is not TOML: byte 0xff (at line 1) is not UTF-8"),
    ],
)
def test_what_is_no_study_file_is_said_in_one_line(line: str, words: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder, or an environment in the place of a file, is an ordinary slip."""
    Path("latin.toml").write_bytes("# β".encode("utf-16"))
    assert main(["compare", *line.split()]) == 2
    assert words in capsys.readouterr().err


def test_the_example_runs(tmp_path: Path) -> None:
    """The first file that anyone copies must work."""
    example = ROOT / "runs" / "example.toml"
    described = studied([str(example)])
    assert len(described.env_ids) * len(described.arms) > 1
    tiny = ["--seeds", "0-1", "--steps", "600", "--eval-episodes", "1", "--tune", "2", "--tune-seeds", "70"]
    place = ["--out", str(tmp_path / "x"), "--workers", "1"]
    assert main(["compare", str(example), *tiny, *place]) == 0
    saved = json.loads((tmp_path / "x" / "study.json").read_text())
    assert [arm["text"] for arm in saved["arms"]] == [arm.text for arm in described.arms]
    assert (tmp_path / "x" / "report" / "CartPole-v1_sensitivity.png").is_file()
