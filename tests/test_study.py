"""Whole studies at a tiny size: files, tables, figures, failures, and that nothing depends on the order of work."""

import json
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rl_rmsprop import telemetry
from rl_rmsprop.cli import main
from rl_rmsprop.study import report, runner, spec
from rl_rmsprop.study.batch import BatchSpec, hparams_group, train_batch
from rl_rmsprop.study.optimizers import BASELINES, make_arm
from rl_rmsprop.study.presets import make_agent
from rl_rmsprop.telemetry import read_table

ARMS = ("0.9", "linear:start=0.5,end=0.99", "cusum:arl=50,burn_in=5,max=0.99")
TINY = ["--seeds", "0-2", "--steps", "4000", "--eval-episodes", "4", "--workers", "2"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished comparison of three rules and a baseline."""
    folder = tmp_path_factory.mktemp("runs") / "study"
    assert main(["compare", "--env", "CartPole-v1", "--betas", *ARMS, "--baselines", "adam", "--out", str(folder), *TINY]) == 0
    return folder


def test_every_run_has_its_files_and_a_final_evaluation(study: Path) -> None:
    """A run without its last row counts as failed."""
    for seed in range(3):
        folder = study / "CartPole-v1" / "linear_start0.5_end0.99" / f"seed_{seed:04d}"
        metrics = read_table(folder / "metrics.csv")
        assert tuple(metrics) == ("step", *telemetry.TAGS)
        assert (np.diff(metrics["step"]) > 0).all()
        assert np.isfinite(metrics["eval/mean_reward"]).tolist() == [False] * (len(metrics["step"]) - 1) + [True]
        assert metrics["optim/beta"][0] < 0.55
        assert metrics["optim/beta"][-1] == pytest.approx(0.99)
        episodes = read_table(folder / "episodes.csv")
        assert (episodes["return"] == episodes["length"]).all()  # CartPole pays 1 a step
        config = json.loads((folder / "config.json").read_text())
        assert (config["seed"], config["arm"]["rule"]) == (seed, "linear:start=0.5,end=0.99")
        assert list(folder.glob("events.out.tfevents.*"))


def test_tensorboard_shows_what_the_table_says(study: Path) -> None:
    """Curves and numbers that disagree would both be doubted."""
    folder = study / "CartPole-v1" / "0.9" / "seed_0001"
    metrics = read_table(folder / "metrics.csv")
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    for tag in telemetry.TAGS:
        known = ~np.isnan(metrics[tag])
        if not known.any():
            assert tag not in events.Tags()["scalars"]
            continue
        points = events.Scalars(tag)
        assert [p.step for p in points] == metrics["step"][known].astype(int).tolist(), tag
        np.testing.assert_allclose([p.value for p in points], metrics[tag][known], rtol=1e-6)
    assert {"hist/log10_E", "hist/log10_effective_lr"} <= set(events.Tags()["histograms"])


def test_a_baseline_logs_no_beta(study: Path) -> None:
    """Adam has none, and a made-up one would mislead."""
    metrics = read_table(study / "CartPole-v1" / "adam" / "seed_0000" / "metrics.csv")
    assert np.isnan(metrics["optim/beta"]).all()
    assert np.isfinite(metrics["optim/grad_norm"]).all()


def test_the_report_holds_table_finding_and_pictures(study: Path) -> None:
    """The report is what a reader of the study sees."""
    page = (study / "report" / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 3
    assert "earned most over training" in page
    assert "http://" not in page
    rows = (study / "report" / "results.csv").read_text().splitlines()
    assert [line.split(",")[1] for line in rows[1:2]] == ["0.9"]
    assert len(rows) == 1 + len(ARMS) + 1


def test_a_report_made_again_is_the_same_byte_for_byte(study: Path) -> None:
    """A report that depends on more than the files could not be trusted later."""
    before = {p.name: p.read_bytes() for p in (study / "report").iterdir()}
    report.write_report(spec.load(study))
    assert {p.name: p.read_bytes() for p in (study / "report").iterdir()} == before


def test_aggregate_curves_lie_within_their_interval(study: Path) -> None:
    """TensorBoard's bands are made of three tags that must belong together."""
    events = EventAccumulator(str(study / "CartPole-v1" / "_agg" / "0.9")).Reload()
    low, value, high = (
        np.array([p.value for p in events.Scalars(telemetry.aggregate_tag("rollout/ep_rew_mean", part))])
        for part in ("low", "iqm", "high")
    )
    assert (low <= value + 1e-6).all()
    assert (value <= high + 1e-6).all()


def test_evaluate_gives_the_final_evaluation_again(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Saved weights that are not the trained ones would only show as a worse score."""
    assert main(["evaluate", str(study), "--episodes", "4"]) == 0
    assert "IQM" in capsys.readouterr().out
    evaluated = {}
    for line in (study / "report" / "evaluation.csv").read_text().splitlines()[1:]:
        *env_and_rule, seed, mean, _ = line.rsplit(",", 3)
        evaluated[env_and_rule[0].split(",", 1)[1].strip('"'), int(seed)] = float(mean)
    metrics = read_table(study / "CartPole-v1" / "0.9" / "seed_0002" / "metrics.csv")
    assert evaluated["0.9", 2] == metrics["eval/mean_reward"][-1]


def test_a_second_study_in_the_same_folder_is_refused(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Overwriting hours of results must be asked for."""
    before = sorted(study.rglob("*"))
    assert main(["train", "--env", "CartPole-v1", "--out", str(study), *TINY]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert sorted(study.rglob("*")) == before


class Broken(gym.Env):  # type: ignore[type-arg]
    """An environment that fails in its third step."""

    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):  # type: ignore[no-untyped-def]
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):  # type: ignore[no-untyped-def]
        self.count += 1
        if self.count == 3:
            raise RuntimeError("the simulator fell over")
        return np.zeros(2, np.float32), 1.0, False, False, {}


def test_a_failing_batch_is_named_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One broken arm must not cost the study."""
    gym.register("Broken-v0", entry_point=Broken)
    good = BatchSpec(str(tmp_path), "CartPole-v1", "a2c", make_agent("a2c", "CartPole-v1", {}), make_arm("0.9"), (0,), 300, 1)
    bad = BatchSpec(**{**vars(good), "env_id": "Broken-v0"})
    # In this process: a registration made in a test is not known to a worker started afresh.
    said: list[object] = []

    class Pipe:
        send = said.append

    runner.work(bad, Pipe())  # type: ignore[arg-type]
    assert said == ["RuntimeError: the simulator fell over"]
    ends = [event for event in runner.run_batches([bad, good], 1) if event.progress is None]
    assert [bool(event.error) for event in ends] == [True, False]
    assert (good.run_folder(0) / "checkpoint" / "weights.npz").is_file()
    gym.registry.pop("Broken-v0")


def test_a_batch_that_fails_before_its_first_file_says_why(tmp_path: Path) -> None:
    """A failure while failing would leave nothing but `exit code 1`."""
    good = BatchSpec(str(tmp_path), "CartPole-v1", "a2c", make_agent("a2c", "CartPole-v1", {}), make_arm("0.9"), (0,), 300, 1)
    bad = BatchSpec(**{**vars(good), "env_id": "Nowhere-v0"})
    (end,) = runner.run_batches([bad], 1)
    assert end.error is not None
    assert end.error.startswith("ValueError: environment must be a registered Gymnasium id, got 'Nowhere-v0'")
    assert "Traceback" in (bad.run_folder(0) / "error.txt").read_text()


def test_the_hparams_tab_averages_over_seeds_alone(tmp_path: Path) -> None:
    """With the arm's name alone as group it would average an arm's returns over environments and studies."""
    agent, arm = make_agent("a2c", "CartPole-v1", {}), make_arm("0.9")
    places = [("a", "CartPole-v1", 0), ("a", "CartPole-v1", 1), ("a", "Acrobot-v1", 0), ("b", "CartPole-v1", 0)]
    groups = [hparams_group(BatchSpec(str(tmp_path / f), env_id, "a2c", agent, arm, (seed,), 300)) for f, env_id, seed in places]
    assert groups[0] == groups[1] == "a/CartPole-v1/0.9"
    assert len(set(groups)) == 3


def test_a_batch_on_a_disk_that_takes_nothing_still_says_why(tmp_path: Path) -> None:
    """A full disk is a common reason, and then the reason cannot be written down either."""
    (tmp_path / "file").write_text("no folder can be made below this")
    agent = make_agent("a2c", "CartPole-v1", {})
    (end,) = runner.run_batches(
        [BatchSpec(str(tmp_path / "file"), "CartPole-v1", "a2c", agent, make_arm("0.9"), (0,), 300, 1)], 1
    )
    assert end.error is not None
    assert end.error.startswith("NotADirectoryError: ")


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_learns_something(name: str, tmp_path: Path) -> None:
    """A baseline that stands still makes every β look good."""
    agent = make_agent("a2c", "CartPole-v1", {"lr": 3e-2 if name in ("sgd", "momentum") else 3e-3})
    batch = BatchSpec(str(tmp_path), "CartPole-v1", "a2c", agent, make_arm(name, baseline=True), (0, 1), 30_000, 5)
    train_batch(batch, lambda progress: None)
    curves = [read_table(batch.run_folder(seed) / "metrics.csv")["rollout/ep_rew_mean"] for seed in batch.seeds]
    assert max(curve[-1] for curve in curves) > 1.5 * curves[0][0]


def test_batches_cover_every_run_once_whatever_the_number_of_workers() -> None:
    """A seed lost in the cutting would silently shrink the sample."""
    agent = make_agent("a2c", "CartPole-v1", {})
    arms = (make_arm("0.9"), make_arm("0.99"))
    study = spec.Study(Path("x"), ("CartPole-v1",), "a2c", (agent,), arms, tuple(range(70)), 1000)
    for workers in (1, 2, 3, 16):
        runs = [(b.arm.rule, seed) for b in study.batches(workers) for seed in b.seeds]
        assert sorted(runs) == sorted((a.rule, s) for a in arms for s in range(70))
