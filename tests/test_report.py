"""What a report says: only what the runs can carry, and the same to the terminal, the page and the files."""

import base64
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rl_rmsprop.study.report import csv_files, curve_figures, findings, markdown, page, plotting, score_figures, tables
from rl_rmsprop.study.report.analysis import Analysis, analyse
from rl_rmsprop.study.report.cautions import cautions
from rl_rmsprop.study.report.changes import changes
from rl_rmsprop.study.report.document import Cautions, Code, Contents, Heading, Items, Paragraph, Picture, Table
from rl_rmsprop.study.report.overall import overall, scales
from rl_rmsprop.study.report.plotting import COLOURS, look
from rl_rmsprop.study.report.settings import ReportSettings, load_settings, make_settings, save_settings
from rl_rmsprop.study.results.recorded_signals import RecordedSignals
from rl_rmsprop.study.results.runs import ArmResults, Run
from rl_rmsprop.study.results.scores import RETURN, Episodes
from rl_rmsprop.study.spec.arms import Arm, make_arm
from rl_rmsprop.study.spec.presets import make_agent
from rl_rmsprop.study.spec.study import ChosenSetting, Study
from rl_rmsprop.study.statistics.intervals import Interval
from tests.builders import study_of

END = 10_000.0
NO_SHIFTS = {"step": np.empty(0)}


def run(seed: int, height: float, final: float = 7.0, shifts: dict[str, np.ndarray] = NO_SHIFTS, gain: float = 0.0) -> Run:
    """A run of 1000 episodes that each earn `height`, and `gain` more from the middle on; NaN is one in which none ended."""
    earned = np.full(1000, height) + gain * (np.arange(1000) >= 500)
    ended = Episodes(np.linspace(10, END, 1000), earned, np.full(1000, 10.0))
    if math.isnan(height):
        ended = ended.where(np.zeros(1000, bool))
    metrics = {
        "step": np.array([END / 2, END]),
        "eval/mean_reward": np.array([np.nan, final]),
        "detector/alarms": np.full(2, np.nan),
    }
    return Run(seed, metrics, shifts, ended, seconds=2.0)


def arm(rule: str, heights: list[float], baseline: bool = False, place: int = 0, **more: float) -> ArmResults:
    """An arm whose run with seed s earns heights[s]."""
    runs = tuple(run(seed, height, **more) for seed, height in enumerate(heights))
    return ArmResults("CartPole-v1", make_arm(rule, baseline), runs, place=place)


def analysed(arms: list[ArmResults], **settings: object) -> Analysis:
    """The analysis of one environment's arms."""
    return analyse(arms, ReportSettings(thresholds={"CartPole-v1": 475.0}, **settings))[0]  # type: ignore[arg-type]


def control(text: str, of: str, heights: list[float]) -> ArmResults:
    """A control of the arm with the text `of`."""
    return replace(arm("0.9", heights), arm=Arm(text, control_of=of))


def finding_of(arms: list[ArmResults], **settings: object) -> str:
    """The finding."""
    return findings.finding(analysed(arms, **settings))


# The finding --------------------------------------------------------------------------------------------------------------


def test_a_clear_lead_is_called_one_only_with_enough_seeds() -> None:
    """Five differences of one sign happen by chance in 2 · 2⁻⁵ = 6 % of comparisons."""
    better, worse = [2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [1.0] * 6
    assert "chance hardly explains" in finding_of([arm("0.9", worse), arm("cusum", better)])
    few = finding_of([arm("0.9", worse[:5]), arm("cusum", better[:5])])
    assert "5 seeds in common with β = 0.9, the best fixed β, are too few for a test" in few
    assert "chance" not in few


def test_differences_are_between_runs_of_the_same_seed() -> None:
    """Unpaired, the spread between seeds would hide a lead that every seed shows."""
    a, b = arm("0.9", [11.0, 21.0, 31.0, 41.0, 51.0, 61.0]), arm("0.99", [10.0, 20.0, 30.0, 40.0, 50.0, 60.0])
    (versus,) = analysed([a, b], baseline="0.99").comparisons
    assert versus.comparison.difference == pytest.approx((1.0, 1.0, 1.0))


def test_a_detector_is_held_against_the_best_fixed_beta_not_the_runner_up() -> None:
    """The question of a study is whether β should change at all; beating Adam says nothing about it."""
    heights = {"0.9": 1.0, "0.99": 2.0, "linear:start=0.5,end=0.9": 3.0, "cusum": 4.0}
    arms = [arm(rule, [height] * 6) for rule, height in heights.items()]
    assert "the lead over β = 0.99, the best fixed β, is +2.0 [+2.0, +2.0]" in finding_of(arms)
    arms = [arm("0.9", [1.0] * 6), arm("adam", [2.0] * 6, baseline=True), arm("cusum", [3.0] * 6)]
    assert "the lead over β = 0.9, the best fixed β, is +2.0" in finding_of(arms)


def test_the_baseline_that_was_named_is_the_one_compared_with() -> None:
    """Whoever names the arm beforehand must not get the one that the data chose."""
    arms = [arm("0.9", [1.0] * 6), arm("0.99", [2.0] * 6), arm("cusum", [4.0] * 6)]
    named = analysed(arms, baseline="0.9")
    assert named.baseline is arms[0]
    assert "the lead over the baseline, β = 0.9, is +3.0" in findings.finding(named)
    assert analysed([*arms[:2], arm("adam", [9.0] * 6, baseline=True)]).baseline is arms[1]
    assert analysed([arm("cusum", [1.0] * 6), arm("mixture", [2.0] * 6)]).baseline.arm.text == "cusum"  # type: ignore[union-attr]


def test_the_best_arm_being_the_baseline_leads_over_the_next() -> None:
    """`the lead is −2` would be the difference seen from the wrong side."""
    assert "the lead over β = 0.9, the next, is +2.0 [+2.0, +2.0]" in finding_of([arm("0.9", [1.0] * 6), arm("0.99", [3.0] * 6)])


def test_many_comparisons_make_a_small_p_ordinary() -> None:
    """Among ten arms that do not differ, one has p < 0.05 in four of ten studies."""
    base, noise = [1.0] * 6, [2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    same = [arm(rule, base) for rule in ("0.9", "0.95", "0.5")]
    one = finding_of([*same[:1], arm("cusum", noise)])
    many = finding_of([*same, arm("cusum", noise)])
    assert "p = 0.031: chance hardly explains it" in one
    assert "p = 0.094 corrected for 3 comparisons: it may be chance among so many comparisons" in many


def test_fewer_steps_are_better() -> None:
    """The slowest arm would win."""
    arms = [arm("0.9", [500.0] * 6), arm("0.99", [10.0] * 6, gain=490.0)]
    assert analysed(arms, metric="steps_to_threshold").ranked == arms
    assert "β = 0.9 reached the threshold soonest, 1,000" in finding_of(arms, metric="steps_to_threshold")


def test_arms_in_which_no_episode_ended_are_not_ranked() -> None:
    """`β = 0.9 earned most, nan` was the first arm, not the best."""
    silent = [float("nan")] * 6
    assert finding_of([arm("0.9", silent), arm("0.99", silent)]).endswith("give more --steps.")
    assert "β = 0.99 earned most" in finding_of([arm("0.9", silent), arm("0.99", [1.0] * 6)])
    nothing = ArmResults("CartPole-v1", make_arm("0.9"), (), (0, 1), "did not finish")
    assert finding_of([nothing]) == "CartPole-v1: no run has finished."


def test_the_finding_speaks_of_one_statistic() -> None:
    """Ranked by the IQM, an arm `earned most` with a `lead` of −1: the IQM of the differences is another number.

    By hand: the IQMs are (19 + 28)/2 = 23.5 and 15; of the differences 29, −1, −1, −2 the IQM is −1.
    """
    base, other = [0.0, 10.0, 20.0, 30.0], [29.0, 9.0, 19.0, 28.0]
    text = finding_of([arm("0.9", 2 * base), arm("cusum", 2 * other)])
    assert "cusum earned most" in text
    assert "is +8.5 [" in text


def test_a_mean_that_differs_the_other_way_is_said() -> None:
    """p is about the mean: small p and a positive lead would be read as one statement where they contradict each other."""
    base = [10.0] * 12
    better_but_for_two = [11.0] * 10 + [-500.0] * 2
    versus = analysed([arm("0.9", base), arm("cusum", better_but_for_two)]).comparisons[0]
    assert versus.comparison.difference.value > 0 > versus.comparison.mean
    assert findings.conclusion(replace(versus, p_holm=0.01)).startswith("the means differ the other way")


def test_arms_that_earn_the_same_tie() -> None:
    """The first of ten arms that all solve the task would be called the best of them."""
    same = [arm(rule, [500.0] * 6) for rule in ("0.9", "0.99", "cusum")]
    assert (
        finding_of(same)
        == "CartPole-v1: β = 0.9, β = 0.99 and cusum tie in mean return over training, 500.0 [500.0, 500.0] per episode."
    )
    text = finding_of([*same[:2], arm("0.5", [400.0] * 6)])
    assert text.startswith("CartPole-v1: β = 0.9 and β = 0.99 tie in mean return over training, 500.0")
    assert "the lead of β = 0.9 over β = 0.5, the next, is +100.0" in text


def test_arms_that_the_seeds_cannot_tell_from_the_best_are_named() -> None:
    """`cusum earned most` alone would be retold as a victory over an arm that is as good."""
    noise = [1.0, -1.0, 2.0, -2.0, 0.5, -0.4]
    best, near, far = [10.0] * 6, [9.8 + x for x in noise], [1.0] * 6
    assert finding_of([arm("0.9", far), arm("cusum", best), arm("mixture", near)]).endswith(
        "Not distinguishable from cusum: mixture."
    )
    assert "distinguishable" not in finding_of([arm("0.9", far), arm("cusum", best)])
    assert finding_of([arm("0.9", best), arm("cusum", near), arm("mixture", near)]).endswith(
        "No other arm is distinguishable from β = 0.9."
    )


def test_a_control_never_wins_the_headline() -> None:
    """A control explains its arm: that it is better is no merit of anything that could be recommended."""
    arms = [arm("0.9", [1.0] * 6), arm("cusum", [2.0] * 6), control("yoked@cusum", "cusum", [3.0] * 6)]
    text = finding_of(arms)
    assert text.startswith("CartPole-v1: cusum earned most over training, 2.0")
    assert text.endswith("The control yoked@cusum (3.0) is nominally better.")
    assert "0.9 earned most" in finding_of([arms[0], arm("periodic:every=9", [3.0] * 6)])
    assert "control" not in finding_of(arms[:2])


# What to beware of ----------------------------------------------------------------------------------------------------------


def warned(arms: list[ArmResults], *, updates: int = 1000, **more: Any) -> list[str]:
    """The cautions of a study of these arms with as many seeds as the first has."""
    results = [replace(result, updates=updates, place=place) for place, result in enumerate(arms)]
    seeds, agent = tuple(range(len(arms[0].runs))), make_agent("a2c", "CartPole-v1", {"lr_schedule": "constant"})
    settled = {"tune": 1, "tune_seeds": (99,), "agents": (agent,), **more}
    agents = settled.pop("agents")
    arms_of_study = tuple(result.arm for result in arms)
    return cautions(
        study_of(Path("x"), ("CartPole-v1",), "a2c", agents, arms_of_study, seeds, 1000, **settled), [analysed(results)]
    )


def with_alarms(result: ArmResults, alarms: float) -> ArmResults:
    """The same arm, each run with so many alarms."""
    for each in result.runs:
        each.metrics["detector/alarms"] = np.full(2, alarms)
    return result


def varied(number: int) -> list[float]:
    """Scores of so many runs."""
    return [float(x) for x in range(number)]


def test_what_weakens_the_numbers_is_said() -> None:
    """A reader of the finding alone must not take three seeds, or the survivors of a crash, for a study."""
    arms = [arm("0.9", [1.0] * 3), ArmResults("CartPole-v1", make_arm("mixture"), (run(0, 2.0, 9.0),), (1, 2), "lost")]
    few, untested, failed = warned(arms)
    assert few.startswith("3 seeds are few")
    assert untested == "With 3 seeds no difference can be tested: 6 seeds would do."
    assert failed == "2 of 6 runs did not finish; scores are those of the runs that did."
    (ceiling,) = warned([arm("0.9", [1.0] * 12), arm("mixture", [2.0] * 12)])
    assert ceiling == "Every run ends at 7, so the final evaluation ranks nothing."


def test_it_is_said_when_no_small_p_can_be_reached() -> None:
    """With six seeds and five comparisons p is at least 5/32: `not significant` would be read as a result."""
    arms = [arm(rule, varied(6), final=math.nan) for rule in ("0.9", "0.5", "0.6", "0.7", "0.8", "0.95")]
    (_, power) = warned(arms)
    assert power == "With 6 seeds and 5 comparisons the smallest p that can be reached is 0.16: 8 seeds would do."
    assert warned([replace(result, runs=tuple(run(s, s, math.nan) for s in range(10))) for result in arms]) == []


def test_rules_that_a_run_is_too_short_for_are_named() -> None:
    """β = 0.999 in a hundred updates is no long memory but a slow start, and a step at update 500 never comes."""
    rules = ("0.9", "0.999", "piecewise:values=0.5/0.9,at=500", "cyclic:start=0.5,end=0.9,period=400", "linear:start=0.5,end=0.9")
    arms = [arm(rule, varied(12), final=math.nan) for rule in rules]
    windows, schedules = warned(arms, updates=100)
    assert windows == "A run has 100 updates, fewer than the window 1/(1−β) of β = 0.999 (1,000 updates)."
    assert schedules.endswith(
        "schedule of piecewise:values=0.5/0.9,at=500 (500 updates) and cyclic:start=0.5,end=0.9,period=400 (400 updates)."
    )
    assert warned(arms, updates=1000) == []


def test_a_tuned_arm_is_judged_by_the_rule_that_it_trained_with() -> None:
    """`cusum` alone says nothing of the arl that tuning chose."""
    arms = [arm("0.9", varied(12), final=math.nan), with_alarms(arm("cusum", varied(12), final=math.nan), 0.5)]
    choices = (ChosenSetting("CartPole-v1", "cusum", "cusum:arl=500", 1e-3),)
    assert warned(arms, choices=choices) == []
    assert warned(arms) == ["cusum can hardly alarm in 1,000 updates (arl: one false alarm in 50,000)."]


def test_a_detector_that_never_alarmed_is_named() -> None:
    """Its arm is its schedule alone, and a victory of it is none of the detector's."""
    fixed = arm("0.9", varied(12), final=math.nan)
    silent = with_alarms(arm("cusum:arl=100", varied(12), final=math.nan), 0.0)
    assert warned([fixed, silent]) == ["cusum:arl=100 never alarmed in any run: it trained as its schedule alone."]
    assert warned([fixed, with_alarms(silent, 1.0)]) == []
    late = with_alarms(arm("cusum:arl=5000", varied(12), final=math.nan), 0.0)
    assert warned([fixed, late]) == [
        "cusum:arl=5000 can hardly alarm in 1,000 updates (arl: one false alarm in 5,000), and never did: it trained as its "
        "schedule alone."
    ]
    assert warned([fixed, with_alarms(late, 3.0)]) == []
    assert warned([fixed, with_alarms(arm("tracking_signal", varied(12), final=math.nan), 0.0)]) == []  # bends β without alarms


def test_step_sizes_that_favour_an_arm_are_said() -> None:
    """A rule that wins at everybody's lr may win by its step size."""
    arms, linear = (
        [arm("0.9", varied(12), final=math.nan), arm("0.5", varied(12), final=math.nan)],
        make_agent("a2c", "CartPole-v1", {}),
    )
    lr, falling = warned(arms, tune=0, tune_seeds=(), agents=(linear,))
    assert lr.startswith("The same lr for all arms, untuned")
    assert falling.startswith("lr falls linearly to 0")
    assert warned(arms[:1], tune=0, tune_seeds=()) == []


# Tables and files ---------------------------------------------------------------------------------------------------------


def test_a_run_that_never_got_there_is_shown_as_such() -> None:
    """A median of the successes alone would praise an arm for its luckiest run."""
    result = ArmResults("CartPole-v1", make_arm("0.9"), tuple(run(s, 500.0 if s < 3 else 1.0) for s in range(10)))
    assert tables.threshold_cell(analysed([result]), result) == "> 10,000 [1,000, > 10,000] · 3/10"
    most = ArmResults("CartPole-v1", make_arm("0.9"), tuple(run(s, 500.0 if s < 8 else 1.0) for s in range(10)))
    assert tables.threshold_cell(analysed([most]), most).startswith("1,000 [1,000, ")


def test_the_optimality_gap_does_not_reward_what_is_beyond_solved() -> None:
    """By hand: finals of 375 and 495 miss 475 by 100 and 0."""
    result = ArmResults("CartPole-v1", make_arm("0.9"), (run(0, 1.0, 375.0), run(1, 1.0, 495.0)))
    assert analysed([result]).gap(result).value == 50.0


def test_without_a_threshold_there_are_no_columns_about_it() -> None:
    """`steps to nan` is no column."""
    unsolved = analyse([arm("0.9", [1.0] * 6)], ReportSettings())[0]
    assert not any("steps to" in name for name in tables.scores(unsolved).header)
    assert "optimality gap" not in tables.averages(unsolved).header


def test_what_is_not_known_is_an_empty_cell(tmp_path: Path) -> None:
    """`nan` in a table of results reads as a number to some programs and as text to others; a failed run keeps its row."""
    results = [arm("0.9", [float("nan"), 500.0]), ArmResults("CartPole-v1", make_arm("cusum"), (), (0, 1), "lost")]
    csv_files.write_files(tmp_path, [analysed(results)])
    rows = [line.split(",") for line in (tmp_path / "results.csv").read_text().splitlines()]
    assert rows[0] == list(csv_files.RUN_COLUMNS)
    assert rows[1] == ["CartPole-v1", "0.9", "0", "finished", "10000", "0", "", "7.0", "inf", "", "", "0", "", "", ""]
    assert rows[2][6:10] == ["500.0", "7.0", "1000.0", "0.0"]
    assert rows[3] == ["CartPole-v1", "cusum", "0", "failed", *[""] * 11]
    assert not (tmp_path / "shifts.csv").exists()
    assert len((tmp_path / "arms.csv").read_text().splitlines()) == 3


def test_each_change_has_a_row_an_arm() -> None:
    """Two changes pooled would hide that a rule takes one of them well."""
    columns = {"update": [1, 2], "step": [4000.0, 8000.0], "regime": [1, 2], "gravity": [25.0, 5.0]}
    shifts = {name: np.array(column, float) for name, column in columns.items()}
    result = ArmResults("CartPole-v1", make_arm("0.9"), tuple(run(s, 100.0, shifts=shifts, gain=-50.0) for s in range(8)))
    table = tables.responses(analysed([result]))
    assert [row[0] for row in table.rows] == ["gravity 25 at 4,000", "gravity 5 at 8,000"]
    assert table.rows[0][2] == "0.0 [0.0, 0.0]"  # nothing happens until 5000
    many = {name: np.tile(x, 4) for name, x in shifts.items()} | {"step": np.linspace(1000, 8000, 8)}
    pooled = ArmResults("CartPole-v1", make_arm("0.9"), tuple(run(s, 100.0, shifts=many) for s in range(8)))
    (change,) = changes(analysed([pooled]))
    assert (change.what, change.runs, change.recovered) == ("all changes", 64, 64)
    always = {name: np.zeros(41) for name in shifts} | {"step": np.linspace(1, 8000, 41)}
    assert run(0, 1.0, shifts=always).changes == []


def test_a_run_without_an_episode_before_a_change_is_left_out_of_its_row() -> None:
    """One such run would leave a dash for all the others."""
    shifts = {name: np.array([2000.0]) for name in ("update", "step", "regime", "gravity")}
    late = run(8, 100.0, shifts=shifts)
    late = Run(8, late.metrics, shifts, late.episodes.where(late.episodes.step > 3000))
    runs = (*(run(s, 100.0, shifts=shifts) for s in range(8)), late)
    (change,) = changes(analysed([ArmResults("CartPole-v1", make_arm("0.9"), runs)]))
    assert (change.drop, change.regret) == ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    assert (change.runs, change.recovered) == (8, 8)


def test_detectors_are_held_against_the_true_changes_where_there_are_some() -> None:
    """Without a change there is nothing to hit, and `nan%` is no share; an arm without a detector has no row.

    By hand: two runs change at update 100; one alarms 10 updates later, the other never, and once at 50.
    """
    alarm, shifted = np.zeros((200, 2), bool), np.zeros((200, 2), bool)
    alarm[[50, 110], [1, 0]] = shifted[100] = True
    detector = arm("cusum", [1.0] * 2)
    for each in detector.runs:
        each.metrics["detector/alarms"] = np.ones(2)
    found = analysed([arm("0.9", [1.0] * 2), detector])
    recorded = [RecordedSignals("CartPole-v1", rule, (0, 1), {"alarm": alarm, "shifted": shifted}) for rule in ("0.9", "cusum")]
    (row,) = tables.detection_quality(found, recorded).rows
    assert row == ["cusum", "2", "50%", "50%", "50%", "10", "never", "5.00"]
    calm = RecordedSignals("CartPole-v1", "cusum", (0, 1), {"alarm": alarm, "shifted": np.zeros_like(shifted)})
    assert tables.detection_quality(found, [calm]).rows == []


def test_scores_of_several_environments_are_averaged_on_one_scale() -> None:
    """By hand: untrained 25, solved 475, finals 475: 1; untrained −500, solved −100, finals −300: ½.

    Otherwise the environment with larger returns decides.
    """
    first = ArmResults("CartPole-v1", make_arm("0.9"), (run(0, 25.0, 475.0), run(1, 25.0, 475.0)))
    second = ArmResults("Acrobot-v1", make_arm("0.9"), (run(0, -500.0, -300.0), run(1, -500.0, -300.0)))
    thresholds = {"CartPole-v1": 475.0, "Acrobot-v1": -100.0}
    analyses = analyse([first, second], ReportSettings(thresholds=thresholds))
    (row,) = overall(analyses, scales(analyses))
    assert row.mean == (0.75, 0.75, 0.75)
    assert row.gap == (0.25, 0.25, 0.25)
    assert row.mean_return.value == 0.0
    assert overall(analyses[:1], scales(analyses[:1])) == []


def test_where_nothing_counts_as_solved_the_best_arm_is_the_top_of_the_scale() -> None:
    """One environment without a threshold would take the table of all environments away; a control must not set the scale."""
    arms = [
        [replace(arm("0.9", [10.0] * 2, final=20.0), env_id=env_id), replace(arm("0.5", [10.0] * 2, final=30.0), env_id=env_id),
         replace(control("yoked@0.5", "0.5", [10.0] * 2), env_id=env_id)]
        for env_id in ("CartPole-v1", "Pendulum-v1")
    ]  # fmt: skip
    analyses = analyse([result for of_env in arms for result in of_env], ReportSettings(thresholds={"CartPole-v1": 50.0}))
    solved, best = scales(analyses)
    assert (solved.low, solved.high, solved.is_solved) == (10.0, 50.0, True)
    assert (best.low, best.high, best.is_solved) == (10.0, 30.0, False)
    noise = [0.0, 30.0]  # of the best arm, around what the untrained policy earned
    arms[1][1] = replace(arms[1][1], runs=tuple(run(seed, 10.0, final) for seed, final in enumerate(noise)))
    assert [s.env_id for s in scales(analyse([*arms[0], *arms[1][1:2]], ReportSettings()))] == ["CartPole-v1"]
    first, second, _ = overall(analyses, [solved, best])
    assert (first.mean.value, second.mean.value) == (0.375, 0.75)


def test_wall_time_counts_each_batch_once() -> None:
    """Runs of a batch are trained together: their times are one time."""
    result = arm("0.9", [1.0, 1.0, 1.0])
    assert result.seconds == 2.0
    later = Run(9, {}, {}, result.runs[0].episodes, seconds=5.0)
    assert ArmResults("CartPole-v1", make_arm("0.9"), (*result.runs, later)).seconds == 7.0


def test_curves_of_runs_that_begin_at_different_steps_meet_where_all_have_values() -> None:
    """Beyond its own ends a run would be drawn with a value it never had."""
    early, late = run(0, 1.0), run(1, 3.0)
    late = Run(1, late.metrics, NO_SHIFTS, late.episodes.where(late.episodes.step >= 2000))
    curve = ArmResults("CartPole-v1", make_arm("0.9"), (early, late)).curve(RETURN)
    assert curve is not None
    assert (curve[0][0], curve[0][-1]) == (2000.0, END)
    assert (curve[1].value == 2.0).all()


def test_an_arm_keeps_its_colour_in_every_figure_and_no_two_look_alike() -> None:
    """An arm whose neighbours failed must not take over their colour from one figure to the next."""
    assert len({look(place) for place in range(28)}) == 28
    assert look(8)[0] == COLOURS[1]
    found = analysed([ArmResults("CartPole-v1", make_arm("0.9"), (), (0,), "lost"), arm("cusum", [1.0] * 6, place=1)])
    assert tables.averages(found).marks == [1]


def test_counts_are_drawn_as_steps_and_values_between_points_are_the_last_ones() -> None:
    """A slope from 0 to 1 alarm says that there was half an alarm on the way."""
    result = with_alarms(arm("cusum", [1.0] * 6), 0.0)
    for each in result.runs:
        each.metrics["detector/alarms"] = np.array([0.0, 1.0])
        each.metrics["optim/beta"] = np.array([0.5, 0.9])
    alarms, beta = (result.curve(tag) for tag in ("detector/alarms", "optim/beta"))
    assert alarms is not None
    assert beta is not None
    assert set(alarms[1].value) == {0.0, 1.0}
    assert (alarms[1].value[-2:] == [0.0, 1.0]).all()
    assert 0.5 < beta[1].value[100] < 0.9
    steps = replace(result, arm=make_arm("piecewise:values=0.5/0.9,at=500"), runs=result.runs)
    assert set(steps.aggregate("optim/beta", 200, 10)[1].value) == {0.5, 0.9}  # type: ignore[index]
    axes = plotting.new_figure(2, 1).subplots()
    plotting.draw(axes, [result], "detector/alarms")
    plotting.draw(axes, [result], "optim/beta")
    assert [line.get_drawstyle() for line in axes.lines] == ["steps-post", "default"]


@pytest.mark.parametrize("paper", [plotting.WIDE, plotting.NARROW], ids=["wide", "narrow"])
def test_a_long_legend_leaves_the_panels_their_height(paper: plotting.Paper) -> None:
    """Silent failure: thirty-six arms are named, and their curves are a line's height."""
    figure, grid = plotting.panels(paper, 2, 3.0)
    lines = [axes.plot([0, 1], label=f"cusum:arl=50000,max=0.99,signal=number_{n}")[0] for axes in grid for n in range(18)]
    plotting.put_below(figure, lines)
    figure.draw_without_rendering()
    assert min(axes.get_position().height * figure.get_figheight() for axes in grid) > 1.8


def test_no_legend_stands_on_curves() -> None:
    """A legend inside the panel covers what it names."""
    arms = [arm("0.9", [1.0] * 6), arm("cusum", [2.0] * 6, place=1)]
    figure = curve_figures.learning_curves(arms)
    assert [axes.get_legend() for axes in figure.axes] == [None]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["β = 0.9", "cusum"]


def test_without_a_final_evaluation_nothing_is_said_about_one() -> None:
    """With --eval-episodes 0 a column of dashes would look like failed runs."""
    without = analysed([arm("0.9", [1.0] * 6, final=math.nan), arm("cusum", [2.0] * 6, final=math.nan)])
    assert "final evaluation" not in tables.scores(without).header
    assert not any("final" in name or "gap" in name for name in tables.averages(without).header)
    assert len(score_figures.scores(without).axes) == 1
    assert "final" not in findings.finding(analysed([arm("0.9", [1.0] * 6, final=math.nan)]))


# The document -------------------------------------------------------------------------------------------------------------

BLOCKS = [
    Paragraph("a < b", "finding"), Cautions(["few", "lr"]), Contents([("results.csv", "a row a run")]), Heading("<x>", 2),
    Heading("y", 3), Items(["1", "2"]), Code("run --me"), Table(["arm", "n"], [["a|b", "1"]], marks=[8]),
]  # fmt: skip


def test_markdown_says_everything_in_order() -> None:
    """A bar in an arm's name would make a further column."""
    assert markdown.render("T", BLOCKS) == (
        "# T\n\n**a < b**\n\n> **Beware**\n>\n> - few\n> - lr\n\nFiles: [results.csv](results.csv) (a row a run).\n\n## <x>\n\n"
        "### y\n\n- 1\n- 2\n\n    run --me\n\n| arm | n |\n|---|--:|\n| a\\|b | 1 |\n"
    )  # fmt: skip


def test_the_page_escapes_words_and_scrolls_tables_in_their_own_box(tmp_path: Path) -> None:
    """A rule with < in it would be taken for markup; a wide table would move the whole page."""
    text = page.render("T", BLOCKS, tmp_path)
    assert '<p class="finding">a &lt; b</p>' in text
    assert ">&lt;x&gt;</h2>" in text
    assert '<div class="scroll"><table>' in text
    assert f'stroke="{COLOURS[1]}"' in text
    assert "prefers-color-scheme: dark" in text
    assert "http" not in text


def test_every_link_of_the_contents_leads_to_a_heading(tmp_path: Path) -> None:
    """Two environments have parts of the same name: a link to the second one's would lead to the first one's."""
    sections = [Heading(name, level) for env in ("A-v1", "B-v1") for name, level in ((env, 2), ("Spread", 3))]
    text = page.render("T", [Contents([("results.csv", "a row a run")]), *sections], tmp_path)
    links, anchors = re.findall(r'href="#([^"]+)"', text), re.findall(r'id="([^"]+)"', text)
    assert links == anchors == ["a-v1", "a-v1.spread", "b-v1", "b-v1.spread"]
    assert '<a href="results.csv">results.csv</a> a row a run' in text


def test_on_a_phone_a_figure_is_its_narrow_one_and_a_cell_knows_its_column(tmp_path: Path) -> None:
    """Two panels side by side are each a stamp there, and numbers without a header are a riddle."""
    (tmp_path / "narrow").mkdir()
    for path in (tmp_path / "a.svg", tmp_path / "narrow" / "a.svg"):
        plotting.save(plotting.new_figure(2 if path.parent == tmp_path else 1, 1), path)
    text = page.render("T", [Picture("a", "a curve"), BLOCKS[-1]], tmp_path)
    narrow, wide = (base64.b64decode(part.split('"')[0]).decode() for part in text.split("base64,")[1:])
    assert '<source media="(max-width: 480px)" srcset="data:image/svg+xml;base64,' in text
    assert ('width="72pt"' in narrow, 'width="144pt"' in wide) == (True, True)
    assert '<td data-name="n"><span>1</span></td>' in text
    assert '<a href="a.svg">SVG</a> <a href="a.png">PNG</a>' in text


def test_figures_depend_on_the_data_alone_and_turn_dark_with_the_screen(tmp_path: Path) -> None:
    """A date inside would make every report another one; black ink on a dark screen is no ink."""
    for name in ("a", "b"):
        figure = plotting.new_figure(2, 1)
        axes = figure.subplots()
        axes.plot([0, 1], [2, 1])
        axes.grid()
        plotting.save(figure, tmp_path / f"{name}.svg")
        plotting.save(figure, tmp_path / f"{name}.png")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    shown = page.render("T", [Picture("a", "a curve")], tmp_path)
    drawn = base64.b64decode(shown.split("base64,")[1].split('"')[0]).decode()
    assert drawn.replace(page.DARK_FIGURE, "") == (tmp_path / "a.svg").read_text()
    assert drawn.index("<svg") < drawn.index(page.DARK_FIGURE) < drawn.index("<path")
    for ink in ("fill: #ffffff", "stroke: #000000", "stroke: #b0b0b0"):  # what matplotlib writes, and the style turns
        assert ink in drawn.replace(page.DARK_FIGURE, "")


def test_numbers_have_no_interval_where_there_is_none() -> None:
    """`1.0 [nan, nan]` is not a sentence."""
    assert tables.times(Interval(math.inf, math.inf, math.inf), 5.0) == "> 5"
    assert tables.percent(Interval(*np.full(3, np.nan))) == "–"


# Settings -----------------------------------------------------------------------------------------------------------------


def study(folder: Path, env_ids: tuple[str, ...] = ("CartPole-v1",), shifts: tuple[str, ...] = ()) -> Study:
    agents = tuple(make_agent("a2c", env_id, {}) for env_id in env_ids)
    return study_of(folder, env_ids, "a2c", agents, (make_arm("0.9"), make_arm("cusum:max=0.99")), (0, 1), 1000, shift=shifts)


def test_settings_come_back_from_their_file(tmp_path: Path) -> None:
    """A report made again would compare with another arm."""
    made = make_settings(study(tmp_path), "final", "0.90", ["123"])
    assert made == ReportSettings("final", "0.9", {"CartPole-v1": 123.0})
    save_settings(made, tmp_path)
    assert load_settings(study(tmp_path)) == made
    (tmp_path / "report.json").unlink()
    assert load_settings(study(tmp_path)) == ReportSettings("mean_return", None, {"CartPole-v1": 475.0})


@pytest.mark.parametrize(
    "content", ["[]", "{", '{"metric": "mean_return"}', '{"metric": "mean_return", "baseline": null, "thresholds": 3}']
)
def test_a_file_of_settings_that_is_none_is_named(content: str, tmp_path: Path) -> None:
    """Silently taking the defaults would answer another question than the one that was asked."""
    (tmp_path / "report.json").write_text(content)
    with pytest.raises(ValueError, match=r"report\.json does not say how to report a study"):
        load_settings(study(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "finl"}, "metric must be one of mean_return, final, .* got 'finl': did you mean final?"),
        ({"metric": "recovery"}, "this study has no --shift"),
        ({"baseline": "0.8"}, "baseline must be one of the study's arms, got '0.8'"),
        ({"baseline": "cusm"}, "got 'cusm'"),
        ({"threshold": ["fast"]}, "threshold must be a return such as 475, got 'fast'"),
        ({"threshold": ["inf"]}, "threshold must be a return such as 475, got 'inf'"),
        ({"threshold": ["Acrobot-v1=3"]}, "threshold must be of an environment of the study, got 'Acrobot-v1'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict, message: str, tmp_path: Path) -> None:
    """A report by another metric than the one typed would be believed."""
    with pytest.raises(ValueError, match=message):
        make_settings(study(tmp_path), **options)


def test_a_threshold_is_asked_for_where_one_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one no run ever gets there, and all arms would tie."""
    from rl_rmsprop.study.report import settings

    monkeypatch.setattr(settings, "registered_threshold", lambda env_id: None)
    with pytest.raises(ValueError, match="CartPole-v1 has none: give --threshold"):
        make_settings(study(tmp_path), "steps_to_threshold")
    assert make_settings(study(tmp_path), "steps_to_threshold", threshold=["9"]).thresholds == {"CartPole-v1": 9.0}
    assert make_settings(study(tmp_path)).thresholds == {}


def test_with_several_environments_a_threshold_names_its_own(tmp_path: Path) -> None:
    """475 is solved in CartPole and out of reach in Acrobot."""
    both = study(tmp_path, ("CartPole-v1", "Acrobot-v1"))
    assert make_settings(both).thresholds == {"CartPole-v1": 475.0, "Acrobot-v1": -100.0}
    assert make_settings(both, threshold=["Acrobot-v1=-80"]).thresholds["Acrobot-v1"] == -80.0
    with pytest.raises(ValueError, match="must name its environment if there are several, got '475': write CartPole-v1=475"):
        make_settings(both, threshold=["475"])


def test_settings_are_kept_as_json(tmp_path: Path) -> None:
    """The file is for people too."""
    save_settings(ReportSettings("mean_return", None, {"CartPole-v1": 475.0}), tmp_path)
    assert json.loads((tmp_path / "report.json").read_text()) == {
        "metric": "mean_return", "baseline": None, "thresholds": {"CartPole-v1": 475.0},
    }  # fmt: skip


def test_forty_arms_can_be_told_apart_in_figures_and_beside_them() -> None:
    """Silent failure: two curves of one look, as of the first and the twenty-ninth of all rules."""
    assert len({look(place) for place in range(42)}) == 42
    assert len({page.chip(place) for place in range(42)}) == 42
