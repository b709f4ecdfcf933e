"""Cores, memory, threads, GPU, disk, folders and the terminal."""

from __future__ import annotations

import locale
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rl_rmsprop import machine
from rl_rmsprop.diagnosis.finding import Finding, note, ok, problem

LITTLE_MEMORY = 1_000_000_000
LITTLE_DISK, NO_DISK = 5_000_000_000, 100_000_000
"""Bytes below which there is a note, or a problem: a study of a hundred CartPole runs takes 100 MB or so."""


def cores() -> Finding:
    """Cores that this process may run on, and how much of their time."""
    usable, all_cores, limit = machine.cores(), os.cpu_count() or 1, machine.core_limit()
    text = f"{usable} usable of {all_cores}"
    if limit is not None and limit < usable:
        workers = max(1, math.floor(limit))
        return note("cores", f"{text}, but the container may take the time of {limit:g}", f"train with --workers {workers}")
    return ok("cores", text)


def memory() -> Finding:
    """Memory that may be used, and what is free of it."""
    most, free = machine.memory(), machine.free_memory()
    text = f"{most / 1e9:.1f} GB" + ("" if free is None else f", {min(free, most) / 1e9:.1f} GB free")
    if min(most, most if free is None else free) < LITTLE_MEMORY:
        return note("memory", text, "end other programs, or train with --workers 1: a worker takes about 0.4 GB")
    return ok("memory", text)


def threads() -> Finding:
    """Torch's threads in a script of one's own; a study's workers have one each."""
    import torch

    count, usable = torch.get_num_threads(), machine.cores()
    text = f"{count} in your own scripts, 1 in each worker of a study"
    if count > usable:
        return note("torch threads", f"{text}, on {usable} cores", f"set OMP_NUM_THREADS={usable}")
    return ok("torch threads", text)


def gpu() -> Finding:
    """Whether `--device cuda` would work."""
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return ok("GPU", f"{', '.join(names)}: --device cuda, for wide networks")
    if shutil.which("nvidia-smi"):
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        remedy = "for --device cuda, install the driver, or a torch for it: https://pytorch.org/get-started"
        return note("GPU", f"there is a driver, but torch, {built}, finds no device", remedy)
    return ok("GPU", "none: networks are trained on the CPU")


def disk(folder: Path) -> Finding:
    """Free space where results go."""
    place = nearest_existing(folder)
    free = shutil.disk_usage(place).free
    text = f"{free / 1e9:.1f} GB free in {place.resolve()}"
    if free < NO_DISK:
        return problem("disk", text, "make room, or choose a folder on another disk: --out DIR")
    if free < LITTLE_DISK:
        return note("disk", text, "rl-rmsprop plan STUDY.toml says what a study will take; --out DIR chooses another disk")
    return ok("disk", text)


def folders(folder: Path) -> Iterator[Finding]:
    """Whether files can be made where results go, and where temporary ones go."""
    yield writable("results", nearest_existing(folder), "choose another folder: --out DIR")
    try:
        temporary = Path(tempfile.gettempdir())
    except OSError as error:
        yield problem("temporary files", f"no folder for them can be written: {error.strerror}", "set TMPDIR to one that can")
        return
    yield writable("temporary files", temporary, "set TMPDIR to a folder that can")


def writable(subject: str, folder: Path, remedy: str) -> Finding:
    """Whether a file can be made in a folder; none is left."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".rl-rmsprop-") as file:
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return problem(subject, f"{folder.resolve()} cannot be written: {error.strerror or error}", remedy)
    return ok(subject, f"{folder.resolve()} can be written")


def nearest_existing(folder: Path) -> Path:
    """The folder, or the first one above it that exists."""
    places = (folder, *folder.absolute().parents)
    return next(place for place in places if os.path.exists(place))  # unlike Path.exists, false for a name that is too long


def terminal() -> Finding:
    """Whether β can be shown and be part of a file's name."""
    shown, named, written = (sys.stdout.encoding or "ascii"), sys.getfilesystemencoding(), locale.getpreferredencoding(False)
    odd = sorted({name for name in (shown, named, written) if name.lower().replace("-", "") != "utf8"})
    text = f"{os.environ.get('LC_ALL') or os.environ.get('LC_CTYPE') or os.environ.get('LANG') or 'no locale'}, {shown}"
    if odd:
        return note("locale", f"{text}: {', '.join(odd)} has no β, which is shown as \\u03b2", "export LC_ALL=C.UTF-8")
    return ok("locale", text)
