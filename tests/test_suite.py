"""A reference study from its folders to tables, page and verification: tiny real studies."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rliable import metrics
from scipy import stats

from rl_rmsprop.cli import main
from rl_rmsprop.study.suite import collecting, schema, suite, verification
from rl_rmsprop.study.suite.schema import FAILED, FINISHED, Draw, Result, Task
from tests import suite_studies
from tests.suite_studies import TASKS

CUSUM = "cusum:signal=grad_norm,arl=20,burn_in=5,max=0.99"
Table = list[dict[str, str]]


def table(path: Path) -> Table:
    """A CSV file, read by nobody's code but Python's."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Study files and trained studies; not to be changed."""
    folder = tmp_path_factory.mktemp("reference_study")
    suite_studies.train(folder)
    return folder


@pytest.fixture(scope="session")
def tables(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their tables and page; not to be changed."""
    out = tmp_path_factory.mktemp("tables")
    assert collect(trained, out) == 0
    assert main(["study", "page", str(out)]) == 0
    return out


@pytest.fixture
def copy(tables: Path, tmp_path: Path) -> Path:
    """Tables to be changed."""
    for kind in (Task, Result, Draw):
        shutil.copy(tables / schema.FILES[kind], tmp_path)
    return tmp_path


def collect(trained: Path, out: Path, *tasks: str) -> int:
    """The command line on these tasks, by default all."""
    folders = [str(trained / "runs" / task) for task in tasks or TASKS]
    return main(["study", "collect", *folders, "--out", str(out), "--scales", str(trained / "reference" / "scales.toml")])


def run_folder(trained: Path, row: dict[str, str]) -> Path:
    """Where a row's run is."""
    (env,) = {task: env for task, (env, _, _) in TASKS.items() if task == row["task"]}.values()
    arm = row["arm"].replace(":", "_").replace(",", "_").replace("=", "")
    return trained / "runs" / row["task"] / env / arm / f"seed_{int(row['seed']):04d}"


# Tables -----------------------------------------------------------------------------------------------------------------


def test_every_run_and_every_trial_has_its_row(tables: Path) -> None:
    """Silent failure: an arm whose name needs another folder is left out of every average."""
    results, draws = table(tables / "results.csv"), table(tables / "draws.csv")
    assert len(results) == 3 * 8 * 3
    assert {row["status"] for row in results} == {FINISHED}
    assert len(draws) == 3 * 5 * 3 * 3  # controls are not tuned
    keys = [(row["task"], row["arm"], int(row["seed"])) for row in results]
    assert keys == sorted(set(keys))


def test_scores_and_hashes_are_those_of_the_runs_files(trained: Path, tables: Path) -> None:
    """Everything on the page rests on these columns; here they are computed in the plainest way."""
    for row in table(tables / "results.csv"):
        folder = run_folder(trained, row)
        assert row["sha256"] == hashlib.sha256((folder / "metrics.csv").read_bytes()).hexdigest()
        last = table(folder / "metrics.csv")[-1]
        assert float(row["final"]) == pytest.approx(float(last["eval/mean_reward"]), rel=1e-5)
        assert row["alarms"] == last["detector/alarms"]
        episodes = [(int(e["step"]), float(e["return"])) for e in table(folder / "episodes.csv")]
        area, end = 0.0, int(last["step"])
        for k, (step, _) in enumerate(episodes):
            until = episodes[k + 1][0] if k + 1 < len(episodes) else end
            running = np.mean([earned for _, earned in episodes[max(0, k - 19) : k + 1]])
            area += float(running) * (until - (step if k else 0))
        assert float(row["mean_return"]) == pytest.approx(area / end, rel=1e-5)
        betas = [float(r["optim/beta"]) for r in table(folder / "metrics.csv") if r["optim/beta"]]
        assert float(row["mean_beta"] or "nan") == pytest.approx(np.mean(betas) if betas else math.nan, rel=1e-5, nan_ok=True)


def test_survival_and_delays_are_those_of_the_runs_files(trained: Path, tables: Path) -> None:
    """Silent failure: a level before the change is compared with episodes that the change divides."""
    scale = {"CartPole-v1": (5, 40), "Acrobot-v1": (-600, -80)}
    seen = set()
    for row in table(tables / "results.csv"):
        folder, (env, _, _) = run_folder(trained, row), TASKS[row["task"]]
        steps = int(table(folder / "metrics.csv")[-1]["step"])
        changes = [(int(s["step"]), int(s["update"])) for s in table(folder / "shifts.csv")]
        ends = [*(step for step, _ in changes), steps][1:]
        episodes = [(int(e["step"]), float(e["return"]), int(e["length"])) for e in table(folder / "episodes.csv")]
        low, high = scale[env]
        lived: list[float] = []
        for k, (step, _) in enumerate(changes):
            begin = changes[k - 1][0] if k else -math.inf
            before = [r for s, r, n in episodes if s - 4 * n >= begin and s <= step - 32][-20:]
            after = [r for s, r, n in episodes if s - 4 * n >= step and s <= ends[k]][-20:]
            if before and after and np.mean(before) - low >= 0.1 * (high - low):
                lived.append(float(np.mean(after) - low >= (np.mean(before) - low) / 2))
        assert row["survived"] == ("" if not lived else f"{float(f'{np.mean(lived):.6g}')!r}")
        seen.add(row["survived"])
        alarms = [int(a["update"]) for a in table(folder / "alarms.csv")]
        updates = [update for _, update in changes]
        delays = []
        for update, following in zip(updates, [*updates, math.inf][1:], strict=True):
            delays.append(next((str(a - update) for a in alarms if update <= a < following), "inf"))
        listens = "alarms.csv" if row["alarms"] else ""
        assert row["delays"] == ("/".join(delays) if listens else "")
        assert row["watched"] == "/".join(str(end - step) for (step, _), end in zip(changes, ends, strict=True))
    assert {"", "1.0"} < seen  # stationary, and some that live and die


def test_the_rows_of_tasks_say_what_was_trained(trained: Path, tables: Path) -> None:
    """Whoever has the tables alone must be able to make the study again."""
    rows = {row["task"]: row for row in table(tables / "tasks.csv")}
    assert [rows[task]["kind"] for task in sorted(TASKS)] == ["abrupt", "recurring", "stationary"]
    assert [rows[task]["severity"] for task in sorted(TASKS)] == ["medium", "severe", ""]
    row = rows["cartpole_a2c_recurring_severe"]
    assert (row["shift"], row["seeds"], row["draws"]) == ("gravity:values=9.8/25/9.8,at=400/800", "0-2", "3")
    assert row["arms"].split()[-1] == "sgd"
    config = json.loads(next((trained / "runs" / row["task"]).rglob("config.json")).read_text())
    assert (row["commit"] or None, row["processor"], row["kernel"]) == (config["commit"], config["processor"], config["kernel"])


def test_settings_are_those_that_the_runs_trained_with(trained: Path, tables: Path) -> None:
    """A cell that nobody can train again proves nothing; and a path of this machine in it would differ everywhere."""
    for row in table(tables / "results.csv"):
        config = json.loads((run_folder(trained, row) / "config.json").read_text())
        rule, lr = schema.parse_setting(row["setting"])
        assert lr == config["settings"]["lr"]
        if row["arm"].startswith("yoked"):
            assert str(trained) in config["arm"]["trained_as"]
            assert str(trained) not in rule
        else:
            assert rule == config["arm"]["trained_as"]


def test_collecting_again_gives_the_same_bytes_in_any_order(trained: Path, tables: Path, tmp_path: Path) -> None:
    """Silent failure: every collection is a difference in git."""
    for task in reversed(TASKS):
        assert collect(trained, tmp_path, task) == 0
    for kind in (Task, Result, Draw):
        assert (tmp_path / schema.FILES[kind]).read_bytes() == (tables / schema.FILES[kind]).read_bytes()


def test_only_the_rows_of_collected_tasks_are_replaced(trained: Path, tables: Path, copy: Path) -> None:
    """Folders of tasks that were collected long ago are gone."""
    text = (copy / "results.csv").read_text(encoding="utf-8")
    (copy / "results.csv").write_text(text.replace("finished", "failed"), encoding="utf-8")
    assert collect(trained, copy, "cartpole_a2c_stationary") == 0
    statuses = {(row["task"], row["status"]) for row in table(copy / "results.csv")}
    others = TASKS.keys() - {"cartpole_a2c_stationary"}
    assert statuses == {("cartpole_a2c_stationary", FINISHED), *((task, FAILED) for task in others)}


def test_of_a_study_under_way_there_are_the_runs_that_have_ended(trained: Path, tmp_path: Path) -> None:
    """Silent failure: a run that failed is missing, and its arm looks better than it is; or one under way counts as failed."""
    folder = tmp_path / "runs" / "cartpole_a2c_stationary"
    shutil.copytree(trained / "runs" / folder.name, folder)
    arm = folder / "CartPole-v1" / "0.9"
    for seed in (0, 1):
        (arm / f"seed_{seed:04d}" / "checkpoint" / "weights.npz").unlink()
    (arm / "seed_0001" / "error.txt").write_text("gradients were not finite\n")
    (folder / "tuning.csv").unlink()
    assert (
        main(["study", "collect", str(folder), "--out", str(tmp_path), "--scales", str(trained / "reference/scales.toml")]) == 0
    )
    rows = [row for row in table(tmp_path / "results.csv") if row["arm"] == "0.9"]
    assert [(row["seed"], row["status"]) for row in rows] == [("1", FAILED), ("2", FINISHED)]
    assert rows[0]["mean_return"] == rows[0]["sha256"] == ""
    assert table(tmp_path / "draws.csv") == []
    assert main(["study", "page", str(tmp_path)]) == 0
    answers = {row["verdict"] for row in table(tmp_path / "tables" / "averages.csv") if "verdict" in row}
    assert answers == set()


# Page -------------------------------------------------------------------------------------------------------------------


def test_the_page_needs_the_tables_alone_and_is_the_same_every_time(tables: Path, copy: Path) -> None:
    """Silent failure: a number that only the machine with the runs can make."""
    assert main(["study", "page", str(copy)]) == 0
    made = {path.relative_to(tables): path for path in tables.rglob("*") if path.is_file()}
    again = {path.relative_to(copy): path for path in copy.rglob("*") if path.is_file()}
    assert made.keys() == again.keys()
    for name in made.keys() - {Path("numbers.md")}:  # which names the folder
        assert made[name].read_bytes() == again[name].read_bytes(), name
    text = (tables / "numbers.md").read_text(encoding="utf-8")
    assert text.replace(str(tables), str(copy)) == (copy / "numbers.md").read_text(encoding="utf-8")


def test_the_order_of_rows_does_not_matter(tables: Path, copy: Path) -> None:
    """Silent failure: runs are paired by their place in a file."""
    for kind in (Result, Draw):
        rows = schema.read(copy / schema.FILES[kind], kind)
        order = np.random.default_rng(0).permutation(len(rows))
        schema.write(copy / schema.FILES[kind], kind, [rows[i] for i in order])
    assert main(["study", "page", str(copy)]) == 0
    for path in (tables / "tables").iterdir():
        assert path.read_bytes() == (copy / "tables" / path.name).read_bytes()


def test_numbers_are_recomputed_from_the_tables_by_rliable_and_scipy(tables: Path) -> None:
    """The page's promise to whoever doubts it."""
    tasks = {row["task"]: row for row in table(tables / "tasks.csv")}
    scores: dict[str, dict[str, list[float]]] = {}
    for row in table(tables / "results.csv"):
        low, high = (float(tasks[row["task"]][end]) for end in ("low", "high"))
        scores.setdefault(row["arm"], {}).setdefault(row["task"], []).append((float(row["mean_return"]) - low) / (high - low))
    matrix = lambda arm, of: np.array([scores[arm][task] for task in of]).T  # [runs, tasks]
    shifted = [task for task, row in tasks.items() if row["shift"]]
    for row in table(tables / "tables" / "averages.csv"):
        of = {"all": list(tasks), "shifted": shifted}.get(row["over"])
        if of is not None:
            assert float(row["iqm"]) == pytest.approx(metrics.aggregate_iqm(matrix(row["arm"], of)), rel=1e-4)
    compared = [row for row in table(tables / "tables" / "comparisons.csv") if row["hypothesis"] == "H3"]
    assert {row["against"] for row in compared} == {"yoked@cusum", "random@cusum", "mean_beta@cusum"}
    for row in compared:
        x, y = matrix(row["arm"], shifted), matrix(row["against"], shifted)
        assert float(row["improvement"]) == pytest.approx(metrics.probability_of_improvement(x, y), rel=1e-4)
    arms = [arm for arm in scores if "@" not in arm]
    test = stats.friedmanchisquare(*[[metrics.aggregate_iqm(matrix(arm, [task])) for task in tasks] for arm in arms])
    of_all = [row for row in table(tables / "tables" / "ranks.csv") if row["over"] == "all"]
    assert {row["arm"] for row in of_all} == set(arms)
    assert float(of_all[0]["friedman"]) == pytest.approx(test.statistic, rel=1e-4)
    assert float(of_all[0]["p"]) == pytest.approx(test.pvalue, rel=1e-4)
    range_quantile = stats.studentized_range.ppf(0.95, len(arms), np.inf)
    critical = range_quantile / math.sqrt(2) * math.sqrt(len(arms) * (len(arms) + 1) / (6 * len(tasks)))
    assert float(of_all[0]["critical_difference"]) == pytest.approx(critical, rel=1e-4)


def test_the_page_has_every_hypothesis_between_its_marks(tables: Path) -> None:
    """A hand-written page includes fragments by these comments."""
    text = (tables / "numbers.md").read_text(encoding="utf-8")
    for name in ("extent", "tasks", "H1", "H2", "H3", "H4", "H6", "H7", "averages shifted", "variance", "phi", "areas"):
        begin, end = text.index(f"<!-- begin {name} -->"), text.index(f"<!-- end {name} -->")
        fragment = text[begin:end]
        assert "|---" in fragment or "Friedman" in fragment
        assert f"`rl-rmsprop study page {tables}`" in fragment
    assert "72 of 72 planned" in text
    drawn = {path.stem for path in (tables / "figures").iterdir()}
    assert drawn == {"iqm", "profiles", "ranks", "lr", "variance", "survival", "delay"}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (tables / "figures").iterdir())


def test_forecasts_stand_beside_returns_where_there_are_any(copy: Path) -> None:
    """An optional table that is not looked at is no use."""
    rows = [(task, arm, k / 10) for task in TASKS for k, arm in enumerate(("0.9", "0.99", CUSUM))]
    schema.write(copy / "forecast.csv", schema.Forecast, rows)
    assert main(["study", "page", str(copy)]) == 0
    found = table(copy / "tables" / "foresight.csv")
    assert [(row["task"], row["arm"], float(row["regret"])) for row in found] == rows
    assert "<!-- begin foresight -->" in (copy / "numbers.md").read_text(encoding="utf-8")


# Verification -------------------------------------------------------------------------------------------------------------


def verify(trained: Path, folder: Path, *more: str) -> int:
    """The command line."""
    return main(["study", "verify", str(folder), "--studies", str(trained / "reference"), *more])


def test_runs_trained_anew_have_the_recorded_hashes(trained: Path, tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One run of every kind of arm, controls included: each alone, while it was trained in a batch."""
    loaded = suite.load(tables)
    rows = [row for row in loaded.results if row.seed == 1 and row.task != "acrobot_a2c_abrupt_medium"]
    cells = [row for row in rows if not row.arm.startswith("yoked")]
    from rl_rmsprop.cli.study import described

    studies = {task: described(task, trained / "reference") for task in TASKS}
    checks = verification.verify(loaded, cells, studies)
    assert [(c.run.arm, c.outcome, c.note) for c in checks] == [(row.arm, verification.EQUAL, "") for row in cells]
    assert verify(trained, tables, "--cells", "1", "--seed", "3") == 0
    assert "1 of 1 runs agree" in capsys.readouterr().out


def test_which_runs_are_drawn_depends_on_the_seed_alone_and_none_is_yoked(tables: Path) -> None:
    """A yoked run needs the alarms of another one, which the tables do not have."""
    loaded = suite.load(tables)
    assert verification.drawn(loaded, 5, 0) == verification.drawn(loaded, 5, 0) != verification.drawn(loaded, 5, 1)
    everything = verification.drawn(loaded, 10_000, 0)
    assert len(everything) == len(set(everything)) == 3 * 7 * 3


def edit(folder: Path, kind: type, change: Callable[[dict[str, object]], dict[str, object]]) -> None:
    """Change every row of a table."""
    rows = schema.read(folder / schema.FILES[kind], kind)
    schema.write(folder / schema.FILES[kind], kind, [row._replace(**change(row._asdict())) for row in rows])


def test_a_changed_table_is_found_out(trained: Path, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Silent failure: a check that cannot fail."""
    edit(copy, Result, lambda row: {"sha256": "0" * 64})
    assert verify(trained, copy, "--cells", "1", "--seed", "3") == 3
    out = capsys.readouterr().out
    assert "differs" in out
    assert "0 of 1 runs agree" in out


def test_on_another_processor_scores_are_compared(trained: Path, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Last bits differ there, and hashes with them; a score far from its arm's still is none of its runs'."""
    edit(copy, Task, lambda row: {"processor": "SVE"})
    edit(copy, Result, lambda row: {"sha256": "0" * 64})
    assert verify(trained, copy, "--cells", "1", "--seed", "3") == 0
    out = capsys.readouterr().out
    assert "within the interval" in out
    assert "recorded with SVE" in out
    edit(copy, Result, lambda row: {"mean_return": 1000.0 + float(str(row["seed"]))})
    assert verify(trained, copy, "--cells", "1", "--seed", "3") == 3
    assert "outside the interval" in capsys.readouterr().out


@pytest.mark.parametrize("degrees", [1, 2, 3, 5, 9, 19, 29])
def test_the_interval_of_one_more_run_is_students(degrees: int) -> None:
    """2.6 % of runs, and not 20 %, may lie outside."""
    assert verification.t_quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=2e-3)
    x = np.random.default_rng(0).uniform(size=degrees + 1)  # whose hull is narrower
    reach = stats.t.ppf(0.975, degrees) * x.std(ddof=1) * math.sqrt(1 + 1 / len(x))
    assert verification.one_more(x) == pytest.approx((x.mean() - reach, x.mean() + reach), rel=1e-2)


def test_another_study_file_of_the_same_name_is_refused(
    trained: Path, tables: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hashes that differ because of the file would look like a fault of the results."""
    for name in TASKS:
        text = (trained / "reference" / f"{name}.toml").read_text(encoding="utf-8")
        (tmp_path / f"{name}.toml").write_text(text.replace("steps = ", "steps = 1"), encoding="utf-8")
    assert main(["study", "verify", str(tables), "--studies", str(tmp_path), "--cells", "1"]) == 2
    assert "it is another study" in capsys.readouterr().err


# Bad input ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("study", "rl-rmsprop study needs ACTION: what to do: collect, page or verify"),
        ("study publish", "must be collect, page or verify, got 'publish'"),
        ("study collect", "study collect needs folders of studies"),
        ("study collect nowhere", "nowhere holds no study"),
        ("study collect {runs}/cartpole_a2c_stationary --out {tables}/tasks.csv", "out must be a folder"),
        ("study collect {runs}/cartpole_a2c_stationary --cells 3", "--cells is an option of study verify"),
        ("study collect {runs}/cartpole_a2c_stationary --scales nowhere.toml --out x", "no table of scales nowhere.toml"),
        ("study collect {runs}/cartpole_a2c_stationary {runs}/cartpole_a2c_stationary --scales {scales} --out x",
         "two folders cartpole_a2c_stationary"),
        ("study page", "takes the folder of the tables, got 0"),
        ("study page nowhere", "nowhere has no tasks.csv"),
        ("study page {tables} {tables}", "takes the folder of the tables, got 2"),
        ("study page {tables} --out x", "--out is an option of study collect"),
        ("study verify {tables} --cells 0", "cells must be from 1"),
        ("study verify {tables} --seed -1", "seed must be a whole number from 0"),
        ("study verify {tables} --studies nowhere", "no study file nowhere/"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_makes_nothing(
    line: str, message: str, trained: Path, tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """As every verb's."""
    monkeypatch.chdir(tmp_path)
    words = line.format(runs=trained / "runs", tables=tables, scales=trained / "reference" / "scales.toml").split()
    assert main(words) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 3", "x must be a table of low, high and source"),
        ('["CartPole-v1"]\nlow = 1\nhigh = 2', "must be a table of low, high and source"),
        ('["CartPole-v1"]\nlow = 2\nhigh = 1\nsource = ""', "low < high"),
        ('["CartPole-v1"]\nlow = "a"\nhigh = 1\nsource = ""', "low must be a number"),
        ('["CartPole-v2"]\nlow = 0\nhigh = 1\nsource = ""', "no scale for CartPole-v1: did you mean CartPole-v2?"),
        ("[", "is not TOML"),
    ],
)
def test_a_wrong_table_of_scales_is_refused(
    text: str, message: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Silent failure: a low above high turns every comparison around."""
    (tmp_path / "scales.toml").write_text(text)
    folder = trained / "runs" / "cartpole_a2c_stationary"
    words = ["study", "collect", str(folder), "--out", str(tmp_path / "out"), "--scales", str(tmp_path / "scales.toml")]
    assert main(words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_table_of_another_version_is_refused(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Silent failure: a column that moved is read as another one."""
    text = (copy / "results.csv").read_text(encoding="utf-8")
    (copy / "results.csv").write_text(text.replace("task,arm,setting", "arm,task,setting"), encoding="utf-8")
    assert main(["study", "page", str(copy)]) == 2
    assert "must be a table with the columns task, arm, setting" in capsys.readouterr().err
    (copy / "results.csv").write_text(text.replace("cartpole_a2c_stationary", "other"), encoding="utf-8")
    assert main(["study", "page", str(copy)]) == 2
    assert "has no task other" in capsys.readouterr().err


def test_a_study_of_two_environments_is_no_task(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its two scales would be one."""
    folder = tmp_path / "two"
    shutil.copytree(trained / "runs" / "cartpole_a2c_stationary", folder)
    content = json.loads((folder / "study.json").read_text())
    content["env_ids"], content["agents"] = ["CartPole-v1", "Acrobot-v1"], content["agents"] * 2
    (folder / "study.json").write_text(json.dumps(content))
    words = ["study", "collect", str(folder), "--out", str(tmp_path / "out"), "--scales", str(trained / "reference/scales.toml")]
    assert main(words) == 2
    assert "must be a study of one environment, got 2" in capsys.readouterr().err
    assert collecting.SEVERITIES
