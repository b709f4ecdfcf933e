"""A process that ends a private cluster of Ray when its driver has ended, however that came: `python ray_watchdog.py PID FOLDER`.

Ray itself leaves its agents and idle workers behind when a driver is killed. This process holds the other end of a pipe, which
the system closes then. It has to know what belonged to the driver: every second it looks at what descends from it in /proc;
where there is none, nothing is done. In the end the cluster's folder is removed. Nothing of this package is imported here.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
from contextlib import suppress

EVERY = 1.0
"""Seconds between two looks."""

Process = tuple[int, str]
"""A number, and when the process began: numbers are used again."""


def parents() -> dict[Process, int]:
    """Every process with the number of its parent; empty where the system has no /proc."""
    found = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else []:
        if name.isdigit():
            with suppress(OSError), open(f"/proc/{name}/stat") as file:  # it may have ended just now
                fields = file.read().rpartition(")")[2].split()
                found[int(name), fields[19]] = int(fields[1])
    return found


def descendants(driver: int) -> set[Process]:
    """What a process has started, and what that has, but for this process."""
    of, family, found = parents(), {driver}, set[Process]()
    while new := {process for process, parent in of.items() if parent in family} - found:
        found |= new
        family = {number for number, _ in new}
    return {process for process in found if process[0] != os.getpid()}


def main(driver: int, folder: str) -> None:
    """Wait for the end of the pipe at standard input, then end what is left."""
    known: set[Process] = set()
    while not select.select([sys.stdin], [], [], EVERY)[0]:
        known |= descendants(driver)
    for number, _ in known & parents().keys():
        with suppress(OSError):
            os.kill(number, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
