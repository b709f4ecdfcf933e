"""Shifted studies from the command line to the report; recorded signals, and what replay makes of them."""

import csv
import json
import math
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents import A2C
from rl_rmsprop.cli import main
from rl_rmsprop.detectors import Adwin, Cusum, Detector, DetectorOutput, PageHinkley, Periodic, State
from rl_rmsprop.study.replay import content
from rl_rmsprop.study.replay.scores import DetectorScore, RuleScore, Scores, rank
from rl_rmsprop.study.results import detection, recorded_signals
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.study import load_study
from rl_rmsprop.study.training.train import train_batch
from rl_rmsprop.telemetry.csv_table import read_table
from tests.benchmarks import detection as benchmark
from tests.builders import batch_of, with_options

ARMS = ("0.9", "cusum:arl=50,burn_in=5,max=0.99", "oracle")
TINY = ["--seeds", "0-1", "--steps", "8000", "--eval-episodes", "4", "--workers", "2", "--record-signals"]
SHIFT = "force_mag:values=10/-10,at=4000"


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of a comparison in an environment that changes, and of its unshifted twin."""
    folder = tmp_path_factory.mktemp("runs")
    common = ["compare", "--env", "CartPole-v1", "--betas", *ARMS, *TINY]
    assert main([*common, "--shift", SHIFT, "--out", str(folder / "shifted")]) == 0
    assert main([*common, "--out", str(folder / "twin")]) == 0
    return folder / "shifted", folder / "twin"


def run_folder(study: Path, arm: str = "0.9", seed: int = 0) -> Path:
    return study / "CartPole-v1" / arm / f"seed_{seed:04d}"


def test_the_truth_about_the_change_is_written_down(studies: tuple[Path, Path]) -> None:
    """Silent failure: the environment changes at another time than the files say, or not at all."""
    shifted, twin = studies
    shifts = read_table(run_folder(shifted) / "shifts.csv")
    assert shifts["force_mag"].tolist() == [-10.0]
    assert shifts["regime"].tolist() == [1.0]
    assert 4000 < shifts["step"][0] <= 4000 + 2 * 128  # the end of the rollout that holds step 4000
    metrics = read_table(run_folder(shifted) / "metrics.csv")
    assert (metrics["env/regime"] == (metrics["step"] >= shifts["step"][0])).all()
    assert read_table(run_folder(twin) / "shifts.csv")["step"].size == 0
    assert json.loads((run_folder(shifted) / "config.json").read_text())["shift"] == [SHIFT]
    clocks = json.loads((run_folder(shifted) / "checkpoint" / "clocks.json").read_text())
    assert clocks["updates"] == -(-8000 // 128)
    assert SHIFT in (shifted / "report" / "report.md").read_text()


def test_shifted_run_equals_its_twin_until_the_change(studies: tuple[Path, Path]) -> None:
    """Silent failure: a shift that has not come yet moves a random stream, and every comparison with the twin is noise."""
    changed, same = (np.load(run_folder(study) / "signals.npz") for study in studies)
    first = int(np.flatnonzero(changed["shifted"])[0])
    assert first == np.flatnonzero(changed["step"] > 4000)[0]
    for name in same.files:
        assert np.array_equal(changed[name][:first], same[name][:first], equal_nan=same[name].dtype.kind == "f"), name
    assert not np.array_equal(changed["squares"][first], same["squares"][first])


def test_oracle_alarms_exactly_at_the_true_change(studies: tuple[Path, Path]) -> None:
    """Silent failure: the oracle is told an update late, or never, and is no upper bound of anything."""
    for study, expected in zip(studies, (1, 0), strict=True):
        signals = np.load(run_folder(study, "oracle") / "signals.npz")
        assert signals["alarm"].sum() == expected
        assert np.array_equal(signals["alarm"], signals["shifted"])


def test_alarms_are_listed_with_update_and_step(studies: tuple[Path, Path]) -> None:
    """Silent failure: controls yoked to a detector, and ticks in figures, are an update off, or come from the wrong run."""
    count = {}
    for arm in ("cusum_arl50_burn_in5_max0.99", "oracle", "0.9"):
        folders = [run_folder(studies[0], arm, seed) for seed in (0, 1)]
        for folder in folders:
            signals, listed = np.load(folder / "signals.npz"), read_table(folder / "alarms.csv")
            (index,) = np.nonzero(signals["alarm"])
            assert listed["update"].tolist() == (index + 1).tolist()
            assert listed["step"].tolist() == signals["step"][index].tolist()
        count[arm] = sum(len(read_table(folder / "alarms.csv")["update"]) for folder in folders)
    assert count["oracle"] == 2
    assert count["0.9"] == 0


def test_recorded_signals_are_those_of_the_training(studies: tuple[Path, Path]) -> None:
    """Silent failure: signals are recorded after the step, or of clipped gradients, and replays hear something else."""
    folder = run_folder(studies[0])
    signals, metrics = np.load(folder / "signals.npz"), read_table(folder / "metrics.csv")
    rows = np.searchsorted(signals["step"], metrics["step"])
    assert signals["step"][rows].tolist() == metrics["step"].tolist()
    np.testing.assert_allclose(signals["grad_norm"][rows], 2 * np.log(metrics["optim/grad_norm"]), rtol=1e-4, atol=1e-4)
    known = ~np.isnan(metrics["optim/surprise"]) & (np.arange(len(rows)) > 0)
    np.testing.assert_allclose(signals["surprise"][rows][known], metrics["optim/surprise"][known], rtol=1e-3, atol=1e-3)
    both = np.exp(signals["grad_norm_actor"].astype(float)) + np.exp(signals["grad_norm_critic"].astype(float))
    np.testing.assert_allclose(np.log(both), signals["grad_norm"], rtol=1e-3, atol=1e-3)
    assert (np.abs(signals["cosine"][1:]) <= 1).all()
    larger = np.maximum(signals["surprise_actor"], signals["surprise_critic"])
    assert np.array_equal(signals["peak_surprise"], larger, equal_nan=True)


def test_replay_prints_detectors_and_rules_and_writes_them(
    studies: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Silent failure: a table that is printed and not kept, or rows without the comparison that makes them mean something."""
    shifted, twin = studies
    options = ["--twins", str(twin), "--detectors", "cusum:burn_in=5", "adwin", "--betas", "0.9", "mixture", "--rate", "20"]
    assert main(["replay", str(shifted), *options]) == 0
    printed = capsys.readouterr().out
    assert "made as sensitive as 20 alarms per 1000 updates" in printed
    with (shifted / "report" / "replay_detectors.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["detector"], row["signal"]) for row in rows} == {
        ("cusum:burn_in=5", "surprise"),
        ("adwin", "surprise"),
        ("cusum:burn_in=5", "episode_return"),
        ("every 50 updates", "nothing"),
    }
    assert {row["changes"] for row in rows} == {"2"}
    with (shifted / "report" / "replay_rules.csv").open() as file:
        assert {row["rule"] for row in csv.DictReader(file)} == {"0.9", "mixture"}
    for ending in ("png", "svg"):
        assert len(list((shifted / "report").glob(f"*_replay_*.{ending}"))) == len(ARMS)
    sentences = printed.splitlines()[: len(ARMS)]
    assert [line.split(": ")[0] for line in sentences] == [
        f"CartPole-v1, trained with {label}" for label in ("β = 0.9", *ARMS[1:])
    ]
    markdown = (shifted / "report" / "replay.md").read_text().split("\n\n")
    assert markdown[1 : 1 + len(ARMS)] == [f"**{line}**" for line in sentences]
    page = (shifted / "report" / "replay.html").read_text()
    assert page.count('class="finding"') == len(ARMS)
    assert page.index('class="finding"') < page.index("<table")
    assert f"rl-rmsprop replay {shifted} --twins {twin}" in page
    assert not re.search(r'src="(?!data:)', page)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--shift", "gravty:values=9.8/25,at=1000"], "did you mean gravity?"),
        (["--shift", "length:values=0.5/-1,at=1000"], "length must be from 0.01"),
        (["--shift", "gravity:values=9.8/25,at=10", "gravity:values=9.8/5,at=20"], "gravity twice"),
    ],
)
def test_impossible_shifts_are_refused_before_anything_is_created(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Silent failure: a study with a shift that never happens."""
    out = tmp_path / "study"
    assert main(["train", "--env", "CartPole-v1", "--out", str(out), *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_replay_needs_recorded_signals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Silent failure: an empty table for a study that recorded nothing."""
    folder = tmp_path / "study"
    assert (
        main(["train", "--env", "CartPole-v1", "--seeds", "0", "--steps", "500", "--eval-episodes", "1", "--out", str(folder)])
        == 0
    )
    assert main(["replay", str(folder)]) == 2
    assert "--record-signals" in capsys.readouterr().err


# Scores, by hand ---------------------------------------------------------------------------------------------------------------


def at(length: int, *places: int) -> np.ndarray:
    return np.isin(np.arange(length), places)


def test_delays_count_from_the_change_to_the_first_alarm_before_the_next() -> None:
    """Silent failure: an alarm before the change, or after the next one, counts as an answer."""
    assert detection.delays_of(at(100, 5, 12, 40, 41), at(100, 10, 30, 60)) == [2.0, 10.0, math.inf]
    assert detection.delays_of(at(10, 3), at(10, 3)) == [0.0]
    assert detection.delays_of(at(10, 3), at(10)) == []


def test_quality_is_over_all_changes_of_all_runs() -> None:
    """Silent failure: runs without an alarm are left out of the median."""
    alarms = np.stack([at(300, 10), at(300, 130), at(300)], 1)
    changes = np.stack([at(300, 0)] * 3, 1)
    answer = detection.quality(alarms, changes)
    assert answer == (3, (1 / 3, 1 / 3, 2 / 3), 130.0, math.inf)


def test_alarms_near_a_change_of_scale_are_explained() -> None:
    """Silent failure: alarms count as near on one side of the change only."""
    alarms = at(200, 29, 71, 100, 150)[:, None]
    assert detection.share_near(alarms, at(200, 50)[:, None]) == 0.0
    assert detection.share_near(alarms, at(200, 49, 51)[:, None]) == 0.5
    assert math.isnan(detection.share_near(at(10)[:, None], at(10)[:, None]))


def test_a_jump_of_the_gradients_scale_is_found_afterwards() -> None:
    """Silent failure: every stream is said to change all the time, or never."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 2))
    x[300:, 0] += 4
    changes = detection.scale_changes(x)
    assert changes[:, 1].sum() == 0
    assert np.abs(np.flatnonzero(changes[:, 0]) - 300).max() <= 2


def test_sensitivity_is_tuned_to_a_rate_of_alarms() -> None:
    """Silent failure: detectors are compared at rates of false alarms of their own."""
    x, seeds = torch.from_numpy(np.random.default_rng(1).standard_normal((800, 10))), tuple(range(10))
    for detector in (Cusum(standardize=False), PageHinkley(limit=5.0, standardize=False), Adwin()):
        assert detector.sensitivity is not None
        tuned = detection.tune(detector, 10.0, x, seeds)
        assert tuned.rate == detection.rate(detection.alarms_of(tuned.detector, x, seeds))
        assert tuned.rate == pytest.approx(10.0, rel=0.15) or isinstance(detector, Adwin)  # which checks at every 32nd update
    assert detection.rate(detection.alarms_of(Periodic(every=100), x, seeds)) == pytest.approx(10.0)


@dataclass(frozen=True)
class Threshold(Detector):
    """A detector of one's own, which says of no setting that it is its sensitivity."""

    def update(self, state: State, x: torch.Tensor) -> DetectorOutput:
        return DetectorOutput(state, x > 2.0, x)


def test_a_detector_without_a_sensitivity_is_named() -> None:
    """Silent failure: `StopIteration`, which says neither what is missing nor whose fault it is."""
    with pytest.raises(ValueError, match=r"Threshold\(\) cannot be tuned .*its class has no sensitivity"):
        detection.tune(Threshold(), 1.0, torch.zeros(10, 1, dtype=torch.float64), (0,))


# What a replay says, by hand ---------------------------------------------------------------------------------------------------

REGULAR = detection.Quality(20, (0.02, 0.05, 0.2), 500.0, 900.0)


def recording_of(changes: int, updates: int = 100) -> recorded_signals.RecordedSignals:
    """The recording of an environment that changes so often."""
    shifted = np.zeros((updates, 1), bool)
    shifted[updates - changes :] = True
    return recorded_signals.RecordedSignals("CartPole-v1", "0.99", (0,), {"shifted": shifted})


def scored(detector: str, hits: float, delay: float = 10.0, rate: float = 1.0, signal: str = "surprise") -> DetectorScore:
    quality = detection.Quality(20, (0.0, hits, 1.0), delay, math.inf)
    return DetectorScore("CartPole-v1", "0.99", detector, signal, rate, math.nan, quality, Cusum())


def scores_of(*detectors: DetectorScore, changes: int = 20, rules: tuple[RuleScore, ...] | None = None, **other: Any) -> Scores:
    regular = DetectorScore("CartPole-v1", "0.99", "every 1000 updates", "nothing", 1.0, math.nan, REGULAR, None)
    regular = regular._replace(quality=REGULAR._replace(changes=changes))
    ordered = [*sorted(detectors, key=partial(rank, 1.0)), regular] if detectors else []
    forecasts = rules or (
        RuleScore("CartPole-v1", "0.99", "mixture", 0.25, 0.0),
        RuleScore("CartPole-v1", "0.99", "0.9", 0.5, 0.0),
    )
    base = Scores(recording_of(changes), "surprise", 1.0, True, 10**6, ordered, list(forecasts))
    return base._replace(**other)


LABELS = {"0.99": "β = 0.99"}
FORECAST = "of 2 β rules mixture forecast g² best, with a score 0.250 above the best fixed β in hindsight (smaller is better)."


@pytest.mark.parametrize(
    ("scores", "sentence"),
    [
        (
            scores_of(scored("ewma", 0.6), scored("cusum", 0.9, 12.0), scored("e_sr", 0.9, 30.0)),
            "cusum on the surprise found 90% of 20 changes within 50 updates, more than alarms at regular times (5%), "
            "in the median after 12 (500)",
        ),
        (
            scores_of(scored("ewma", 0.3), scored("cusum", 0.3), scored("cusum", 0.3, signal="episode_return")),
            "ewma and cusum on the surprise and cusum on the episode return found 30% of 20 changes within 50 updates, "
            "more than alarms at regular times (5%)",
        ),
        (
            scores_of(scored("ewma", 0.05), scored("cusum", 1.0, rate=1.6)),  # too loud: finds all by alarming always
            "ewma on the surprise found 5% of 20 changes within 50 updates, as many as alarms at regular times (5%)",
        ),
        (
            scores_of(scored("ewma", 0.01)),
            "ewma on the surprise found 1% of 20 changes within 50 updates, fewer than alarms at regular times (5%)",
        ),
        (scores_of(scored("ewma", 0.0)), "no detector found any of 20 changes within 50 updates"),
        (scores_of(scored("ewma", 1.0, rate=9.0)), "no detector could be tuned to 1 alarms per 1000 updates"),
        (scores_of(scored("ewma", math.nan), changes=0), "the environment did not change, so there was nothing to detect"),
        (scores_of(), "no surprise was recorded, so no detector ran"),
    ],
)
def test_the_finding_is_one_sentence_that_its_numbers_bear_out(scores: Scores, sentence: str) -> None:
    """Silent failure: a detector that alarms all the time wins, a tie has one winner, or chance is praised."""
    assert content.finding(scores, LABELS) == f"CartPole-v1, trained with β = 0.99: {sentence}; {FORECAST}"


def test_rules_that_beat_every_fixed_beta_are_said_to_and_ties_are_named() -> None:
    """Silent failure: the sign of a score where smaller is better is turned round."""
    rules = tuple(RuleScore("CartPole-v1", "0.99", name, -0.5, 1.0) for name in ("mixture", "0.9"))
    expected = "of 2 β rules mixture and 0.9 forecast g² best, with a score 0.500 below the best fixed β in hindsight"
    assert expected in content.finding(scores_of(rules=rules), LABELS)


def test_weak_numbers_are_said_to_be_weak() -> None:
    """Silent failure: one change and three expected alarms look as sure as a thousand."""
    weak = scores_of(scored("cusum", 1.0), scored("ewma", 0.5, rate=0.4), changes=2, unshifted_updates=3000, has_twin=False)
    text = " ".join(content.cautions([weak], LABELS))
    assert "--twins" in text
    assert "3000 updates without a change make 3.0 alarms" in text
    assert "shares of 2 changes move in steps of 50%" in text
    assert "not comparable with the others: ewma (0.40)" in text
    assert content.cautions([scores_of(scored("cusum", 1.0))], LABELS) == []
    assert "--signal grad_norm" in content.cautions([scores_of()], LABELS)[0]
    assert len(content.cautions([weak, weak], LABELS)) == 4  # said once for both


def test_detectors_that_alarm_too_often_stand_last() -> None:
    """Silent failure: the figure and the first row of the table show a detector that finds all by alarming always."""
    order = [row[0] for row in content.detector_table(scores_of(scored("loud", 1.0, rate=1.6), scored("ewma", 0.05))).rows]
    assert order == ["ewma", "loud", "every 1000 updates"]


def test_a_table_has_the_columns_that_say_something_and_explains_no_others() -> None:
    """Silent failure: a column of dashes, and a paragraph about it."""
    bare = scores_of(scored("cusum", 0.9))
    header = content.detector_table(bare).header
    assert header == ["detector", "signal", "alarms per 1000", "found within 20", "found within 50", "found within 200",
                      "median delay", "90 % delay"]  # fmt: skip
    row = content.detector_table(bare).rows[0]
    assert row == ["cusum", "surprise", "1.00", "0%", "90%", "100%", "10", "never"]
    assert not any("change of scale" in text for text in content.columns([bare]))
    with_scale = scores_of(scored("cusum", 0.9)._replace(share_at_scale_changes=0.25))
    assert content.detector_table(with_scale).rows[0][3] == "25%"
    assert any("change of scale" in text for text in content.columns([with_scale]))


def test_updates_without_an_episode_repeat_the_last_return() -> None:
    """Silent failure: a NaN in the return kills the detector that listens to it."""
    nan = math.nan
    x = np.array([[nan, 1.0], [2.0, nan], [nan, nan], [3.0, 4.0]])
    assert recorded_signals.forward_filled(x).tolist() == [[2.0, 1.0], [2.0, 1.0], [2.0, 1.0], [3.0, 4.0]]


def test_a_broken_file_of_signals_is_named(studies: tuple[Path, Path], tmp_path: Path) -> None:
    """Silent failure: half a file is read as a short run."""
    whole = (run_folder(studies[1]) / "signals.npz").read_bytes()
    broken = tmp_path / "signals.npz"
    broken.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"signals\.npz is not a whole file"):
        recorded_signals.read("CartPole-v1", "0.9", [(0, broken)])
    assert [s.arm for s in recorded_signals.load_recordings(load_study(studies[1]))] == list(ARMS)


def test_the_benchmarks_branches_are_the_shifted_trainings(tmp_path: Path) -> None:
    """Silent failure: a forked training goes on with other random numbers, or meets its shift an update late."""
    spec_ = batch_of(str(tmp_path / "study"), "CartPole-v1", "a2c", A2C(n_envs=3, n_steps=8), Arm("0.99"), (3, 5), 24 * 20)
    shift = "force_mag:values=10.0/-10.0,at=1,clock=updates"
    benchmark.record(benchmark.Recording(spec_, before=10, after=7, shifts={"flipped": shift}), tmp_path)
    study = with_options(spec_, shift=(shift.replace("at=1", "at=10"),), record_signals=True, eval_episodes=1)
    train_batch(study)
    branch = benchmark.load_signals(tmp_path, "CartPole-v1", "flipped")
    twin = benchmark.load_signals(tmp_path, "CartPole-v1", benchmark.TWIN)
    whole = recorded_signals.read("CartPole-v1", "0.99", [(seed, study.run_folder(seed) / "signals.npz") for seed in study.seeds])
    assert branch.seeds == whole.seeds
    assert np.flatnonzero(branch.shifted.all(1)).tolist() == [10]
    assert len(twin.shifted) == 20
    assert not twin.is_shifted
    for name, recorded in branch.arrays.items():
        assert np.array_equal(recorded, whole.arrays[name][:17], equal_nan=recorded.dtype.kind == "f"), name
        assert np.array_equal(recorded[:10], twin.arrays[name][:10], equal_nan=recorded.dtype.kind == "f"), name
