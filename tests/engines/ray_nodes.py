"""A Ray cluster of machines that are made of namespaces."""

from __future__ import annotations

import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from subprocess import CompletedProcess, Popen

from tests.engines.machines import Machine, Network
from tests.faults.kills import ROOT

BIN = Path(sys.executable).parent
PORT = 6379
QUICK = '{"health_check_initial_delay_ms":0,"health_check_period_ms":500,"health_check_failure_threshold":3}'
"""A dead node is noticed in seconds."""
OF_NODE = "--object-store-memory=80000000 --disable-usage-stats"


class RayNodes:
    """A head with the driver, and further machines; `home` is a folder that a machine sees, or an empty one in its place."""

    def __init__(self, sharing: Sequence[bool], head_cores: int = 0, setups: Sequence[str] = ()) -> None:
        """One machine for each of `sharing`, which says whether it sees `home`; each has one core.

        `setups` are further commands of a shell by which machines come to see other files.
        """
        self.home = Path(tempfile.mkdtemp(prefix="rl-engines-"))
        self._sharing, self._setups, self._head_cores = list(sharing), list(setups) or [""] * len(sharing), head_cores
        self._token = secrets.token_hex(32)
        self.machines: list[Machine] = []

    def __enter__(self) -> RayNodes:
        with ExitStack() as stack:
            stack.enter_context(Network())
            stack.callback(self._kill_nodes)
            self.head = stack.enter_context(self._machine(1, ""))
            options = f"--head --include-dashboard=false --port={PORT} --num-cpus={self._head_cores} --system-config='{QUICK}'"
            self._raylet(self.head, options)
            for index in range(len(self._sharing)):
                self.machines.append(self._node(index))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _kill_nodes(self) -> None:
        for machine in self.machines:
            machine.kill()

    def revive(self, index: int) -> None:
        """A new machine in the place of one that is dead."""
        self.machines[index] = self._node(index)

    def study(self, line: str, port: int = PORT, **environment: str) -> CompletedProcess:
        """A command of ours on the head's machine that has ended; an engine's address is added to it."""
        return self.head.run(self._words(line, port), self.home, check=False, **environment)

    def started(self, line: str) -> Popen:
        """The same, under way."""
        return self.head.start(self._words(line), self.home)

    def _words(self, line: str, port: int = PORT) -> str:
        return f"{sys.executable} -m rl_rmsprop {line} --engine ray --address {self.head.address}:{port}"

    def _node(self, index: int) -> Machine:
        mounts = f"mount -t tmpfs tmpfs {self.home}" if not self._sharing[index] else "true"
        machine = self._machine(index + 2, f"{mounts}; {self._setups[index] or 'true'}")
        try:
            self._raylet(machine, f"--address={self.head.address}:{PORT} --num-cpus=1")
        except BaseException:
            machine.kill()
            raise
        return machine

    def _machine(self, number: int, mounts: str) -> Machine:
        own = "mkdir -p /tmp/ray; mount -t tmpfs tmpfs /tmp/ray"
        variables = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self._token, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        return Machine(number, f"{own}; {mounts or 'true'}", variables)

    def _raylet(self, machine: Machine, options: str) -> None:
        line = f"{BIN}/ray start --node-ip-address={machine.address} {OF_NODE} {options}"
        for attempt in range(3):  # the node that had this address may not be forgotten yet
            done = machine.run(line, check=False)
            if done.returncode == 0:
                return
            time.sleep(2.0 * (attempt + 1))
        raise RuntimeError(done.stdout + done.stderr)
