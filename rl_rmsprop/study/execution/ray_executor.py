"""Trains batches on a Ray cluster, one core and one torch thread a batch.

    driver ── train(task) ──▸ a node with a free core                     (ray_worker.py)
           ◂── Inbox ◂── progress, notes, and files where the node does not see the study's folder

A batch is one task of Ray's that can be done again: the truth is in its files, what it returns is how it ended. Ray itself is
to retry nothing. When a node or a process dies, or Ray ends a task because its node is out of memory, the batch starts again
from its last checkpoint, on any node (attempts.py). Ray ends the tasks of a driver that has died.

Nodes must have what the driver has: Python's, torch's, NumPy's and Gymnasium's version, and the source of this package. That is
looked at first. Whether a node sees the study's folder is found by a file that is put there.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rl_rmsprop.study.execution import memory_estimate, ray_worker
from rl_rmsprop.study.execution.attempts import Attempts, event_of
from rl_rmsprop.study.execution.elsewhere import difference_between, versions_here
from rl_rmsprop.study.execution.executor import Event, Failed, Task, WorkerLost
from rl_rmsprop.study.execution.local_pool import CHECKPOINT_EVERY, default_workers
from rl_rmsprop.study.execution.ray_cluster import RayCluster
from rl_rmsprop.study.execution.ray_worker import Node, Place
from rl_rmsprop.study.spec.study import Study
from rl_rmsprop.study.training.monitor import Stopped

GRACE = 15.0
"""Seconds that workers have to save and stop."""
LOOK_EVERY = 0.2
"""Seconds between two looks at the inbox."""
LOOK_PATIENCE = 120.0
"""Seconds that a node has to say what it is: it may be busy, and imports torch."""
PROBE = ".shared-folder"
"""A file that is in the study's folder while it is found out which nodes see it."""


class RayExecutor:
    """The nodes of a cluster, and what runs on them."""

    def __init__(
        self, address: str | None = None, workers: int | None = None, checkpoint_every: float = CHECKPOINT_EVERY
    ) -> None:
        """A private cluster, or the one at `address` (HOST:PORT, or auto), of which at most `workers` cores are used.

        It is started or joined by `check`, and given back by `close`. Each batch saves a checkpoint every so many seconds.
        """
        self.workers = workers or default_workers()
        self._address, self._most, self._every = address, workers, checkpoint_every
        self._cluster: RayCluster | None = None
        self._running: dict[Any, int] = {}  # reference of a task of Ray's → its place among the tasks
        self._inbox: Any = None
        self._deadline = float("inf")  # when the workers have to be gone
        self._alone = False  # whether no node is left

    def check(self, study: Study) -> None:
        """Start or join the cluster; ValueError if that is not possible, or its nodes are not what the driver is."""
        if study.options.device != "cpu":
            raise ValueError(f"--engine ray trains on CPUs, got --device {study.options.device}: --engine local uses a GPU")
        if self._address is None:
            memory_estimate.check(study, self.workers)
        if self._cluster is None:
            self._cluster = RayCluster(self._address, self.workers)
        self._count_cores()
        if not self.workers:
            self.close()
            raise ValueError("the cluster has no cores to train on: add nodes to it")
        self._nodes(probe=None)

    def close(self) -> None:
        """Leave the cluster; a private one ends."""
        if self._cluster is not None:
            self._cluster.close()
            self._cluster = None

    def run(self, tasks: Sequence[Task]) -> Iterator[Event]:
        """Do all the tasks; yields an event for every logging step, every note and every end.

        Raises `Stopped` after `stop` has been called, and OSError when a worker could not write.
        """
        attempts = Attempts(tasks)
        places = self._places(tasks[0].study_folder)
        reading = [task.label for task in tasks if task.reads_other_runs]
        if reading and not any(node.shares_folder for node in places.values()):
            raise ValueError(f"{reading[0]} reads files of other runs, and no node that trains sees the study's folder: give one")
        yield from self._on_processors(places)
        self._open_inbox(tasks)
        try:
            while attempts.waiting or self._running:
                if self._stopping and not self._running:
                    raise Stopped
                self._count_cores()
                while attempts.waiting and len(self._running) < self.workers and not self._stopping:
                    self._alone = False
                    index = attempts.next()
                    self._start(index, tasks[index], attempts.number(index), places)
                if time.monotonic() > self._deadline:
                    raise Stopped
                if not self._running:
                    yield from self._waiting_for_nodes(tasks, attempts)
                    continue
                ended = self._ended()
                for index, message in self._ray.get(self._inbox.messages.remote()):
                    if index in self._running.values():  # one that comes after the end of its task is of no use
                        yield event_of(index, message)
                for reference in ended:
                    event = attempts.ended(self._running.pop(reference), self._outcome(reference), self._stopping)
                    if event is not None:
                        yield event
            if self._stopping:
                raise Stopped
        except self._ray.exceptions.RayError as error:
            where = self._address or "on this machine"
            raise OSError(errno.EIO, f"the cluster of Ray does not answer any more ({type(error).__name__})", where) from error
        finally:
            self.kill()

    def _waiting_for_nodes(self, tasks: Sequence[Task], attempts: Attempts) -> Iterator[Event]:
        """A moment without any node that trains; says so at its beginning."""
        if not self._alone:
            index = attempts.next_up
            yield Event(
                index, note=f"{tasks[index].label}: no node is left that trains; it waits for one, Ctrl-C ends everything"
            )
        self._alone = True
        time.sleep(LOOK_EVERY)

    def stop(self) -> None:
        """Let all workers save and stop; `run` raises `Stopped` when they have, or when their time is over."""
        self._deadline = min(self._deadline, time.monotonic() + GRACE)
        if self._inbox is not None:
            self._inbox.stop.remote()

    def kill(self) -> None:
        """End all workers at once."""
        for reference in list(self._running):
            with suppress(Exception):  # it may have ended just now
                self._ray.cancel(reference, force=True)
        self._running.clear()
        if self._inbox is not None:
            with suppress(Exception):
                self._ray.kill(self._inbox)
            self._inbox = None

    @property
    def is_idle(self) -> bool:
        """Whether no worker is running."""
        return not self._running

    @property
    def _stopping(self) -> bool:
        return self._deadline < float("inf")

    @property
    def _ray(self) -> Any:
        assert self._cluster is not None, "check comes first"
        return self._cluster.ray

    def _count_cores(self) -> None:
        """As many workers as the cluster has cores now, and may be used."""
        assert self._cluster is not None
        cores = sum(self._cluster.nodes().values())
        self.workers = cores if self._most is None else min(cores, self._most)

    def _nodes(self, probe: Path | None) -> dict[str, Node]:
        """What each node is, by its id; ValueError if one cannot train as the driver would. One that dies is left out."""
        assert self._cluster is not None
        look, asked = self._ray.remote(ray_worker.look), {}
        for node in self._cluster.nodes():
            asked[node] = look.options(num_cpus=0, max_retries=0, scheduling_strategy=self._on(node)).remote(probe)
        addresses = {node["NodeID"]: node["NodeManagerAddress"] for node in self._ray.nodes()}
        versions, exceptions, found = versions_here(), self._ray.exceptions, {}
        for node, reference in asked.items():
            try:
                found[node] = self._ray.get(reference, timeout=LOOK_PATIENCE)
            except (exceptions.NodeDiedError, exceptions.LocalRayletDiedError, exceptions.TaskUnschedulableError):
                continue
            except exceptions.RayError as error:
                why = next(filter(None, reversed(str(error).splitlines())), type(error).__name__).strip()
                raise ValueError(f"node {addresses[node]} cannot train: {why}; install this package there") from None
            if difference := difference_between(versions, found[node].versions):
                raise ValueError(f"{difference} on {found[node].host} ({addresses[node]})")
        return found

    def _places(self, folder: Path) -> dict[str, Node]:
        """What each node is, and whether it sees the study's folder."""
        probe = folder.absolute() / PROBE
        probe.touch()
        try:
            return self._nodes(probe)
        finally:
            probe.unlink()

    def _on_processors(self, nodes: dict[str, Node]) -> Iterator[Event]:
        """A note if the nodes have different processors."""
        kinds: dict[str, list[str]] = {}
        for node in nodes.values():
            kinds.setdefault(node.processor, []).append(node.host)
        if len(kinds) > 1:
            which = "; ".join(f"{kind} on {', '.join(sorted(set(hosts)))}" for kind, hosts in sorted(kinds.items()))
            yield Event(0, note=f"processors differ ({which}): last bits may, and the report says which runs came from which")

    def _open_inbox(self, tasks: Sequence[Task]) -> None:
        """The actor that workers send to, on the driver's node."""
        assert self._cluster is not None
        inbox = self._ray.remote(ray_worker.Inbox).options(
            num_cpus=0, max_restarts=0, scheduling_strategy=self._on(self._cluster.driver_node)
        )
        self._inbox = inbox.remote(list(tasks), os.getcwd())

    def _on(self, node: str) -> Any:
        """A strategy of Ray's: on this node, and nowhere else."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return NodeAffinitySchedulingStrategy(node, soft=False)

    def _start(self, index: int, task: Task, attempt: int, nodes: dict[str, Node]) -> None:
        """Have a node train a task."""
        self._ray.get(self._inbox.begin.remote(index, attempt))
        options: dict[str, Any] = {"num_cpus": 1, "max_retries": 0, "name": task.label}
        if task.reads_other_runs and not all(node.shares_folder for node in nodes.values()):
            options["scheduling_strategy"] = self._on(next(key for key, node in nodes.items() if node.shares_folder))
        shares = {key: node.shares_folder for key, node in nodes.items()}
        place = Place(os.getcwd(), tuple(sys.path), versions_here(), shares)
        train = self._ray.remote(train_on_node).options(**options)
        self._running[train.remote(task, index, attempt, place, self._every, self._inbox)] = index

    def _ended(self) -> list[Any]:
        """References of tasks that have ended; waits a moment if there are none."""
        ready, _ = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=LOOK_EVERY)
        return list(ready)

    def _outcome(self, reference: Any) -> Any:
        """How a task has ended."""
        exceptions = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except exceptions.OutOfMemoryError:
            return WorkerLost("its node was out of memory: fewer --n-envs, --n-steps or seeds in a batch need less")
        except (exceptions.NodeDiedError, exceptions.LocalRayletDiedError):
            return WorkerLost("its node has died")
        except exceptions.RayTaskError as error:
            return Failed(" ".join(str(error).splitlines()[-1:]))
        except exceptions.RayError as error:
            return WorkerLost(f"its process was lost ({type(error).__name__})")


def train_on_node(task: Task, index: int, attempt: int, place: Place, checkpoint_every: float, inbox: Any) -> Any:
    """`ray_worker.train` as a task of Ray's; `inbox` is the handle of the actor."""
    import ray

    def call(method: str, *arguments: Any, wait: bool = True) -> Any:
        try:
            reference = getattr(inbox, method).remote(*arguments)
            return ray.get(reference) if wait else None
        except ray.exceptions.RayError as error:
            raise BrokenPipeError("the driver has ended") from error

    node = ray.get_runtime_context().get_node_id()
    return ray_worker.train(task, index, attempt, place, place.shares.get(node, False), checkpoint_every, call)
