"""A study from Python: run_study with executors, sinks and observers of one's own, and with a folder that holds a study."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from rl_rmsprop.study import run
from rl_rmsprop.study.execution.executor import Ended, Event, Task
from rl_rmsprop.study.execution.observer import Observer
from rl_rmsprop.study.execution.worker import outcome
from rl_rmsprop.study.run import StudyResults, resume_study, run_study
from rl_rmsprop.study.spec.arms import make_arm
from rl_rmsprop.study.spec.presets import make_agent
from rl_rmsprop.study.spec.study import Study
from rl_rmsprop.study.training.monitor import Monitor, Note, Progress, Stopped
from rl_rmsprop.study.training.train import train_batch
from rl_rmsprop.telemetry import tags
from rl_rmsprop.telemetry.csv_table import read_table
from rl_rmsprop.telemetry.sinks import NoSink, RunInfo
from tests.builders import batch_of, study_of

AGENT = make_agent("a2c", "CartPole-v1", {"hidden": (8,), "n_envs": 4})
FILES = ("metrics.csv", "episodes.csv", "alarms.csv", "checkpoint/weights.npz")


class InThisProcess:
    """An executor without processes."""

    workers = 1
    is_idle = True

    def check(self, study: Study) -> None: ...

    def close(self) -> None: ...

    def run(self, tasks: Sequence[Task]) -> Iterator[Event]:
        for number, task in enumerate(tasks):
            news: list[Progress | Note] = []
            word = outcome(task, Monitor(news.append))
            yield from (Event(number, progress=item) for item in news if isinstance(item, Progress))
            assert isinstance(word, Ended), word
            yield Event(number, ended=True, failures=word.failures)

    def stop(self) -> None: ...

    def kill(self) -> None: ...


def small(folder: Path, **options: object) -> Study:
    arms = (make_arm("0.9"), make_arm("cusum:arl=20,burn_in=5"))
    return study_of(folder, ("CartPole-v1",), "a2c", (AGENT,), arms, (0, 3), 1200, **{"eval_episodes": 2, **options})  # type: ignore[arg-type]


def run_files(folder: Path) -> dict[str, bytes]:
    """All that runs have written and that does not hold the time."""
    return {str(path.relative_to(folder)): path.read_bytes() for name in FILES for path in sorted(folder.rglob(f"seed_*/{name}"))}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StudyResults]:
    folder = tmp_path_factory.mktemp("run") / "study"
    return folder, run_study(small(folder), InThisProcess())


def test_results_are_those_of_the_files(finished: tuple[Path, StudyResults]) -> None:
    """A caller must not have to know the folder's layout to learn what came out."""
    folder, results = finished
    assert [arm.arm.text for arm in results.arms] == ["0.9", "cusum:arl=20,burn_in=5"]
    assert results.failures == []
    table = read_table(folder / "CartPole-v1" / "0.9" / "seed_0003" / "metrics.csv")
    assert results.arms[0].runs[1].final_return == table["eval/mean_reward"][-1]
    assert results.report is not None
    assert (folder / "report" / "report.html").is_file()


def test_processes_write_the_same_bytes_as_an_executor_of_ones_own(finished: tuple[Path, StudyResults], tmp_path: Path) -> None:
    """Silent failure: where a study runs is in its results."""
    run_study(small(tmp_path / "study"))
    assert run_files(tmp_path / "study") == run_files(finished[0])
    assert len(run_files(finished[0])) == 4 * len(FILES)


def test_the_same_study_is_resumed_and_another_one_is_refused(finished: tuple[Path, StudyResults]) -> None:
    """A cell of a notebook that is run twice must neither train twice nor lose what there is."""

    class Nothing(InThisProcess):
        def run(self, tasks: Sequence[Task]) -> Iterator[Event]:
            raise AssertionError("nothing is left to train")

    folder, results = finished
    before = run_files(folder)
    assert run_study(small(folder), Nothing()).arms[0].final_return == results.arms[0].final_return
    assert resume_study(folder, Nothing()).arms[1].final_return == results.arms[1].final_return
    with pytest.raises(ValueError, match="holds another study"):
        run_study(small(folder, eval_episodes=3), Nothing())
    with pytest.raises(ValueError, match="holds a study already"):
        run_study(small(folder), Nothing(), if_exists="refuse")
    assert run_files(folder) == before


class Collected(NoSink):
    """A sink that remembers, in this process."""

    runs: ClassVar[dict[int, list[tuple[int, Mapping[str, float]]]]] = {}

    def __init__(self, run: RunInfo) -> None:
        assert run.config["seed"] == run.seed
        self.rows = self.runs.setdefault(run.seed, [])

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self.rows.append((step, dict(values)))


def test_a_sink_of_ones_own_gets_what_the_table_has(tmp_path: Path) -> None:
    """Silent failure: a sink gets another row, run or tag than metrics.csv."""
    Collected.runs.clear()
    run_study(small(tmp_path / "study"), InThisProcess(), [Collected])
    table = read_table(tmp_path / "study" / "CartPole-v1" / "cusum_arl20_burn_in5" / "seed_0003" / "metrics.csv")
    rows = Collected.runs[3][len(Collected.runs[3]) // 2 :]  # the second arm's
    assert [step for step, _ in rows] == table["step"].tolist()
    for number, (_, values) in enumerate(rows):
        for tag in tags.TAGS:
            seen, kept = values.get(tag, math.nan), table[tag][number]
            assert seen == kept or (math.isnan(seen) and math.isnan(kept)), tag
    assert not list((tmp_path / "study").rglob("seed_*/events.*"))


def test_an_observer_hears_of_the_study_and_of_its_evaluation(tmp_path: Path) -> None:
    """A final evaluation of an hour that shows nothing looks like a study that hangs."""
    messages: list[str] = []

    class Listener(Observer):
        def started(self, folder: Path) -> None:
            messages.append(f"started {folder.name}")

        def event(self, event: Event) -> None:
            if event.progress is not None:
                messages.append(event.progress.phase)

    run_study(small(tmp_path / "study"), InThisProcess(), [NoSink_], Listener())
    assert messages[0] == "started study"
    assert "final evaluation, 0 of 4 episodes" in messages


def NoSink_(run: RunInfo) -> NoSink:
    return NoSink()


def test_no_final_evaluation_is_possible(tmp_path: Path) -> None:
    """Whoever evaluates elsewhere must not wait for a hundred episodes."""
    results = run_study(small(tmp_path / "study", eval_episodes=0), InThisProcess())
    assert all(math.isnan(run.final_return) and run.alarms is not None for arm in results.arms for run in arm.runs)
    assert results.failures == []
    assert len(results.arms[0].runs) == 2


def test_weights_are_on_disk_before_the_evaluation_and_a_stop_in_it_loses_nothing(tmp_path: Path) -> None:
    """The policy of a day must not be out of reach behind an evaluation that never ends."""
    whole, cut = (
        batch_of(tmp_path / name, "CartPole-v1", "a2c", AGENT, make_arm("0.9"), (1, 2), 1200, 20) for name in ("whole", "cut")
    )
    train_batch(whole)
    monitor = Monitor(lambda news: None, every=1e9)

    def stop(news: Progress | Note) -> None:
        if isinstance(news, Progress) and news.phase:
            monitor.stopping = True

    monitor.report = stop
    with pytest.raises(Stopped):
        train_batch(cut, monitor)
    trained = cut.run_folder(1) / "checkpoint" / "trained.npz"
    assert trained.read_bytes() == (whole.run_folder(1) / "checkpoint" / "weights.npz").read_bytes()
    assert cut.unfinished == (1, 2)
    trained.unlink()
    progress: list[Progress] = []
    train_batch(cut, Monitor(lambda news: progress.append(news) if isinstance(news, Progress) else None))
    assert not [item for item in progress if not item.phase]  # nothing was trained again
    assert {name: (cut.run_folder(2) / name).read_bytes() for name in FILES} == {
        name: (whole.run_folder(2) / name).read_bytes() for name in FILES
    }
    assert not trained.exists()


@pytest.mark.parametrize("damage", ["empty", "cut between rows", "cut within a row", "gone"])
def test_a_finished_run_with_a_damaged_table_is_trained_again(damage: str, tmp_path: Path) -> None:
    """`train the run again` is no advice while no command does it."""
    folder, messages = tmp_path / "study", []
    run_study(small(folder), InThisProcess(), [NoSink_])
    before = run_files(folder)
    table = folder / "CartPole-v1" / "0.9" / "seed_0000" / "metrics.csv"
    data = table.read_bytes()
    damaged = {
        "empty": b"",
        "cut between rows": data[: data.rindex(b"\n", 0, -1) + 1],
        "cut within a row": data[:-20],
        "gone": None,
    }
    table.unlink() if damaged[damage] is None else table.write_bytes(damaged[damage])  # type: ignore[arg-type, func-returns-value]

    class Listener(Observer):
        def message(self, text: str) -> None:
            messages.append(text)

    resume_study(folder, InThisProcess(), [NoSink_], Listener())
    assert run_files(folder) == before
    assert len(messages) == 1
    assert messages[0].startswith("CartPole-v1 · 0.9 · seed 0 is trained again: ")


def test_a_commit_between_two_attempts_does_not_void_a_checkpoint_and_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever commits while a study waits would train for a night what had been trained already."""
    whole, cut = (
        batch_of(tmp_path / name, "CartPole-v1", "a2c", AGENT, make_arm("0.9"), (1, 2), 1200, 1) for name in ("whole", "cut")
    )
    train_batch(whole)
    stopping = Monitor(lambda news: None, every=1e9)
    stopping.stopping = True
    with pytest.raises(Stopped):
        train_batch(cut, stopping)
    monkeypatch.setattr("rl_rmsprop.study.training.train.commit", lambda: "0123456789abcdef")
    notes: list[str] = []
    train_batch(cut, Monitor(lambda news: notes.append(news.text) if isinstance(news, Note) else None))
    assert len(notes) == 1
    assert "with source 0123456789ab" in notes[0]
    assert (cut.run_folder(1) / FILES[0]).read_bytes() == (whole.run_folder(1) / FILES[0]).read_bytes()


def test_what_is_wrong_with_a_folder_is_refused_before_anything_is_created(tmp_path: Path) -> None:
    """A study in a folder of photographs would mix with them."""
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs" / "one.jpg").write_text("a picture")
    with pytest.raises(ValueError, match="holds files that are not a study's"):
        run_study(small(tmp_path / "photographs"), InThisProcess())
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ValueError, match="is not a folder"):
        run.prepare_folder(small(tmp_path / "file" / "below"), "resume")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "one.jpg", "photographs"]
