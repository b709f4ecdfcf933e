"""What this process may use of the machine: cores, and memory. A container may allow less than the machine has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def cores() -> int:
    """Cores that this process may run on.

    >>> 1 <= cores() <= (os.cpu_count() or 1)
    True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def core_limit() -> float | None:
    """How many cores' time the container may take, such as 1.5; None for as much as there is."""
    limits = [int(words[0]) / int(words[1]) for words in read("cpu.max") if len(words) == 2 and words[0].isdigit()]
    return min(limits, default=None)


def memory() -> int:
    """Bytes of memory that this process may use at most: the machine's, or its container's."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 2**63
    return min([machine, *(int(words[0]) for words in read("memory.max") if words and words[0].isdigit())])


def free_memory() -> int | None:
    """Bytes that the machine could give out now without swapping; None where it does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def read(name: str) -> Iterator[list[str]]:
    """The words of a file of the control group of this process, and of the groups that it is in (version 2)."""
    try:
        lines = OWN_CGROUP.read_text().splitlines()
    except OSError:
        lines = []
    path = next((line.split(":", 2)[2] for line in lines if line.startswith("0::")), "/")
    folder = CGROUPS / path.lstrip("/")
    for place in (folder, *folder.parents):
        if place != CGROUPS and CGROUPS not in place.parents:
            return
        try:
            yield (place / name).read_text().split()
        except OSError:
            continue
