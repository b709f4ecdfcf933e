"""The command line as a newcomer types it: help, typos, and one clear line for whatever is wrong."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from rl_rmsprop.cli import VERBS, main, parse

BAD = {
    "trian": "did you mean train",
    "train --envv CartPole-v1": "did you mean --env",
    "train": "an environment is needed",
    "train --env CartPol-v1": "did you mean CartPole-v1",
    "train --env FrozenLake-v1": "observation space must be a flat Box",
    "train --env CartPole-v1 --beta 1.0": "beta must be in [0, 1)",
    "train --env CartPole-v1 --beta liner:start=0.5,end=0.9": "did you mean linear",
    "train --env CartPole-v1 --beta cusum:arl=0": "arl must be greater than 1",
    "train --env CartPole-v1 --beta cusum:arll=100": "did you mean arl",
    "train --env CartPole-v1 --optimizer adan": "did you mean adam",
    "train --env": "Missing value for argument '--env'",
    "train --env CartPole-v1 Acrobot-v1": "Unrecognized options: Acrobot-v1",
    "train --env CartPole-v1 --env Acrobot-v1": "each option may be given once, got --env twice",
    "train --env CartPole-v1 --overwrite --no-overwrite": "got --overwrite twice",
    "train --env CartPole-v1 --beta 0.9 --optimizer adam": "train has one arm",
    "train --env CartPole-v1 --optimizer=": "baseline must be a known optimizer",
    "train --env CartPole-v1 --steps abc": "--steps must be a whole number written in digits, got 'abc'",
    "train --env CartPole-v1 --steps 1e5": "--steps must be a whole number written in digits, got '1e5'",
    "train --env CartPole-v1 --steps=1.5": "--steps must be a whole number written in digits, got '1.5'",
    "train --env CartPole-v1 --lr fast": "--lr must be a number such as 0.001, got 'fast'",
    "train --env CartPole-v1 --hidden 64 big": "--hidden must be whole numbers such as 64 64, got '64 big'",
    "train --env CartPole-v1 --observation-scale 1 2": "one number a sensor, 4, got 2",
    "train --env CartPole-v1 --observation-scale wide": "--observation-scale must be numbers such as 1 0.5, got 'wide'",
    "train --env CartPole-v1 --hidden 99999999999": "hidden must be layer widths from 1 to 16384",
    "train --env CartPole-v1 --n-envs 1000000000": "at most 10000000, the steps of one update",
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
    "train --env CartPole-v1 --agent dqn": "invalid choice 'dqn'",
    "train --env CartPole-v1 --agent reinforce --gae-lambda 0.9": "reinforce has no setting 'gae_lambda'",
    "train --env CartPole-v1 --clip-range 0.1": "a2c has no setting 'clip_range'",
    "train --env CartPole-v1 --agent ppo --batch-size 1": "batch_size must be from 2 to n_envs · n_steps",
    "train --env CartPole-v1 --agent ppo --n-steps 1 --n-envs 4": "batch_size must be from 2 to n_envs · n_steps, 4",
    "train --env CartPole-v1 --agent ppo --n-epochs 0": "n_epochs must be at least 1",
    "train --env CartPole-v1 --observation-scale 1 1 1 1 --normalize-observations True": "empty with normalize_observations",
    "compare --env CartPole-v1": "at least one arm is needed",
    "compare --betas 0.9": "an environment is needed",
    "compare --env CartPole-v1 --betas 0.9 0.90": "0.9 twice",
    "compare --env CartPole-v1 CartPole-v1 --betas 0.9": "CartPole-v1 twice",
    "compare --env CartPole-v1 --betas 0.9 --betas 0.99": "write its values behind one another",
    "compare --env CartPole-v1 --betas 0.9 --contrls": "did you mean --controls",
    "compare --env CartPole-v1 --betas 0.9 --tune many": "--tune must be a whole number written in digits, got 'many'",
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
    "compare --env CartPole-v1 --betas 0.9 0.99 --metric speed": "metric must be one of mean_return, final, steps_to_threshold",
    "compare --env CartPole-v1 --betas 0.9 0.99 --metric regret": "this study has no --shift",
    "compare --env CartPole-v1 --betas 0.9 0.99 --baseline 0.8": "baseline must be one of the study's arms, got '0.8'",
    "compare --env CartPole-v1 --betas 0.9 0.99 --baseline": "Missing value for argument '--baseline'",
    "compare --env CartPole-v1 --betas 0.9 0.99 --threshold high": "threshold must be a return such as 475",
    "report": "needs DIR",
    "report nowhere": "holds no study",
    "evaluate nowhere": "holds no study",
    "tensorboard nowhere": "holds no TensorBoard event files",
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
    said = capsys.readouterr()
    assert BAD[line] in said.err
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert said.out == ""
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
    assert (verb.run.seeds, verb.run.bias_correction) == ("3", False)
    assert (verb.settings.lr, verb.settings.hidden, verb.settings.normalize_advantage) == (0.5, (32, 16), False)
    assert verb.settings.gamma is None


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Help that fails is found by the people who need it most."""
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    text = " ".join(re.sub(r"[│╭╮╰╯─]", " ", capsys.readouterr().out).split())
    assert (VERBS[verb].__doc__ or "").split("\n")[0].split(":")[0] in text


def test_a_bare_call_lists_the_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    """The first thing a newcomer types is the name alone."""
    assert main([]) == 0
    out = capsys.readouterr().out
    assert all(re.search(rf"^  {verb} ", out, re.MULTILINE) for verb in VERBS)


def test_help_does_not_load_torch() -> None:
    """Two seconds of silence before the help look like a hang."""
    code = "import sys; from rl_rmsprop.cli import main; main(['--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_output_into_a_closed_pipe_is_no_traceback() -> None:
    """`rl-rmsprop walkthrough | head` is an ordinary thing to type."""
    line = f"{sys.executable} -m rl_rmsprop walkthrough | head -1"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    assert "Traceback" not in done.stderr


def test_rules_are_listed_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A rule that is not in the list does not exist for its users."""
    from rl_rmsprop.cli.views.rules import EXAMPLES
    from rl_rmsprop.detectors import DETECTORS
    from rl_rmsprop.rules import LAWS
    from rl_rmsprop.schedules import SCHEDULES

    assert {*EXAMPLES, "yoked"} == {*SCHEDULES, *DETECTORS, *LAWS}
    assert main(["rules", "--updates", "200", "--out", str(tmp_path / "r.png")]) == 0
    out = capsys.readouterr().out
    assert all(example[:20] in out for example in EXAMPLES.values())
    assert all(word in out for word in ("yoked:runs=FOLDER", "soft", "adwin, kswin, river_page_hinkley", "[river]"))
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")


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
    (tmp_path / "CartPole-v1" / "_agg" / "0.9").mkdir(parents=True)
    assert address(tmp_path, 6007) == "http://127.0.0.1:6007/#custom_scalars&regexInput=_agg"


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
