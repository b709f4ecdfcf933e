"""Tuning: equal budgets from one search space, winners by a stated rule, trials that are the trainings they stand for."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_rmsprop import grammar
from rl_rmsprop.baselines import BASELINES, names_baseline
from rl_rmsprop.cli import main, parse
from rl_rmsprop.study.execution import pipeline
from rl_rmsprop.study.execution.observer import Observer
from rl_rmsprop.study.results import runs
from rl_rmsprop.study.spec import search_space
from rl_rmsprop.study.spec.arms import Arm, make_arm
from rl_rmsprop.study.spec.presets import make_agent
from rl_rmsprop.study.spec.search_space import KEYS, Range
from rl_rmsprop.study.spec.study import ChosenSetting, Study, load_study
from rl_rmsprop.study.training.monitor import Monitor
from rl_rmsprop.study.training.train import train_batch
from rl_rmsprop.study.tuning import draws, trials
from rl_rmsprop.study.tuning.draws import places as places_of
from rl_rmsprop.study.tuning.trials import Outcome, Setting, TrialBatch
from tests.builders import batch_of, study_of

AGENT = make_agent("a2c", "CartPole-v1", {"n_envs": 2, "n_steps": 8, "hidden": (8,)})


def study(arms: list[Arm], folder: Path = Path("x"), **options: Any) -> Study:
    """A study of CartPole that may be tuned."""
    given: dict[str, Any] = {"tune": 24, "tune_seeds": (100, 101), **options}
    return study_of(folder, ("CartPole-v1",), "a2c", (AGENT,), tuple(arms), (0, 1), 400, 1, **given)


# The search space -------------------------------------------------------------------------------------------------------------


@given(st.floats(0, 1, exclude_max=True), st.sampled_from(["log", "window"]))
def test_ranges_are_uniform_in_the_logarithm_they_name(u: float, space: str) -> None:
    """Uniform in β, three of four draws between 0.9 and 0.999 would lie below 0.975: few windows above 40 would ever be tried."""
    if space == "log":
        assert Range(1e3, 1e6, space).at(np.array([u]))[0] == pytest.approx(10 ** (3 + 3 * u), rel=6e-3)
    else:
        (beta,) = Range(0.9, 0.999, space).at(np.array([u]))
        assert 1 / (1 - beta) == pytest.approx(10 ** (1 + 2 * u), rel=6e-3)


@pytest.mark.parametrize("name", KEYS)
def test_every_value_that_can_be_drawn_makes_a_rule(name: str) -> None:
    """A draw that its rule refuses is a draw fewer for this arm."""
    for u in (0.0, 0.5, 1 - 1e-12):
        drawn = {key: span.at(np.array([u]))[0] for key, span in search_space.open_keys(name).items()}
        assert set(drawn) == set(KEYS[name])
        text = search_space.extended(name, drawn)
        assert Arm(Arm(text).canonical).canonical == Arm(text).canonical
        assert all(float(grammar.split(text)[1][key]) == value for key, value in drawn.items())


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("0.99", ""), ("constant", "beta"), ("linear", "start end"), ("linear:start=0.5,end=0.99", ""),
        ("linear:start=0,end=0.9,steps=5+0.99", ""),
        ("cusum", "arl max"), ("cusum:arl=50000", "max"), ("cusum:k=1,max=0.99", "arl"), ("cusum:arl=5,max=0.99", ""),
        ("cusum:schedule=linear,start=0,end=0.9", "arl"), ("ewma:reaction=drop", "arl max"), ("harmonic", "max"),
        ("asymmetric:rise=0", "fall"), ("mixture", "share rate"), ("random:every=50", ""),
        ("adam", "beta1 beta2"), ("adam:beta1=0.5", "beta2"), ("adam_rel:beta1=0,beta2=0.9", ""), ("adam_balanced", "beta"),
        ("muon", "momentum"), ("muon:beta1=0.5", "momentum"), ("sgd", ""), ("rmsprop", ""),
    ],
)  # fmt: skip
def test_what_is_written_in_a_rule_is_not_touched(text: str, keys: str) -> None:
    """An arm called max=0.99 that ran with 0.97 would be another arm under its name."""
    assert list(search_space.open_keys(text)) == keys.split()
    arm = make_arm(text, names_baseline(text))
    for setting in draws.settings(study([arm]), "CartPole-v1", arm):
        assert setting.rule.startswith(text)
        assert Arm(setting.rule).is_baseline == arm.is_baseline
        make_arm(setting.rule, arm.is_baseline)
    assert {row["key"] for row in draws.search_space(study([arm]))} == {"lr", *keys.split()}


def test_a_tuned_beta_may_stand_beside_a_fixed_one() -> None:
    """Without tuning `constant` is 0.99 twice; with it the two are the arms that a study of fixed βs needs most."""
    arms = [make_arm(text) for text in ("0.99", "constant")]
    assert {row["key"] for row in draws.search_space(study(arms)) if row["arm"] == "constant"} == {"lr", "beta"}
    with pytest.raises(ValueError, match=r"each of the arms may be given once, got 0\.99 twice"):
        replace(study(arms), tune=0)


def test_all_arms_get_the_same_draws(tmp_path: Path) -> None:
    """Silent failure: luck with the draws passes for a better rule."""
    arms = [make_arm(text) for text in ("0.9", "cusum", "ewma:gain=0.2", "harmonic")] + [make_arm("adam", baseline=True)]
    drawn = {arm.text: draws.settings(study(arms), "CartPole-v1", arm) for arm in arms}
    assert len({tuple(setting.lr for setting in found) for found in drawn.values()}) == 1
    caps = [[grammar.split(s.rule)[1]["max"] for s in drawn[rule]] for rule in ("cusum", "ewma:gain=0.2", "harmonic")]
    assert caps[0] == caps[1] == caps[2]
    assert len({setting.rule for setting in drawn["adam"]}) == len(drawn["adam"]) == 24
    assert len(drawn["0.9"]) == 24
    assert draws.settings(study(arms), "CartPole-v1", arms[1]) == drawn["cusum"]  # and the same in every process


@settings(deadline=None)
@given(st.integers(1, 60), st.sampled_from(["lr", "max", "arl"]))
def test_draws_lie_one_in_each_part_of_the_range(draws: int, key: str) -> None:
    """With 24 independent draws one in three searches has no lr in some eighth of the range."""
    places = places_of(draws, key)
    assert sorted(np.floor(places * draws).astype(int)) == list(range(draws))
    if draws > 12:
        assert list(places) != sorted(places)


def test_draws_of_different_keys_have_nothing_to_do_with_each_other() -> None:
    """Silent failure: all keys share one stream, and 24 draws try a diagonal of the space."""
    places = np.array([draws.places(200, key) for key in ("lr", "max", "arl", "rise", "fall", "share", "rate")])
    correlation = np.corrcoef(places) - np.eye(len(places))
    assert np.abs(correlation).max() < 4 / math.sqrt(200)


def test_ranges_surround_the_preset_and_baselines_have_their_own_scale() -> None:
    """Silent failure: SGD is tried with Adam's step sizes, a thousandth of its own, and loses."""
    arms = [make_arm("0.9"), *(make_arm(name, baseline=True) for name in BASELINES)]
    for arm in arms:
        scale = {"sgd": 300, "momentum": 50, "adagrad": 5}.get(arm.text, 1)
        span = draws.lr_range(study(arms), "CartPole-v1", arm)
        assert (span.low, span.high) == pytest.approx((0.1 * AGENT.lr * scale, 30 * AGENT.lr * scale))
        assert all(span.low * 0.99 < s.lr < span.high * 1.01 for s in draws.settings(study(arms), "CartPole-v1", arm))


def test_draws_differ_between_environments_by_the_preset_alone() -> None:
    """One setting for all environments is one factor on their presets."""
    agents = (AGENT, make_agent("a2c", "Acrobot-v1", {"lr": 10 * AGENT.lr}))
    both = study_of(
        Path("x"), ("CartPole-v1", "Acrobot-v1"), "a2c", agents, (make_arm("cusum"),), (0,), 9, tune=5, tune_seeds=(9,)
    )
    one, other = (draws.settings(both, env_id, both.arms[0]) for env_id in both.env_ids)
    assert [s.rule for s in one] == [s.rule for s in other]
    assert [10 * s.lr for s in one] == pytest.approx([s.lr for s in other], rel=1e-2)


@pytest.mark.parametrize("cores", [1, 2, 16, 1024])
def test_trials_are_cut_for_the_cores_and_none_is_left_out(cores: int, tmp_path: Path) -> None:
    """Silent failure: most of a large cluster waits for the few long batches of trials, or some draws are never tried."""
    line = [
        "compare",
        "--env",
        "CartPole-v1",
        "--betas",
        "0.9",
        "0.99",
        "--tune",
        "24",
        "--tune-seeds",
        "100-104",
        "--seeds",
        "0-29",
    ]
    study = parse(line).described().cut_for(cores)
    cut = draws.batches(study, study.arms)
    assert [s for batch in cut for s in batch.settings] == [
        s for arm in study.arms for s in draws.settings(study, "CartPole-v1", arm)
    ]
    assert len({batch.file for batch in cut}) == len(cut) >= min(cores, 2 * 24)
    assert max(len(batch.settings) * 5 for batch in cut) <= 64


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tune": -1}, "tune must be from 0 to 10000 draws an arm, got -1"),
        ({"tune_seeds": ()}, "tune_seeds must be at least one seed"),
        ({"tune_seeds": (7, 7)}, "each given once"),
        ({"tune_seeds": (5, 1)}, "tune_seeds must be others than seeds, got 1 in both: a choice must be tested on fresh seeds"),
        ({"match_update_rms": "0.9"}, "tune chooses every arm's lr, and match_update_rms another: give one of them"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(options: dict[str, Any], words: str) -> None:
    """Tuning on the evaluation's seeds is the oldest way to win."""
    with pytest.raises(ValueError, match=words):
        study([make_arm("0.9")], **options)


# The winner ----------------------------------------------------------------------------------------------------------------


def outcomes(returns: dict[int, list[float]], arm: str = "0.9") -> list[Outcome]:
    """Draws with these mean returns; lr is a tenth of the draw's number."""
    return [
        Outcome("CartPole-v1", arm, k, k / 10, arm, seed, earned, 1.0)
        for k, row in returns.items()
        for seed, earned in enumerate(row)
    ]


def test_the_winner_has_the_largest_interquartile_mean() -> None:
    """One lucky seed of five would choose the setting that collapses most often."""
    rows = {1: [0, 0, 0, 0, 1000.0], 2: [1, 2, 3, 4, 5.0], 3: [4, 4, 4, 4, -1000.0], 4: [math.nan, 50, 50, 50, 50]}
    (choice,) = draws.winners(outcomes(rows))
    assert choice == ChosenSetting("CartPole-v1", "0.9", "0.9", 0.3)
    assert draws.winners(outcomes({1: [math.nan] * 5})) == []
    both = draws.winners([*outcomes(rows), *outcomes({7: [1.0]}, "0.5")])
    assert [(c.arm, c.lr) for c in both] == [("0.9", 0.3), ("0.5", 0.7)]


def test_a_winner_at_the_edge_of_the_range_is_called_so() -> None:
    """A range that ends too early makes an arm look worse than it is."""
    given = study([make_arm("0.9")])
    span = draws.lr_range(given, "CartPole-v1", given.arms[0])
    lrs = (span.low * 1.01, math.sqrt(span.low * span.high), span.high * 0.99)
    assert [draws.at_the_edge(given, ChosenSetting("CartPole-v1", "0.9", "0.9", lr)) for lr in lrs] == [True, False, True]


def test_an_arm_without_any_learning_curve_trains_untuned_and_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent failure: every trial crashed, and the table shows the arm as tuned."""
    monkeypatch.setattr(pipeline, "run_tasks", lambda specs, workers, console: ["failed: it"])
    failures: list[str] = []
    given = study([make_arm("0.9")], tmp_path)
    after = pipeline.tune_arms(given, given.arms, 1, Observer(), failures)
    assert after.choice("CartPole-v1", given.arms[0]) == ChosenSetting("CartPole-v1", "0.9", "0.9", AGENT.lr)
    assert failures == ["failed: it", "failed: CartPole-v1 · 0.9: no draw had a learning curve; it trains untuned"]


# Trials ----------------------------------------------------------------------------------------------------------------------


PPO = make_agent("ppo", "CartPole-v1", {"n_envs": 2, "n_steps": 8, "batch_size": 8, "n_epochs": 2, "hidden": (8,)})
TRIALS = {
    "cusum:arl=4,burn_in=3": (AGENT, make_arm("cusum")),
    "adam:beta1=0.5,beta2=0.95": (AGENT, make_arm("adam", baseline=True)),
    "muon:momentum=0.5": (replace(AGENT, hidden=(8, 6)), make_arm("muon", baseline=True)),
    "oracle": (AGENT, make_arm("oracle")),
    "cusum:arl=8,burn_in=3": (PPO, make_arm("cusum")),
}


@pytest.mark.parametrize("rule", TRIALS)
def test_a_trial_is_the_training_it_stands_for(rule: str, tmp_path: Path) -> None:
    """Silent failure: settings tried side by side share an lr, a generator or a detector, and another one wins."""
    agent, arm = TRIALS[rule]
    name = "ppo" if agent is PPO else "a2c"
    shift = ("force_mag:values=10/-10,at=200",)
    given = batch_of(str(tmp_path), "CartPole-v1", name, agent, arm, (4, 9), 600, 1, shift=shift)
    pair = (Setting(0, 1e-3, arm.text), Setting(1, 2e-2, rule))
    batch = TrialBatch(given, pair, str(tmp_path / "trials.csv"))
    output: list[int] = []
    batch.run(Monitor(lambda progress: output.append(progress.steps)))
    assert len(output) == 38  # ⌈600 / 16⌉ iterations of four runs
    assert 0.9 * 4 * 38 * 16 < output[-1] < 4 * 38 * 16  # a few steps only reset
    found = {(row.number, row.seed): row for row in trials.read(tmp_path / "trials.csv")}
    assert list(found) == [(0, 4), (0, 9), (1, 4), (1, 9)]
    for setting in pair:
        alone = replace(given, agent=replace(agent, lr=setting.lr))
        played = replace(alone, trained_arm=Arm(setting.rule))
        train_batch(played)
        for seed in given.seeds:
            run = runs.load_run(played, seed)
            assert run is not None
            row = found[setting.number, seed]
            assert (row.mean_return, row.lr, row.rule) == (run.mean_return, setting.lr, setting.rule)
            if agent is AGENT and not arm.is_baseline:  # logged at every update here: 38 of them
                logged = run.metrics["optim/update_rms"]
                assert row.update_rms == pytest.approx(math.sqrt(np.mean(logged**2)), rel=1e-4)


def test_a_failing_trial_names_its_settings(tmp_path: Path) -> None:
    """`failed: seeds 100000` would not say which of 24 draws to look at."""
    batch = TrialBatch(
        study([make_arm("0.9")]).batch("CartPole-v1", make_arm("0.9"), (7,)),
        tuple(Setting(k, 1.0, "0.9") for k in (3, 4)),
        "t/a.csv",
    )
    assert batch.label == "CartPole-v1 · 0.9 · trials 3–4"
    assert batch.error_file == Path("t/a.error.txt")
    assert batch.total_steps == 2 * 400


# A whole study -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tuned study of two rules, a control and a baseline."""
    folder = tmp_path_factory.mktemp("runs") / "study"
    line = "compare --env CartPole-v1 --betas 0.9 cusum:burn_in=3 mean_beta@cusum --baselines sgd --seeds 0-1 --steps 400"
    tune = "--tune 3 --tune-seeds 50-51 --eval-episodes 1 --n-envs 2 --n-steps 8 --hidden 8 --workers 2"
    assert main([*line.split(), *tune.split(), "--out", str(folder)]) == 0
    return folder


def test_every_draw_is_written_down_and_the_best_one_trains(tuned: Path) -> None:
    """Silent failure: the table is made with other settings than those that won."""
    rows = trials.read(tuned / "tuning.csv")
    assert len(rows) == 3 * 3 * 2  # arms that are no controls, draws, seeds
    assert {row.seed for row in rows} == {50, 51}
    study = load_study(tuned)
    by_hand = {}
    for arm in ("0.9", "cusum:burn_in=3", "sgd"):
        scores = {k: np.mean([row.mean_return for row in rows if (row.arm, row.number) == (arm, k)]) for k in range(3)}
        best = max(scores, key=lambda k: scores[k])
        by_hand[arm] = next((row.lr, row.rule) for row in rows if (row.arm, row.number) == (arm, best))
    assert {c.arm: (c.lr, c.rule) for c in study.choices if not c.arm.startswith("mean")} == by_hand
    for arm in study.arms:
        for seed in (0, 1):
            config = json.loads((tuned / "CartPole-v1" / arm.name / f"seed_{seed:04d}" / "config.json").read_text())
            lr, rule = by_hand[arm.control_of or arm.text]
            assert config["settings"]["lr"] == lr  # a control's is that of its arm
            assert arm.control_of or config["arm"]["trained_as"] == rule


def test_the_study_states_its_budget_and_its_ranges(tuned: Path) -> None:
    """A report cannot state what was not kept."""
    saved = json.loads((tuned / "study.json").read_text())
    assert (saved["tune"], saved["tune_seeds"]) == (3, [50, 51])
    keys = [(row["arm"], row["key"], row["space"]) for row in saved["search_space"]]
    assert keys == [
        ("0.9", "lr", "log"), ("cusum:burn_in=3", "lr", "log"), ("cusum:burn_in=3", "arl", "log"),
        ("cusum:burn_in=3", "max", "window"), ("sgd", "lr", "log"),
    ]  # fmt: skip
    for row in trials.read(tuned / "tuning.csv"):
        (span,) = [r for r in saved["search_space"] if (r["arm"], r["key"]) == (row.arm, "lr")]
        assert span["low"] * 0.99 < row.lr < span["high"] * 1.01


def test_tuning_leaves_no_run_folders_behind(tuned: Path) -> None:
    """TensorBoard would show hundreds of curves that nobody asked for."""
    assert sorted(path.name for path in tuned.iterdir()) == [
        "CartPole-v1",
        "_agg",
        "report",
        "report.json",
        "study.json",
        "tuning.csv",
    ]
    seeds = {path.name for path in tuned.glob("CartPole-v1/*/*") if path.parent.name != "_agg"}
    assert seeds == {"seed_0000", "seed_0001"}
    assert (tuned / "report" / "CartPole-v1_sensitivity.png").read_bytes().startswith(b"\x89PNG")


def test_the_report_says_how_the_arms_were_tuned(tuned: Path) -> None:
    """A table of tuned arms that does not name the budget cannot be compared with any other."""
    text = (tuned / "report" / "report.md").read_text(encoding="utf-8")
    output = " ".join(text.split())
    assert "Every arm was tuned with 3 draws on seeds 50-51: lr from 0.1 to 30 times 0.0016 (sgd × 300)" in output
    assert "All arms share every setting" not in output
    for choice in load_study(tuned).choices:
        assert f"{choice.arm} trained" in output
        assert f"with lr {choice.lr:g}" in output
    assert "mean_beta@ARM has one fixed β, the mean of its arm's" in output
