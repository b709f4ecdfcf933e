"""Jobs of Slurm's: the same bytes as on this machine, whoever watches, and whatever Slurm does to them.

submitit's local executor stands in for Slurm: it starts, warns and queues jobs as Slurm does. `make engines` tries a real one.
"""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rl_rmsprop.cli.entry import parse
from rl_rmsprop.study.execution import slurm_cluster, slurm_executor, slurm_job
from rl_rmsprop.study.execution.elsewhere import versions_here
from rl_rmsprop.study.execution.executor import LOCKS, Ended, Event, Failed, WorkerLost
from rl_rmsprop.study.execution.observer import Observer
from rl_rmsprop.study.execution.slurm_cluster import SlurmCluster, Waiting
from rl_rmsprop.study.execution.slurm_executor import SlurmExecutor
from rl_rmsprop.study.execution.slurm_job import Job, Queued, Report
from rl_rmsprop.study.run import run_study
from rl_rmsprop.study.spec import sbatch
from rl_rmsprop.study.spec.study import Study
from rl_rmsprop.study.training.monitor import Monitor, Note, Progress, Stopped
from tests.faults.kills import digest, finished

HAS_SUBMITIT = importlib.util.find_spec("submitit") is not None
needs_submitit = pytest.mark.skipif(not HAS_SUBMITIT, reason="submitit is not installed: pip install 'rl-rmsprop[slurm]'")

LINE = (
    "compare --env CartPole-v1 --betas 0.99 cusum:arl=200,max=0.99 yoked@cusum --seeds 0-1 --steps 4000 --eval-episodes 2 "
    "--shift force_mag:values=10/-10,at=2000"
)


class LocalCluster(SlurmCluster):
    """Jobs in processes of this machine, by submitit; one may be found by another object, as another driver finds it."""

    def check(self, memory: int) -> None:
        """There is always one."""

    def submit(self, jobs: Sequence[Job], memory: int, after_others: bool = False) -> list[str]:
        import submitit

        assert memory > 0
        folder = slurm_cluster.files_of(jobs[0].task.study_folder)
        executor = submitit.LocalExecutor(folder, max_num_timeout=slurm_cluster.FOREVER)
        executor.update_parameters(timeout_min=10)
        submitted = [executor.submit(job) for job in jobs]
        JOBS.update({job.job_id: job for job in submitted})
        return [job.job_id for job in submitted]

    def queue(self, study_folder: Path) -> dict[str, Waiting] | None:
        return {identity: Waiting("RUNNING", "None") for identity, job in JOBS.items() if not job.done()}

    def cancel(self, ids: Iterable[str]) -> None:
        for identity in ids:
            end_job(identity)

    def end_of(self, identity: str) -> str:
        return "FAILED"


JOBS: dict = {}
"""Of submitit, by their ids."""


def trainer_of(identity: str) -> int:
    """The process that trains in a job."""
    return int(Path(f"/proc/{identity}/task/{identity}/children").read_text().split()[0])


def end_job(identity: str) -> None:
    """SIGKILL to both of its processes."""
    with suppress(OSError, IndexError):
        os.kill(trainer_of(identity), signal.SIGKILL)
    with suppress(OSError):
        os.kill(int(identity), signal.SIGKILL)


@pytest.fixture(autouse=True)
def no_jobs_left() -> Iterable[None]:
    JOBS.clear()
    yield
    for identity, job in JOBS.items():
        if not job.done():
            end_job(identity)
        job._process.wait()


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The files of the study, trained by processes of this machine."""
    folder = tmp_path_factory.mktemp("here")
    done = finished(f"{LINE} --out x", folder)
    assert done.returncode == 0, done.stderr
    return files(folder / "x")


def files(folder: Path) -> dict[str, str]:
    """Hashes of a study's files but its figures, which are not drawn in this process."""
    return {name: sha256 for name, sha256 in digest(folder).items() if not name.endswith((".svg", ".png"))}


def study_in(folder: Path) -> Study:
    """The study of LINE."""
    return parse(f"{LINE} --out {folder}".split()).described()


def local(every: float = 0.05) -> SlurmExecutor:
    """An executor that saves often and looks often."""
    return SlurmExecutor(checkpoint_every=every, cluster=LocalCluster(["array=3"]), look_every=0.05, queue_every=0.3)


class Witness(Observer):
    """Remembers events, and does something at the first progress."""

    def __init__(self, act: Callable[[], object] = lambda: None) -> None:
        self.events: list[Event] = []
        self.messages: list[str] = []
        self._act = act

    def event(self, event: Event) -> None:
        first = event.progress is not None and not any(earlier.progress for earlier in self.events)
        self.events.append(event)
        if first:
            self._act()

    def message(self, text: str) -> None:
        self.messages.append(text)

    @property
    def notes(self) -> list[str]:
        return [event.note for event in self.events if event.note]


@needs_submitit
@pytest.mark.parametrize("what", ["nothing", "SIGKILL", "SIGTERM", "SIGUSR2"])
def test_a_study_is_the_same_whatever_happens_to_its_jobs(
    what: str, here: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed as by a node's death, told that they will be cancelled, or warned that their time is over."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(slurm_job, "REPORT_EVERY", 0.0)

    def disturb() -> None:
        for identity in LocalCluster().queue(Path("x")) or {}:
            with suppress(OSError, IndexError):
                os.kill(trainer_of(identity), getattr(signal, what))

    witness = Witness(disturb if what != "nothing" else lambda: None)
    results = run_study(study_in(Path("x")), local(), observer=witness)
    assert results.failures == []
    assert files(tmp_path / "x") == here
    assert not (tmp_path / "x" / ".attempts").exists()
    if what != "SIGKILL":
        assert witness.notes == []


@needs_submitit
def test_a_driver_that_comes_back_finds_its_jobs(here: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent failure: the same batch is trained twice at a time, or the jobs that went on are forgotten."""
    monkeypatch.chdir(tmp_path)
    first, witness = local(), Witness()
    witness._act = first.stop
    with pytest.raises(Stopped):
        run_study(study_in(Path("x")), first, observer=witness)
    assert "its jobs go on" in witness.notes[-1]
    left = LocalCluster().queue(Path("x"))
    assert left
    submitted = set(JOBS)
    results = run_study(study_in(Path("x")), local())
    assert (results.failures, files(tmp_path / "x")) == ([], here)
    assert len(set(JOBS) - submitted) == 1  # the control, which comes after its arm


@needs_submitit
def test_a_study_goes_on_here_and_its_jobs_end(here: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From Slurm to this machine: nobody trains the same batch at the same time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(slurm_executor, "SlurmCluster", LocalCluster)
    first, witness = local(), Witness()
    witness._act = first.stop
    with pytest.raises(Stopped):
        run_study(study_in(Path("x")), first, observer=witness)
    assert LocalCluster().queue(Path("x"))
    again = Witness()
    results = run_study(study_in(Path("x")), observer=again)
    assert not LocalCluster().queue(Path("x"))
    assert any("of its jobs are still with Slurm: they are cancelled" in line for line in again.messages)
    assert (results.failures, files(tmp_path / "x")) == ([], here)


def test_jobs_that_cannot_be_asked_about_keep_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without squeue: jobs may train there."""
    monkeypatch.setattr(slurm_cluster, "run", lambda *words: subprocess.CompletedProcess(words, 1, "", "no squeue"))
    slurm_cluster.remember(tmp_path, {"17_0": "a", "17_1": "b"})
    with pytest.raises(ValueError, match=r"jobs of Slurm's may train in .* \(sbatch's 17\), and squeue does not answer here"):
        slurm_executor.take_over(tmp_path, print)
    slurm_cluster.jobs_file(tmp_path).unlink()
    slurm_executor.take_over(tmp_path, print)


# What jobs say ----------------------------------------------------------------------------------------------------------------


def test_a_report_is_read_as_it_was_written_whatever_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / ".attempts" / "a.jsonl"
    assert list(slurm_job.read(path)) == []
    report = Report(path)
    messages = [Progress(128, float("nan"), 0.9, 1.0), Note("näh"), Queued(256), Ended(("a", "b")), Failed("x")]
    for message in messages:
        report.add(message)
    with path.open("ab") as file:
        file.write(b'["Note", "half')
    found = list(slurm_job.read(path))
    assert [repr(message) for message, _ in found] == [repr(message) for message in messages]
    assert list(slurm_job.read(path, found[-1][1])) == []
    Report(path).add(Note("next attempt"))
    assert [message for message, _ in slurm_job.read(path, found[-1][1])] == [Note("next attempt")]


def test_progress_is_written_now_and_then_and_all_else_always(tmp_path: Path) -> None:
    report = Report(tmp_path / ".attempts" / "a.jsonl")
    for steps in range(100):
        report.add(Progress(steps, 0.0, 0.9, 0.0))
        report.add(Note("x"))
    kinds = [type(message) for message, _ in slurm_job.read(tmp_path / ".attempts" / "a.jsonl")]
    assert (kinds.count(Progress), kinds.count(Note)) == (1, 100)
    assert report.steps == 99


@dataclass(frozen=True)
class Endless:
    """A task that does so many steps each time that it is begun, and then waits to be told to stop."""

    study_folder: Path
    steps: int
    label: str = "endless"

    def run(self, monitor: Monitor) -> Sequence[str]:
        monitor.report(Progress(self.steps, 0.0, 0.9, 0.0))
        os.kill(os.getpid(), signal.SIGUSR2)
        while not monitor.stopping:
            time.sleep(0.01)
        raise Stopped


def test_a_job_goes_back_into_the_queue_as_long_as_it_comes_further(tmp_path: Path) -> None:
    """Silent failure: a batch is begun again and again without end, since what it does cannot be saved in its time."""
    handlers = signal.getsignal(signal.SIGUSR2), signal.getsignal(signal.SIGTERM)
    (tmp_path / LOCKS).mkdir()

    def last(steps: int) -> object:
        went: list[int] = []
        signal.signal(signal.SIGUSR2, lambda number, frame: went.append(number))
        task: Any = Endless(tmp_path, steps)
        Job(task, "a", str(tmp_path), (), versions_here(), 60.0)()
        *_, (message, _) = slurm_job.read(slurm_job.report_file(tmp_path, "a"))
        return bool(went), message

    try:
        assert last(100) == (True, WorkerLost("its time was over, and it was not queued again"))
        assert last(200) == (True, WorkerLost("its time was over, and it was not queued again"))
        too_short = "its time is too short, it came no further than 200 steps twice: give --slurm time=longer"
        assert last(200) == (False, Failed(too_short))
    finally:
        signal.signal(signal.SIGUSR2, handlers[0])
        signal.signal(signal.SIGTERM, handlers[1])


def test_a_node_with_another_version_is_named(tmp_path: Path) -> None:
    """Silent failure: runs of two versions of the code stand in one table."""
    versions = versions_here()
    (tmp_path / LOCKS).mkdir()
    task: Any = Endless(tmp_path, 1)
    Job(task, "a", str(tmp_path), (), {**versions, "torch": "2.0.0"}, 60.0)()
    ((message, _),) = slurm_job.read(slurm_job.report_file(tmp_path, "a"))
    assert message.reason.startswith(f"torch must be the same on all nodes, is 2.0.0 here and {versions['torch']} on ")


@dataclass(frozen=True)
class Never:
    """A task that must not be done."""

    study_folder: Path

    def run(self, monitor: Monitor) -> Sequence[str]:
        raise AssertionError


def test_a_job_that_comes_too_late_does_nothing(tmp_path: Path) -> None:
    """Silent failure: a job that Slurm queued again at its very end trains what is finished a second time, from its beginning."""
    handlers = signal.getsignal(signal.SIGUSR2), signal.getsignal(signal.SIGTERM)
    task: Any = Never(tmp_path)
    job = Job(task, "a", str(tmp_path), (), versions_here(), 60.0)
    try:
        job()  # the study is over
        assert not (tmp_path / LOCKS).exists()
        report = Report(slurm_job.report_file(tmp_path, "a"))
        report.add(Ended(()))
        job()  # another attempt has done it
        assert [message for message, _ in slurm_job.read(slurm_job.report_file(tmp_path, "a"))] == [Ended(())]
    finally:
        signal.signal(signal.SIGUSR2, handlers[0])
        signal.signal(signal.SIGTERM, handlers[1])


# Options ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["partition"], "slurm must be KEY=VALUE, options of sbatch such as partition=cpu or time=2:00:00, got 'partition'"),
        (["array=0"], "slurm array must be a number of jobs at a time, got '0'"),
        (["array=0-3"], "slurm array must be a number of jobs at a time, got '0-3'"),
        (["signal=USR1@5"], "slurm signal must be a number of seconds between Slurm's warning and its end, got 'USR1@5'"),
        (["nodes=2"], "slurm must not have nodes, got nodes=2: a batch is one process with one core, and says itself"),
        (["time=1", "time=2"], "slurm must have time once, got 1 and 2"),
    ],
)
def test_what_is_no_option_of_sbatch_is_refused(options: list[str], message: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        sbatch.parsed(options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--slurm partition=cpu", "options of sbatch are Slurm's, got --slurm with --engine local: give --engine slurm"),
        ("--engine slurm --workers 4", "the number of jobs at a time is --slurm array=4, got --workers 4"),
        ("--engine slurm --address auto", "an address is Ray's, got --address auto with --engine slurm: give --engine ray"),
    ],
)
def test_options_of_another_engine_are_refused(options: str, message: str, tmp_path: Path) -> None:
    done = finished(f"train --env CartPole-v1 --out x {options}", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {message}")
    assert not (tmp_path / "x").exists()


def test_a_machine_without_slurm_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm_cluster.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(slurm_cluster.shutil, "which", lambda name: None)
    with pytest.raises(ValueError, match="--engine slurm needs Slurm's command sbatch, which is not here: start it on a login"):
        SlurmCluster().check(1)
    monkeypatch.setattr(slurm_cluster.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="--engine slurm needs submitit, which is not installed: pip install"):
        SlurmCluster().check(1)


@needs_submitit
def test_a_dry_run_shows_what_slurm_would_be_given_and_makes_nothing(tmp_path: Path) -> None:
    options = "--engine slurm --slurm partition=cpu,long time=2:00:00 array=4 --dry-run"
    done = finished(f"{LINE} --out x {options}", tmp_path)
    assert done.returncode == 0, done.stderr
    for line in (
        "#SBATCH --array=0-5%4", "#SBATCH --partition=cpu,long", "#SBATCH --time=2:00:00", "#SBATCH --signal=USR2@90",
        "#SBATCH --requeue", "#SBATCH --cpus-per-task=1",
    ):  # fmt: skip
        assert line in done.stdout
    assert not list(tmp_path.iterdir())
