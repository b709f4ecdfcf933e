"""Shifted studies from the command line to the report; recorded signals, and what replay makes of them."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from agents import A2C
from rl_rmsprop.cli import main
from rl_rmsprop.detectors import Cusum, Periodic
from rl_rmsprop.study.results import detection, recorded_signals
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.study import load_study
from rl_rmsprop.study.training.batch import train_batch
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
    assert json.loads((run_folder(shifted) / "config.json").read_text())["shifts"] == [SHIFT]
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
    assert "made as sensitive as 20 alarms per 1000 updates" in capsys.readouterr().out
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
    assert len(list((shifted / "report").glob("*_replay_*.png"))) == len(ARMS)


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
    """Silent failure: the window reaches to one side only."""
    alarms = at(200, 29, 71, 100, 150)[:, None]
    assert detection.explained(alarms, at(200, 50)[:, None]) == 0.0
    assert detection.explained(alarms, at(200, 49, 51)[:, None]) == 0.5
    assert math.isnan(detection.explained(at(10)[:, None], at(10)[:, None]))


def test_a_jump_of_the_gradients_scale_is_found_afterwards() -> None:
    """Silent failure: every stream is said to change all the time, or never."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 2))
    x[300:, 0] += 4
    found = detection.scale_changes(x)
    assert found[:, 1].sum() == 0
    assert np.abs(np.flatnonzero(found[:, 0]) - 300).max() <= 2


def test_sensitivity_is_found_for_a_rate_of_alarms() -> None:
    """Silent failure: detectors are compared at rates of false alarms of their own."""
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((2000, 4)))
    found = detection.matched(lambda arl: Cusum(arl=arl, standardize=False), 10.0, x, (0, 1, 2, 3), (5.0, 1e6))
    assert found.rate == pytest.approx(10.0, rel=0.15)
    assert detection.rate(detection.alarms_of(Periodic(every=100), x, (0, 1, 2, 3))) == pytest.approx(10.0)


def test_updates_without_an_episode_repeat_the_last_return() -> None:
    """Silent failure: a NaN in the return kills the detector that listens to it."""
    nan = math.nan
    x = np.array([[nan, 1.0], [2.0, nan], [nan, nan], [3.0, 4.0]])
    assert recorded_signals.held(x).tolist() == [[2.0, 1.0], [2.0, 1.0], [2.0, 1.0], [3.0, 4.0]]


def test_a_broken_file_of_signals_is_named(studies: tuple[Path, Path], tmp_path: Path) -> None:
    """Silent failure: half a file is read as a short run."""
    whole = (run_folder(studies[1]) / "signals.npz").read_bytes()
    broken = tmp_path / "signals.npz"
    broken.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"signals\.npz is not a whole file"):
        recorded_signals.read("CartPole-v1", "0.9", [(0, broken)])
    assert [s.arm for s in recorded_signals.load_streams(load_study(studies[1]))] == list(ARMS)


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
