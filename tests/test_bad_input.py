"""What a newcomer gets wrong, one case a row: one line that names rule and value, exit 2, and nothing created.

Command lines and study files that are wrong in a word are in test_cli.py and test_study_file.py; here are files, folders,
environments and machines, and inputs made at random. `python -m tests.faults` tries 20,000 of the latter.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envs.shifts.shift import parse_all
from rl_rmsprop import rules
from rl_rmsprop.cli import main, options
from rl_rmsprop.study import run
from rl_rmsprop.study.spec.study import Study
from tests.faults import inputs

ROOT = Path(__file__).parents[1]
OK = "env = 'CartPole-v1'\nbetas = [0.9]\n"
LONG = "x" * 256


class NotTrained(BaseException):
    """Raised in the place of a training: the input was accepted."""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, in which nothing is trained."""

    def instead(*_: Any, **__: Any) -> None:
        raise NotTrained

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "train_study", instead)
    return tmp_path


def refusal(words: list[str], capsys: pytest.CaptureFixture[str], code: int = 2) -> str:
    """What is said to a command line that is refused: one line, and nothing created."""
    before = inputs.listing()
    assert main(words) == code
    output = capsys.readouterr()
    assert (output.out, output.err.count("\n"), output.err[:7]) == ("", 1, "error: ")
    assert inputs.listing() == before
    return output.err


LINES: dict[str, tuple[list[str], str]] = {
    "lr is 0": (["--lr", "0"], "lr must be greater than 0, got 0.0"),
    "lr is infinite": (["--lr", "inf"], "lr must be finite, got inf"),
    "lr is a text": (["--lr", "'1e-3'"], """--lr must be a number such as 0.001, got "'1e-3'\""""),
    "β is negative": (["--beta=-0.1"], "beta must be in [0, 1), got -0.1"),
    "β is no number": (["--beta", "nan"], "beta must be in [0, 1), got nan"),
    "β is a digit of another script": (["--seeds", "٣"], "seeds must be whole numbers from 0"),
    "ε is infinite": (["--eps", "inf"], "eps must be at least 0 and finite, got inf"),
    "γ is negative": (["--gamma", "-0.1"], "gamma must be in [0, 1], got -0.1"),
    "seed is negative": (["--seeds=-1"], "seeds must be whole numbers from 0"),
    "seed is a fraction": (["--seeds", "1.5"], "seeds must be whole numbers from 0"),
    "seed is a truth value": (["--seeds", "True"], "seeds must be whole numbers from 0"),
    "seed is too large": (["--seeds", str(2**64)], "seeds must be at most 4294967295"),
    "seeds are none": (["--seeds", ""], "seeds must be whole numbers from 0"),
    "steps are negative": (["--steps=-5"], "steps must be from 1 to 1,000,000,000,000, got -5"),
    "steps are without end": (["--steps", "1" + "0" * 30], "--steps must be a whole number such as 64 or 1e5, got '1000"),
    "episodes are without end": (["--eval-episodes", "1" + "0" * 12], "eval_episodes must be from 0 to 1,000,000, got"),
    "no machine holds it": (["--n-envs", "300000", "--n-steps", "30", "--env", "LunarLander-v3"], "and this machine has"),
    "workers are absurd": (["--workers", "100000"], "workers must be at least 1 and at most"),
    "workers are a fraction": (["--workers", "1.5"], "--workers must be a whole number such as 64 or 1e5, got '1.5'"),
    "environment is a deprecated version": (["--env", "LunarLander-v2"], "did you mean LunarLander-v3?"),
    "environment is a future version": (["--env", "LunarLander-v9"], "did you mean LunarLander-v3?"),
    "environment's module is odd": (["--env", "..:x"], "module '..' cannot be imported: TypeError"),
    "environment's observations are images": (["--env", "CarRacing-v3"], "observations must not be images"),
    "environment's observations are no table as it says": (["--env", "Bad/Dict-v0"], "cannot begin an episode: IndexError"),
    "environment's actions are texts": (["--env", "Bad/Text-v0"], "action space must be Discrete, MultiDiscrete, MultiBinary"),
    "environment follows more than its seed": (["--env", "Bad/Unseeded-v0"], "must depend on its seed alone"),
    "environment lies about its shape": (["--env", "Bad/Shape-v0"], "must have its space's shape (2,), got (3,)"),
    "environment breaks when made": (["--env", "Bad/Init-v0"], "'Bad/Init-v0' cannot be made: RuntimeError: no display"),
    "environment breaks at reset": (["--env", "Bad/Reset-v0"], "cannot begin an episode: ZeroDivisionError"),
    "environment breaks in a step": (["--env", "tests.odd_envs:Odd/Error-v0"], "failed in step 1: ZeroDivisionError: divis"),
    "environment ends the process": (["--env", "tests.odd_envs:Odd/Exit-v0"], "failed in step 1: SystemExit: no licence"),
    "environment is of the old gym": (["--env", "tests.odd_envs:Odd/FourValues-v0"], "step must return five values, obser"),
    "environment pays nothing": (["--env", "tests.odd_envs:Odd/RewardNone-v0"], "reward must be one number, got None"),
    "environment never ends": (["--env", "tests.odd_envs:Odd/TerminatedNone-v0"], "terminated must be True or False, got None"),
    "environment grows": (["--env", "tests.odd_envs:Odd/GrowsAtReset-v0"], "must have its space's shape (3,), got (4,)"),
    "environment shows nothing": (["--env", "tests.odd_envs:Odd/Nothing-v0"], "observation space must have at least one number"),
    "name is too long for a disk": (["--out", LONG], "names of folders must have at most 255 bytes"),
    "name of an arm is too long": (["--out", "x", "--beta", f"linear:start=0,end=0.{'1' * 250}"], "at most 255 bytes, being fol"),
    "name made of settings is too long": (["--beta", f"linear:start=0,end=0.{'1' * 225}"], "choose one with --out"),
    "name has a control character": (["--out", "a\x07"], r"out must be a name without control characters, got 'a\x07'"),
    "home is nobody's": (["--out", "~nobody-at-all/x"], "out must be a folder, got '~nobody-at-all/x'"),
    "β's text is endless": (["--beta", "9" * 10_000], "beta must be in [0, 1), got"),
    "β's folder has too long a name": (["--beta", f"yoked:runs={LONG}"], "runs must be an arm's folder that can be read, got"),
    "β's text nests": (["--beta", "(" * 5000], "β rule must be a number in [0, 1) or a known rule"),
    "β's text has a terminal's commands": (["--beta", "\x1b[2J"], r"got '\x1b[2J'"),
}  # fmt: skip


@pytest.mark.parametrize("what", LINES)
def test_a_wrong_option_is_one_line_exit_2_and_nothing_created(
    what: str, capsys: pytest.CaptureFixture[str], strange: None
) -> None:
    """A traceback, a folder left behind, or a training that fails an hour later."""
    words, message = LINES[what]
    output = refusal(["train", *([] if "--env" in words else ["--env", "CartPole-v1"]), *words], capsys)
    assert message in output
    assert len(output) < 1100


class Strange(gym.Env[Any, Any]):
    """An environment in which one thing is wrong."""

    def __init__(self, fault: str) -> None:
        if fault == "Init":
            raise RuntimeError("no display")
        self.fault = fault
        box, choice = gym.spaces.Box(-1, 1, (2,)), gym.spaces.Discrete(2)
        self.observation_space = gym.spaces.Dict(a=box) if fault == "Dict" else box
        self.action_space = gym.spaces.Text(3) if fault == "Text" else choice
        self.resets = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.resets += 1 // (self.fault != "Reset")
        return np.full(3 if self.fault == "Shape" else 2, self.resets if self.fault == "Unseeded" else 0, np.float32), {}

    def step(self, action: Any) -> Any:
        return np.zeros(2, np.float32), 1.0, False, False, {}


@pytest.fixture
def strange() -> Iterator[None]:
    """Environments that are wrong in one thing each, registered for as long as a test lasts."""
    names = [f"Bad/{fault}-v0" for fault in ("Dict", "Text", "Unseeded", "Shape", "Init", "Reset")]
    for name in names:
        gym.register(name, entry_point=Strange, kwargs={"fault": name[4:-3]})
    yield
    for name in names:
        del gym.registry[name]


def test_an_environment_that_needs_a_missing_package_says_which(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Box2D does not install everywhere; `ModuleNotFoundError` says nothing of gymnasium[box2d]."""
    for name in [name for name in sys.modules if name.startswith("gymnasium.envs.box2d")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "Box2D", None)
    assert 'pip install "gymnasium[box2d]"' in refusal(["train", "--env", "LunarLander-v3"], capsys)


FILES: dict[str, tuple[bytes, str]] = {
    "a key twice": (b"lr = 1\nbetas = [0.9]\nbetas = [0.5]\n", "key betas is given twice, at lines 2 and 3"),
    "a setting twice": (b"settings.lr = 1\n[settings]\nlr = 2\n", "Cannot declare ('settings',) twice (at line 2, column 10)"),
    "a list twice": (b"env = 'x'\nenv = [\n'a',\n'b',\n]\n", "key env is given twice, at lines 1 and 2"),
    "not UTF-8": (b"# a\n# \x92\n", "byte 0x92 (at line 2) is not UTF-8: save it as UTF-8"),
    "UTF-16": ("env = 1".encode("utf-16"), "byte 0xff (at line 1) is not UTF-8"),
    "NUL": (b"env = 'a\0'", r"character '\x00' (at line 1, column 9)"),
    "a NUL in a name": (OK.encode() + b'out = "a\\u0000"', r"out must be a name without control characters, got 'a\x00'"),
    "nested without end": (b"x = " + b"[" * 9000, "its lists are nested too deeply"),
    "larger than any study": (b"#" * 2_000_000, "must have at most 1,000,000 bytes, study.toml has 2,000,000"),
    "a number with 5000 digits": (b"steps = 1" + b"0" * 5000, "study.toml is not TOML: Exceeds the limit"),
    "a number beyond all floats": (
        b"settings.lr = 1" + b"0" * 400,
        "settings.lr must be a number such as 0.001, got a number bey",
    ),
    "a hexadecimal monster": (
        b"steps = 0x" + b"f" * 5000,
        "steps must be a whole number such as 64 or 1e5, got a number",
    ),
    "a list of monsters": (b"steps = [0x" + b"f" * 5000 + b"]", "steps must be a whole number such as 64 or 1e5, got a list"),
    "a list for a number": (b"settings.lr = [1.0]", "settings.lr must be a number such as 0.001, got [1.0]"),
    "true for a number": (b"settings.n_envs = true", "settings.n_envs must be a whole number such as 64 or 1e5, got true"),
    "lr in quotes": (b'settings.lr = "1e-3"', 'settings.lr must be a number such as 0.001, got "1e-3"'),
    "an unknown key": (b"settings.learning_rate = 1", "settings has no key 'learning_rate'"),
    "β as a time": (b"betas = [12:00:00]", 'betas must be a text in quotes, got "12:00:00"'),
    "seeds as truth": (OK.encode() + b"seeds = [true]", "seeds must be a text in quotes"),
}


@pytest.mark.parametrize("what", FILES)
def test_a_wrong_study_file_is_one_line_exit_2_and_nothing_created(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The file is 40 lines long: without the place its reader searches all of them."""
    content, message = FILES[what]
    Path("study.toml").write_bytes(content)
    assert message in refusal(["compare", "study.toml"], capsys)


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf" + OK.encode(), OK.replace("\n", "\r\n").encode()], ids=["BOM", "CRLF"])
def test_what_editors_on_windows_add_does_no_harm(content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """A byte that no editor shows is not to be found by its author."""
    Path("study.toml").write_bytes(content)
    assert main(["compare", "study.toml", "--print-config"]) == 0
    assert 'betas = ["0.9"]' in capsys.readouterr().out


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no pipes with names")
def test_a_pipe_is_not_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    """To open a pipe that nobody writes to is to wait for ever."""
    os.mkfifo("study.toml")
    assert "study.toml is no ordinary file" in refusal(["compare", "study.toml"], capsys)


def test_the_home_of_the_user_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell leaves ~ alone in --out=~/x and in study files; a folder of that name is hard to get rid of."""
    from rl_rmsprop.study.spec.folders import own_folder

    monkeypatch.setenv("HOME", "/home/me")
    assert own_folder(Path("~/a b/β")) == Path("/home/me/a b/β")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """An hour later is too late to learn of it."""
    Path("locked").mkdir(mode=0o500)
    assert "must be a folder that you may write to" in refusal(["train", "--env", "CartPole-v1", "--out", "locked/x"], capsys)


def test_a_folder_that_may_not_be_written_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The same for root, who may write everywhere."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "must be a folder that you may write to" in refusal(["train", "--env", "CartPole-v1", "--out", "x"], capsys)


def test_four_workers_a_core_are_the_most(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """10,000 seeds and as many workers end a machine."""
    monkeypatch.setattr(options, "cores", lambda: 3)
    output = refusal(["train", "--env", "CartPole-v1", "--workers", "13"], capsys)
    assert "at most 12, four for each of 3 cores, got 13" in output
    with pytest.raises(NotTrained):
        main(["train", "--env", "CartPole-v1", "--workers", "12"])


def test_the_memory_that_a_study_needs_is_about_what_was_measured() -> None:
    """An estimate that is far too high refuses what would run, one that is far too low lets the machine die.

    Peaks of one worker that trained for two logging steps, in GB (resource.getrusage), imports included.
    """
    for line, measured in MEASURED.items():
        assert 0.7 * measured < estimated(line) < 2 * measured, line


def test_the_memory_of_robots_is_that_of_their_models() -> None:
    """A robot takes ten times as much as a lander: a study of 2000 of them would end the machine instead of being refused."""
    pytest.importorskip("mujoco")
    for line, measured in ROBOTS.items():
        assert 0.7 * measured < estimated(line) < 1.4 * measured, line


def estimated(line: str) -> float:
    """GB that a study with one worker is expected to need."""
    from rl_rmsprop.cli import parse
    from rl_rmsprop.study.execution.memory_estimate import needed_memory

    study: Study = parse(["compare", "--betas", "0.99", "--env", *line.split()]).described()
    return needed_memory(study, 1) / 1e9


MEASURED = {
    "CartPole-v1 --seeds 0-4": 0.34,
    "CartPole-v1 --seeds 0-9 --n-envs 1000 --n-steps 64": 1.50,
    "CartPole-v1 --seeds 0 --n-envs 100000": 3.24,
    "CartPole-v1 --agent ppo --seeds 0-9 --n-envs 64 --n-steps 1024 --batch-size 8192": 1.03,
    "LunarLander-v3 --seeds 0-4 --n-envs 1000 --n-steps 4": 0.95,
}
ROBOTS = {
    "HalfCheetah-v5 --seeds 0-4 --n-envs 200 --n-steps 4": 1.51,
    "InvertedPendulum-v5 --seeds 0-4 --n-envs 200 --n-steps 4": 0.95,
    "Humanoid-v5 --seeds 0-1 --n-envs 300 --n-steps 4": 1.14,
}
"""Study → GB."""


# Folders of studies ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study with recorded signals, changes and draws of a tuning."""
    folder = tmp_path_factory.mktemp("finished") / "study"
    inputs.finished_study(folder)
    return folder


RUN = "CartPole-v1/0.9/seed_0000"
STUDY: dict[str, tuple[Any, str]] = {
    "no table": ([], "study.json must hold a table, got []"),
    "a seed of a million millions": ({"seeds": [10**12]}, "seeds must be whole numbers from 0 to 4294967295"),
    "a seed without end": (
        {"seeds": [10**30]},
        "study.json: seeds must be a whole number such as 64 or 1e5, got a number beyond",
    ),
    "seeds by the million": ({"seeds": list(range(20_000))}, "at most 10000 seeds"),
    "seeds as a number": ({"seeds": 3}, "study.json: seeds must be a list, got 3"),
    "seeds of texts": ({"seeds": ["0"]}, 'study.json: seeds must be a whole number such as 64 or 1e5, got "0"'),
    "true steps": ({"options": {"steps": True}}, "study.json: options: steps must be a whole number such as 64 or 1e5, got true"),
    "steps without end": ({"options": {"steps": 10**15}}, "steps must be from 1 to 1,000,000,000,000"),
    "no arms": ({"arms": []}, "at least one of its arms"),
    "an arm that is a text": ({"arms": ["0.9"]}, 'study.json: arms must be a table, got "0.9"'),
    "an arm without a rule": ({"arms": [{}]}, "study.json: arms needs a key 'text'"),
    "an arm with a wrong rule": ({"arms": [{"text": "../../x"}]}, "β rule must be a number in [0, 1) or a known rule"),
    "an agent of another kind": ({"options": {"agent": "dqn"}}, "options.agent must be one of a2c, ppo, reinforce, got 'dqn'"),
    "an agent that is a list": ({"options": {"agent": []}}, "options.agent must be one of a2c, ppo, reinforce, got []"),
    "settings for too many": ({"env_ids": ["CartPole-v1", "Acrobot-v1"]}, "settings must be one for each environment"),
    "settings of texts": ({"agents": [{"lr": "fast"}]}, 'agents: lr must be a number such as 0.001, got "fast"'),
    "an unknown key": ({"seedss": [3]}, "study.json has no key 'seedss': did you mean seeds?"),
    "a shift that is none": ({"options": {"shift": ["gravity"]}}, "needs values"),
}


@pytest.mark.parametrize("what", STUDY)
def test_a_study_that_is_none_is_said_in_one_line(what: str, finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Folders are copied, edited and half written; whoever looks into one is told what is wrong with it."""
    given, message = STUDY[what]
    content = json.loads((finished / "study.json").read_text())
    Path("x").mkdir()
    changed = given if isinstance(given, list) else {**content, **given}
    if isinstance(given, dict) and "options" in given:
        changed["options"] = {**content["options"], **given["options"]}
    Path("x/study.json").write_text(json.dumps(changed))
    for verb in ("report", "evaluate", "replay"):
        assert message in refusal([verb, "x"], capsys)


BROKEN: dict[str, tuple[str, str, bytes, str]] = {
    "garbled study.json": ("report", "study.json", b"{", "study.json is not JSON"),
    "study.json of bytes": ("report", "study.json", b"\xff\xfe", "study.json is not JSON: 'utf-8'"),
    "study.json nested without end": ("report", "study.json", b"[" * 99_999, "study.json is not JSON: maximum recursion depth"),
    "study.json nested deeply": ("report", "study.json", b'{"a":' + b"[" * 99 + b"]" * 99 + b"}", "at most 20 tables and lists"),
    "garbled config.json": ("report", f"{RUN}/config.json", b"{]", "config.json must describe the run in its folder"),
    "config.json that is a list": ("report", f"{RUN}/config.json", b"[]", "config.json must hold a table, got []"),
    "metrics.csv of texts": ("report", f"{RUN}/metrics.csv", b"step\nten\n", "metrics.csv must be a table of numbers, got"),
    "metrics.csv of nothing": ("report", f"{RUN}/metrics.csv", b"", "metrics.csv must have a column 'step', and has none"),
    "metrics.csv of bytes": ("report", f"{RUN}/metrics.csv", b"step\n\xff", "metrics.csv must be a table of numbers, got"),
    "episodes.csv cut within a row": ("report", f"{RUN}/episodes.csv", b"step,return,length\n9,9,9\n18,9", "in line 3, got 2"),
    "episodes.csv that goes back": ("report", f"{RUN}/episodes.csv", b"step,return,length\n9,9,9\n8,9,9\n", "steps that rise"),
    "timing.csv cut after a row": (
        "report", f"{RUN}/timing.csv", b"step,time/seconds,time/steps_per_second\n128,1.0,128.0\n", "as many rows as metrics.csv",
    ),
    "report.json of texts": ("report", "report.json", b'{"metric": 3, "baseline": 1, "thresholds": 2}', "text in quotes, got 3"),
    "tuning.csv cut within a row": ("report", "tuning.csv", b"env,arm\nCartPole-v1,0.9", "must hold the outcomes of trials"),
    "signals.npz that is a pickle": ("replay", f"{RUN}/signals.npz", pickle.dumps({"a": 1}), "is not a whole file of signals"),
    "signals.npz that is empty": ("replay", f"{RUN}/signals.npz", b"", "is not a whole file of signals"),
    "weights.npz that is a pickle": (
        "evaluate", f"{RUN}/checkpoint/weights.npz", pickle.dumps([1]), "weights.npz is not a whole file of weights",
    ),
    "clocks.json that goes back": (
        "evaluate", f"{RUN}/checkpoint/clocks.json", b'{"steps": -1, "episodes": 0, "updates": 0}', "must say where the clocks",
    ),
    "alarms.csv of texts": ("rules yoked:runs=x/CartPole-v1/0.9", f"{RUN}/alarms.csv", b"update\nten", "must hold a column"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_of_a_study_is_named_in_one_line(what: str, finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Disks fill up and processes are killed; `KeyError: 'step'` does not say which of a thousand files it was."""
    import shutil

    line, file, content, message = BROKEN[what]
    shutil.copytree(finished, "x")
    Path("x", file).write_bytes(content)
    assert message in refusal([*line.split(), *([] if "x/" in line else ["x"])], capsys)


@pytest.mark.parametrize("file", ["signals.npz", "metrics.csv", "checkpoint/weights.npz"])
def test_a_file_cut_anywhere_is_named_or_counts_as_unfinished(
    file: str, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that lacks its second half and is read as whole gives a report on half a run."""
    import shutil

    verb = {"signals.npz": "replay", "metrics.csv": "report"}.get(file, "evaluate")
    data = (finished / RUN / file).read_bytes()
    shutil.copytree(finished, "x")
    for share in (0.02, 0.5, 0.98):
        cut = data[: int(len(data) * share)]
        Path("x", RUN, file).write_bytes(cut[: cut.rfind(b",")] if file == "metrics.csv" else cut)
        assert f"{file.rpartition('/')[2]}" in refusal([verb, "x"], capsys)


def test_a_report_does_not_need_the_environment(finished: Path) -> None:
    """To make an environment is to run the module that its id names: a folder from elsewhere must not be able to ask for it."""
    from rl_rmsprop.study.spec.study import load_study

    content = json.loads((finished / "study.json").read_text())
    Path("evil.py").write_text("raise SystemExit('ran')")
    Path("study.json").write_text(json.dumps({**content, "env_ids": ["evil:X-v0"]}))
    assert load_study(Path(".")).env_ids == ("evil:X-v0",)
    assert "evil" not in sys.modules


# Terminals ---------------------------------------------------------------------------------------------------------------------


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A line of a shell in which `rl-rmsprop` is this package."""
    own = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    script = f'set -o pipefail; rl-rmsprop() {{ "{sys.executable}" -m rl_rmsprop "$@"; }}; {line}'
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=own, timeout=120)


@pytest.mark.parametrize("line", ["rl-rmsprop walkthrough | head -1", "rl-rmsprop envs | true", "rl-rmsprop | true"])
def test_a_reader_that_goes_away_is_no_traceback(line: str) -> None:
    """`… | head` is an ordinary thing to type."""
    done = shell(line)
    assert done.stderr == ""
    assert done.returncode in (0, 141)


@pytest.mark.parametrize("line", ["rl-rmsprop >&-", "rl-rmsprop envs CartPole-v1 >&-", "rl-rmsprop walkthrough 2>&- <&-"])
def test_closed_streams_do_no_harm(line: str) -> None:
    """A service or a cron job has no terminal."""
    done = shell(line)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no disk that is always full")
def test_a_full_disk_below_the_output_is_one_line() -> None:
    """Python complains once more at exit, with a traceback."""
    done = shell("rl-rmsprop walkthrough >/dev/full")
    assert (done.returncode, done.stderr.count("\n")) == (74, 1)


@pytest.mark.parametrize(
    "line", ["envs CartPole-v1", "walkthrough", "--help", "compare --env CartPole-v1 --betas 0.9 --print-config"]
)
def test_a_terminal_without_greek_letters_is_no_traceback(line: str) -> None:
    """LANG=C is what a cluster's batch jobs have."""
    done = shell(f"rl-rmsprop {line}", LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()


# At random ---------------------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=300)
@given(st.text() | st.builds(inputs.spoiled_text, st.randoms(), st.sampled_from([*inputs.EXAMPLES.values(), *inputs.SHIFTS])))
def test_any_text_is_a_rule_and_a_shift_or_a_value_error(text: str) -> None:
    """A rule's text comes from whoever types it; what the parser makes of it is written back as a text that means the same."""
    for parse in (rules.parse, parse_all):
        try:
            understood = parse(text)
        except ValueError:
            continue
        if parse is rules.parse:
            assert rules.parse(rules.text(understood)) == understood  # type: ignore[arg-type]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200) | st.randoms().map(lambda rng: inputs.spoiled_file(rng, inputs.table(rng))))
def test_any_bytes_are_a_study_or_one_line(content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """A study file that ends in a traceback says to its author that the tool is broken, not the file."""
    Path("study.toml").write_bytes(content)
    code = main(["compare", "study.toml", "--print-config"])
    output = capsys.readouterr()
    assert (code, output.err) == (0, "") or (code == 2 and output.err.count("\n") == 1 and not output.out)


def test_inputs_at_random_are_accepted_or_refused_in_one_line() -> None:
    """A part of what `python -m tests.faults` tries."""
    counts, wrong = inputs.try_all(200)
    assert wrong == []
    assert counts["refused"] > 100
    assert counts["accepted"] > 5
