"""Trains batches as jobs of Slurm's; the driver may leave, and whoever resumes the study finds its jobs again.

    driver ── a job array, a batch in each job ──▸ Slurm ──▸ a node with a free core                  (slurm_job.py)
           ◂── reports in the study's folder, which all nodes see ◂──

A job whose time is over goes back into the queue and continues from its checkpoint, again and again, without a driver. One that
ends without a last word (its node died, Slurm cancelled it to make room, its memory was short) is submitted again by the driver,
by the rules of attempts.py; by `resume`, if the driver has left. Ctrl-C makes the driver leave; its jobs go on.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rl_rmsprop.storage import atomic
from rl_rmsprop.study.execution import memory_estimate, slurm_cluster
from rl_rmsprop.study.execution.attempts import Attempts, event_of
from rl_rmsprop.study.execution.elsewhere import versions_here
from rl_rmsprop.study.execution.executor import LOCKS, Event, Failed, Task, WorkerLost
from rl_rmsprop.study.execution.local_pool import CHECKPOINT_EVERY
from rl_rmsprop.study.execution.slurm_cluster import SlurmCluster, Waiting
from rl_rmsprop.study.execution.slurm_job import LAST, Job, read, report_file
from rl_rmsprop.study.spec.study import Study
from rl_rmsprop.study.training.monitor import Note, Progress, Stopped

LOOK_EVERY = 1.0
"""Seconds between two looks at the reports."""
QUEUE_EVERY = 15.0
"""Seconds between two questions to Slurm."""
GONE = 3
"""Looks at the queue without a job after which it has ended: what it wrote may be seen late on a shared disk."""
SPARE = 1.5
"""Memory that a job asks for, beside what is estimated."""


class SlurmExecutor:
    """A cluster, and the jobs of the study that runs."""

    def __init__(
        self,
        options: Sequence[str] = (),
        checkpoint_every: float = CHECKPOINT_EVERY,
        cluster: Any = None,
        look_every: float = LOOK_EVERY,
        queue_every: float = QUEUE_EVERY,
    ) -> None:
        """`options` are sbatch's, see `SlurmCluster`, which `cluster` may stand in for."""
        self._cluster: SlurmCluster = cluster or SlurmCluster(options)
        self.workers = self._cluster.at_a_time
        self._every, self._look_every, self._queue_every = checkpoint_every, look_every, queue_every
        self._memory = 0
        self._leaving = False

    def check(self, study: Study) -> None:
        """ValueError if nothing can be submitted here, or the study wants a GPU."""
        if study.options.device != "cpu":
            raise ValueError(f"--engine slurm trains on CPUs, got --device {study.options.device}: --engine local uses a GPU")
        self._memory = memory_of_jobs(study, self.workers)
        self._cluster.check(self._memory)

    def script(self, study: Study, jobs: int) -> str:
        """What sbatch would be given for so many batches of a study, for reading."""
        return self._cluster.script(study.folder, jobs, memory_of_jobs(study, self.workers))

    def close(self) -> None:
        """Jobs are Slurm's."""

    def run(self, tasks: Sequence[Task]) -> Iterator[Event]:
        """Do all the tasks; yields an event for every line of their reports. Raises `Stopped` after `stop`.

        OSError when a job could not write, or Slurm takes none.
        """
        self._leaving = False
        jobs = Jobs(tasks, self._cluster, self._every, self._memory)
        try:
            jobs.begin()
            asked = time.monotonic()
            while not jobs.are_done:
                if self._leaving:
                    yield Event(0, note=f"its jobs go on: {jobs.named()}; scancel ends them")
                    raise Stopped
                yield from jobs.news()
                if time.monotonic() - asked >= self._queue_every:
                    yield from jobs.look_at_queue()
                    asked = time.monotonic()
                jobs.submit_waiting()
                if not jobs.are_done:
                    time.sleep(self._look_every)
            jobs.see_off()
        except OSError:
            jobs.cancel()
            raise

    def stop(self) -> None:
        """Leave: `run` raises `Stopped`, and the jobs go on."""
        self._leaving = True

    def kill(self) -> None:
        """Jobs are Slurm's."""

    @property
    def is_idle(self) -> bool:
        """Never: `run` is to say that it leaves."""
        return False


class Jobs:
    """The jobs of some tasks."""

    def __init__(self, tasks: Sequence[Task], cluster: SlurmCluster, checkpoint_every: float, memory: int) -> None:
        """Of nothing yet; each is to save a checkpoint every so many seconds, and needs so many bytes."""
        self._tasks, self._cluster, self._memory, self._every = tasks, cluster, memory, checkpoint_every
        self._folder = tasks[0].study_folder
        self._names = [name_of(task) for task in tasks]
        self._attempts = Attempts(tasks)
        self._jobs: dict[str, int] = {}  # ids of jobs → places of their tasks
        self._ended_jobs: set[str] = set()
        self._offsets = [0] * len(tasks)  # of what is read of the reports
        self._missing: dict[str, int] = {}  # ids → looks at the queue without them
        self._told: set[tuple[str, str]] = set()  # ids, and reasons for waiting that were told

    @property
    def are_done(self) -> bool:
        """Whether every task has ended."""
        return not (self._attempts.waiting or self._jobs)

    def named(self) -> str:
        """The ids of all jobs, for scancel."""
        return " ".join(sorted({identity.partition("_")[0] for identity in self._jobs}))

    def begin(self) -> None:
        """Find the jobs that an earlier driver has left, cancel those that have none of the tasks, and submit the others."""
        queue = self._cluster.queue(self._folder)
        if queue is None:
            raise OSError(errno.EIO, "Slurm does not answer", "squeue")
        known = slurm_cluster.known_jobs(self._folder)
        places = {name: index for index, name in enumerate(self._names)}
        self._jobs = {identity: places[known[identity]] for identity in queue if known.get(identity) in places}
        end_jobs(self._folder, self._cluster, [identity for identity in queue if identity not in self._jobs])
        taken = set(self._jobs.values())
        for index, name in enumerate(self._names):
            if index not in taken:  # what a former attempt has written there is told
                report_file(self._folder, name).unlink(missing_ok=True)
        self._attempts.take(taken)
        self.submit_waiting()

    def submit_waiting(self) -> None:
        """Put the tasks that wait into the queue."""
        waiting = [self._attempts.next() for _ in range(self._attempts.waiting)]
        if not waiting:
            return
        versions, directory, path = versions_here(), os.getcwd(), tuple(sys.path)
        atomic.disk.make_folder(slurm_cluster.files_of(self._folder))
        jobs = [Job(self._tasks[i], self._names[i], directory, path, versions, self._every) for i in waiting]
        self._jobs |= dict(zip(self._cluster.submit(jobs, self._memory), waiting, strict=True))
        slurm_cluster.remember(self._folder, {identity: self._names[index] for identity, index in self._jobs.items()})

    def news(self) -> Iterator[Event]:
        """What the reports say that is new."""
        for identity, index in list(self._jobs.items()):
            for message, offset in read(report_file(self._folder, self._names[index]), self._offsets[index]):
                self._offsets[index] = offset
                if isinstance(message, LAST):
                    yield from self._ended(identity, message)
                    break
                if (event := event_of_line(index, message)) is not None:
                    yield event

    def look_at_queue(self) -> Iterator[Event]:
        """What Slurm says of jobs that have ended without a word, and of those that wait for an unusual reason."""
        queue = self._cluster.queue(self._folder)
        if queue is None:
            return
        for identity, index in list(self._jobs.items()):
            if identity in queue:
                self._missing.pop(identity, None)
                yield from self._waiting(identity, index, queue[identity])
                continue
            self._missing[identity] = self._missing.get(identity, 0) + 1
            if self._missing[identity] >= GONE:
                yield from self._ended(identity, self._end_without_a_word(identity))

    def cancel(self) -> None:
        """End all jobs."""
        end_jobs(self._folder, self._cluster, list(self._jobs))

    def see_off(self) -> None:
        """Cancel what is left of jobs whose tasks have ended: one may have been queued again at its very end."""
        self._cluster.cancel(sorted(self._ended_jobs))

    def _ended(self, identity: str, message: Any) -> Iterator[Event]:
        index = self._jobs.pop(identity)
        self._ended_jobs.add(identity)
        if isinstance(message, WorkerLost):  # Slurm may have queued it again all the same
            self._cluster.cancel([identity])
        event = self._attempts.ended(index, message, stopping=False)
        if event is not None:
            yield event

    def _waiting(self, identity: str, index: int, job: Waiting) -> Iterator[Event]:
        if job.reason not in slurm_cluster.USUAL_REASONS and (identity, job.reason) not in self._told and job.state == "PENDING":
            self._told.add((identity, job.reason))
            yield Event(index, note=f"{self._tasks[index].label}: job {identity} waits: {job.reason}")

    def _end_without_a_word(self, identity: str) -> Any:
        """How a task has ended whose job has said nothing."""
        check_disk(self._folder)
        state = self._cluster.end_of(identity)
        said = self._cluster.output_of(self._folder, identity)
        why = f"job {identity} ended without a word{f', {state}' if state else ''}{f': {said}' if said else ''}"
        if state.startswith("CANCELLED"):
            return Failed(f"job {identity} was cancelled; resume submits it again")
        return WorkerLost(why)


def event_of_line(index: int, message: Any) -> Event | None:
    """A line that is not the last one, as an event; None for one that is a job's own matter."""
    return event_of(index, message) if isinstance(message, (Note, Progress)) else None


def take_over(study_folder: Path, tell: Callable[[str], None], cluster: SlurmCluster | None = None) -> None:
    """End the jobs that an earlier driver has left in a study which goes on elsewhere.

    ValueError if there may be some, and Slurm does not answer here.
    """
    if not (known := slurm_cluster.known_jobs(study_folder)):
        return
    cluster = cluster or SlurmCluster()
    queue = cluster.queue(study_folder)
    if queue is None:
        arrays = " ".join(sorted({identity.partition("_")[0] for identity in known}))
        raise ValueError(
            f"jobs of Slurm's may train in {study_folder} (sbatch's {arrays}), and squeue does not answer here: resume it on a "
            f"login node, or if they have ended remove {slurm_cluster.jobs_file(study_folder)}"
        )
    if queue:
        tell(f"{len(queue)} of its jobs are still with Slurm: they are cancelled, and their batches go on here")
        end_jobs(study_folder, cluster, list(queue))
    slurm_cluster.jobs_file(study_folder).unlink()


def end_jobs(study_folder: Path, cluster: SlurmCluster, ids: Sequence[str]) -> None:
    """Cancel jobs, and wait until they are gone; OSError if they stay."""
    if not ids:
        return
    cluster.cancel(ids)
    until = time.monotonic() + 120.0
    while (queue := cluster.queue(study_folder)) is None or queue.keys() & set(ids):
        if time.monotonic() > until:
            raise OSError(errno.EIO, "jobs of Slurm's do not end", " ".join(ids))
        time.sleep(0.5)


def memory_of_jobs(study: Study, workers: int) -> int:
    """Bytes that each job asks for."""
    return int(SPARE * memory_estimate.largest_batch_memory(study, workers))


def name_of(task: Task) -> str:
    """A task's name among the attempts of its study, the same for every driver."""
    outputs = "\n".join(path.relative_to(task.study_folder).as_posix() for path in task.outputs)
    return hashlib.sha256(outputs.encode("utf-8")).hexdigest()[:16]


def check_disk(study_folder: Path) -> None:
    """OSError if the disk takes nothing: then that is why a job has said nothing."""
    probe = study_folder / LOCKS / "probe"
    try:
        atomic.write_bytes(probe, bytes(1 << 20))
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
