"""Matching: the size of the updates is what it says, and lr is scaled until it is the reference's."""

import json
import math
from pathlib import Path

import pytest

from rl_rmsprop.cli import main
from rl_rmsprop.study.spec.arms import Arm, make_arm
from rl_rmsprop.study.spec.presets import make_agent
from rl_rmsprop.study.spec.study import ChosenSetting, Study, load_study
from rl_rmsprop.study.tuning import matching, trials
from rl_rmsprop.study.tuning.trials import Outcome
from tests.builders import study_of


def study(**options: object) -> Study:
    """Two arms and a baseline, the first one the reference."""
    agent = make_agent("a2c", "CartPole-v1", {"lr": 0.5})
    arms = (make_arm("0.9"), make_arm("0.5"), make_arm("sgd", baseline=True))
    given = {"arms": arms, "match_update_rms": "0.9", "tune_seeds": (7, 8), **options}
    return study_of(Path("x"), ("CartPole-v1",), "a2c", (agent,), seeds=(0,), steps=100, **given)  # type: ignore[arg-type]


def outcome(arm: str, number: int, seed: int, size: float) -> Outcome:
    return Outcome("CartPole-v1", arm, number, 0.5, arm, seed, 20.0, size)


def test_lr_is_scaled_by_the_ratio_of_the_updates() -> None:
    """Silent failure: the ratio is upside down, and matching doubles what it should take away."""
    sizes = [outcome("0.9", 0, 7, 3.0), outcome("0.9", 0, 8, 4.0), outcome("0.5", 0, 7, 5.0), outcome("0.5", 0, 8, 5.0)]
    given = study()
    assert matching.update_rms(sizes, "CartPole-v1", "0.9") == pytest.approx(math.sqrt(12.5))
    (choice,) = matching.scaled(given, given.arms, sizes)  # sgd has no runs, the reference keeps its lr
    assert choice == ChosenSetting("CartPole-v1", "0.5", "0.5", pytest.approx(0.5 * math.sqrt(12.5) / 5, rel=1e-3))
    later = [*sizes, outcome("0.5", 1, 7, math.sqrt(12.5)), outcome("0.5", 1, 8, math.sqrt(12.5))]
    after = given.with_choices([choice])
    (again,) = matching.scaled(after, after.arms, later)  # the last round counts, and it matches
    assert again.lr == pytest.approx(choice.lr, rel=1e-3)


@pytest.mark.parametrize("size", [0.0, math.nan, math.inf])
def test_updates_of_no_known_size_leave_lr_as_it_is(size: float) -> None:
    """An lr of 0 or infinity is refused by the optimizer, in the middle of the study."""
    given = study()
    assert matching.scaled(given, given.arms, [outcome("0.9", 0, 7, 1.0), outcome("0.5", 0, 7, size)]) == []


def test_the_reference_has_to_be_an_arm_and_the_pilot_needs_seeds_of_its_own() -> None:
    """A pilot on the evaluation's seeds would fit each arm to the noise of its own test."""
    with pytest.raises(ValueError, match=r"match_update_rms must be one of the arms, got '0\.8'"):
        study(match_update_rms="0.8")
    with pytest.raises(ValueError, match="tune_seeds must be others than seeds, got 0 in both"):
        study(tune_seeds=(0, 1))
    with pytest.raises(ValueError, match="must be one of the arms, got 'yoked@cusum'"):  # it has no runs before the others have
        study(match_update_rms="yoked@cusum", arms=(Arm("cusum"), Arm("yoked@cusum", control_of="cusum")))


@pytest.fixture(scope="module")
def matched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose arms take steps of very different length at the same lr."""
    folder = tmp_path_factory.mktemp("runs") / "study"
    line = "compare --env CartPole-v1 --betas 0.9 cusum:arl=20,burn_in=3 mean_beta@cusum --baselines sgd adagrad --seeds 0-1"
    rest = "--steps 800 --match-update-rms 0.9 --tune-seeds 50-52 --eval-episodes 1 --n-envs 2 --n-steps 8 --hidden 8 --workers 2"
    assert main([*line.split(), *rest.split(), "--out", str(folder)]) == 0
    return folder


def test_after_matching_all_arms_take_updates_of_the_same_size(matched: Path) -> None:
    """Silent failure: an arm wins by its step size, and the table says by its β."""
    rows = trials.read(matched / "matching.csv")
    wanted = matching.update_rms(rows, "CartPole-v1", "0.9")
    for arm in ("cusum:arl=20,burn_in=3", "mean_beta@cusum", "sgd", "adagrad"):
        own = [row for row in rows if row.arm == arm]
        first = matching.update_rms([row for row in own if row.number == 0], "CartPole-v1", arm)
        last = matching.update_rms(own, "CartPole-v1", arm)
        assert abs(math.log(last / wanted)) < max(0.5 * abs(math.log(first / wanted)), 0.02), arm
        assert abs(math.log(last / wanted)) < 0.3, arm
    assert {row.arm: row.number for row in rows}["0.9"] == 0  # the reference is measured once
    assert {row.seed for row in rows} == {50, 51, 52}


def test_the_matched_lr_is_what_the_runs_train_with(matched: Path) -> None:
    """Silent failure: matching prints factors that nobody uses."""
    loaded = load_study(matched)
    lr = {choice.arm: choice.lr for choice in loaded.choices}
    assert set(lr) == {arm.text for arm in loaded.arms} - {"0.9"}
    assert lr["sgd"] > 20 * loaded.agents[0].lr
    for arm in loaded.arms:
        config = json.loads((matched / "CartPole-v1" / arm.name / "seed_0000" / "config.json").read_text())
        assert config["settings"]["lr"] == lr.get(arm.text, loaded.agents[0].lr)
    output = " ".join((matched / "report" / "report.md").read_text(encoding="utf-8").split())
    assert "on seeds 50-52, so that the root mean square of its updates is that of 0.9 at lr 0.0016" in output
    assert sorted(path.name for path in matched.iterdir()) == [
        "CartPole-v1",
        "_agg",
        "matching.csv",
        "report",
        "report.json",
        "study.json",
    ]
