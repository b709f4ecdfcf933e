"""Predictions of what a study will take."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from rl_rmsprop.cli import main
from rl_rmsprop.study import plan
from rl_rmsprop.study.execution import pipeline
from rl_rmsprop.study.execution.executor import Event
from rl_rmsprop.study.plan import Line, Rate
from rl_rmsprop.study.spec.controls import make_arms
from rl_rmsprop.study.spec.options import TrainingOptions
from rl_rmsprop.study.spec.presets import make_agent
from rl_rmsprop.study.spec.study import Study

CART, ACROBOT = "CartPole-v1", "Acrobot-v1"
RATES = {
    CART: Rate(Line(0.5, 0.25), Line(1.0, 0.5), episode=20.0, longest=500),
    ACROBOT: Rate(Line(0.0, 0.0), Line(2.0, 0.0), episode=500.0, longest=500),
}
"""Round numbers: an iteration of CartPole with its preset is 128 steps."""


def study_of(folder: Path, **changes: object) -> Study:
    arms = make_arms(["0.9", "cusum:max=0.99"], [], 4, False, False)
    agents = tuple(make_agent("a2c", env_id, {}) for env_id in (CART, ACROBOT))
    made = Study(folder, (CART, ACROBOT), agents, arms, (0, 1, 2, 3), TrainingOptions(steps=1280, eval_episodes=2))
    return replace(made, **changes)


def test_a_batch_takes_what_its_parts_take_by_hand(tmp_path: Path) -> None:
    """Silent failure: an evaluation is forgotten, or a fixed cost counted for every run."""
    batch = study_of(tmp_path).batches()[0]
    assert (batch.env_id, batch.iterations) == (CART, 10)
    evaluation = 4 * 2 * 500 * 0.5 / 128
    assert plan.Work(batch, 1, True).seconds(RATES[CART]) == pytest.approx(0.5 + 4 * 0.25 + 10 * (1 + 4 * 0.5) + evaluation)
    assert plan.Work(batch, 3, False).seconds(RATES[CART]) == pytest.approx(0.5 + 12 * 0.25 + 10 * (3 * 1 + 12 * 0.5))


@pytest.mark.parametrize("changes", [{}, {"tune": 3, "tune_seeds": (7, 8)}, {"match_update_rms": "0.9", "tune_seeds": (7,)}])
def test_phases_are_what_the_pipeline_hands_to_its_executor(
    changes: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silent failure: the plan is of another study than the one that is trained."""
    handed: list[list[tuple[str, str, int]]] = []

    class Executor:
        workers, is_idle = 2, True

        def run(self, tasks):
            handed.append([(task.spec.env_id, task.arm.text, task.total_steps) for task in tasks])
            return iter([Event(k, ended=True, error="not trained") for k in range(len(tasks))])

    controls = make_arms(["0.9", "cusum:max=0.99", "random@cusum:max=0.99"], [], 4, False, False)
    study = study_of(tmp_path, arms=controls, **changes).cut_for(2)
    monkeypatch.setattr(Study, "is_settled", lambda self, env_id, arm: True)
    monkeypatch.setattr(pipeline, "choose_for_controls", lambda study, arms: ([], []))
    study.save()
    pipeline.train_study(study, Executor())  # type: ignore[arg-type]
    planned = [[(w.spec.env_id, w.spec.arm.text, w.runs * w.spec.options.steps) for w in works] for works in plan.phases(study)]
    assert planned == handed
    assert len(planned) == (2 if not changes else 3 if "tune" in changes else 6)


def test_more_cores_are_faster_up_to_the_longest_batch(tmp_path: Path) -> None:
    """Silent failure: a cluster is promised what a single long batch does not allow."""
    plans = [plan.predict(study_of(tmp_path), RATES, cores) for cores in (1, 2, 4, 100)]
    assert [p.steps for p in plans] == [2 * 2 * 4 * 1280] * 4
    times = [p.seconds for p in plans]
    assert times == sorted(times, reverse=True)
    assert plans[0].busy == pytest.approx(1.0)
    assert plans[-1].seconds == plans[-1].longest  # with a core for each run
    assert plans[-1].busy < 0.5
    assert plans[1].memory == 2 * plans[0].memory
    many = plan.predict(study_of(tmp_path, seeds=tuple(range(8))), RATES, 1)
    assert many.disk == pytest.approx(2 * plans[0].disk, abs=2)


def test_lines_go_through_what_was_measured_and_have_no_negative_part() -> None:
    """Silent failure: noise makes more runs free, or one run cost nothing."""
    line = plan.line_through(3.0, 10.0)
    assert (line.at(1), line.at(plan.SEVERAL)) == pytest.approx((3.0, 10.0))
    assert plan.line_through(3.0, 2.0) == Line(3.0, 0.0)
    assert plan.line_through(1.0, 80.0) == Line(0.0, 1.0)


def test_the_command_predicts_from_a_file_and_from_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Silent failure: something of the study is begun, or a folder cannot be asked."""
    out, file = tmp_path / "study", tmp_path / "study.toml"
    words = ["compare", "--env", CART, "--betas", "0.9", "--seeds", "0-3", "--steps", "12800", "--out", str(out)]
    assert main([*words, "--print-config"]) == 0
    file.write_text(capsys.readouterr().out, encoding="utf-8")
    assert main(["plan", str(file), "--cores", "1", "16", "--measure", "0.05"]) == 0
    shown = capsys.readouterr().out
    assert "51,200 environment steps" in shown
    assert re.search(r"│ 16 +│ \d+ s", shown)
    assert not out.exists()
    study_of(out).save()
    assert main(["plan", str(out), "--measure", "0.05"]) == 0
    assert ACROBOT in capsys.readouterr().out
    assert [path.name for path in out.iterdir()] == ["study.json"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.toml"], "nowhere.toml"),
        (["study", "--cores", "0"], "cores must be from 1 to 100,000, got 0"),
        (["study", "--measure", "0"], "measure must be more than 0 and at most 3600 seconds, got 0"),
        ([], "STUDY"),
    ],
)
def test_what_cannot_be_planned_is_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silent failure: a traceback, or a plan of nothing."""
    monkeypatch.chdir(tmp_path)
    study_of(tmp_path / "study").save()
    assert main(["plan", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
