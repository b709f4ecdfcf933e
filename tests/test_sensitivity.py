"""How much an arm depends on its settings: numbers by hand."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from rl_rmsprop.study.report import csv_files, figures, tuning_figures
from rl_rmsprop.study.report.tables import sensitivities
from rl_rmsprop.study.results import sensitivity
from rl_rmsprop.study.results.sensitivity import Response
from rl_rmsprop.study.spec.arms import make_arm
from rl_rmsprop.study.spec.presets import make_agent
from rl_rmsprop.study.spec.study import Study
from rl_rmsprop.study.tuning import trials
from rl_rmsprop.study.tuning.trials import Outcome
from tests.builders import study_of

ENVS = ("CartPole-v1", "Acrobot-v1")


def response(env_id: str, arm: str, scores: list[float], numbers: list[int] | None = None) -> Response:
    """An arm whose k-th draw has this score."""
    places = np.array(numbers if numbers is not None else range(len(scores)))
    return Response(env_id, arm, 0, places, 0.1 * (1.0 + places), np.array(scores), 0.01 * (1.0 + places))


def test_scores_are_scaled_by_the_percentiles_of_all_arms_in_their_environment() -> None:
    """Silent failure: returns of 500 in one environment drown those of −100 in another."""
    given = [response("a", "x", list(range(0, 60))), response("a", "y", list(range(60, 101))), response("b", "x", [-5.0, -5.0])]
    one, two, flat = sensitivity.normalized(given)
    np.testing.assert_allclose(one.score, (np.arange(60) - 5) / 90)
    np.testing.assert_allclose(two.score, (np.arange(60, 101) - 5) / 90)
    assert flat.score.tolist() == [0, 0]  # nothing to tell apart


def test_phi_is_what_tuning_for_each_environment_gains() -> None:
    """Best draws: 0 in the one, 2 in the other environment, and 1 on average."""
    given = [response("a", "x", [1.0, 0.8, 0.0]), response("b", "x", [0.0, 0.8, 1.0])]
    given += [response("a", "y", [0.0, 0.5, 1.0]), response("b", "y", [0.0, 0.5, 1.0])]
    low, high = (np.quantile([1, 0.8, 0, 0, 0.5, 1], q) for q in (0.05, 0.95))
    x, y = sensitivity.sensitivities(given)
    assert (x.arm, y.arm) == ("x", "y")
    assert x.phi == pytest.approx((1.0 - 0.8) / (high - low))
    assert y.phi == pytest.approx(0.0)
    assert x.tuned_for_each == y.tuned_for_each == pytest.approx((1 - low) / (high - low))


def test_draws_are_compared_by_their_number_and_failed_ones_count_as_the_worst() -> None:
    """Silent failure: sorted by lr, draw 3 of one environment is averaged with draw 5 of another."""
    given = [response("a", "x", [9.0, 0.0, 5.0], [2, 0, 1]), response("b", "x", [9.0, 0.0, math.nan], [0, 2, 1])]
    (only,) = sensitivity.sensitivities(given)
    scaled = sensitivity.normalized(given)
    assert only.tuned_for_each == pytest.approx(np.mean([np.nanmax(r.score) for r in scaled]))
    a, b = ({n: s for n, s in zip(r.number.tolist(), r.score.tolist(), strict=True)} for r in scaled)
    b[1] = b[2]  # the failed draw
    assert only.one_for_all == pytest.approx(max((a[k] + b[k]) / 2 for k in range(3)))


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """A tuned study of two environments, its tuning written by hand."""
    arms = (make_arm("0.9"), make_arm("cusum"))
    agents = tuple(make_agent("a2c", env_id, {}) for env_id in ENVS)
    given = study_of(tmp_path, ENVS, "a2c", agents, arms, (0, 1), 100, tune=3, tune_seeds=(7, 8, 9, 10))
    rows = [
        Outcome(env_id, arm.text, k, (0.3, 0.1, 0.2)[k], arm.text, seed, 10.0 * k + seed, 0.5 + k)
        for env_id in ENVS
        for arm in arms
        for k in range(3)
        for seed in given.tune_seeds
    ]
    trials.write(tmp_path / "tuning.csv", rows)
    return given


def test_responses_are_the_draws_in_the_order_of_their_lr(study: Study) -> None:
    """Silent failure: a line through unsorted points is a scribble, and a mean over draws is no score."""
    found = sensitivity.responses(study)
    assert [(r.env_id, r.arm) for r in found] == [(env_id, arm) for env_id in ENVS for arm in ("0.9", "cusum")]
    assert found[0].lr.tolist() == [0.1, 0.2, 0.3]
    assert found[0].number.tolist() == [1, 2, 0]
    assert found[0].score.tolist() == [18.5, 28.5, 8.5]  # IQM of four: the two in the middle
    assert found[0].update_rms.tolist() == [1.5, 2.5, 0.5]


def test_the_figure_has_each_arm_against_lr_and_against_the_size_of_updates(study: Study) -> None:
    """Silent failure: the second panel repeats the first, and a rule that only takes smaller steps looks like another one."""
    found = sensitivity.responses(study)
    left, right = tuning_figures.draws(found[:2]).axes
    assert [line.get_label() for line in left.lines] == [line.get_label() for line in right.lines] == ["β = 0.9", "cusum"]
    assert np.asarray(left.lines[0].get_xdata()).tolist() == [0.1, 0.2, 0.3]
    assert np.asarray(right.lines[0].get_xdata()).tolist() == [0.5, 1.5, 2.5]
    assert np.asarray(right.lines[0].get_ydata()).tolist() == [8.5, 18.5, 28.5]
    assert (left.get_xscale(), right.get_xscale()) == ("log", "log")


def test_draws_without_a_score_have_a_figure_too(study: Study, tmp_path: Path) -> None:
    """A tuned study in which no episode ended in one environment lost its report: nothing has no logarithm."""
    nothing = [response._replace(score=np.full(3, np.nan)) for response in sensitivity.responses(study)[:2]]
    figure = tuning_figures.draws(nothing)
    figure.savefig(tmp_path / "draws.png")
    assert [axes.texts[0].get_text() for axes in figure.axes] == ["no draw has a score: no episode ended"] * 2


def test_the_report_gets_a_figure_an_environment_and_a_table_of_phi(study: Study, tmp_path: Path) -> None:
    """A number that is printed and not kept is gone."""
    responses = sensitivity.responses(study)
    figures.draw([], responses, tmp_path)
    csv_files.write_sensitivities(tmp_path, sensitivity.sensitivities(responses))
    written = {path.name for path in tmp_path.iterdir()} - {"tuning.csv"}
    assert written == {"narrow", "sensitivity.csv", *(f"{e}_sensitivity.{ending}" for e in ENVS for ending in ("png", "svg"))}
    with (tmp_path / "sensitivity.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["arm"] for row in rows] == ["0.9", "cusum"]
    assert float(rows[0]["phi"]) == float(rows[0]["tuned_for_each"]) - float(rows[0]["one_for_all"]) == 0.0
    table = sensitivities(responses)
    assert [list(row) for row in table.rows] == [[arm, "1.00", "1.00", "0.00"] for arm in ("β = 0.9", "cusum")]


def test_a_study_without_tuning_has_no_responses(tmp_path: Path, study: Study) -> None:
    """Every report asks, tuned or not."""
    (tmp_path / "tuning.csv").unlink()
    assert sensitivity.responses(study) == []
