"""A Ray cluster to train on: a private one on this machine, or one to join. Nothing else here starts or ends Ray.

A private cluster listens on the loopback interface alone, has a token of its own, no dashboard, and sends no usage statistics.
Its files are in a folder that only this user can read. A cluster that is joined is as whoever started it made it; its token is
where Ray looks for one: RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH, or ~/.ray/auth_token.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import ModuleType

from rl_rmsprop.study.execution import ray_watchdog
from rl_rmsprop.study.training.monitor import Stopped

EXTRA = "pip install 'rl-rmsprop[ray]'"
OBJECT_STORE = 100_000_000
"""Bytes for what tasks hand to one another, which is a few megabytes at a time; Ray's own default is 30 % of the memory."""
LOOPBACK = "127.0.0.1"
LONGEST_WAIT = 5.0
"""Seconds to wait for an answer at a cluster's address."""


class RayCluster:
    """A connection to a cluster; `close` ends it, and the cluster if it is a private one."""

    def __init__(self, address: str | None, cores: int) -> None:
        """Join the cluster at HOST:PORT, or the one that this machine is part of (`auto`), or start one with so many cores.

        ValueError, in one line, if that cannot be.
        """
        if importlib.util.find_spec("ray") is None:
            raise ValueError(f"--engine ray needs Ray, which is not installed: {EXTRA}")
        self._watchdog: subprocess.Popen | None = None
        self._environment: dict[str, str | None] = {}  # what a private cluster has changed in it
        self.ray = self._join(address) if address else self._start(cores)
        self.driver_node: str = self.ray.get_runtime_context().get_node_id()
        """The id of the node that the driver is part of."""

    def _start(self, cores: int) -> ModuleType:
        """A private cluster. What makes it one is read by Ray when it is imported."""
        if "ray" in sys.modules and "RAY_AUTH_TOKEN" not in os.environ:
            raise ValueError("a private cluster must be started before Ray is imported: import it later, or give an address")
        private = {
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # the only way to have Ray listen on loopback alone
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
        }
        self._environment = {name: os.environ.get(name) for name in private}
        os.environ |= private
        ray = imported()
        folder = tempfile.mkdtemp(prefix="rl-ray-")
        watch = [sys.executable, ray_watchdog.__file__, str(os.getpid()), folder]
        self._watchdog = subprocess.Popen(watch, stdin=subprocess.PIPE, start_new_session=True)
        with native_messages_hidden():
            ray.init(
                num_cpus=cores, include_dashboard=False, log_to_driver=False, configure_logging=False,
                object_store_memory=OBJECT_STORE, _temp_dir=folder,
            )  # fmt: skip
        if (address := ray.nodes()[0]["NodeManagerAddress"]) != LOOPBACK:
            self.close()
            raise ValueError(
                f"Ray would listen on {address}, since it was imported before: start the study first, or a cluster of your own"
            )
        return ray

    def _join(self, address: str) -> ModuleType:
        """A cluster that somebody has started."""
        check_address(address)
        ray = imported()
        with native_messages_hidden() as messages:
            try:
                ray.init(address=address, log_to_driver=False, configure_logging=False)
            except Stopped:
                raise
            except (Exception, SystemExit) as error:  # Ray leaves the program where nobody answers
                said = messages()
                if "AuthToken" in said or "Unauthenticated" in said:
                    how = "RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token must have the cluster's"
                    raise ValueError(f"the cluster at {address} refuses this token: {how}") from None
                if address == "auto":
                    make = "`ray start` makes it one, --address HOST:PORT joins another"
                    raise ValueError(f"this machine is part of no cluster of Ray: {make}") from None
                why = " ".join(str(error).split())
                raise ValueError(f"no cluster of Ray could be joined at {address} ({type(error).__name__}: {why})") from None
        return ray

    def nodes(self) -> dict[str, int]:
        """The ids of all nodes that are alive and train, with their cores."""
        alive = [node for node in self.ray.nodes() if node["Alive"]]
        cores = {node["NodeID"]: int(node["Resources"].get("CPU", 0)) for node in alive}
        return {node: count for node, count in cores.items() if count}

    def close(self) -> None:
        """Leave the cluster, or end it if it is a private one."""
        with native_messages_hidden():
            imported().shutdown()
        if self._watchdog is not None:
            self._watchdog.communicate()
            for name, value in self._environment.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


def imported() -> ModuleType:
    """Ray, silent: what is wrong with nodes is said by the events of their tasks."""
    import ray
    from ray._private import worker

    logging.getLogger("ray").setLevel(logging.CRITICAL)
    if hasattr(worker, "print_to_stdstream"):  # no option keeps Ray from printing the log of a node that has died
        worker.print_to_stdstream = lambda *_, **__: None
    return ray


def check_address(address: str) -> None:
    """ValueError unless something answers there; Ray itself needs two minutes for that, and ends the program."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"address must be HOST:PORT or auto, got {address!r}: `ray start --head` prints it")
    try:
        socket.create_connection((host, int(port)), LONGEST_WAIT).close()
    except OSError as error:
        raise ValueError(f"no cluster of Ray answers at {address} ({error.strerror or error}): is it started?") from None


@contextmanager
def native_messages_hidden() -> Iterator[Callable[[], str]]:
    """Keep from the terminal what Ray's C++ writes to it; the function that it yields returns what that was."""
    with suppress(OSError, ValueError):
        sys.stderr.flush()
    with tempfile.TemporaryFile() as file:
        before = os.dup(2)
        os.dup2(file.fileno(), 2)

        def messages() -> str:
            file.seek(0)
            return file.read().decode(errors="replace")

        try:
            yield messages
        finally:
            os.dup2(before, 2)
            os.close(before)
