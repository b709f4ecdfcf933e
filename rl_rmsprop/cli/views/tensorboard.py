"""Starts TensorBoard on a folder, listening on this machine only."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

MOST_RUNS = 40
"""Runs that TensorBoard shows by itself; with more of them none is ticked."""
MOST_FILES = 20_000
"""Files and folders among which event files are looked for."""


def serve(folder: Path, port: int) -> int:
    """Run TensorBoard until it is interrupted; prints its address first. ValueError without event files to show."""
    if not 1 <= port <= 65535:
        raise ValueError(f"port must be from 1 to 65535, got {port}")
    if not any(name.startswith("events.out.tfevents.") for name in below(folder)):
        raise ValueError(f"{folder} holds no TensorBoard event files: rl-rmsprop train or compare writes some")
    port = free_port(port)
    print(f"TensorBoard on {address(folder, port)} (empty the run filter to see single runs; Ctrl-C ends it)", flush=True)
    if os.name == "posix":
        os.execv(sys.executable, command(folder, port))  # becomes the viewer, so that whoever ends this process ends it
    return subprocess.call(command(folder, port))


def address(folder: Path, port: int) -> str:
    """Where to look: the Custom Scalars tab, with the arms' aggregates and the report alone if there are some.

    TensorBoard shows no run at all where more than `MOST_RUNS` pass its filter, and colours twenty runs with seven colours.
    """
    arms = "_agg" in below(folder)
    return f"http://127.0.0.1:{port}/#custom_scalars" + ("&regexInput=_agg%7Creport" if arms else "")


def below(folder: Path) -> Iterator[str]:
    """Names of what lies below a folder, no more than MOST_FILES of them: `/` has no end."""
    names = (name for _, folders, files in os.walk(folder) for name in (*folders, *files))
    return itertools.islice(names, MOST_FILES)


def command(folder: Path, port: int) -> list[str]:
    """TensorBoard's command line: loopback only, more points a curve than its default of 1000."""
    options = ["--host", "127.0.0.1", "--port", str(port), "--samples_per_plugin", "scalars=3000"]
    return [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), *options]


def free_port(port: int) -> int:
    """`port`, or the next one that nobody listens on."""
    for candidate in range(port, min(port + 100, 65536)):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", candidate)):
                return candidate
    raise ValueError(f"ports {port} to {candidate} are all in use: give another --port")
