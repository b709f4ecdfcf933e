"""What the tab key offers, asked of the shells: the functions of bash and zsh are called with a line, fish completes one."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rl_rmsprop.baselines import BASELINES
from rl_rmsprop.cli import main
from rl_rmsprop.cli.fields import declared
from rl_rmsprop.cli.verbs import VERBS
from rl_rmsprop.detectors import DETECTORS
from rl_rmsprop.laws import LAWS
from rl_rmsprop.schedules import SCHEDULES
from rl_rmsprop.step_sizes import STEP_SIZES
from rl_rmsprop.study.spec import names
from rl_rmsprop.study.spec.presets import PRESETS

SHELLS = ("bash", "zsh", "fish")
RULES = {*SCHEDULES, *DETECTORS, *LAWS}

OFFERED: dict[str, set[str]] = {
    "rl-rmsprop comp": {"compare", "completion"},
    "rl-rmsprop train --env CartPole-": {"CartPole-v1"},
    "rl-rmsprop train --env CartPole-v1 --beta cu": {"cusum"},
    "rl-rmsprop compare --env CartPole-v1 --betas 0.9 pow": {"power"},
    "rl-rmsprop compare --env CartPole-v1 Lunar": {"LunarLander-v3", "LunarLanderContinuous-v3"},
    "rl-rmsprop train --env-kwargs a=b --optimizer adam_": {"adam_balanced", "adam_rel", "adam_amsgrad"},
    "rl-rmsprop train --engine ": {"local", "ray", "slurm"},
    "rl-rmsprop train --device cu": {"cuda"},
    "rl-rmsprop report runs --metric re": {"recovery", "regret"},
    "rl-rmsprop report runs --reb": {"--rebuild-curves"},
    "rl-rmsprop train --no-norm": {"--no-normalize-observations", "--no-normalize-rewards", "--no-normalize-advantage"},
    "rl-rmsprop replay runs --detectors cusum ew": {"ewma"},
    "rl-rmsprop completion ": {"bash", "zsh", "fish"},
    "rl-rmsprop report f": {"folder"},
    "rl-rmsprop study v": {"verify"},
    "rl-rmsprop study collect f": {"folder"},
    "rl-rmsprop compare f": {"file.toml", "folder"},
    "rl-rmsprop train --seeds ": set(),
}
"""What stands on the line before the tab key → what is offered, in a folder that has a folder and a file."""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The script of each shell, in a file, in a folder with a file and a folder to be found."""
    made = {}
    for shell in SHELLS:
        words = [sys.executable, "-m", "rl_rmsprop", "completion", shell]
        made[shell] = tmp_path_factory.mktemp(shell) / f"script.{shell}"
        done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
        made[shell].write_text(done.stdout, encoding="utf-8")
        (made[shell].parent / "folder").mkdir()
        (made[shell].parent / "file.toml").touch()
    return made


def words_of(line: str) -> list[str]:
    """The words of a line; the last one, which the tab key is to end, may be empty."""
    return [*shlex.split(line), *([""] if line.endswith(" ") else [])]


def asked(shell: str, code: str, script: Path) -> set[str]:
    """What a shell prints, by line."""
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    quiet = {"bash": ["--norc", "--noprofile"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    environment = {**os.environ, "HOME": str(script.parent), "LC_ALL": "C.UTF-8"}
    done = subprocess.run([shell, *quiet, "-c", code], capture_output=True, text=True, cwd=script.parent, env=environment)
    assert done.stderr == ""
    return {line.rstrip("/") for line in done.stdout.splitlines() if line}


def in_bash(words: list[str], script: Path) -> set[str]:
    """What bash's function puts into COMPREPLY for these words, as bash has broken them."""
    line = f"source {script}; COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}; _rl_rmsprop"
    return asked("bash", f'{line}; printf "%s\\n" "${{COMPREPLY[@]}}"', script)


def in_zsh(words: list[str], script: Path) -> set[str]:
    """What zsh's function hands to the completion system, whose commands are stood in for by ones that print."""
    stand_ins = """
        compdef() { : }
        compset() { cur_prefix=1 }
        compadd() { shift; print -l -- $@ }
        _describe() { print -l -- ${${(P)2}%%:*} }
        _files() { [[ $1 == -/ ]] && print -l -- *(N/) || print -l -- *(N) }
    """
    last = words[-1].partition("=")[2] if words[-1].startswith("--") and "=" in words[-1] else words[-1]
    line = f"{stand_ins}; source {script}; words=({shlex.join(words)}); CURRENT={len(words)}; _rl_rmsprop"
    return {word for word in asked("zsh", line, script) if word.startswith(last)}


def in_fish(line: str, script: Path) -> set[str]:
    """What fish itself offers."""
    found = asked("fish", f"source {script}; complete -C {shlex.quote(line)}", script)
    return {entry.partition("\t")[0].rstrip("/").rpartition("=")[2] for entry in found}


def offered(shell: str, line: str, script: Path) -> set[str]:
    """What a shell offers for a line."""
    if shell == "fish":
        return in_fish(line, script)
    return (in_bash if shell == "bash" else in_zsh)(words_of(line), script)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_tab_key_offers_what_can_stand_there(shell: str, scripts: dict[str, Path]) -> None:
    """A completion that offers nothing, or the wrong words, is noticed by nobody but its users."""
    found = {line: offered(shell, line, scripts[shell]) for line in OFFERED}
    assert found == OFFERED


@pytest.mark.parametrize("shell", SHELLS)
def test_every_verb_and_every_option_is_offered(shell: str, scripts: dict[str, Path]) -> None:
    """An option that was added must not have to be added to the scripts too."""
    assert offered(shell, "rl-rmsprop ", scripts[shell]) >= {*VERBS, "help", "--help", "--version"}
    for verb in ("train", "compare", "doctor"):
        flags = {option.flag for option in declared(VERBS[verb]) if not option.is_positional}
        assert offered(shell, f"rl-rmsprop {verb} --", scripts[shell]) >= {*flags, "--help"}


def test_bash_offers_values_behind_an_equals_sign_and_no_rules_inside_a_rule(scripts: dict[str, Path]) -> None:
    """Bash breaks words at = and :, so that a value looks like a word of its own, and a rule's key like a rule."""
    words = ["rl-rmsprop", "train", "--env", "=", "CartP"]
    assert in_bash(words, scripts["bash"]) == {"CartPole-v1"}
    assert in_bash(["rl-rmsprop", "train", "--device", "="], scripts["bash"]) == {"cpu", "cuda"}
    assert in_bash(["rl-rmsprop", "compare", "--betas", "cusum", ":", "a"], scripts["bash"]) == set()
    assert in_bash(["rl-rmsprop", "compare", "--betas", "cusum", ":", "arl", "=", ""], scripts["bash"]) == set()


def test_zsh_and_fish_offer_values_behind_an_equals_sign(scripts: dict[str, Path]) -> None:
    """`--env=Cart` is one word there."""
    if shutil.which("zsh"):
        assert in_zsh(["rl-rmsprop", "train", "--env=CartP"], scripts["zsh"]) == {"CartPole-v1"}
    assert in_fish("rl-rmsprop train --env=CartP", scripts["fish"]) == {"CartPole-v1"}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_is_right_in_form(shell: str, scripts: dict[str, Path]) -> None:
    """An explanation with a quotation mark would end the script at the shell's start."""
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([shell, "-n", str(scripts[shell])], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_names_of_rules_are_those_of_the_tables() -> None:
    """They are written down where torch is not imported; a rule that is missing there would not be offered."""
    assert tuple(SCHEDULES) == names.SCHEDULE_NAMES
    assert tuple(DETECTORS) == names.DETECTOR_NAMES
    assert tuple(LAWS) == names.LAW_NAMES
    assert ("none", *STEP_SIZES) == names.STEP_SIZE_NAMES
    assert tuple(BASELINES) == names.BASELINE_NAMES


def test_every_tuned_environment_and_every_rule_is_offered(scripts: dict[str, Path]) -> None:
    """The words that are hardest to remember."""
    assert in_bash(["rl-rmsprop", "train", "--env", ""], scripts["bash"]) >= {env_id for _, env_id in PRESETS}
    assert in_bash(["rl-rmsprop", "train", "--beta", ""], scripts["bash"]) == RULES


def test_a_shell_that_is_not_known_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A script for another shell would break the one that reads it."""
    assert main(["completion", "csh"]) == 2
    assert "must be bash, zsh or fish, got 'csh'" in capsys.readouterr().err
