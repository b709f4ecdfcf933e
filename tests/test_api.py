"""Studies from Python: the same as on the command line, whatever its values are written as and wherever it is called from."""

from __future__ import annotations

import csv
import inspect
import math
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

import rl_rmsprop
from agents.evaluation import episode_returns
from envs.shifts.shift import parse as parse_shift
from rl_rmsprop import Adaptive, detectors, laws, schedules
from rl_rmsprop.api import runs as api_runs
from rl_rmsprop.api.arguments import NOT_HERE, OPTIONS, SETTINGS, compare_options
from rl_rmsprop.api.trained_study import TrainedStudy
from rl_rmsprop.cli import main, parse
from rl_rmsprop.cli.command import command_line
from rl_rmsprop.step_sizes import Intentional
from rl_rmsprop.study.evaluation import load_runs
from rl_rmsprop.study.execution.interrupts import interruptible
from rl_rmsprop.study.report.analysis import analyse
from rl_rmsprop.study.report.settings import ReportSettings
from rl_rmsprop.study.results.runs import load_results
from rl_rmsprop.study.training.policies import evaluation_envs
from rl_rmsprop.telemetry.csv_table import read_table

ROOT = Path(__file__).parents[1]
CUSUM = "cusum:arl=50,burn_in=5,max=0.99"
CALL: dict[str, Any] = {
    "env": "CartPole-v1", "betas": [0.9, CUSUM], "baselines": "adam", "seeds": range(6), "steps": 700, "eval_episodes": 3,
    "hidden": 8, "progress": False,
}  # fmt: skip
WORDS = f"compare --env CartPole-v1 --betas 0.9 {CUSUM} --baselines adam --steps 700 --eval-episodes 3 --seeds 0-5 --hidden 8"
FOLDER = "runs/cartpole-v1_a2c_3arms_700x6"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two working directories: in `python` the study was made by a call, in `cli` by the equal command."""
    home = tmp_path_factory.mktemp("api")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("python", "cli"):
            (home / name).mkdir()
        patch.chdir(home / "python")
        rl_rmsprop.compare(**CALL)
        patch.chdir(home / "cli")
        patch.setattr(sys, "argv", ["rl-rmsprop", *shlex.split(WORDS)])
        assert main(shlex.split(WORDS)) == 0
    return home


@pytest.fixture
def study(home: Path) -> TrainedStudy:
    return rl_rmsprop.load(home / "python" / FOLDER)


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a study but those of wall-clock time; of its report what comes before the seconds of training."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "timing.csv"]
    read = {str(path.relative_to(folder)): path.read_bytes() for path in files if not path.name.startswith("events.out")}
    return {name: data.partition(b"seconds of training")[0] for name, data in read.items()}


def part_of(home: Path, tmp_path: Path, old_report: bool = False) -> Path:
    """A copy of the study as it is when the second arm has not begun; its report is not written, or an older one."""
    folder = tmp_path / "part"
    shutil.copytree(home / "python" / FOLDER, folder)
    if not old_report:
        shutil.rmtree(folder / "report")
    shutil.rmtree(folder / "CartPole-v1" / "cusum_arl50_burn_in5_max0.99")
    return folder


# The same study ---------------------------------------------------------------------------------------------------------------


def test_a_call_and_the_equal_command_make_the_same_folder(home: Path) -> None:
    """Silent failure: Python has another default, and two people who ran `the same` compare different numbers."""
    python, cli = (contents(home / name) for name in ("python", "cli"))
    assert f"{FOLDER}/CartPole-v1/adam/seed_0005/metrics.csv" in python
    assert python.keys() == cli.keys()
    assert [name for name in python if python[name] != cli[name]] == []


@pytest.mark.parametrize("how", ["resume", "the same call", "command"])
def test_each_continues_what_the_other_has_begun(how: str, home: Path, tmp_path: Path) -> None:
    """Silent failure: a study that is taken up from the other side is trained anew, or as another one."""
    folder = part_of(home, tmp_path)
    before = (folder / "CartPole-v1" / "adam" / "seed_0000" / "timing.csv").read_bytes()
    assert not rl_rmsprop.load(folder).is_finished
    if how == "resume":
        study = rl_rmsprop.load(folder)
        assert len(study.results) == 18
        assert study.resume(progress=False, workers=2) is study
        assert study.is_finished
        assert set(study.results["status"]) == {"finished"}
    elif how == "command":
        assert main(["resume", str(folder)]) == 0
    else:
        rl_rmsprop.compare(**CALL, out=folder)
    assert contents(folder) == contents(home / "cli" / FOLDER)
    assert (folder / "CartPole-v1" / "adam" / "seed_0000" / "timing.csv").read_bytes() == before


def test_another_study_in_the_folder_is_refused_and_may_be_replaced(tmp_path: Path) -> None:
    """A typing error in a notebook must not cost the results of a night."""
    folder = tmp_path / "study"
    small = {**CALL, "betas": 0.9, "baselines": (), "seeds": [0], "out": folder}
    rl_rmsprop.compare(**small)
    with pytest.raises(ValueError, match="holds another study"):
        rl_rmsprop.compare(**{**small, "seeds": [1]})
    replaced = rl_rmsprop.compare(**{**small, "seeds": [1]}, overwrite=True)
    assert replaced.results["seed"].tolist() == [1]


def test_the_arguments_are_the_options_with_their_defaults() -> None:
    """Silent failure: an option that the command line gets is missing here, or has another default."""
    parameters = {name: p for name, p in inspect.signature(rl_rmsprop.compare).parameters.items() if name != "progress"}
    assert parameters.pop("settings").kind is inspect.Parameter.VAR_KEYWORD
    assert set(parameters) == set(OPTIONS) - set(SETTINGS)
    given = {name: p.default for name, p in parameters.items() if p.default is not inspect.Parameter.empty}
    assert compare_options(given, {}) == parse(["compare"])
    assert set(NOT_HERE) == {"study", "print_config", "dry_run"}


VALUES: list[tuple[dict[str, Any], str]] = [
    ({"betas": [np.float64(0.9), "0.99", 0], "seeds": np.arange(3)}, "--betas 0.9 0.99 0 --seeds 0-2"),
    ({"betas": schedules.Linear(start=0.6, end=0.9), "seeds": [5, 3, 4]}, "--betas linear:start=0.6,end=0.9 --seeds 5,3-4"),
    ({"betas": Adaptive(detectors.Cusum(arl=100), schedules.Harmonic(max=0.9)), "seeds": "0-3,7"},
     "--betas cusum:arl=100,max=0.9 --seeds 0-3,7"),
    ({"betas": (laws.Asymmetric(rise=0.5, fall=0.99), "cusum"), "controls": True, "baselines": ["adam", "sgd"]},
     "--betas asymmetric:rise=0.5,fall=0.99 cusum --controls --baselines adam sgd"),
    ({"betas": [0.9, 0.99], "match_update_rms": 0.99, "baseline": 0.9, "tune_seeds": range(70, 72), "metric": "final"},
     "--betas 0.9 0.99 --match-update-rms 0.99 --baseline 0.9 --tune-seeds 70-71 --metric final"),
    ({"betas": 0.9, "shift": parse_shift("gravity:values=9.8/25,at=100"), "lr": np.float32(0.5), "max_grad_norm": math.inf},
     "--betas 0.9 --shift gravity:values=9.8/25,at=100 --lr 0.5 --max-grad-norm inf"),
    ({"betas": 0.9, "shift": ["gravity:values=9.8/25,at=100", "reward_scale:values=1/2,at=50"], "threshold": 475, "steps": 1e4},
     "--betas 0.9 --shift gravity:values=9.8/25,at=100 reward_scale:values=1/2,at=50 --threshold 475 --steps 10000"),
    ({"env": ["CartPole-v1", "Acrobot-v1"], "betas": 0.9, "env_kwargs": {"max_episode_steps": 50, "CartPole-v1": {
        "sutton_barto_reward": True}}, "threshold": {"Acrobot-v1": -80}, "hidden": (8, 4), "normalize_advantage": False},
     "--env CartPole-v1 Acrobot-v1 --betas 0.9 --env-kwargs max_episode_steps=50 CartPole-v1:sutton_barto_reward=true "
     "--threshold Acrobot-v1=-80 --hidden 8 4 --no-normalize-advantage"),
    ({"betas": 0.9, "wrapper": [gym.wrappers.TimeAwareObservation], "lr_rule": Intentional(eta=0.1), "bias_correction": False},
     "--betas 0.9 --wrapper gymnasium.wrappers.stateful_observation:TimeAwareObservation --lr-rule intentional:eta=0.1 "
     "--no-bias-correction"),
    ({"betas": 0.9, "engine": "slurm", "slurm": {"partition": "cpu", "array": 4}, "checkpoint_every": 5, "out": Path("a b/c")},
     "--betas 0.9 --engine slurm --slurm partition=cpu array=4 --checkpoint-every 5 --out 'a b/c'"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "words"), VALUES, ids=[words for _, words in VALUES])
def test_a_value_of_python_is_the_word_of_the_command_line(arguments: dict[str, Any], words: str) -> None:
    """Silent failure: a range, a rule or an array is read as something near it."""
    line = shlex.split(words)
    typed = parse(["compare", *(() if "env" in arguments else ("--env", "CartPole-v1")), *line])
    arguments = {"env": "CartPole-v1", **arguments}
    settings = {name: arguments.pop(name) for name in SETTINGS if name in arguments}
    options = compare_options(arguments, settings)
    made, typed_study = options.described("x"), typed.described("x")
    assert made == typed_study
    assert (options.report, options.workers) == (typed.report, typed.workers)
    again = parse(shlex.split(command_line("compare", options))[1:])
    assert again.described("x") == made  # the command in the report repeats the study


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"lrr": 1}, TypeError, r"compare\(\) has no argument 'lrr': did you mean lr\?"),
    ({"learning_rate": 1}, TypeError, "did you mean lr?"),
    ({"seed": [1]}, TypeError, "did you mean seeds?"),
    ({"lr": "fast"}, ValueError, "lr must be a number"),
    ({"clip_range": 0.2}, ValueError, "a2c has no setting 'clip_range': ppo has it"),
    ({"betas": "cusm"}, ValueError, "did you mean cusum?"),
    ({"betas": 1.5}, ValueError, r"beta must be in \[0, 1\), got 1.5"),
    ({"betas": detectors.Cusum()}, TypeError, r"put it into rl_rmsprop.Adaptive"),
    ({"betas": "0.9,0.99"}, ValueError, r'betas must be texts in quotes of their own: \["0.9", "0.99"\]'),
    ({"betas": []}, ValueError, "at least one arm is needed"),
    ({"env": "CartPol-v1"}, ValueError, "did you mean CartPole-v1?"),
    ({"seeds": 10}, ValueError, r"range\(10\) for so many runs, \[10\] for that seed"),
    ({"baselines": "adm"}, ValueError, "did you mean adam?"),
    ({"shift": "gravty:values=1/2,at=3"}, ValueError, "did you mean gravity?"),
    ({"slurm": {"time": 3}}, ValueError, "got `slurm` with `engine` local: give `engine` slurm"),
    ({"env_kwargs": {"gravityy": 3}}, ValueError, "takes no argument 'gravityy'"),
    ({"metric": "finale"}, ValueError, "did you mean final?"),
    ({"workers": 0}, ValueError, "workers must be at least 1"),
    ({"wrapper": "__main__:Mine"}, ValueError, "wrapper"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "error", "message"), WRONG, ids=[str(wrong) for wrong, *_ in WRONG])
def test_what_is_wrong_is_told_in_one_line_and_nothing_is_created(
    wrong: dict[str, Any], error: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A misspelt argument that is swallowed trains for hours with the default."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message) as told:
        rl_rmsprop.compare(**{"env": "CartPole-v1", "betas": 0.9, "seeds": [0], "steps": 200, "progress": False, **wrong})
    assert "\n" not in str(told.value)
    assert list(tmp_path.iterdir()) == []


# What comes back ----------------------------------------------------------------------------------------------------------


def report_rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "report" / f"{name}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("pandas", [True, False])
@pytest.mark.parametrize("source", ["report", "runs"])
def test_the_tables_are_the_reports(
    pandas: bool, source: str, study: TrainedStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silent failure: a column is shifted, or a run that the report has not seen is missing."""
    folder = study.folder
    if source == "runs":
        shutil.copytree(folder, tmp_path / "study")
        shutil.rmtree(tmp_path / "study" / "report")
        study = rl_rmsprop.load(tmp_path / "study")
    if pandas:
        pytest.importorskip("pandas")
    else:
        monkeypatch.setattr(api_runs.importlib.util, "find_spec", lambda name: None)
    for name, table in (("results", study.results), ("arms", study.arms)):
        rows = report_rows(folder, name)
        assert (type(table).__name__, len(table)) == ("DataFrame" if pandas else "Table", len(rows))
        assert list(table.columns) == list(rows[0])
        for column in table.columns:
            for cell, text in zip(table[column], (row[column] for row in rows), strict=True):
                assert (math.isnan(cell) if text == "" else cell == type(cell)(text)) if text != cell else True, (name, column)
    with pytest.raises(KeyError):
        study.results["finall"]
    assert "mean_return" in str(study.results._repr_html_())


def test_curves_are_the_columns_of_the_metrics(study: TrainedStudy) -> None:
    """Silent failure: seeds are swapped, or rows are averaged away."""
    curves = study.curves("optim/beta")
    assert list(curves) == ["0.9", CUSUM, "adam"]
    for arm, name in (("0.9", "0.9"), (CUSUM, "cusum_arl50_burn_in5_max0.99")):
        tables = [read_table(study.folder / "CartPole-v1" / name / f"seed_{seed:04d}" / "metrics.csv") for seed in range(6)]
        np.testing.assert_array_equal(curves[arm].values, [table["optim/beta"] for table in tables])
        np.testing.assert_array_equal(curves[arm].steps_of_seeds, [table["step"] for table in tables])
        np.testing.assert_allclose(curves[arm].steps, np.mean([table["step"] for table in tables], 0))
        assert curves[arm].seeds == tuple(range(6))
    assert np.isnan(curves["adam"].values).all()
    episodes = read_table(study.folder / "CartPole-v1" / "0.9" / "seed_0002" / "episodes.csv")
    returns = study.curves("return")["0.9"]
    last = np.flatnonzero(~np.isnan(returns.values[2]))[-1]
    assert abs(returns.steps[last] - episodes["step"][-1]) <= np.diff(returns.steps).max()
    expected = np.interp(returns.steps[last], episodes["step"], [episodes["return"][max(0, k - 20) : k].mean()
                         for k in range(1, len(episodes["return"]) + 1)])  # fmt: skip
    assert returns.values[2, last] == pytest.approx(expected)
    with pytest.raises(ValueError, match="did you mean optim/beta"):
        study.curves("optim/bet")


def test_differences_are_the_reports_numbers(study: TrainedStudy) -> None:
    """Silent failure: Python and the report disagree about p, and a reader finds both in one paper."""
    rows = {row["arm"]: row for row in report_rows(study.folder, "arms")}
    assert rows["adam"]["baseline"] == "0.9"
    for arm, given in ((CUSUM, "cusum"), ("adam", "adam")):
        told, row = study.difference(given), rows[arm]
        assert (told.a, told.b, told.metric, told.pairs) == (arm, "0.9", "mean_return", 6)
        numbers = ("difference", "difference_low", "difference_high", "p_better", "p", "p_holm")
        assert [told.estimate, *told.interval, told.p_better, told.p, told.p_holm] == [float(row[name]) for name in numbers]
        assert told.comparisons == 2
        assert "corrected for 2 comparisons" in repr(told)
    other = study.difference(0.9, "adam", metric="final")
    analysis = analyse(load_results(study.spec), ReportSettings("final", "adam"))[0]
    versus = next(versus for versus in analysis.comparisons if versus.result.arm.text == "0.9")
    assert (other.estimate, other.p_holm) == (float(versus.comparison.difference.value), versus.p_holm)
    for wrong in ("nothing", 0.5):
        with pytest.raises(ValueError, match="arm must name an arm of the study"):
            study.difference(wrong)
    with pytest.raises(ValueError, match=r"got 0\.9 twice"):
        study.difference(0.9, 0.9)


def test_it_prints_as_the_terminal_shows_it(study: TrainedStudy, capsys: pytest.CaptureFixture[str]) -> None:
    """A notebook that shows other numbers than the terminal is doubted."""
    assert main(["report", str(study.folder)]) == 0
    shown = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    lines = repr(study).splitlines()
    assert lines[:3] == shown[:3]
    assert study.finding in lines
    assert [line for line in lines if line.startswith("Beware")] == [line for line in shown if line.startswith("Beware")]
    page = study._repr_html_()
    assert page.count("<tr>") == 1 + 3
    assert "earned most over training" in page
    assert study.report() == study.folder / "report" / "report.html"


@pytest.mark.parametrize("what", ["return", "beta", "window", "E", "effective_lr", "alarms", "train/entropy"])
def test_a_plot_has_a_curve_an_arm_in_the_axes_that_are_given(what: str, study: TrainedStudy) -> None:
    """Silent failure: the figure shows another tag, or goes to a figure of its own."""
    figure = Figure()
    axes = figure.subplots()
    assert study.plot(what, ax=axes) is axes
    labels = axes.get_legend_handles_labels()[1]
    assert set(labels) <= {"β = 0.9", CUSUM, "adam"}
    assert labels == {"alarms": [CUSUM]}.get(what, labels)
    if what == "beta":
        fixed = next(line for line in axes.lines if line.get_label() == "β = 0.9")
        assert set(np.asarray(fixed.get_ydata())) == {0.9}


def test_a_plot_without_axes_is_one_of_pyplots(study: TrainedStudy) -> None:
    """A notebook shows figures of pyplot's alone."""
    with mpl.rc_context({"backend": "agg"}):
        from matplotlib import pyplot

        axes = study.plot("return")
        assert axes.figure.number in pyplot.get_fignums()  # type: ignore[union-attr]
        pyplot.close(axes.figure)  # type: ignore[arg-type]


@pytest.mark.parametrize("old_report", [False, True])
def test_a_study_that_is_not_finished_shows_what_there_is(old_report: bool, home: Path, tmp_path: Path) -> None:
    """Whoever looks at a study while it trains must not get an error, or the arms that are done as if they were all."""
    folder = part_of(home, tmp_path, old_report)
    begun = folder / "CartPole-v1" / "0.9" / "seed_0001"
    (begun / "checkpoint" / "weights.npz").unlink()
    table = begun / "metrics.csv"
    table.write_bytes(table.read_bytes()[:-10])  # its last row is being written
    study = rl_rmsprop.load(folder)
    status = study.results["status"].tolist()
    assert status == ["finished", "unfinished"] + ["finished"] * 4 + ["unfinished"] * 6 + ["finished"] * 6
    assert np.isnan(study.results["final"]).tolist() == [state == "unfinished" for state in status]
    assert study.arms["runs"].tolist() == [5, 0, 6]
    assert "11 of 18 runs finished: resume()" in repr(study)
    assert "11 of 18 runs finished" in study._repr_html_()
    assert study.failures == []
    curves = study.curves("optim/beta")
    assert list(curves) == ["0.9", "adam"]
    assert np.isnan(curves["0.9"].values).sum() == 1  # the row that is not whole
    axes = Figure().subplots()
    assert study.plot("beta", ax=axes).get_legend_handles_labels()[1] == ["β = 0.9"]
    for arm, seed, message in ((0.9, 1, "finished are 0,2-5"), ("cusum", None, "no run of it has finished")):
        with pytest.raises(ValueError, match=message):
            study.policy(arm, seed)
    assert study.report().is_file()
    assert [row["status"] for row in report_rows(folder, "results")].count("finished") == 11
    with pytest.raises(ValueError, match="holds no study"):
        rl_rmsprop.load(tmp_path / "nowhere")


BROKEN = """
import gymnasium as gym
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

class Broken(CartPoleEnv):
    steps = 0
    def step(self, action):
        Broken.steps += 1
        if Broken.steps > 100:
            raise RuntimeError("the motor burned out")
        return super().step(action)

gym.register("Broken-v0", Broken, max_episode_steps=500)
"""


def test_runs_that_fail_are_told_and_the_study_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An exception would take away the runs that did not fail; silence would take away the reason."""
    monkeypatch.chdir(tmp_path)
    Path("broken.py").write_text(BROKEN)
    study = rl_rmsprop.compare(env="broken:Broken-v0", betas=0.9, seeds=[0, 1], steps=1000, out="study")
    assert capsys.readouterr().err.count("the motor burned out") == 2
    assert study.results["status"].tolist() == ["failed", "failed"]
    for again in (study, rl_rmsprop.load("study")):
        assert len(again.failures) == 2
        assert "the motor burned out" in again.failures[0]
        assert "the motor burned out" in repr(again)
    assert "broken:Broken-v0" not in sys.modules


# Policies -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def acting(tmp_path_factory: pytest.TempPathFactory) -> TrainedStudy:
    """A study whose observations are normalised, flattened, shifted, with actions of both kinds."""
    folder = tmp_path_factory.mktemp("acting") / "study"
    return rl_rmsprop.compare(
        env=["CartPole-v1", "FrozenLake-v1", "Pendulum-v1"], betas=[0.9, 0.99], seeds=[3, 4], steps=600, eval_episodes=2,
        hidden=8, n_envs=2, normalize_observations=True, shift="reward_scale:values=1/3,at=300", out=folder, progress=False,
    )  # fmt: skip


class Witness:
    """Environments that remember what was seen and done."""

    def __init__(self, env: Any) -> None:
        self._env, self.seen, self.done = env, [], []
        self.runs, self.envs_per_run, self.max_episode_steps = env.runs, env.envs_per_run, env.max_episode_steps
        self.observation_space, self.action_space = env.observation_space, env.action_space

    def reset(self) -> Any:
        self.seen.append(self._env.reset().copy())
        return self.seen[-1]

    def step(self, actions: Any) -> Any:
        self.done.append(np.array(actions))
        step = self._env.step(actions)
        self.seen.append(step.observations.copy())
        return step


@pytest.mark.parametrize("env_id", ["CartPole-v1", "FrozenLake-v1", "Pendulum-v1"])
def test_a_policy_acts_as_in_the_evaluation(env_id: str, acting: TrainedStudy) -> None:
    """Silent failure: observations are not normalised, or an action is another number than the environment's."""
    spec = acting.spec
    batch = spec.batch(env_id, spec.arms[1], (4,))
    saved = load_runs(batch, (4,))
    witness = Witness(evaluation_envs(saved.spec, 2, saved.clocks))
    episode_returns(witness, saved.policy, 2)  # type: ignore[arg-type]  # all that it needs
    policy = acting.policy(0.99, 4, env=env_id)
    assert len(witness.done) >= 5
    for observations, actions in zip(witness.seen, witness.done, strict=False):
        assert np.array_equal(policy.act(observations[0]), actions[0])
        assert np.array_equal(policy.act(observations[0, 1]), actions[0, 1])
    env = policy.environment()
    observation, _ = env.reset(seed=0)
    drawn = [policy.act(observation, deterministic=False) for _ in range(30)]
    assert all(env.action_space.contains(action) for action in drawn)
    assert len({str(action) for action in drawn}) > 1
    with pytest.raises(ValueError, match="observation must be one of"):
        policy.act(np.zeros(7))


def test_observations_that_are_no_vectors_are_flattened(acting: TrainedStudy) -> None:
    """Whoever makes the environment with Gymnasium gets a number, where the agent has learned from a vector."""
    policy = acting.policy(0.9, 3, env="FrozenLake-v1")
    assert [policy.act(place) for place in range(16)] == policy.act(np.eye(16))


def test_the_environment_of_a_policy_is_as_it_was_at_the_end_of_the_training(acting: TrainedStudy) -> None:
    """Silent failure: a policy of a shifted study is shown in the environment before the shift."""
    env = acting.policy(0.9, 3, env="CartPole-v1").environment()
    env.reset(seed=0)
    for _ in range(3):
        _, reward, *_, info = env.step(0)
        assert (reward, info["shift/reward_scale"]) == (3.0, 3.0)


def test_three_lines_show_a_trained_agent(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first thing that anybody wants to see of an agent."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")  # a screen for tests
    study = rl_rmsprop.load(home / "cli" / FOLDER)
    policy = study.policy("0.9", seed=2)
    assert policy.play(seed=1) == policy.play(render_mode="rgb_array", seed=1)
    env = policy.environment(render_mode="rgb_array")
    observation, _ = env.reset(seed=1)
    first = env.render()
    env.step(policy.act(observation))
    assert np.asarray(first).shape == (400, 600, 3)
    assert not np.array_equal(np.asarray(first), np.asarray(env.render()))
    for name in ("SDL_VIDEODRIVER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    if sys.platform == "linux":
        with pytest.raises(ValueError, match="a window needs a screen, and here is none"):
            policy.play()


# Where it is called from --------------------------------------------------------------------------------------------------


def python(*words: str, cwd: Path, **more: Any) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter with this package."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}
    return subprocess.run([sys.executable, *words], cwd=cwd, env=environment, capture_output=True, text=True, check=False, **more)


def test_results_of_a_study_need_neither_torch_nor_matplotlib(home: Path) -> None:
    """Whoever looks at a table must not wait two seconds for torch."""
    code = (
        "import sys, rl_rmsprop\n"
        f"study = rl_rmsprop.load({FOLDER!r})\n"
        "study.results, study.arms, study.runs[0].metrics, study.failures, study.curves('return'), study.curves('optim/beta')\n"
        "print(len(study.results), [name for name in ('torch', 'matplotlib', 'gymnasium', 'rich') if name in sys.modules])"
    )
    done = python("-c", code, cwd=home / "cli")
    assert (done.stdout, done.stderr) == ("18 []\n", "")


def test_public_names_are_listed_before_they_are_loaded() -> None:
    """What a notebook does not complete is not found."""
    done = python("-c", "import sys, rl_rmsprop; print(sorted(set(rl_rmsprop.__all__) - set(dir(rl_rmsprop))))", cwd=ROOT)
    assert done.stdout == "[]\n"


SCRIPT = """
import rl_rmsprop
print("here", flush=True)
study = rl_rmsprop.compare(env="CartPole-v1", betas=[0.9, 0.99], seeds=[0, 1], steps=STEPS, eval_episodes=1, out="study")
print(len(study.results), study.is_finished)
"""


@pytest.mark.parametrize("how", ["script", "module", "-c"])
def test_a_script_without_a_guard_runs_once(how: str, tmp_path: Path) -> None:
    """Silent failure: every worker runs the script, which starts workers."""
    code = SCRIPT.replace("STEPS", "600")
    (tmp_path / "script.py").write_text(code)
    words = {"script": ["script.py"], "module": ["-m", "script"], "-c": ["-c", code]}[how]
    done = python(*words, cwd=tmp_path)
    assert done.stdout == "here\n4 True\n", done.stderr
    assert "2 arms × 1 environment × 2 seeds → study" in done.stderr  # its progress, beside what the script prints


def test_an_environment_of_the_script_itself_is_refused_with_a_remedy(tmp_path: Path) -> None:
    """Workers do not run the script: each of them would fail after minutes, with no such environment."""
    (tmp_path / "script.py").write_text(
        "import gymnasium, rl_rmsprop\n"
        "from gymnasium.envs.classic_control.cartpole import CartPoleEnv\n"
        "class Mine(CartPoleEnv): pass\n"
        "gymnasium.register('Mine-v0', Mine, max_episode_steps=9)\n"
        "rl_rmsprop.compare(env='Mine-v0', betas=0.9, seeds=[0], steps=100)\n"
    )
    done = python("script.py", cwd=tmp_path)
    assert "ValueError: environment Mine-v0 must be known to worker processes" in done.stderr
    assert "env='MODULE:Mine-v0'" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["script.py"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal for one process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_study_that_is_stopped_can_be_resumed(number: signal.Signals, tmp_path: Path) -> None:
    """A notebook's stop button must cost nothing."""
    (tmp_path / "script.py").write_text(SCRIPT.replace("STEPS", "100_000_000"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "script.py"], cwd=tmp_path, env=environment, text=True, **streams)  # type: ignore[call-overload]
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(list(tmp_path.glob("study/CartPole-v1/*/seed_*/metrics.csv"))) < 2:
        time.sleep(0.1)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert out == "here\n"
    if number == signal.SIGINT:
        assert "KeyboardInterrupt: stopped, and what was under way is saved" in err
        assert process.returncode in (1, -signal.SIGINT, 128 + signal.SIGINT)
    else:
        assert process.returncode == -signal.SIGTERM
    study = rl_rmsprop.load(tmp_path / "study")
    assert {run.status for run in study.runs} == {"unfinished"}
    assert list(tmp_path.glob("study/CartPole-v1/*/batch_*"))  # checkpoints, from which it continues


def test_a_second_signal_does_not_wait_and_leaves_the_process_alive() -> None:
    """A kernel that dies at the second press of its stop button takes the notebook's variables with it."""

    class Busy:
        is_idle, killed, stopped = False, False, False

        def stop(self) -> None:
            self.stopped = True

        def kill(self) -> None:
            self.killed = True

    def end(code: int) -> None:
        raise KeyboardInterrupt(code)

    busy, before = Busy(), signal.getsignal(signal.SIGINT)
    with interruptible(busy, end) as signals:  # type: ignore[arg-type]  # all that it needs
        signal.raise_signal(signal.SIGINT)
        assert (busy.stopped, busy.killed) == (True, False)
        with pytest.raises(KeyboardInterrupt, match="130"):
            signal.raise_signal(signal.SIGINT)
    assert busy.killed
    assert signals == [signal.SIGINT] * 2
    assert signal.getsignal(signal.SIGINT) is before


def test_a_notebook_shows_progress_and_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent failure: a bar of a terminal's escapes, or one that needs widgets, and a cell that shows an address in memory."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    cells = [
        "import rl_rmsprop\nstudy = rl_rmsprop.compare(env='CartPole-v1', betas=[0.9, 0.99], seeds=range(2), steps=600,"
        " eval_episodes=1, hidden=8, out='study')",
        "study",
        "_ = study.plot('return')",
        "study.difference(0.99)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    first, second, third, fourth = (cell["outputs"] for cell in notebook.cells)
    assert [output["output_type"] for output in first] == ["display_data"]  # one display, replaced as it went on
    assert "<progress" in first[0]["data"]["text/html"]
    assert first[0]["data"]["text/plain"].startswith("2 arms × 1 environment × 2 seeds → study\n100%")
    assert "<table>" in second[0]["data"]["text/html"]
    assert "Beware: 2 seeds are few" in second[0]["data"]["text/plain"]
    assert "image/png" in third[0]["data"]
    assert "too few for a test" in fourth[0]["data"]["text/plain"]
