"""A Slurm cluster of one's own on this machine: munged, slurmctld and slurmd on the loopback interface, two cores, no accounts.

Partitions: `cpu`; `poor`, whose jobs are cancelled, and `modest`, whose jobs go back into the queue, when `rich` needs the cores.
"""

from __future__ import annotations

import os
import platform
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tests.faults.kills import ROOT

DAEMONS = ("munged", "slurmctld", "slurmd")
CONF = """
ClusterName=engines
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={home}/munge.socket
CredType=cred/munge
SlurmctldPort={controller}
SlurmdPort={node}
SlurmctldPidFile={home}/slurmctld.pid
SlurmdPidFile={home}/slurmd.pid
StateSaveLocation={home}/state
SlurmdSpoolDir={home}/spool
SlurmctldLogFile={home}/slurmctld.log
SlurmdLogFile={home}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_interval=2
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
KillWait=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=4000 State=UNKNOWN
PartitionName=cpu Nodes=ALL Default=YES State=UP PriorityTier=1 PreemptMode=REQUEUE
PartitionName=modest Nodes=ALL State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=5
PartitionName=poor Nodes=ALL State=UP PriorityTier=1 PreemptMode=CANCEL GraceTime=5
PartitionName=rich Nodes=ALL State=UP PriorityTier=10 PreemptMode=OFF
"""


def missing() -> str:
    """Why a cluster cannot be started here; empty if it can."""
    if os.geteuid() != 0:
        return "needs root"
    absent = [program for program in (*DAEMONS, "sbatch") if shutil.which(program) is None]
    return f"needs {', '.join(absent)}" if absent else ""


class Slurm:
    """The daemons, and a folder for studies."""

    def __enter__(self) -> Slurm:
        self._files = Path(tempfile.mkdtemp(prefix="rl-slurm-"))
        self.home = Path(tempfile.mkdtemp(prefix="rl-engines-"))
        for name in ("state", "spool"):
            (self._files / name).mkdir()
        conf = self._files / "slurm.conf"
        conf.write_text(CONF.format(home=self._files, host=platform.node(), controller=free_port(), node=free_port()))
        key = self._files / "munge.key"
        key.touch(0o600)
        key.write_bytes(secrets.token_bytes(1024))
        self.environment = {**os.environ, "SLURM_CONF": str(conf), "PYTHONPATH": str(ROOT)}
        files = {name: f"--{name}={self._files}/munge.{name[:-5]}" for name in ("key-file", "pid-file", "log-file", "seed-file")}
        self.call("munged", "--force", *files.values(), f"--socket={self._files}/munge.socket")
        self.call("slurmctld", "-f", str(conf))
        self.call("slurmd", "-f", str(conf))
        until = time.monotonic() + 30
        while "idle" not in self.call("sinfo", check=False).stdout:
            if time.monotonic() > until:
                raise TimeoutError((self._files / "slurmctld.log").read_text())
            time.sleep(0.2)
        return self

    def __exit__(self, *_: object) -> None:
        self.call("scancel", "--user=root", check=False)
        for name in ("slurmd.pid", "slurmctld.pid", "munge.pid"):
            with suppress(OSError, ValueError):
                os.kill(int((self._files / name).read_text()), 15)
        time.sleep(1.0)
        shutil.rmtree(self._files, ignore_errors=True)

    def call(self, *words: str, check: bool = True) -> subprocess.CompletedProcess:
        """A command that has ended, and what it said."""
        return subprocess.run(words, capture_output=True, text=True, check=check, env=self.environment)

    def study(self, line: str, engine: str = "slurm") -> subprocess.CompletedProcess:
        """A command of ours that has ended."""
        words = [sys.executable, "-m", "rl_rmsprop", *line.split(), "--engine", engine]
        return subprocess.run(words, cwd=self.home, capture_output=True, text=True, env=self.environment)

    def started(self, line: str) -> subprocess.Popen:
        """The same, under way."""
        words = [sys.executable, "-m", "rl_rmsprop", *line.split(), "--engine", "slurm"]
        return subprocess.Popen(
            words, cwd=self.home, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=self.environment,
            start_new_session=True,
        )  # fmt: skip

    def jobs(self) -> list[str]:
        """The ids of jobs that have not ended."""
        return self.call("squeue", "--noheader", "--array", "--format=%i", check=False).stdout.split()


def free_port() -> int:
    """A port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
