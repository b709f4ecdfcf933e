"""The command line as a newcomer types it: help, typos, and one clear line for whatever is wrong."""

import contextlib
import os
import pkgutil
import re
import shlex
import socket
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

from rl_rmsprop.cli import main, parse
from rl_rmsprop.cli.fields import declared
from rl_rmsprop.cli.options import Settings
from rl_rmsprop.cli.verbs import VERBS
from rl_rmsprop.study.spec.presets import AGENTS

BAD = {
    "trian": "did you mean train",
    "train --envv CartPole-v1": "did you mean --env",
    "train": "an environment is needed",
    "train --env CartPol-v1": "did you mean CartPole-v1",
    "train --env CartPole": "did you mean CartPole-v1",
    "train --env CarRacing-v3": "observations must not be images",
    "train --env CartPole-v1 --beta 1.0": "beta must be in [0, 1)",
    "train --env CartPole-v1 --beta liner:start=0.5,end=0.9": "did you mean linear",
    "train --env CartPole-v1 --beta cusum:arl=0": "arl must be greater than 1",
    "train --env CartPole-v1 --beta cusum:arll=100": "did you mean arl",
    "train --env CartPole-v1 --optimizer adan": "did you mean adam",
    "train --env": "--env needs a value: --env ID",
    "train --env CartPole-v1 Acrobot-v1": "--env takes one value, got 'Acrobot-v1' as well: rl-rmsprop compare takes several",
    "train CartPole-v1": "takes options only, got 'CartPole-v1': values follow their option, as in --env CartPole-v1",
    "train --env CartPole-v1 --overwrite yes": "--overwrite takes no value but true or false, got 'yes'",
    "train --env CartPole-v1 --overwrite=yes": "--overwrite must be true or false, got 'yes'",
    "train --env CartPole-v1 --no-overwrite=true": "--no-overwrite takes no value, got 'true': write --overwrite true",
    "train --env CartPole-v1 -lr 0.1": "options begin with two dashes, got -lr",
    "train --env CartPole-v1 --env Acrobot-v1": "each option may be given once, got --env twice",
    "train --env CartPole-v1 --overwrite --no-overwrite": "got --overwrite twice",
    "train --env CartPole-v1 --beta 0.9 --optimizer adam": "train has one arm",
    "train --env CartPole-v1 --optimizer=": "baseline must be a known optimizer, got '': known are sgd",
    "train --env CartPole-v1 --steps abc": "--steps must be a whole number such as 64 or 1e5, got 'abc'",
    "train --env CartPole-v1 --steps=1.5": "--steps must be a whole number such as 64 or 1e5, got '1.5'",
    "train --env CartPole-v1 --steps 1.5e0": "--steps must be a whole number such as 64 or 1e5, got '1.5e0'",
    "train --env CartPole-v1 --steps 1e400": "--steps must be a whole number such as 64 or 1e5, got '1e400'",
    "train --env CartPole-v1 --n-envs 8.5": "--n-envs must be a whole number such as 64 or 1e5, got '8.5'",
    "train --env CartPole-v1 --lr 0,001": "--lr must be a number such as 0.001, got '0,001'",
    "train --env CartPole-v1 --lr fast": "--lr must be a number such as 0.001, got 'fast'",
    "train --env CartPole-v1 --hidden 64 big": "--hidden must be whole numbers such as 64 64, got '64 big'",
    "train --env CartPole-v1 --observation-scale 1 2": "one number a sensor, 4, got 2",
    "train --env CartPole-v1 --observation-scale wide": "--observation-scale must be numbers such as 1 0.5, got 'wide'",
    "train --env CartPole-v1 --hidden 99999999999": "hidden must be layer widths from 1 to 16384",
    "train --env CartPole-v1 --n-envs 1000000000": "at most 10000000, the steps of one rollout",
    "train --env CartPole-v1 --seeds 0-9999,10000-19999": "at most 10000 seeds",
    "train --env CartPole-v1 --steps 0": "steps must be from 1",
    "train --env CartPole-v1 --seeds 9-0": "write 0-9",
    "train --env CartPole-v1 --seeds 1,1": "1 twice",
    "train --env CartPole-v1 --seeds -1": "seeds must be whole numbers",
    "train --env CartPole-v1 --seeds x": "seeds must be whole numbers",
    "train --env CartPole-v1 --lr -1": "lr must be greater than 0",
    "train --env CartPole-v1 --lr nan": "lr must be greater than 0",
    "train --env CartPole-v1 --gamma 1.5": "gamma must be in [0, 1]",
    "train --env CartPole-v1 --n-envs 0": "n_envs must be at least 1",
    "train --env CartPole-v1 --eps -1": "eps must be at least 0",
    "train --env CartPole-v1 --workers 0": "workers must be at least 1",
    "train --env CartPole-v1 --agent dqn": "--agent must be a2c, ppo or reinforce, got 'dqn'",
    "train --env CartPole-v1 --agent reinforce --gae-lambda 0.9": "reinforce has no setting 'gae_lambda'",
    "train --env CartPole-v1 --clip-range 0.1": "a2c has no setting 'clip_range': ppo has it",
    "train --env CartPole-v1 --agent ppo --batch-size 1": "batch_size must be from 2 to n_envs · n_steps",
    "train --env CartPole-v1 --agent ppo --n-steps 1 --n-envs 4": "batch_size must be from 2 to n_envs · n_steps, 4",
    "train --env CartPole-v1 --agent ppo --n-epochs 0": "n_epochs must be at least 1",
    "train --env CartPole-v1 --observation-scale 1 1 1 1 --normalize-observations True": "empty with normalize_observations",
    "compare --env CartPole-v1": "at least one arm is needed",
    "compare --betas 0.9": "an environment is needed",
    "compare --env CartPole-v1 --betas 0.9 0.90": "0.9 twice",
    "compare --env CartPole-v1 CartPole-v1 --betas 0.9": "CartPole-v1 twice",
    "compare --env CartPole-v1 --betas 0.9 --betas 0.99": "write all its values after one flag",
    "compare --env CartPole-v1 --betas 0.9 --contrls": "did you mean --controls",
    "compare --env CartPole-v1 --betas 0.9 --tune many": "--tune must be a whole number such as 64 or 1e5, got 'many'",
    "compare --env CartPole-v1 --betas 0.9 --tune -1": "tune must be from 0 to 10000 draws an arm, got -1",
    "compare --env CartPole-v1 --betas 0.9 --tune 2 --tune-seeds 4-9": "tune_seeds must be others than seeds, got 4 in both",
    "compare --env CartPole-v1 --betas 0.9 --tune 2 --tune-seeds x": "seeds must be whole numbers",
    "compare --env CartPole-v1 --betas 0.9 --match-update-rms 0.8": "must name an arm of the study, got '0.8'",
    "compare --env CartPole-v1 --betas 0.9 0.5 --match-update-rms 0.5 --tune 2": "give one of them",
    "compare --env CartPole-v1 --betas cusum yoked@csum": "did you mean cusum",
    "compare --env CartPole-v1 --betas cusum yokd@cusum": "did you mean yoked",
    "compare --env CartPole-v1 --betas cusum yoked@cusum --seeds 3": "give at least two seeds",
    "compare --env CartPole-v1 --betas cusum oracle@cusum": "give --shift",
    "compare --env CartPole-v1 --betas cusum yoked@cusum --out a,b": "choose an --out without a comma",
    "compare study.tml": "no study file study.tml",
    "train --env CartPole-v1 --beta yoked@cusum": "must name an arm of the study",
    "train --env CartPole-v1 --tune 2": "rl-rmsprop train has no option --tune",
    "compare --env CartPole-v1 --betas 0.9 0.99 --metric speed": "--metric must be mean_return, final, steps_to_threshold",
    "compare --env CartPole-v1 --betas 0.9 0.99 --metric regret": "this study has no --shift",
    "compare --env CartPole-v1 --betas 0.9 0.99 --baseline 0.8": "baseline must be one of the study's arms, got '0.8'",
    "compare --env CartPole-v1 --betas 0.9 0.99 --baseline": "--baseline needs a value: --baseline ARM",
    "compare --env CartPole-v1 --betas 0.9 0.99 --threshold high": "threshold must be a return such as 475",
    "compare --env CartPole-v1 --betas 0.9,0.99": "separate them with spaces: --betas 0.9 0.99",
    "compare --env CartPole-v1 --betas 0.5 0.9,cusum:arl=9,max=0.9": "with spaces: --betas 0.5 0.9 cusum:arl=9,max=0.9",
    "compare --env CartPole-v1 --betas 0.9, 0.99": "separate them with spaces: --betas 0.9 0.99",
    "train --env CartPole-v1 --beta 0.9,0.99": "--beta takes one value, got 0.9 and 0.99: rl-rmsprop compare --betas takes",
    "train --env CartPole-v1 --betas 0.9": "did you mean --beta?",
    "train --env CartPole-v1 --learning-rate 0.1": "did you mean --lr?",
    "train --env CartPole-v1 --seed 3": "did you mean --seeds?",
    "train --env CartPole-v1 --controls": "rl-rmsprop train has no option --controls: rl-rmsprop compare has it",
    "compare --env CartPole-v1 --beta 0.9": "did you mean --betas?",
    "compare --env CartPole-v1 --alpha 0.9": "did you mean --betas?",
    "compare --env CartPole-v1 --betas 0.9 --xyz": "rl-rmsprop compare --help lists its options",
    "--env CartPole-v1": "the verb comes first, got '--env'",
    "train --env CartPole-v1 --steps 500.000": "--steps must be a whole number such as 64 or 1e5, got '500.000'",
    "train --env CartPole-v1 --agent PPO": "got 'PPO': did you mean ppo?",
    "train --env CartPole-v1 --optimizer sgd:momentum=0.9": "sgd has no keys, got 'sgd:momentum=0.9': write sgd",
    "train --env CartPole-v1 --optimizer muon:momentum=1": "momentum must be in [0, 1), got 1.0: with 1 a running mean",
    "train --env CartPole-v1 --optimizer adam:beta1=x": "beta1 must be a number, got 'x' in 'adam:beta1=x'",
    "train --env CartPole-v1 --beta adam:beta1=0.5": "is an optimizer and no β rule: --optimizer adam:beta1=0.5",
    "compare --env CartPole-v1 --baselines adam adam:beta1=0.9": "each of the arms may be given once, got adam twice",
    "compare --env CartPole-v1 --baselines adam,sgd": "so separate them with spaces: --baselines adam sgd",
    "train --env CartPole-v1 --beta adam": "adam is an optimizer and no β rule: --optimizer adam",
    "train --env CartPole-v1 --beta cusum:arl=9 max=0.9": "got 'max=0.9' apart: write --beta cusum:arl=9,max=0.9",
    "compare --env CartPole-v1 --betas 0.5 cusum:arl=9, max=0.9": "write --betas cusum:arl=9,max=0.9",
    "train --env CartPole-v1 --beta linear:0.5,0.99": "a rule is written name:key=value,key=value, got '0.5'",
    "compare --env CartPole-v1 --betas [0.9,0.99]": "separate them with spaces: --betas 0.9 0.99",
    "compare --config study": "no option --config: STUDY.toml is written without a flag, after rl-rmsprop compare",
    "envs --env CartPole-v1": "ID is written without a flag, after rl-rmsprop envs",
    "report": "rl-rmsprop report needs DIR: the study's folder",
    "report a b": "rl-rmsprop report takes one DIR, got 'b'",
    "evaluate x --seed -1": "seed must be at least 0, got -1",
    "evaluate x --episodes 0": "episodes must be from 1",
    "replay x --rate 0": "rate must be between 0 and 1000",
    "report nowhere": "holds no study",
    "train --env ALE/Pong-v5": "'ALE/Pong-v5': rl-rmsprop envs lists some",
    "train --env CartPole-v1 --shift gravity:at=5": "needs values=…: write gravity:at=5,values=…",
    "evaluate nowhere": "holds no study",
    "tensorboard nowhere": "holds no TensorBoard event files",
    "completion": "rl-rmsprop completion needs SHELL: the shell: bash, zsh or fish",
    "completion csh": "SHELL must be bash, zsh or fish, got 'csh'",
    "completion bash zsh": "rl-rmsprop completion takes one SHELL, got 'zsh'",
    "doctor runs": "rl-rmsprop doctor takes options only, got 'runs': values follow their option",
    "doctor --jsn": "did you mean --json",
    "rules 1.5": "beta must be in [0, 1)",
    "rules 0.9 0.9": "each rule may be given once, got 0.9 twice",
    "rules --updates 0": "updates must be from 2",
    "rules --updates 1000000000000": "updates must be from 2 to 100000",
}


@pytest.mark.parametrize("line", BAD)
def test_bad_input_is_one_line_exit_2_and_nothing_created(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A traceback, or a folder left behind, is how a tool loses a newcomer."""
    monkeypatch.chdir(tmp_path)
    assert main(line.split()) == 2
    output = capsys.readouterr()
    assert BAD[line] in output.err
    assert output.err.startswith("error: ")
    assert output.err.count("\n") == 1
    assert output.out == ""
    assert not list(tmp_path.iterdir())


def test_a_disk_that_refuses_is_exit_74_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A full or read-only disk is nobody's typing error."""
    (tmp_path / "r.png").mkdir()
    assert main(["rules", "0.9", "--updates", "20", "--out", str(tmp_path / "r.png")]) == 74
    assert capsys.readouterr().err.startswith("error: Is a directory: ")


@pytest.mark.parametrize("out", ["note", "note/below"])
def test_a_file_is_not_taken_for_a_folder(out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The remedy is another --out, not a look at the disk."""
    (tmp_path / "note").write_text("mine")
    assert main(["train", "--env", "CartPole-v1", "--out", str(tmp_path / out)]) == 2
    assert "note is not a folder: choose another --out" in capsys.readouterr().err
    assert (tmp_path / "note").read_text() == "mine"


def test_options_reach_the_study_whatever_their_group() -> None:
    """Options of three groups are one flat list to whoever types them."""
    line = "compare --betas 0.9 0.99 --hidden 32 16 --env CartPole-v1 --no-bias-correction --lr 0.5 --seeds 3"
    verb = parse([*line.split(), "--normalize-advantage", "False"])
    assert (verb.env, verb.betas) == (("CartPole-v1",), ("0.9", "0.99"))
    assert (verb.run.seeds, verb.run.bias_correction) == (("3",), False)
    assert (verb.settings.lr, verb.settings.hidden, verb.settings.normalize_advantage) == (0.5, (32, 16), False)
    assert verb.settings.gamma is None


@pytest.mark.parametrize(
    ("words", "value"),
    [("1e5", 100_000), ("1E+3", 1000), ("2.5e3", 2500), ("1_000", 1000), ("7", 7), (str(2**53 + 1), 2**53 + 1)],
)
def test_whole_numbers_may_be_written_as_people_write_them(words: str, value: int) -> None:
    """Steps are thought of in powers of ten; a rounded one would train for another time than was asked for."""
    assert parse(["train", "--steps", words]).run.steps == value
    assert parse(["train", "--n-envs", words]).settings.n_envs == value


@pytest.mark.parametrize(
    "line",
    [
        "--env A-v1 B-v1 --hidden 32 16 --baselines adam sgd --seeds 0-2 7",
        "--env A-v1,B-v1 --hidden 32,16 --baselines adam sgd --seeds 0-2,7",
    ],
)
def test_lists_may_have_spaces_or_commas(line: str) -> None:
    """Half of all programs want one, half the other."""
    verb = parse(["compare", *line.split()])
    assert (verb.env, verb.baselines, verb.settings.hidden) == (("A-v1", "B-v1"), ("adam", "sgd"), (32, 16))
    assert verb.run.seeds == ("0-2", "7")


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("--normalize-rewards", True),
        ("--normalize-rewards true", True),
        ("--normalize-rewards=False", False),
        ("--no-normalize-rewards", False),
    ],
)
def test_a_switch_is_understood_however_it_is_written(words: str, value: bool) -> None:
    """A switch that takes the next word for its value, or does not take it, changes what is trained."""
    assert parse(["train", *words.split(), "--env", "A-v1"]).settings.normalize_rewards is value
    assert parse(["report", "--rebuild-curves", "folder"]).dir == Path("folder")


def test_an_option_may_be_written_with_underscores() -> None:
    """Study files and Python have underscores; who copies a name from there is right, too."""
    assert parse(["train", "--eval_episodes", "3"]).run.eval_episodes == 3


def test_a_single_seed_that_looks_like_a_number_of_seeds_is_said() -> None:
    """Whoever means ten seeds by `--seeds 10` finds one run after an hour."""
    from rl_rmsprop.cli.compare import notes_on_seeds

    assert notes_on_seeds(("10",)) == ["note: --seeds 10 is one run with seed 10; 10 runs are --seeds 0-9"]
    assert all(notes_on_seeds(seeds) == [] for seeds in (("0",), ("1",), ("0-9",), ("5", "7"), ("x",)))


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Help that fails, or is cut off in a terminal of 80 columns, is found by the people who need it most."""
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert all(len(line) <= 80 for line in text.splitlines())
    flat = " ".join(text.split())
    assert (VERBS[verb].__doc__ or "").split("\n")[0] in flat
    for option in declared(VERBS[verb]):
        assert option.flag in text or option.is_positional
        assert option.doc, option.name
        assert " ".join(option.doc.split()) in flat


@pytest.mark.parametrize("verb", VERBS)
def test_every_example_of_the_help_is_understood(verb: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The first command that anyone copies must work."""
    monkeypatch.chdir(tmp_path)
    Path("study.toml").write_text("betas = [0.9]")
    assert VERBS[verb].EXAMPLES
    for command, _ in VERBS[verb].EXAMPLES:
        words = shlex.split(re.split(r" [|>] ", command)[0])
        assert words[:2] == ["rl-rmsprop", verb]
        assert isinstance(parse(words[1:]), VERBS[verb])


@pytest.mark.parametrize("line", ["help", "help train", "train help --help"])
def test_help_is_found_under_its_name(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`git help add` has taught people to ask so."""
    with contextlib.suppress(SystemExit):
        main(line.split())
    assert "rl-rmsprop" in capsys.readouterr().out


def test_every_setting_of_an_agent_is_an_option() -> None:
    """A hyper-parameter that only Python can set would be missing from every study made here."""
    for kind in AGENTS.values():
        assert {field.name for field in fields(kind)} <= {option.name for option in declared(Settings)}
    assert all(getattr(Settings(), option.name) is None for option in declared(Settings))


def test_names_of_options_are_those_of_the_tables() -> None:
    """Names are written down where nothing heavy is imported; one that is missing there could not be typed."""
    from rl_rmsprop.baselines import BASELINES
    from rl_rmsprop.study.results.metrics import METRICS
    from rl_rmsprop.study.spec.names import BASELINE_NAMES, MetricName
    from rl_rmsprop.study.spec.options import AgentName

    assert tuple(BASELINES) == BASELINE_NAMES
    assert tuple(METRICS) == get_args(MetricName)
    assert tuple(AGENTS) == get_args(AgentName)


def test_a_bare_call_lists_the_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    """The first thing a newcomer types is the name alone."""
    assert main([]) == 0
    out = capsys.readouterr().out
    assert all(re.search(rf"^  {verb} ", out, re.MULTILINE) for verb in VERBS)


def loaded_after(lines: Sequence[str]) -> dict[str, set[str]]:
    """Command line → modules that a fresh process has loaded when it has answered it, and those before it."""
    code = """
import sys
from rl_rmsprop.cli import main
for line in sys.argv[1:]:
    try:
        main(line.split())
    except SystemExit:
        pass
    print("loaded", *sys.modules, file=sys.__stdout__)
"""
    done = subprocess.run([sys.executable, "-c", code, *lines], capture_output=True, text=True, check=True)
    loaded = [set(text.split()[1:]) for text in done.stdout.splitlines() if text.startswith("loaded ")]
    return dict(zip(lines, loaded, strict=True))


HEAVY = {"torch", "numpy", "gymnasium", "matplotlib", "rich", "tensorboard"}


LIGHT = (
    "--help",
    *(f"{verb} --help" for verb in VERBS),
    *(f"{verb} nowhere" for verb in ("resume", "report", "evaluate", "replay")),
    "train --envv CartPole-v1",
    "train --env CartPole-v1 --steps many",
    "train --env CartPole-v1 --steps 0",
    "train --env CartPole-v1 --seeds x",
    "train --env CartPole-v1 --workers 0",
    "train --env CartPole-v1 --eps -1",
    "train --env CartPole-v1 --n-envs 0",
    "train --env CartPole-v1 --clip-range 0.1",
    "compare --env CartPole-v1 --betas 0.9 --baselines adan",
    "compare --env CartPole-v1 --betas 0.9,0.99",
    "compare --env CartPole-v1 --betas 0.9 --metric speed",
    "evaluate nowhere --episodes 0",
)


def test_what_needs_nothing_heavy_is_answered_before_it_is_imported() -> None:
    """Two seconds of silence before the help, or before a typing error is named, look like a hang."""
    loaded = loaded_after(LIGHT)
    assert [(line, modules & HEAVY) for line, modules in loaded.items() if modules & HEAVY] == []  # the first is the culprit


def test_an_environment_is_looked_for_before_torch_is_imported() -> None:
    """The id of the environment is the second most likely slip; Gymnasium alone knows it."""
    lines = ("train --env CartPol-v1", "train --env CartPole-v1 --shift gravty:values=1/2,at=1", "envs CartPol-v1")
    assert [line for line, modules in loaded_after(lines).items() if "torch" in modules] == []


def test_the_command_that_is_installed_is_the_one_tested_here() -> None:
    """The name in pyproject.toml is looked up when the command is typed, and by nothing before."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert pkgutil.resolve_name(project["scripts"]["rl-rmsprop"]) is main


def test_output_into_a_closed_pipe_is_no_traceback() -> None:
    """`rl-rmsprop walkthrough | head` is an ordinary thing to type."""
    line = f"{sys.executable} -m rl_rmsprop walkthrough | head -1"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    assert "Traceback" not in done.stderr


def test_rules_are_listed_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that is not in the list does not exist for its users."""
    from rl_rmsprop.cli.views import rules
    from rl_rmsprop.cli.views.rules import EXAMPLES
    from rl_rmsprop.detectors import DETECTORS
    from rl_rmsprop.rules import LAWS
    from rl_rmsprop.schedules import SCHEDULES

    assert {*EXAMPLES, "yoked"} == {*SCHEDULES, *DETECTORS, *LAWS}
    few = list(EXAMPLES.values())[::6]
    assert main(["rules", *few, "--updates", "60", "--out", str(tmp_path / "r.png")]) == 0
    picture = (tmp_path / "r.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 5000 * len(few) / 2
    drawn: list[str] = []
    monkeypatch.setattr(rules, "draw", lambda curves, out: drawn.extend(curves))
    capsys.readouterr()
    assert main(["rules", "--updates", "60", "--out", str(tmp_path / "all.png")]) == 0
    assert drawn == list(EXAMPLES.values())
    out = capsys.readouterr().out
    assert all(example[:20] in out for example in EXAMPLES.values())
    assert all(word in out for word in ("yoked:runs=FOLDER", "soft", "adwin, kswin, river_page_hinkley", "[river]"))


def test_a_rule_that_never_changes_is_drawn_without_complaint(tmp_path: Path) -> None:
    """A flat curve has no height, about which the plotting library warns on the terminal."""
    assert main(["rules", "0.9", "--updates", "50", "--out", str(tmp_path / "r.png")]) == 0


def test_envs_lists_the_tuned_ones(capsys: pytest.CaptureFixture[str]) -> None:
    """Which environments work is the second question of a newcomer."""
    from rl_rmsprop.study.spec.presets import PRESETS

    assert main(["envs"]) == 0
    out = capsys.readouterr().out
    assert all(env_id in out for _, env_id in PRESETS)
    assert re.search(r"Pendulum-v1 +│ +3 +│ +1 continuous", out)
    assert re.search(r"BipedalWalker-v3 +│ +24 +│ +4 continuous", out)


def test_the_viewers_address_shows_arms_where_there_are_some(tmp_path: Path) -> None:
    """With 70 runs TensorBoard ticks none, and the first thing that `make demo` leads to is an empty page."""
    from rl_rmsprop.cli.views.tensorboard import address

    (tmp_path / "CartPole-v1" / "0.9" / "seed_0000").mkdir(parents=True)
    assert address(tmp_path, 6007) == "http://127.0.0.1:6007/#custom_scalars"
    (tmp_path / "_agg" / "β = 0.9").mkdir(parents=True)
    assert address(tmp_path, 6007) == "http://127.0.0.1:6007/#custom_scalars&regexInput=_agg%7Creport"


def test_a_port_in_use_gives_way_to_the_next_free_one() -> None:
    """A second viewer on the first one's port would show the first one's study."""
    from rl_rmsprop.cli.views.tensorboard import free_port

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        other = free_port(port)
        assert other > port
        with socket.socket() as mine:
            mine.bind(("127.0.0.1", other))  # it is free indeed


def test_tensorboard_listens_on_this_machine_only() -> None:
    """A viewer open to the network shows results to everyone on it."""
    from rl_rmsprop.cli.views.tensorboard import command

    words = command(Path("runs"), 6006)
    assert words[words.index("--host") + 1] == "127.0.0.1"
    assert words[words.index("--samples_per_plugin") + 1] == "scalars=3000"
    assert "--bind_all" not in words
