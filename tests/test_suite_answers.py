"""What a reference study answers, on made-up tables whose answers are known."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from envs.shifts.shift import parse_all
from rl_rmsprop.study.results.scores import Episodes
from rl_rmsprop.study.spec.arms import make_arm
from rl_rmsprop.study.spec.presets import make_agent
from rl_rmsprop.study.statistics import intervals
from rl_rmsprop.study.suite import (
    collecting,
    families,
    figures,
    fragments,
    hypotheses,
    numbers,
    responses,
    schema,
    sensitivity,
    summaries,
    survival,
)
from rl_rmsprop.study.suite.schema import FAILED
from rl_rmsprop.study.suite.suite import Suite
from rl_rmsprop.study.suite.summaries import Ranking
from rl_rmsprop.study.suite.versus import Answer
from tests.builders import study_of
from tests.suite_studies import made_up, noise, result

CUSUM, UP, DOWN = "cusum:arl=50000,max=0.99", "asymmetric:rise=0.5,fall=0.99", "asymmetric:rise=0.99,fall=0.5"
ARMS = ("0.9", "0.99", CUSUM, UP, DOWN, "ano:beta=0.9", "policy_clock:kl=0.02,max=0.999", "samples:halflife=20000",
        "yoked@cusum", "random@cusum", "mean_beta@cusum", "adam")  # fmt: skip
NAMES = ("stationary_1", "stationary_2", "abrupt_1", "abrupt_2", "ramp_1", "recurring_1")


def first(found: hypotheses.Findings) -> Answer:
    """The answer that decides."""
    return found.answers[0]


# Families -----------------------------------------------------------------------------------------------------------------


def test_every_kind_of_arm_has_its_family() -> None:
    """Silent failure: a control is named the best adaptive rule, or a schedule the best fixed β."""
    arms = families.parse((*ARMS, "harmonic:max=0.99", "oracle", "sgd", "oracle@cusum", "constant:beta=0.5"))
    of = {text: families.family(arm) for text, arm in arms.items()}
    assert families.members(arms, families.FIXED) == ["0.9", "0.99", "constant:beta=0.5"]
    assert families.members(arms, families.DETECTOR) == [CUSUM]
    assert families.members(arms, families.LAW) == [UP, DOWN, "ano:beta=0.9", "policy_clock:kl=0.02,max=0.999"]
    assert families.members(arms, families.SCHEDULE) == ["samples:halflife=20000", "harmonic:max=0.99"]
    assert families.members(arms, families.BASELINE) == ["adam", "sgd"]
    assert {text for text, name in of.items() if name == families.CONTROL} == {
        "yoked@cusum", "random@cusum", "mean_beta@cusum", "oracle", "oracle@cusum"
    }  # fmt: skip
    assert families.controls_of(CUSUM, arms, ("random", "oracle")) == ["random@cusum", "oracle@cusum"]
    assert [text for text, arm in arms.items() if families.rises_first(arm)] == [UP]
    assert [text for text, arm in arms.items() if families.falls_first(arm)] == [DOWN, "ano:beta=0.9"]
    assert {text: families.clock(arm) for text, arm in arms.items() if families.clock(arm)} == {
        "policy_clock:kl=0.02,max=0.999": "policy", "samples:halflife=20000": "samples"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("shifts", "kind"),
    [
        ("", "stationary"),
        ("gravity:values=9.8/25,at=5", "abrupt"),
        ("gravity:values=9.8/25,at=5 force_mag:values=10/5,at=7", "abrupt"),
        ("gravity:profile=ramp,values=9.8/25,at=5/9", "ramp"),
        ("gravity:values=9.8/25/9.8,at=5/9", "recurring"),
        ("gravity:profile=square,values=9.8/25,period=10", "recurring"),
        ("gravity:values=9.8/25,at=5 force_mag:profile=ramp,values=10/5,at=7/9", "recurring"),
    ],
)
def test_a_task_is_of_one_kind(shifts: str, kind: str) -> None:
    """Silent failure: an environment that goes back and forth counts as one abrupt change."""
    assert collecting.kind_of([shift.profile for shift in parse_all(shifts)]) == kind


def test_what_a_control_is_of_is_decided_among_the_arms_of_its_study() -> None:
    """Silent failure: `yoked@cusum` is of no arm, or of two, as soon as a further study has a second cusum."""
    one, two = made_up(["abrupt_1"], [CUSUM, "yoked@cusum"]), made_up(["abrupt_2"], [CUSUM, "cusum:arl=9,max=0.9"])
    both = Suite((*one.tasks, *two.tasks), (*one.results, *two.results), (*one.draws, *two.draws))
    assert both.arms["yoked@cusum"].control_of == CUSUM
    assert list(both.arms) == [CUSUM, "yoked@cusum", "cusum:arl=9,max=0.9"]


@pytest.mark.parametrize(
    ("settings", "options", "tune", "variant"),
    [
        ({}, {}, 3, ""),
        ({}, {}, 0, "untuned"),
        ({"lr_schedule": "linear"}, {}, 3, "lr_schedule=linear"),
        ({}, {"lr_rule": "intentional:eta=0.05"}, 3, "lr_rule=intentional:eta=0.05"),
        ({"lr_schedule": "linear"}, {"lr_rule": "trac"}, 0, "lr_rule=trac lr_schedule=linear untuned"),
    ],
)
def test_a_study_whose_steps_are_set_in_another_way_is_a_variant(
    settings: dict[str, str], options: dict[str, str], tune: int, variant: str
) -> None:
    """Silent failure: a falling lr, which hides what a long memory costs, is averaged with a constant one."""
    agent = make_agent("a2c", "CartPole-v1", {"lr_schedule": "constant", **settings})
    seeds = (9,) if tune else ()
    study = study_of(Path("x"), ("CartPole-v1",), "a2c", (agent,), (make_arm("0.9"),), (0,), 100, tune=tune, tune_seeds=seeds)
    assert collecting.variant_of(replace(study, options=replace(study.options, **options))) == variant  # type: ignore[arg-type]


# Scores -------------------------------------------------------------------------------------------------------------------


def test_a_run_that_failed_scores_as_the_worst_of_its_task() -> None:
    """Silent failure: a rule that diverges in half of its runs is averaged over the other half."""
    suite = made_up(["stationary_1"], ["0.9", "0.99"], lambda task, arm, seed: 0.5 - seed / 10, seeds=8)  # down to −0.2
    broken = [row._replace(status=FAILED, mean_return=math.nan) if row.seed == 0 else row for row in suite.results]
    assert replace(suite, results=tuple(broken)).scores["stationary_1", "0.9"][0] == pytest.approx(-0.2)
    above = made_up(["stationary_1"], ["0.9"], lambda task, arm, seed: 0.5, seeds=2)
    broken = [row._replace(status=FAILED, mean_return=math.nan) if row.seed == 0 else row for row in above.results]
    assert replace(above, results=tuple(broken)).scores["stationary_1", "0.9"] == {0: 0.0, 1: 0.5}


def test_the_best_of_a_family_is_chosen_on_the_tuning_seeds() -> None:
    """Silent failure: the arm that had luck on the evaluation seeds represents its family, and always wins."""
    suite = made_up(
        ["abrupt_1"], ARMS,
        score=lambda task, arm, seed: {"0.9": 0.9, UP: 0.8}.get(arm, 0.1),  # lucky on evaluation seeds
        draw_score=lambda task, arm, draw, seed: {"0.99": 0.7, CUSUM: 0.6}.get(arm, 0.2) if draw == 2 else 0.0,
    )  # fmt: skip
    assert hypotheses.best(suite, ["abrupt_1"], families.FIXED) == {"abrupt_1": "0.99"}
    assert hypotheses.best(suite, ["abrupt_1"], *families.ADAPTIVE) == {"abrupt_1": CUSUM}
    assert suite.tuned_score("abrupt_1", "0.99") == pytest.approx(0.7)


def test_a_draw_with_a_failed_run_is_no_candidate_but_counts_in_areas_as_the_worst() -> None:
    """As the tuning itself chose; and an lr at which runs diverge must not be left out of a curve over lr."""
    suite = made_up(["stationary_1"], ["0.9"], draw_score=lambda task, arm, draw, seed: draw / 10, draws=3)
    broken = [row._replace(mean_return=math.nan) if (row.draw, row.seed) == (2, 101) else row for row in suite.draws]
    tuning = replace(suite, draws=tuple(broken)).tuning["stationary_1", "0.9"]
    assert tuning.best == pytest.approx(0.1)
    assert tuning.failed.tolist() == [False, False, True]
    assert tuning.scores[2] == pytest.approx([0.2, 0.0, 0.2])


def test_arms_are_averaged_over_the_tasks_that_all_have() -> None:
    """Silent failure: an arm that was trained in the easy tasks alone leads."""
    suite = made_up(NAMES, ["0.9", "0.99"], lambda task, arm, seed: 0.5)
    partly = replace(suite, results=tuple(r for r in suite.results if (r.task, r.arm) != ("ramp_1", "0.99")))
    rows = {(row.over, row.arm): row for row in summaries.averages(partly)}
    assert ("all", "0.99") not in rows
    assert ("shifted", "0.99") not in rows
    assert rows["stationary", "0.99"].tasks == 2
    assert rows["all", "0.9"].runs == 6 * 8


# Hypotheses ---------------------------------------------------------------------------------------------------------------


def leading(gain: float, *arms: str) -> Suite:
    """Tasks in which these arms score more than the others, on tuning seeds as well."""
    return made_up(
        NAMES, ARMS,
        lambda task, arm, seed: 0.5 + gain * (arm in arms) + noise(task, arm, seed),
        lambda task, arm, draw, seed: 0.5 + gain * (arm in arms) - abs(draw - 2) / 10 + noise(task, arm, draw, seed, scale=0.001),
    )  # fmt: skip


@pytest.mark.parametrize(("gain", "verdict"), [(0.05, "supported"), (-0.05, "refuted"), (0.0, "undecided")])
def test_h1_says_which_way_the_best_adaptive_rule_differs(gain: float, verdict: str) -> None:
    """A verdict that does not follow the sign would be the whole study's answer."""
    adaptive = (CUSUM, UP, DOWN, "ano:beta=0.9", "policy_clock:kl=0.02,max=0.999")
    found = hypotheses.h1(leading(gain, *adaptive))
    assert first(found).verdict == verdict
    assert first(found).tasks == 4
    if gain:
        assert (first(found).estimate.value > 0.5) == (gain > 0)
        assert found.answers[1].estimate.value == pytest.approx(gain, abs=0.02)
        by_arm = {row.arm: row for row in found.comparisons}
        assert by_arm[CUSUM].p_holm < 0.05
        assert by_arm[CUSUM].pairs == 4 * 8
    assert len(found.comparisons) == 6  # adaptive ones and the schedule


@pytest.mark.parametrize(("gain", "verdict"), [(0.0, "supported"), (-0.2, "refuted"), (0.2, "supported")])
def test_h2_allows_a_margin(gain: float, verdict: str) -> None:
    """Not worse is not the same as not shown to be worse."""
    adaptive = (CUSUM, UP, DOWN, "ano:beta=0.9", "policy_clock:kl=0.02,max=0.999")
    answer = first(hypotheses.h2(leading(gain, *adaptive)))
    assert answer.verdict == verdict
    assert answer.bar == -0.02
    assert answer.tasks == 2


def test_h3_needs_all_controls_beaten() -> None:
    """Silent failure: a detector that beats a poor fixed β, but no random alarms, gets the credit for its timing."""
    beats_all = first(hypotheses.h3(leading(0.1, CUSUM)))
    assert beats_all.verdict == "supported"
    found = hypotheses.h3(leading(0.1, CUSUM, "random@cusum"))
    assert first(found).verdict != "supported"
    assert "hardest: random@cusum" in first(found).question
    assert {row.against for row in found.comparisons} == {"random@cusum", "yoked@cusum", "mean_beta@cusum"}
    assert all(row.over == "shifted" for row in found.comparisons)
    p = sorted(row.p for row in found.comparisons)
    assert min(row.p_holm for row in found.comparisons) == pytest.approx(3 * p[0])  # Holm's for three comparisons


def test_h4_asks_at_the_tuned_lr_and_over_all_of_them() -> None:
    """A direction that only takes smaller steps leads at one lr and not over the range."""
    peak = made_up(
        NAMES, ARMS,
        lambda task, arm, seed: 0.5 + 0.1 * (arm == UP) + noise(task, arm, seed),
        lambda task, arm, draw, seed: (0.9 if draw == 2 else 0.0) if arm == UP else 0.5 + noise(arm, draw, seed),
    )  # fmt: skip
    tuned, _, everywhere = hypotheses.h4(peak).answers
    assert (tuned.verdict, everywhere.verdict) == ("supported", "refuted")
    pairs = {(row.arm, row.against) for row in hypotheses.h4(peak).comparisons}
    assert pairs == {(UP, DOWN), (UP, "ano:beta=0.9")}


def test_h5_asks_each_clock_against_the_best_fixed_beta_and_the_default() -> None:
    """Silent failure: samples are compared with policy movement instead of with updates."""
    found = hypotheses.h5(leading(0.1, "samples:halflife=20000"))
    verdicts = {(row.over, row.arm, row.against): row.improvement.value for row in found.comparisons}
    assert len(verdicts) == 8
    assert verdicts["shifted", "forgetting by samples", "β = 0.99"] > 0.9
    assert verdicts["stationary", "forgetting by policy movement", "best fixed β of each task"] < 0.9


@pytest.mark.parametrize(("of_lr", "of_rule", "verdict"), [(0.1, 0.01, "supported"), (0.01, 0.2, "refuted")])
def test_h6_compares_the_shares_of_lr_and_of_beta(of_lr: float, of_rule: float, verdict: str) -> None:
    """Silent failure: the shares are swapped."""
    suite = made_up(
        NAMES, ARMS,
        draw_score=lambda task, arm, draw, seed: of_lr * draw + of_rule * ARMS.index(arm) + noise(task, arm, draw, seed),
    )  # fmt: skip
    fixed, everything = hypotheses.h6(suite).answers
    assert (fixed.verdict, everything.verdict) == (verdict, verdict)
    y, _ = sensitivity.variance_tables(suite, tuple(NAMES))[f"4 draws × 3 seeds, {len(NAMES)} tasks", "fixed"]
    assert y.shape == (6, 2, 4, 3)
    assert "β, of fixed βs" in fixed.question


def test_tasks_with_other_numbers_of_draws_are_a_table_of_their_own() -> None:
    """Silent failure: draw 3 of 12 has another lr than draw 3 of 24, and both are called one step size."""
    small, large = made_up(["abrupt_1"], ["0.9", "0.99"], draws=4), made_up(["abrupt_2"], ["0.9", "0.99"], draws=6)
    both = Suite((*small.tasks, *large.tasks), (*small.results, *large.results), (*small.draws, *large.draws))
    groups = sensitivity.same_draws(both, ["abrupt_1", "abrupt_2"])
    assert list(groups.values()) == [["abrupt_1"], ["abrupt_2"]]
    assert sensitivity.phis(both, ["abrupt_1", "abrupt_2"]) == []


def test_h7_counts_survivors_of_abrupt_changes() -> None:
    """Silent failure: survivors of recurring changes, or of all tasks, decide."""
    lives = lambda task, arm, seed: float(task.startswith("ramp") or arm == UP or (arm == "0.99" and seed < 4))
    suite = made_up(NAMES, ARMS, survived=lives, draw_score=lambda task, arm, draw, seed: float(arm == "0.99"))
    family, up, clock, down, ano = hypotheses.h7(suite).answers
    assert family.estimate.value == pytest.approx(0.5 - 0.25)  # UP of two protecting arms; half of 0.99 of two fixed ones
    assert up.estimate.value == pytest.approx(0.5)
    assert (up.verdict, clock.verdict, down.verdict, ano.verdict) == ("supported", "refuted", "refuted", "refuted")
    assert family.tasks == 2
    rows = {(row.task, row.arm): row for row in responses.survivals(suite, suite.shifted)}
    assert (rows["abrupt_1", "0.99"].survivors, rows["abrupt_1", "0.99"].runs) == (4, 8)
    assert rows["abrupt_1", "0.99"].share == intervals.share(4, 8)


def test_h7_looks_at_every_lr_of_a_sweep_and_the_main_study_does_not() -> None:
    """Silent failure: an lr at which all arms die is averaged with tuned ones, or is left out of what it was trained for."""
    suite = made_up(
        [*NAMES, "abrupt_low", "abrupt_high"], ARMS, survived=lambda task, arm, seed: float(arm == UP or "low" in task)
    )
    tasks = [task._replace(variant="untuned") if task.task in ("abrupt_low", "abrupt_high") else task for task in suite.tasks]
    swept = replace(suite, tasks=tuple(tasks))
    assert swept.swept == ["abrupt_low", "abrupt_high"]
    assert swept.selections["abrupt"] == ["abrupt_1", "abrupt_2"]
    answer = hypotheses.h7(swept).answers[-1]
    assert "mean over lrs" in answer.question
    assert answer.estimate.value == pytest.approx(0.5 * 0 + 0.5 * 0.5)  # UP is one of two that should protect
    found = numbers.compute(swept)
    assert {row.task for row in found.survivals} >= {"abrupt_low", "abrupt_high", "abrupt_1"}
    figure = figures.survival(swept, found)
    assert figure is not None
    assert [axes.get_title() for axes in figure.axes if axes.get_visible()] == ["abrupt_1"]  # one change, all lrs of it


def test_without_data_no_hypothesis_has_a_verdict() -> None:
    """Silent failure: a study that has only begun supports everything."""
    suite = made_up(["ramp_1"], ["0.9", "adam"])
    assert {answer.verdict for answer in hypotheses.answer_all(suite).answers} <= {"no data"}


# Survival -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (300.0, 160.0, 1.0),  # half of 280 above 20
        (300.0, 159.9, 0.0),
        (68.0, 44.0, 1.0),  # a tenth of the scale is something to lose
        (67.9, 67.9, math.nan),  # less is not
        (math.nan, 100.0, math.nan),
        (300.0, math.nan, math.nan),
    ],
)
def test_a_survivor_keeps_half_of_what_it_had_learned(before: float, after: float, expected: float) -> None:
    """Silent failure: a run that had learned nothing survives everything."""
    assert survival.survived(before, after, 20, 500) == pytest.approx(expected, nan_ok=True)


def test_the_last_level_is_of_whole_episodes_of_the_phase() -> None:
    """Twenty of them, begun after the change and ended before the next."""
    step = np.arange(10.0, 1001, 10)
    episodes = Episodes(step, np.arange(100.0), np.full(100, 5.0))  # two environments: begun 10 steps before they ended
    levels = survival.last_levels(episodes, [100.0, 505.0, 995.0], 1000.0, n_envs=2)
    assert levels[:2] == [np.arange(30, 50).mean(), np.arange(79, 99).mean()]
    assert math.isnan(levels[2])  # the last episode began before the change


def test_a_failed_run_is_dead_and_one_without_anything_to_lose_is_not_counted() -> None:
    """Silent failure: divergence counts as no information."""
    rows = [
        result("abrupt_1", "0.9", 0, 0.5, 1.0), result("abrupt_1", "0.9", 1, 0.5, 0.5), result("abrupt_1", "0.9", 2, 0.5),
        result("abrupt_1", "0.9", 3, 0.5, status=FAILED),
    ]  # fmt: skip
    suite = replace(made_up(["abrupt_1"], ["0.9"]), results=tuple(rows))
    assert responses.alive(suite, "abrupt_1", "0.9") == {0: 1.0, 1: 0.0, 3: 0.0}


def test_recoveries_and_delays_are_over_all_changes() -> None:
    """Two runs with two changes each, by hand."""
    rows = [
        result("recurring_1", CUSUM, 0, 0.5, recoveries="100/inf", watched="500/400", delays="3/inf", drop=2.0),
        result("recurring_1", CUSUM, 1, 0.5, recoveries="200/nan", watched="500/400", delays="5/7", drop=4.0),
    ]
    suite = replace(made_up(["recurring_1"], [CUSUM]), results=tuple(rows))
    (recovery,) = responses.recoveries(suite, suite.shifted)
    assert (recovery.recovered, recovery.changes) == (2, 3)
    assert recovery.recovery.value == 200  # two of three have recovered by then
    assert recovery.drop.value == 3.0
    (delay,) = responses.delays(suite, suite.shifted)
    assert (delay.changes, delay.delay, delay.recovery) == (3, 5, 200)
    assert delay.hits == pytest.approx(2 / 3)
    assert delay.correlation.value == pytest.approx(1.0)


def test_a_delay_is_counted_from_the_first_update_after_the_change(tmp_path: Path) -> None:
    """shifts.csv has the last update of an iteration, of which PPO has many: an alarm in one of them is a hit."""
    (tmp_path / "alarms.csv").write_text("update,step\n7,70\n11,110\n13,130\n", encoding="utf-8")
    shifts = {"update": np.array([12.0, 20.0]), "step": np.array([120.0, 200.0])}
    run = SimpleNamespace(alarms=3.0, changes=[120.0, 200.0], shifts=shifts)
    of = lambda per_iteration: SimpleNamespace(updates=24, agent=SimpleNamespace(updates_per_iteration=per_iteration))
    assert collecting.delays(run, of(4), tmp_path) == [2, math.inf]  # type: ignore[arg-type]  # the fields that it reads
    assert collecting.delays(run, of(1), tmp_path) == [1, math.inf]  # type: ignore[arg-type]
    assert collecting.delays(SimpleNamespace(alarms=math.nan, changes=[120.0]), of(1), tmp_path) == []  # type: ignore[arg-type]


# Curves over lr -----------------------------------------------------------------------------------------------------------


def test_the_area_is_the_mean_height_over_the_logarithm_of_lr() -> None:
    """Draws lie at random places: their plain mean weighs places where they happen to be dense."""
    suite = made_up(["stationary_1"], ["0.9"], draw_score=lambda task, arm, draw, seed: float(draw) + (seed - 101))
    tuning = suite.tuning["stationary_1", "0.9"]
    uneven = tuning._replace(lr=np.array([1.0, np.e, np.e**2, np.e**6]))
    assert sensitivity.area(uneven) == pytest.approx((np.array([-1, 0, 1]) + (0.5 + 1.5 + 4 * 2.5) / 6).tolist())
    shuffled = [uneven[i][[2, 0, 3, 1]] for i in range(len(uneven))]
    assert sensitivity.area(type(uneven)(*shuffled)) == pytest.approx(sensitivity.area(uneven).tolist())
    (row,) = sensitivity.areas(suite, "all", ["stationary_1"])
    assert row.area.value == pytest.approx(1.5)


def test_phi_is_that_of_a_studys_report() -> None:
    """One implementation: an arm's draws of a task stand for those of an environment."""
    best = {"abrupt_1": 0, "abrupt_2": 3}
    score = lambda task, arm, draw, seed: float(arm == "0.99" or draw == best[task])
    suite = made_up(list(best), ["0.9", "0.99"], draw_score=score)
    needy, robust = sensitivity.phis(suite, list(best))
    assert (needy.arm, robust.arm) == ("0.9", "0.99")
    assert needy.phi == pytest.approx(0.5)
    assert robust.phi == pytest.approx(0.0)


# Page ---------------------------------------------------------------------------------------------------------------------


def test_groups_of_equal_rank_are_the_largest_ones() -> None:
    """Ranks 1, 2, 2.5, 4 with a critical difference of 1.6: the first three, and the last two of them with the fourth not."""
    ranking = Ranking("all", ("a", "b", "c", "d"), (1.0, 2.0, 2.5, 4.0), 9, 5.0, 0.1, 1.6)
    assert figures.cliques(ranking) == [(0, 2), (2, 3)]
    assert figures.cliques(ranking._replace(critical_difference=0.1)) == []


def test_variants_are_apart_from_the_main_study() -> None:
    """Silent failure: step-size-free runs are averaged with those of a constant lr."""
    suite = made_up(NAMES, ["0.9", "0.99"])
    tasks = [task._replace(variant="lr_rule=trac") if task.task == "abrupt_2" else task for task in suite.tasks]
    varied = replace(suite, tasks=tuple(tasks))
    assert varied.selections["all"] == [name for name in NAMES if name != "abrupt_2"]
    assert varied.selections["lr_rule=trac"] == ["abrupt_2"]
    assert "abrupt_2" not in varied.shifted


def test_tables_have_an_intervals_ends_beside_it_and_pages_all_fragments() -> None:
    """Every number of the page is in a table, and the other way round."""
    suite = leading(0.1, UP)
    found = numbers.compute(suite)
    row = dict(numbers.flat(found.answers[0]))
    assert list(row)[3:6] == ["estimate", "estimate_low", "estimate_high"]
    text = fragments.render(suite, found, "make page")
    assert text.count("<!-- begin ") == text.count("<!-- end ") == text.count("`make page`")
    for name in ("H5", "ranks all", "averages ramp"):
        assert f"<!-- begin {name} -->" in text
    assert schema.cell(0.123456789) == 0.123457
    assert [schema.cell(x) for x in (math.nan, math.inf, 3, "a")] == ["", math.inf, 3, "a"]


def test_foresight_is_negative_where_good_predictions_earn_more() -> None:
    """Whether the sign is that of regret or of skill decides the answer."""
    suite = made_up(NAMES, ["0.9", "0.99", CUSUM], lambda task, arm, seed: {"0.9": 0.1, "0.99": 0.5, CUSUM: 0.9}[arm])
    regret = {"0.9": 3.0, "0.99": 2.0, CUSUM: 1.0}
    rows = tuple(schema.Forecast(task, arm, value) for task in NAMES for arm, value in regret.items())
    found = summaries.foresights(replace(suite, forecasts=rows))
    assert summaries.foresight_correlation(found).value == pytest.approx(-1.0)
    assert [row.score for row in found[:3]] == pytest.approx([0.1, 0.5, 0.9])
