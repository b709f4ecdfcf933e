"""Checkpoints on a disk that fails: killed at every operation, full at every write, bits flipped, ends cut off."""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from rl_rmsprop.storage import atomic, checkpoint
from rl_rmsprop.storage.atomic import Damaged, Disk
from tests.faults.kills import digest, finished
from tests.faults.table import Row

OPERATIONS = ("write", "sync", "rename", "make_folder", "remove")


class Counting(Disk):
    """Does as a disk does, and something else at the n-th operation: `before` it, after `half` of it, or `after` it."""

    def __init__(self, at: int, when: str, strike: Callable[[], None]) -> None:
        self.count, self._at, self._when, self._strike = 0, at, when, strike
        for name in OPERATIONS:
            setattr(self, name, self._watched(name, getattr(super(), name)))

    def _watched(self, name: str, operation: Callable) -> Callable:
        def watched(*given):  # type: ignore[no-untyped-def]
            self.count += 1
            here = self.count == self._at
            if here and self._when == "before":
                self._strike()
            if here and self._when == "half" and name == "write":
                operation(given[0], given[1][: len(given[1]) // 2])
                self._strike()
            operation(*given)
            if here and self._when == "after":
                self._strike()

        return watched


def tree(seed: int) -> dict:
    """Something like a batch's state."""
    rng = np.random.default_rng(seed)
    weights = torch.from_numpy(rng.standard_normal((4, 300), dtype=np.float32))
    return {
        "seed": seed,
        "weights": [weights, weights * 2],
        "generator": rng.bit_generator.state,
        "steps": rng.integers(0, 99, 7),
    }


def same(a: object, b: object) -> bool:
    """Whether two trees are bit for bit the same."""
    (rest, tensors), (other, others) = checkpoint.pack(a), checkpoint.pack(b)
    return rest == other and tensors.keys() == others.keys() and all(torch.equal(tensors[k], others[k]) for k in tensors)


def newest(folder: Path) -> dict | None:
    """The tree of the newest whole generation."""
    return next((found for found in checkpoint.load(folder) if not isinstance(found, Damaged)), None)


def with_disk(disk: Disk, act: Callable[[], None]) -> None:
    """Do something on this disk."""
    usual, atomic.disk = atomic.disk, disk
    try:
        act()
    finally:
        atomic.disk = usual


def operations(home: Path) -> int:
    """How many operations one checkpoint makes, where two generations are there already."""
    disk = Counting(0, "", lambda: None)
    with_disk(disk, lambda: checkpoint.save(home, 9, tree(9)))
    return disk.count


def prepared(home: Path) -> Path:
    """Two generations in a fresh folder."""
    for number in (1, 2):
        checkpoint.save(home, number, tree(number))
    return home


def killed_at_every_operation() -> Row:
    """A child process kills itself at one operation of a checkpoint; whoever comes then finds the last one or the new one."""
    kept = total = 0
    with tempfile.TemporaryDirectory() as folder:
        count = operations(prepared(Path(folder) / "count"))
        for at in range(1, count + 1):
            for when in ("before", "half", "after"):
                home = prepared(Path(folder) / f"{at}{when}")
                child = os.fork()
                if child == 0:
                    disk = Counting(at, when, lambda: os.kill(os.getpid(), signal.SIGKILL))
                    with_disk(disk, partial(checkpoint.save, home, 3, tree(3)))
                    os._exit(0)
                os.waitpid(child, 0)
                found = newest(home)
                checkpoint.save(home, 4, tree(4))  # and goes on
                total += 1
                recovered = any(same(found, tree(number)) for number in (2, 3))
                kept += recovered and same(newest(home), tree(4)) and len(checkpoint.generations(home)) == 2
    return Row(
        f"SIGKILL around every one of {count} file operations of a checkpoint", "all recover", f"{kept}/{total}", kept == total
    )


def no_space_at_every_operation() -> Row:
    """An operation fails as on a full disk: the error is told, and the last good checkpoint is intact."""
    kept = total = 0

    def strike() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with tempfile.TemporaryDirectory() as folder:
        count = operations(prepared(Path(folder) / "count"))
        for at in range(1, count + 1):
            for when in ("before", "half"):
                home = prepared(Path(folder) / f"{at}{when}")
                disk, told = Counting(at, when, strike), False
                try:
                    with_disk(disk, partial(checkpoint.save, home, 3, tree(3)))
                    told = same(newest(home), tree(3))  # removing an old generation may fail without harm
                except atomic.Unwritable as error:
                    told = error.errno == errno.ENOSPC and str(home) in str(error.filename)
                total += 1
                kept += told and any(same(newest(home), tree(number)) for number in (2, 3))
    return Row("no space at each operation of a checkpoint", "the last good one intact", f"{kept}/{total}", kept == total)


def flipped_and_truncated(flips: int, cuts: int) -> Row:
    """A single bit of a checkpoint flips, or its end is missing: it is not loaded, and the generation before is."""
    chance, silent, total, older = random.Random(0), 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        home = prepared(Path(folder))
        parts = sorted((home / "00000002").iterdir())
        truth = {path: path.read_bytes() for path in parts}
        sizes = [len(data) for data in truth.values()]

        def judge() -> None:
            nonlocal silent, total, older
            total += 1
            found = next(iter(checkpoint.load(home)))
            silent += not isinstance(found, Damaged)
            older += same(newest(home), tree(1))

        for i in range(flips):
            path = chance.choices(parts, sizes)[0] if i % 3 else parts[i // 3 % len(parts)]  # small files often enough
            flipped = bytearray(truth[path])
            flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
            path.write_bytes(flipped)
            judge()
            path.write_bytes(truth[path])
        for path, data in truth.items():
            ends = range(max(0, len(data) - cuts), len(data))
            for end in ends:
                path.write_bytes(data[:end])
                judge()
            path.write_bytes(data)
        assert same(newest(home), tree(2))
    what = f"{flips} single-bit flips, every truncation of the last {cuts} bytes"
    return Row(
        what,
        "all detected, the generation before is used",
        f"{total - silent}/{total}, {older}/{total}",
        not silent and older == total,
    )


def full_while_training() -> Row:
    """The system lets no file grow beyond some size (RLIMIT_FSIZE): exit 74; with room again the study is as if it had not."""
    line = "train --env CartPole-v1 --steps 40000 --seeds 0-1 --eval-episodes 5 --workers 1 --checkpoint-every 0.2"
    kept, limits = 0, (300, 3_000, 20_000, 100_000)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        finished(f"{line} --out whole", home)
        for limit in limits:
            usual = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, usual[1]))
            try:
                stopped = finished(f"{line} --out full-{limit}", home)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, usual)
            out = home / f"full-{limit}"
            resumed = finished(f"resume {out}" if (out / "study.json").is_file() else f"{line} --out {out}", home)
            named = "File too large" in stopped.stderr and f"full-{limit}" in stopped.stderr and "Traceback" not in stopped.stderr
            kept += stopped.returncode == 74 and named and not resumed.returncode and digest(out) == digest(home / "whole")
    return Row(
        "no room while a study trains, then resume", "exit 74, then byte-identical", f"{kept}/{len(limits)}", kept == len(limits)
    )


def rows(quick: bool) -> list[Row]:
    """All of it; a quick check flips a tenth of the bits."""
    return [
        killed_at_every_operation(),
        no_space_at_every_operation(),
        flipped_and_truncated(*((100, 256) if quick else (1000, 4096))),
        *([] if quick else [full_while_training()]),
    ]
