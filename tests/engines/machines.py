"""Machines inside this one: each has its own network, processes, host name and mounts, and dies at once with all that it runs.

    bridge 10.117.0.254 ── 10.117.0.1  first: the driver, Ray's head
                        ├─ 10.117.0.2  another machine …
                        └─ …

Needs root, and the programs ip, unshare and nsenter.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

BRIDGE, NETWORK = "rlrmsprop0", "10.117.0"
PROGRAMS = ("ip", "unshare", "nsenter", "mount")


def missing() -> str:
    """Why machines cannot be made here; empty if they can."""
    if os.geteuid() != 0:
        return "needs root"
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    return f"needs {', '.join(absent)}" if absent else ""


def ip(line: str) -> None:
    """The program `ip` with a line of words."""
    subprocess.run(["ip", *shlex.split(line)], check=True, capture_output=True)


class Network:
    """The bridge that joins the machines made within it."""

    def __enter__(self) -> Network:
        with suppress(subprocess.CalledProcessError):
            ip(f"link del {BRIDGE}")
        ip(f"link add {BRIDGE} type bridge")
        ip(f"addr add {NETWORK}.254/24 dev {BRIDGE}")
        ip(f"link set {BRIDGE} up")
        return self

    def __exit__(self, *_: object) -> None:
        ip(f"link del {BRIDGE}")


class Machine:
    """A machine that runs until it is killed."""

    def __init__(self, number: int, mounts: str = "", environment: dict[str, str] | None = None) -> None:
        """`mounts` are commands of a shell that make it see other files than this machine does, before anything runs there."""
        self.address, self.name = f"{NETWORK}.{number}", f"machine{number}"
        self._environment = {**os.environ, **(environment or {})}
        script = f"set -e; hostname {self.name}; ip link set lo up; {mounts or 'true'}; echo ready; exec sleep infinity"
        separate = ["--mount", "--net", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child"]
        self._process = subprocess.Popen(
            ["unshare", *separate, "bash", "-c", script], stdout=subprocess.PIPE, text=True, env=self._environment
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        self._first = first_child(self._process.pid)
        with suppress(subprocess.CalledProcessError):
            ip(f"link del rlveth{number}")
        ip(f"link add rlveth{number} type veth peer name eth0 netns {self._first}")
        ip(f"link set rlveth{number} master {BRIDGE} up")
        self.run(f"ip addr add {self.address}/24 dev eth0")
        self.run("ip link set eth0 up")

    def words(self, words: list[str]) -> list[str]:
        """What runs a command there."""
        return ["nsenter", "--target", str(self._first), "--mount", "--net", "--uts", "--pid", f"--wd={os.getcwd()}", *words]

    def run(self, line: str, cwd: Path | None = None, check: bool = True, **environment: str) -> subprocess.CompletedProcess:
        """A command that has ended there, and what it said."""
        return subprocess.run(
            ["bash", "-c", shlex.join(self._words_in(line, cwd))], capture_output=True, text=True, check=check,
            env={**self._environment, **environment},
        )  # fmt: skip

    def start(self, line: str, cwd: Path | None = None, **environment: str) -> subprocess.Popen:
        """A command under way there, in a session of its own."""
        return subprocess.Popen(
            self._words_in(line, cwd), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env={**self._environment, **environment}, start_new_session=True,
        )  # fmt: skip

    def kill(self) -> None:
        """SIGKILL to everything that runs there, at once."""
        with suppress(ProcessLookupError):
            os.kill(self._first, signal.SIGKILL)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _words_in(self, line: str, cwd: Path | None) -> list[str]:
        place = f"cd {shlex.quote(str(cwd))} && " if cwd else ""
        return self.words(["bash", "-c", f"{place}exec {line}"])


def first_child(process: int) -> int:
    """The process that another one has started first."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if children := Path(f"/proc/{process}/task/{process}/children").read_text().split():
            return int(children[0])
        time.sleep(0.01)
    raise TimeoutError(f"process {process} has started nothing")
