"""The jobs of a study on a Slurm cluster: submitted by submitit as arrays, looked at and cancelled by Slurm's commands.

Nothing else here calls Slurm. All jobs of a study have one name, made of its folder's, so that they are found again by whoever
comes back. Which job has which task is in a file, written as soon as the jobs are submitted: a job that is not in it belongs to a
driver that was killed in between.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from rl_rmsprop.storage import atomic, json_tables
from rl_rmsprop.study.execution.executor import LOCKS
from rl_rmsprop.study.execution.slurm_job import Job
from rl_rmsprop.study.spec import sbatch

EXTRA = "pip install 'rl-rmsprop[slurm]'"
COMMANDS = ("sbatch", "squeue", "scancel", "scontrol")
FOREVER = 10**9
"""How often a job may go back into the queue; that it comes further each time is looked at by itself."""
PATIENCE = 60.0
"""Seconds that a command of Slurm's may take."""
USUAL_REASONS = frozenset({"None", "Priority", "Resources", "JobArrayTaskLimit", "BeginTime", "Dependency", ""})
"""Why a job may wait without a word about it."""


class Waiting(NamedTuple):
    """A job in the queue, or under way."""

    state: str
    """Slurm's word: PENDING, RUNNING, …"""
    reason: str
    """Why it waits, in Slurm's word."""


class SlurmCluster:
    """Where jobs go, with which options."""

    def __init__(self, options: Sequence[str] = ()) -> None:
        """`options` are sbatch's, KEY=VALUE, such as partition=cpu, time=2:00:00; array is the number of jobs at a time."""
        self.options = {**sbatch.USUAL, **sbatch.parsed(options)}
        self.at_a_time = int(self.options["array"])

    def check(self, memory: int) -> None:
        """ValueError, in one line, if no jobs that need so many bytes can be submitted here."""
        if importlib.util.find_spec("submitit") is None:
            raise ValueError(f"--engine slurm needs submitit, which is not installed: {EXTRA}")
        for command in COMMANDS:
            if shutil.which(command) is None:
                raise ValueError(f"--engine slurm needs Slurm's command {command}, which is not here: start it on a login node")
        flags = [f"--{key}={value}" for key, value in self._flags(memory).items()]
        tried = run("sbatch", "--test-only", *flags, "--cpus-per-task=1", "--wrap", "true")
        if tried.returncode:
            raise ValueError(f"Slurm takes no such jobs ({in_one_line(tried.stderr)}): change --slurm; sinfo lists partitions")

    def submit(self, jobs: Sequence[Job], memory: int, after_others: bool = False) -> list[str]:
        """Put jobs that need so many bytes each into the queue; returns their ids. OSError if Slurm does not take them."""
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        ids: list[str] = []
        for part in parts(jobs, largest_array()):
            executor = self._executor(part[0].task.study_folder, memory, after_others or bool(ids))
            try:
                with executor.batch():
                    submitted = [executor.submit(job) for job in part]
            except (FailedJobError, FailedSubmissionError) as error:
                raise OSError(errno.EIO, f"Slurm takes no jobs ({in_one_line(str(error))})", "sbatch") from error
            ids += [job.job_id for job in submitted]
        return ids

    def script(self, study_folder: Path, jobs: int, memory: int) -> str:
        """What sbatch is given, for reading."""
        if importlib.util.find_spec("submitit") is None:
            raise ValueError(f"--engine slurm needs submitit, which is not installed: {EXTRA}")
        from submitit.slurm.slurm import _make_sbatch_string  # what its executor calls, which Slurm must be there to make

        command = shlex.join([sys.executable, "-u", "-m", "submitit.core._submit", str(files_of(study_folder))])
        parameters = self._parameters(study_folder, memory, False)
        return _make_sbatch_string(command, files_of(study_folder), map_count=min(jobs, largest_array()), **parameters)

    def queue(self, study_folder: Path) -> dict[str, Waiting] | None:
        """The study's jobs that have not ended, by their ids; None if Slurm does not answer."""
        name = name_of_jobs(study_folder)
        answer = run("squeue", "--me", "--noheader", "--array", f"--name={name}", "--format=%i|%T|%r")
        if answer.returncode:
            return None
        rows = [line.split("|") for line in answer.stdout.splitlines() if line.count("|") == 2]
        return {identity: Waiting(state, reason) for identity, state, reason in rows}

    def cancel(self, ids: Iterable[str]) -> None:
        """End jobs."""
        for some in parts(list(ids), 100):
            run("scancel", *some)

    def end_of(self, identity: str) -> str:
        """Slurm's word for how a job has ended: TIMEOUT, OUT_OF_MEMORY, CANCELLED by 1000 …; empty if it keeps no accounts."""
        answer = run("sacct", "--noheader", "--parsable2", "--allocations", "--format=State", f"--jobs={identity}")
        return last_line(answer.stdout) if answer.returncode == 0 else ""

    def output_of(self, study_folder: Path, identity: str) -> str:
        """The last line that a job has printed."""
        file = files_of(study_folder) / f"{identity}_0_log.out"
        with suppress(OSError):
            return last_line(file.read_text(encoding="utf-8", errors="replace"))
        return ""

    def _flags(self, memory: int) -> dict[str, str]:
        """The options, but for what submitit has words of its own for."""
        flags = {"mem": f"{-(-memory // 2**20)}M", **self.options, "signal": f"USR2@{self.options['signal']}"}
        del flags["array"]
        return flags

    def _executor(self, study_folder: Path, memory: int, after_others: bool) -> Any:
        import submitit

        executor = submitit.SlurmExecutor(files_of(study_folder), max_num_timeout=FOREVER)
        executor.update_parameters(**self._parameters(study_folder, memory, after_others))
        return executor

    def _parameters(self, study_folder: Path, memory: int, after_others: bool) -> dict[str, Any]:
        """The options in submitit's form."""
        more: dict[str, Any] = {**self._flags(memory), "requeue": True}
        if after_others:  # of the study: no more jobs than wanted are to run at a time
            more["dependency"] = "singleton"
        return {
            "job_name": name_of_jobs(study_folder),
            "cpus_per_task": 1,
            "stderr_to_stdout": True,
            "array_parallelism": self.at_a_time,
            "additional_parameters": more,
        }


# Files ----------------------------------------------------------------------------------------------------------------------


def files_of(study_folder: Path) -> Path:
    """Where scripts, pickled jobs and what they print are, while there are jobs."""
    return study_folder.absolute() / LOCKS / "slurm"


def jobs_file(study_folder: Path) -> Path:
    """Which job has which task."""
    return files_of(study_folder) / "jobs.json"


def known_jobs(study_folder: Path) -> dict[str, str]:
    """The names of tasks, by the ids of the jobs that have them."""
    file = jobs_file(study_folder)
    with suppress(ValueError):
        return {str(k): str(v) for k, v in json_tables.parsed(file.read_bytes(), file).items()} if file.is_file() else {}
    return {}


def remember(study_folder: Path, jobs: Mapping[str, str]) -> None:
    """Write down which job has which task."""
    atomic.disk.make_folder(files_of(study_folder))
    atomic.write_json(jobs_file(study_folder), dict(jobs))


def name_of_jobs(study_folder: Path) -> str:
    """The name that all jobs of a study have: its folder's, and what tells it from others of that name.

    >>> name_of_jobs(Path("/home/me/runs/demo"))
    'demo-1c51e4e6'
    """
    text = str(study_folder.absolute())
    return f"{re.sub('[^A-Za-z0-9._-]', '_', study_folder.name)[:40]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


# Slurm ----------------------------------------------------------------------------------------------------------------------


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """A command of Slurm's; one that is not there, or does not come back, has failed."""
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(words, 1, "", str(error))


def largest_array() -> int:
    """Jobs that an array may have; Slurm's default where it does not say."""
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", run("scontrol", "show", "config").stdout)
    return int(found[1]) if found else 1001


def parts(things: Sequence[Any], size: int) -> list[Any]:
    """Cut a sequence up.

    >>> parts([1, 2, 3], 2)
    [[1, 2], [3]]
    """
    return [things[i : i + size] for i in range(0, len(things), size)]


def in_one_line(text: str) -> str:
    r"""What a command has said.

    >>> in_one_line("sbatch: error: Memory cannot be satisfied\nBatch job submission failed\n")
    'Memory cannot be satisfied; Batch job submission failed'
    """
    return "; ".join(line.strip().removeprefix("sbatch: ").removeprefix("error: ") for line in text.splitlines() if line.strip())


def last_line(text: str) -> str:
    """The last line that is not empty; or nothing.

    >>> last_line("sbatch: error: invalid partition specified: x  ")
    'sbatch: error: invalid partition specified: x'
    """
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
