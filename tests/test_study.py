"""Whole studies at a tiny size: files, tables, figures, failures, and that nothing depends on the order of work."""

import csv
import json
import shutil
from dataclasses import fields, replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agents.per_run import PerRun
from rl_rmsprop.baselines import BASELINES
from rl_rmsprop.cli import main
from rl_rmsprop.study.execution import executor, local_pool, worker
from rl_rmsprop.study.report import figures
from rl_rmsprop.study.spec.arms import make_arm
from rl_rmsprop.study.spec.options import TrainingOptions
from rl_rmsprop.study.spec.presets import PRESETS, make_agent
from rl_rmsprop.study.spec.run_config import hparams, hparams_group
from rl_rmsprop.study.training.monitor import UNWATCHED
from rl_rmsprop.study.training.optimizers import make_optimizer
from rl_rmsprop.study.training.policies import evaluation_seed
from rl_rmsprop.study.training.train import BatchTask, train_batch
from rl_rmsprop.telemetry import tags, tensorboard
from rl_rmsprop.telemetry.csv_table import read_table
from tests.builders import batch_of, study_of, with_options, write_placeholders

ARMS = ("0.9", "linear:start=0.5,end=0.99", "cusum:arl=50,burn_in=5,max=0.99")
TINY = ["--seeds", "0-2", "--steps", "4000", "--eval-episodes", "4", "--workers", "2"]


@pytest.fixture
def placeholders(monkeypatch: pytest.MonkeyPatch) -> None:
    """No figures: for tests that are about something else."""
    monkeypatch.setattr(figures, "draw", write_placeholders)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished comparison of three rules and a baseline."""
    folder = tmp_path_factory.mktemp("runs") / "study"
    assert main(["compare", "--env", "CartPole-v1", "--betas", *ARMS, "--baselines", "adam", "--out", str(folder), *TINY]) == 0
    shutil.copytree(folder / "report", folder.with_name("first_report"))  # tests make it again, in any order
    return folder


def test_every_run_has_its_files_and_a_final_evaluation(study: Path) -> None:
    """A run without its last row counts as failed."""
    for seed in range(3):
        folder = study / "CartPole-v1" / "linear_start0.5_end0.99" / f"seed_{seed:04d}"
        metrics = read_table(folder / "metrics.csv")
        assert tuple(metrics) == ("step", *tags.TAGS)
        assert (np.diff(metrics["step"]) > 0).all()
        assert np.isfinite(metrics["eval/mean_reward"]).tolist() == [False] * (len(metrics["step"]) - 1) + [True]
        assert metrics["optim/beta"][0] < 0.55
        assert metrics["optim/beta"][-1] == pytest.approx(0.99)
        episodes = read_table(folder / "episodes.csv")
        assert (episodes["return"] == episodes["length"]).all()  # CartPole pays 1 a step
        config = json.loads((folder / "config.json").read_text())
        assert (config["seed"], config["arm"]["text"]) == (seed, "linear:start=0.5,end=0.99")
        assert list(folder.glob("events.out.tfevents.*"))


def test_the_rate_counts_the_steps_of_all_runs_of_the_batch(study: Path) -> None:
    """The rate of one run of three would make batches look useless."""
    folders = [study / "CartPole-v1" / "0.9" / f"seed_{seed:04d}" for seed in range(3)]
    steps = sum(read_table(folder / "metrics.csv")["step"] for folder in folders)
    timing = read_table(folders[0] / "timing.csv")
    np.testing.assert_allclose(timing["time/steps_per_second"] * timing["time/seconds"], steps, rtol=1e-9)
    assert (np.diff(timing["time/seconds"]) > 0).all()


def test_tensorboard_shows_what_the_table_says(study: Path) -> None:
    """Curves and numbers that disagree would both be doubted."""
    folder = study / "CartPole-v1" / "0.9" / "seed_0001"
    metrics = read_table(folder / "metrics.csv")
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    for tag in tags.TAGS:
        known = ~np.isnan(metrics[tag])
        if not known.any():
            assert tag not in events.Tags()["scalars"]
            continue
        points = events.Scalars(tag)
        assert [p.step for p in points] == metrics["step"][known].astype(int).tolist(), tag
        np.testing.assert_allclose([p.value for p in points], metrics[tag][known], rtol=1e-6)
    assert {"hist/log10_E", "hist/log10_effective_lr"} <= set(events.Tags()["histograms"])


def test_the_range_of_beta_is_that_of_the_updates_since_the_last_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An alarm lasts a few updates and falls between two rows: only the smallest β shows it."""
    monkeypatch.setattr(tags, "POINTS", 40)
    agent = make_agent("a2c", "CartPole-v1", {"n_envs": 1, "n_steps": 1, "hidden": (4,)})
    arms = {"saw": "cyclic:start=0.1,end=0.9,period=3", "line": "linear:start=0,end=0.159"}  # 160 updates, a row every 4
    rows = {}
    for name, text in arms.items():
        batch = batch_of(str(tmp_path / name), "CartPole-v1", "a2c", agent, make_arm(text), (1,), 160, 1)
        train_batch(batch)
        rows[name] = read_table(batch.run_folder(1) / "metrics.csv")
    assert rows["saw"]["optim/beta_min"] == pytest.approx(np.full(40, 0.1))
    assert rows["saw"]["optim/beta_max"] == pytest.approx(np.full(40, 0.9))
    # On the line β_n = (n − 1)/1000: a row at update n has seen β from n − 3 to n.
    assert rows["line"]["optim/beta_max"] == pytest.approx(np.arange(3, 160, 4) / 1000)
    assert rows["line"]["optim/beta_min"] == pytest.approx(np.arange(0, 160, 4) / 1000)


def test_a_baseline_logs_no_beta(study: Path) -> None:
    """Adam has none, and a made-up one would mislead."""
    metrics = read_table(study / "CartPole-v1" / "adam" / "seed_0000" / "metrics.csv")
    assert np.isnan(metrics["optim/beta"]).all()
    assert np.isfinite(metrics["optim/grad_norm"]).all()


def test_the_report_holds_table_finding_and_pictures(study: Path) -> None:
    """The report is what a reader of the study sees."""
    page = (study / "report" / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/svg+xml;base64,") == 5 * 2  # each for a desk and for a phone
    assert "earned most over training" in page
    assert "3 seeds are few" in page
    assert "http" not in page
    with (study / "report" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["arm"], row["seed"]) for row in rows] == [(a, str(s)) for a in (*ARMS, "adam") for s in range(3)]
    folder = study / "CartPole-v1" / "0.9" / "seed_0002"
    assert float(rows[2]["final"]) == read_table(folder / "metrics.csv")["eval/mean_reward"][-1]
    assert int(rows[2]["episodes"]) == len(read_table(folder / "episodes.csv")["step"])


def test_a_report_made_again_is_the_same_byte_for_byte(study: Path) -> None:
    """A report that depends on more than the files could not be trusted later."""
    kinds = {".html", ".md", ".csv", ".png", ".svg"}

    def files(folder: Path) -> dict[str, bytes]:
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.*") if p.suffix in kinds}

    first = files(study.with_name("first_report"))
    assert {Path(name).suffix for name in first} == kinds
    shutil.rmtree(study / "report")
    (study / "report.json").unlink()  # which remembers by what it was made
    assert main(["report", str(study)]) == 0
    assert files(study / "report") == first


@pytest.mark.usefixtures("placeholders")
def test_a_report_by_another_metric_is_kept_until_the_next_one(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`report DIR` after `report DIR --metric final` would answer the old question again."""
    assert main(["report", str(study), "--metric", "final", "--baseline", "adam"]) == 0
    output = capsys.readouterr().out
    assert "was best in the final evaluation" in output
    assert "adam (baseline)" in output
    assert "Beware: 3 seeds are few" in output
    assert main(["report", str(study)]) == 0
    assert "was best in the final evaluation" in capsys.readouterr().out
    assert main(["report", str(study), "--threshold", "475"]) == 0
    assert "earned most over training" in capsys.readouterr().out


@pytest.mark.usefixtures("placeholders")
def test_runs_of_another_study_are_refused(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder copied over from a longer training would be the best run of the table."""
    mixed = tmp_path / "mixed"
    shutil.copytree(study, mixed)
    path = mixed / "CartPole-v1" / "0.9" / "seed_0001" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "steps": 8000}))
    assert main(["report", str(mixed)]) == 2
    output = capsys.readouterr().err
    assert "is of another study: its steps is 8000, this study's 4000" in output
    assert output.count("\n") == 1
    path.write_text(json.dumps({**config, "settings": {**config["settings"], "lr": 0.5}}))
    assert main(["report", str(mixed)]) == 2
    assert "its settings.lr is 0.5, this study's 0.0016" in capsys.readouterr().err
    older = {name: value for name, value in config["settings"].items() if name != "gamma"}
    path.write_text(json.dumps({**config, "settings": older}))
    assert main(["report", str(mixed)]) == 0  # made before there was such an option
    path.write_text("{")
    assert main(["report", str(mixed)]) == 2
    assert "seed_0001/config.json must describe the run in its folder" in capsys.readouterr().err


def test_a_study_without_a_finished_run_has_no_report(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty table would look like a result."""
    empty = tmp_path / "empty"
    empty.mkdir()
    shutil.copy(study / "study.json", empty)
    assert main(["report", str(empty)]) == 2
    assert "has no finished run" in capsys.readouterr().err
    assert not (empty / "report").exists()
    (empty / "study.json").write_text('{"name": "a study of bees"}')
    assert main(["report", str(empty)]) == 2
    assert "does not describe a study of this version" in capsys.readouterr().err


def test_aggregate_curves_lie_within_their_interval(study: Path) -> None:
    """TensorBoard's bands are made of three tags that must belong together."""
    events = EventAccumulator(str(study / "_agg" / "β = 0.9")).Reload()
    low, value, high = (
        np.array([p.value for p in events.Scalars(tensorboard.aggregate_tag("CartPole-v1", "rollout/ep_rew_mean", part))])
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
        *env_and_rule, seed, mean, _, _ = line.rsplit(",", 4)
        evaluated[env_and_rule[0].split(",", 1)[1].strip('"'), int(seed)] = float(mean)
    metrics = read_table(study / "CartPole-v1" / "0.9" / "seed_0002" / "metrics.csv")
    assert evaluated["0.9", 2] == metrics["eval/mean_reward"][-1]
    greedy = (study / "report" / "evaluation.csv").read_text()
    assert main(["evaluate", str(study), "--episodes", "4", "--stochastic"]) == 0
    assert (study / "report" / "evaluation.csv").read_text() != greedy


def test_evaluation_seeds_choose_the_environments_and_are_written_down(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A seed that changes nothing would confirm every result; one that is not written down cannot be repeated."""
    tables = []
    for seed in ([], ["--seed", "0"], ["--seed", "1"], ["--seed", "1"]):
        assert main(["evaluate", str(study), "--episodes", "4", *seed]) == 0
        tables.append(read_rows(study / "report" / "evaluation.csv"))
    assert "β = 0.9" in capsys.readouterr().out
    assert [{row["evaluation_seed"] for row in table} for table in tables] == [{""}, {"0"}, {"1"}, {"1"}]
    means = [[row["mean_return"] for row in table] for table in tables]
    assert means[2] == means[3]
    assert len({tuple(column) for column in means}) == 3


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("placeholders")
@pytest.mark.parametrize(
    ("agent", "options"),
    [("ppo", ["--batch-size", "20", "--n-epochs", "2", "--normalize-rewards", "True"]), ("a2c", []), ("reinforce", [])],
)
def test_continuous_normalised_runs_in_a_changing_world_are_evaluated_again_as_they_were(
    agent: str, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Running statistics that are not saved, or go on running in the evaluation, only show as a worse score."""
    line = f"train --env Pendulum-v1 --agent {agent} --seeds 0-1 --steps 700 --eval-episodes 3 --out {tmp_path / 'x'}"
    shape = "--n-envs 2 --n-steps 50 --normalize-observations True --log-std-init -0.5 --shift action_sign:values=1/-1,at=400"
    assert main([*line.split(), *shape.split(), *options, "--hidden", "4", "--workers", "1"]) == 0
    folder = tmp_path / "x" / "Pendulum-v1" / "0.99" / "seed_0001"
    weights = np.load(folder / "checkpoint" / "weights.npz")
    assert weights["actor"].size == (3 + 1) * 4 + (4 + 1) * 1 + 1  # ln σ is the last
    assert weights["observations_count"] == pytest.approx(700 + 2, rel=0.01)  # the steps' states, and those of now
    assert ("rewards_variance" in weights.files) == (agent == "ppo")
    metrics = read_table(folder / "metrics.csv")
    assert read_table(folder / "shifts.csv")["action_sign"].tolist() == [-1]
    assert np.isfinite(metrics["train/approx_kl"]).all() == (agent == "ppo")
    assert main(["evaluate", str(tmp_path / "x"), "--episodes", "3"]) == 0
    rows = (tmp_path / "x" / "report" / "evaluation.csv").read_text().splitlines()
    assert float(rows[-1].split(",")[3]) == metrics["eval/mean_reward"][-1]
    assert main(["evaluate", str(tmp_path / "x"), "--episodes", "3", "--stochastic"]) == 0
    assert (tmp_path / "x" / "report" / "evaluation.csv").read_text().splitlines() != rows


def test_policies_are_evaluated_in_episodes_that_they_were_not_trained_in() -> None:
    """The same starts again would measure memory."""
    seeds = range(100)
    assert len({evaluation_seed(seed) for seed in seeds} | set(seeds)) == 200


def test_a_second_study_in_the_same_folder_is_refused(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Overwriting hours of results must be asked for."""
    before = sorted(study.rglob("*"))
    assert main(["train", "--env", "CartPole-v1", "--out", str(study), *TINY]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert sorted(study.rglob("*")) == before


@pytest.mark.usefixtures("placeholders")
def test_what_was_typed_reaches_the_run_and_overwriting_leaves_nothing_behind(tmp_path: Path) -> None:
    """An option that is lost on the way makes a table of something else than what its title says."""
    line = f"--env CartPole-v1 --seeds 4 --steps 300 --eval-episodes 1 --out {tmp_path / 'x'}".split()
    assert main(["train", *line, "--beta", "0.9"]) == 0
    typed = ["--beta", "0.5", "--no-bias-correction", "--eps", "0.25", "--lr", "0.125", "--hidden", "3", "5", "--overwrite"]
    assert main(["train", *line, *typed]) == 0
    assert sorted(path.name for path in (tmp_path / "x" / "CartPole-v1").iterdir()) == ["0.5"]
    config = json.loads((tmp_path / "x" / "CartPole-v1" / "0.5" / "seed_0004" / "config.json").read_text())
    assert (config["bias_correction"], config["eps"]) == (False, 0.25)
    assert (config["settings"]["lr"], config["settings"]["hidden"]) == (0.125, [3, 5])
    assert config["settings"]["vf_coef"] == PRESETS["a2c", "CartPole-v1"]["vf_coef"]


def test_the_optimizer_is_the_one_that_the_arm_describes() -> None:
    """The run's config would say one thing, and the optimizer do another."""
    theta = [torch.nn.Parameter(torch.zeros(2, 3))]

    def made(arm, **options):  # type: ignore[no-untyped-def]
        return make_optimizer(arm, theta, 0.125, 10, (0, 1), TrainingOptions(**options))

    group = made(make_arm("0.5"), eps=0.25, bias_correction=False).param_groups[0]
    assert {key: group[key] for key in ("lr", "alpha", "eps", "bias_correction")} == {
        "lr": 0.125, "alpha": 0.5, "eps": 0.25, "bias_correction": False,
    }  # fmt: skip
    corrected = made(make_arm("0.5"))
    assert corrected.param_groups[0]["bias_correction"] is True
    baseline = made(make_arm("adam", baseline=True), eps=0.25)
    assert isinstance(baseline, PerRun)
    assert isinstance(baseline.inner, torch.optim.Adam)
    assert (baseline.param_groups[0]["lr"], baseline.param_groups[0]["eps"]) == (0.125, 0.25)


@pytest.mark.usefixtures("placeholders")
def test_the_study_goes_on_without_a_failed_batch_and_says_so_with_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script that runs overnight reads the exit code, not the table."""
    monkeypatch.setattr(local_pool.Pool, "run", fail_second)
    line = f"compare --env CartPole-v1 --betas 0.9 0.99 --seeds 0 --steps 300 --eval-episodes 1 --out {tmp_path / 'x'}"
    assert main(line.split()) == 3
    output = capsys.readouterr()
    assert output.err == "failed: CartPole-v1 · 0.99 · seed 0: the lights went out\n"
    assert "CartPole-v1: β = 0.9 earned" in output.out
    assert "Beware: 1 of 2 runs did not finish" in output.out
    assert "| CartPole-v1 | β = 0.99 | 0 | did not finish |" in (tmp_path / "x" / "report" / "report.md").read_text()


def fail_second(pool, specs):  # type: ignore[no-untyped-def]
    """In place of the pool: trains the first batch here, and loses the second."""
    specs[0].run(UNWATCHED)
    yield executor.Event(0, ended=True)
    yield executor.Event(1, ended=True, error="the lights went out")


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
    good = batch_of(str(tmp_path), "CartPole-v1", "a2c", make_agent("a2c", "CartPole-v1", {}), make_arm("0.9"), (0,), 300, 1)
    bad = replace(good, env_id="Broken-v0")
    # In this process: a registration made in a test is not known to a worker started afresh.
    reason = "ValueError: environment Broken-v0 failed in step 3: RuntimeError: the simulator fell over"
    assert worker.outcome(BatchTask(bad), UNWATCHED) == executor.Failed(reason)
    ends = [event for event in local_pool.Pool(1).run([BatchTask(bad), BatchTask(good)]) if event.ended]
    assert [bool(event.error) for event in ends] == [True, False]
    assert (good.run_folder(0) / "checkpoint" / "weights.npz").is_file()
    gym.registry.pop("Broken-v0")


def test_no_more_batches_run_at_once_than_there_are_workers(tmp_path: Path) -> None:
    """Forty arms started together would need the memory of forty."""
    agent = make_agent("a2c", "CartPole-v1", {})
    batches = [batch_of(str(tmp_path), "CartPole-v1", "a2c", agent, make_arm("0.9"), (seed,), 6000, 1) for seed in range(2)]
    events = list(local_pool.Pool(1).run([BatchTask(batch) for batch in batches]))
    assert [event.batch for event in events] == sorted(event.batch for event in events)
    training = [event for event in events if event.ended or (event.progress and not event.progress.phase)]
    assert len(training) == 2 * (47 + 1)  # ⌈6000 / 128⌉ logging steps and an end each


def test_a_batch_that_fails_before_its_first_file_says_why(tmp_path: Path) -> None:
    """A failure while failing would leave nothing but `exit code 1`."""
    good = batch_of(str(tmp_path), "CartPole-v1", "a2c", make_agent("a2c", "CartPole-v1", {}), make_arm("0.9"), (0,), 300, 1)
    bad = replace(good, env_id="Nowhere-v0")
    (end,) = local_pool.Pool(1).run([BatchTask(bad)])
    assert end.error is not None
    assert end.error.startswith("ValueError: environment must be a registered Gymnasium id, got 'Nowhere-v0'")
    assert "Traceback" in (bad.run_folder(0) / "error.txt").read_text()


def test_the_hparams_tab_averages_over_seeds_alone(tmp_path: Path) -> None:
    """With the arm's name alone as group it would average an arm's returns over environments and studies."""
    agent, arm = make_agent("a2c", "CartPole-v1", {}), make_arm("0.9")
    places = [("a", "CartPole-v1", 0), ("a", "CartPole-v1", 1), ("a", "Acrobot-v1", 0), ("b", "CartPole-v1", 0)]
    groups = [hparams_group(batch_of(str(tmp_path / f), env_id, "a2c", agent, arm, (seed,), 300)) for f, env_id, seed in places]
    assert groups[0] == groups[1] == "a/CartPole-v1/0.9"
    assert len(set(groups)) == 3


CHANGED_OPTIONS: dict[str, tuple[object, object]] = {
    "agent": ("ppo", "ppo"),
    "steps": (300, 300),
    "env_kwargs": (("gravity=-5", "Acrobot-v1:speed=2", "CartPole-v1:gravity=9.5"), "gravity=9.5"),
    "wrapper": (("a:One", "b:Two"), "a:One b:Two"),
    "shift": (("gravity:values=9.8/25,at=100",), "gravity:values=9.8/25,at=100"),
    "backend": ("envpool", "envpool"),
    "device": ("cuda", "cuda"),
    "bias_correction": (False, False),
    "eps": (1e-3, 1e-3),
    "lr_rule": ("trac", "trac"),
    "kernel": ("another", "another"),
}
"""Option → a value that is not its default, and what the HParams tab shows of it."""
UNCHANGING = {"eval_episodes": 7, "record_signals": True}
"""The same for options that do not change a training."""


@pytest.mark.parametrize("name", [field.name for field in fields(TrainingOptions)])
def test_the_hparams_tab_shows_every_option_that_changes_a_training(name: str) -> None:
    """Two studies that differ in one option look alike there. An option that is new must be in one of the tables above."""
    batch = batch_of("x", "CartPole-v1", "a2c", make_agent("a2c", "CartPole-v1", {}), make_arm("0.9"), (0,), 500_000)
    usual = hparams(batch)
    assert {column for column in usual if hasattr(batch.options, column)} == {"agent", "shift", "eps", "lr_rule"}
    if name in UNCHANGING:
        assert hparams(with_options(batch, **{name: UNCHANGING[name]})) == usual
        return
    value, shown = CHANGED_OPTIONS[name]
    assert hparams(with_options(batch, **{name: value})) == usual | {name: shown}


def test_all_runs_of_a_study_have_the_same_columns_in_the_hparams_tab(tmp_path: Path) -> None:
    """The tab takes its columns from the first run that it finds: an argument of the second environment would be lost."""
    agents = tuple(make_agent("a2c", env_id, {}) for env_id in ("CartPole-v1", "Acrobot-v1"))
    study = study_of(tmp_path, ("CartPole-v1", "Acrobot-v1"), "a2c", agents, (make_arm("0.9"),), (0,), 300)
    options = replace(study.options, env_kwargs=("Acrobot-v1:render_mode=rgb_array",))
    first, second = (hparams(spec) for spec in replace(study, options=options).batches())
    assert list(first) == list(second)
    assert (first["env_kwargs"], second["env_kwargs"]) == ("none", "render_mode=rgb_array")
    assert (second["lr"], second["hidden"]) == (agents[1].lr, "64 64")


def test_a_batch_on_a_disk_that_takes_nothing_still_says_why(tmp_path: Path) -> None:
    """A full disk is a common reason, and then the reason cannot be written down either."""
    (tmp_path / "file").write_text("no folder can be made below this")
    agent = make_agent("a2c", "CartPole-v1", {})
    batch = batch_of(str(tmp_path / "file"), "CartPole-v1", "a2c", agent, make_arm("0.9"), (0,), 300, 1)
    with pytest.raises(NotADirectoryError, match="Not a directory"):
        list(local_pool.Pool(1).run([BatchTask(batch)]))


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_learns_something(name: str, tmp_path: Path) -> None:
    """A baseline that stands still makes every β look good."""
    agent = make_agent("a2c", "CartPole-v1", {"lr": 3e-2 if name in ("sgd", "momentum") else 3e-3})
    batch = batch_of(str(tmp_path), "CartPole-v1", "a2c", agent, make_arm(name, baseline=True), (0, 1), 12_000, 5)
    train_batch(batch)
    curves = [read_table(batch.run_folder(seed) / "metrics.csv")["rollout/ep_rew_mean"] for seed in batch.seeds]
    assert max(curve[-1] for curve in curves) > 1.5 * curves[0][0]


def test_batches_cover_every_run_once_whatever_the_number_of_workers() -> None:
    """A seed lost in the cutting would silently shrink the sample."""
    agent = make_agent("a2c", "CartPole-v1", {})
    arms = (make_arm("0.9"), make_arm("0.99"))
    study = study_of(Path("x"), ("CartPole-v1",), "a2c", (agent,), arms, tuple(range(70)), 1000)
    for workers in (1, 2, 3, 16):
        runs = [(b.arm.text, seed) for b in study.cut_for(workers).batches() for seed in b.seeds]
        assert sorted(runs) == sorted((a.text, s) for a in arms for s in range(70))


def test_alarms_of_an_agent_with_many_updates_a_window_are_at_their_update(tmp_path: Path) -> None:
    """Silent failure: alarms are counted by iterations, and a control repeats them at a tenth of the training."""
    agent = make_agent("ppo", "CartPole-v1", {"n_envs": 2, "n_steps": 8, "batch_size": 8, "n_epochs": 3, "hidden": (4,)})
    arm = make_arm("cusum:arl=5,burn_in=3")
    batch = batch_of(str(tmp_path), "CartPole-v1", "ppo", agent, arm, (1, 2), 160, 1, record_signals=True)
    train_batch(batch)
    for seed in batch.seeds:
        alarms = read_table(batch.run_folder(seed) / "alarms.csv")
        signals = np.load(batch.run_folder(seed) / "signals.npz")
        assert len(signals["alarm"]) == batch.updates == 10 * 6
        (index,) = np.nonzero(signals["alarm"])
        assert alarms["update"].tolist() == (index + 1).tolist()
        assert alarms["step"].tolist() == signals["step"][index].tolist()
        assert len(index) > 0
