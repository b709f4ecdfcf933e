"""Training on a Ray cluster: the same bytes as on this machine, whatever dies, and nothing left behind."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from rl_rmsprop.cli.entry import parse
from rl_rmsprop.study.execution import elsewhere, ray_executor, ray_worker
from rl_rmsprop.study.execution.executor import Event
from rl_rmsprop.study.execution.observer import Observer
from rl_rmsprop.study.execution.ray_executor import RayExecutor
from rl_rmsprop.study.run import run_study
from rl_rmsprop.study.spec.study import Study
from rl_rmsprop.study.training.monitor import Stopped
from tests.faults.kills import digest, end, finished, kin, started

HAS_RAY = importlib.util.find_spec("ray") is not None  # which must not be imported before it has its token
pytestmark = pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed: pip install 'rl-rmsprop[ray]'")

LINE = (
    "compare --env CartPole-v1 --betas 0.99 cusum:arl=200,max=0.99 yoked@cusum --seeds 0-1 --steps 4000 --eval-episodes 2 "
    "--shift force_mag:values=10/-10,at=2000"
)
"""A control is among the arms that reads what another one has recorded."""
LONG = "train --env CartPole-v1 --seeds 0-1 --steps 60000 --eval-episodes 2 --checkpoint-every 0.2"
QUICK = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 3}
"""A dead node is noticed in seconds."""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The files of the study, trained by processes of this machine."""
    folder = tmp_path_factory.mktemp("here")
    done = finished(f"{LINE} --out x", folder)
    assert done.returncode == 0, done.stderr
    return files(folder / "x")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two nodes with one core each, in processes of this machine, and a token of their own."""
    for name, value in {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "0123456789abcdef" * 4,
        "RAY_USAGE_STATS_ENABLED": "0",
    }.items():
        monkeypatch.setenv(name, value)
    from ray.cluster_utils import Cluster

    of_node = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={**of_node, "_system_config": QUICK})
    cluster.add_node(**of_node)
    yield cluster
    cluster.shutdown()


def files(folder: Path) -> dict[str, str]:
    """Hashes of a study's files but its figures, which are not drawn in this process."""
    return {name: sha256 for name, sha256 in digest(folder).items() if not name.endswith((".svg", ".png"))}


class Witness(Observer):
    """Remembers events, and does something at one of them."""

    def __init__(self, number: int = 0, act: Callable[[], object] = lambda: None) -> None:
        self.events: list[Event] = []
        self._number, self._act = number, act

    def event(self, event: Event) -> None:
        self.events.append(event)
        if sum(event.progress is not None for event in self.events) == self._number and event.progress is not None:
            self._act()

    @property
    def notes(self) -> list[str]:
        return [event.note for event in self.events if event.note]


def study_in(folder: Path) -> Study:
    """The study of LINE."""
    return parse(f"{LINE} --out {folder}".split()).described()


def without_the_folder(executor: RayExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the driver's node sees the study's folder; here the others do too, and are taken not to."""
    look = executor._nodes

    def nodes(probe: Path | None) -> dict[str, ray_worker.Node]:
        assert executor._cluster is not None
        driver = executor._cluster.driver_node
        return {key: node._replace(shares_folder=key == driver) for key, node in look(probe).items()}

    monkeypatch.setattr(executor, "_nodes", nodes)


@pytest.mark.parametrize("shares", [True, False], ids=["shared folder", "no shared folder"])
def test_a_study_is_the_same_on_a_cluster_of_which_a_node_dies(
    shares: bool, here: dict[str, str], cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silent failure: a batch whose node died starts from nothing, is trained twice, or leaves rows of both attempts."""
    (node,) = cluster.worker_nodes
    raylet = node.all_processes["raylet"][0].process
    witness = Witness(2, lambda: os.kill(raylet.pid, signal.SIGKILL))
    executor = RayExecutor(cluster.address, checkpoint_every=0.05)
    if not shares:
        without_the_folder(executor, monkeypatch)
    monkeypatch.chdir(tmp_path)
    try:
        results = run_study(study_in(Path("x")), executor, observer=witness)
        assert results.failures == []
        assert files(tmp_path / "x") == here
        assert all(note.endswith("its node has died; started again") for note in witness.notes)
        assert executor.workers == 1  # of the node that is left
    finally:
        executor.close()


def test_a_study_that_is_stopped_goes_on_elsewhere(
    here: dict[str, str], cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From nodes that do not see its folder to processes of this machine: their checkpoints must have come to the folder."""
    executor = RayExecutor(cluster.address, checkpoint_every=0.05)
    without_the_folder(executor, monkeypatch)
    monkeypatch.chdir(tmp_path)
    try:
        with pytest.raises(Stopped):
            run_study(study_in(Path("x")), executor, observer=Witness(3, executor.stop))
    finally:
        executor.close()
    assert not (tmp_path / "x" / "report").exists()
    done = finished("resume x", tmp_path)
    assert (done.returncode, files(tmp_path / "x")) == (0, here), done.stderr


def test_a_node_with_another_source_is_named_before_anything_is_made(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silent failure: runs of two versions of the code stand in one table."""
    versions = elsewhere.versions_here()
    monkeypatch.setattr(ray_executor, "versions_here", lambda: {**versions, "torch": "2.0.0"})
    executor = RayExecutor(cluster.address)
    try:
        message = f"torch must be the same on all nodes, is 2.0.0 here and {versions['torch']} on "
        with pytest.raises(ValueError, match=re.escape(message)):
            run_study(study_in(tmp_path / "x"), executor)
    finally:
        executor.close()
    assert not (tmp_path / "x").exists()


def test_a_private_cluster_listens_on_loopback_and_ends_with_its_driver(tmp_path: Path) -> None:
    """Silent failure: anybody in the network runs code here, or processes stay when the driver is killed."""
    study = started(f"{LONG} --out x --engine ray", tmp_path)
    until(lambda: any((tmp_path / "x").rglob("state.json")) or study.poll() is not None, 120)
    addresses = listening(kin(study.pid))
    assert addresses
    assert addresses <= LOOPBACK
    os.kill(study.pid, signal.SIGKILL)
    until(lambda: not kin(study.pid), 60)
    left = kin(study.pid)
    end(left)
    study.communicate()
    assert not left
    done = finished("resume x --engine local", tmp_path)
    truth = finished(f"{LONG} --out y", tmp_path)
    assert (done.returncode, truth.returncode) == (0, 0), done.stderr + truth.stderr
    assert digest(tmp_path / "x") == digest(tmp_path / "y")


LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
"""127.0.0.1, the same for IPv6, and ::1, as the kernel writes them."""


def listening(processes: list[int]) -> set[str]:
    """Addresses on which any of these processes listens."""
    sockets = set()
    for process in processes:
        for handle in Path(f"/proc/{process}/fd").glob("*"):
            with suppress(OSError):  # it may have been closed just now
                sockets.add(os.readlink(handle))
    rows = [line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
    return {row[1].partition(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets}


def until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait for something, at most so long."""
    end_of_patience = time.monotonic() + seconds
    while not condition() and time.monotonic() < end_of_patience:
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--address 127.0.0.1:9", "no cluster of Ray answers at 127.0.0.1:9 (Connection refused): is it started?"),
        ("--address nowhere", "address must be HOST:PORT or auto, got 'nowhere'"),
    ],
)
def test_a_cluster_that_is_not_there_is_bad_input(options: str, message: str, tmp_path: Path) -> None:
    done = finished(f"{LONG} --out x --engine ray {options}", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {message}")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--n-envs 10000 --n-steps 1000 --hidden 4096 4096", "this study needs about"),
        ("--device cuda", "--engine ray trains on CPUs, got --device cuda"),
    ],
)
def test_what_a_private_cluster_cannot_train_is_refused_before_it_starts(options: str, message: str, tmp_path: Path) -> None:
    """Silent failure: the machine's memory is filled, or every task fails on a GPU that Ray hides from it."""
    study = parse(f"{LINE} --out {tmp_path / 'x'} {options}".split()).described()
    executor = RayExecutor()
    with pytest.raises(ValueError, match=message):
        executor.check(study)
    assert executor._cluster is None
