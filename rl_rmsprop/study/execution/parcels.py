"""Brings the files of a task from one study's folder to another that no common disk joins.

    worker's scratch folder ── Sender.parcels() ──▸ pieces of files ──▸ write(…) ──▸ the driver's study folder

Of files that only grow (tables, TensorBoard's events) what is new is sent, of all others everything. Those that grow come first,
and what makes a checkpoint or a run count as whole comes last. So a transfer may end anywhere: what has come is what a worker
that was killed at that time would have left, and a resumed batch cuts tables to the length that its checkpoint tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from rl_rmsprop.storage import atomic
from rl_rmsprop.storage.checkpoint import MANIFEST
from rl_rmsprop.study.spec.run_files import WEIGHTS

LARGEST = 4_000_000
"""Bytes of a piece."""
LAST = (MANIFEST, WEIGHTS)
"""Ends of the names of files that say that others are whole."""


class Piece(NamedTuple):
    """Some bytes of a file."""

    path: str
    """Where it is, from the study's folder on."""
    offset: int
    """The place of the first byte."""
    data: bytes
    whole: bool
    """Whether it belongs to a file that is sent whole, which takes its name when it is `complete`; else to one that grows."""
    complete: bool
    """Whether these are the file's last bytes."""


class Sender:
    """What has been sent of a task's files."""

    def __init__(self, folder: Path, outputs: Sequence[Path]) -> None:
        """`outputs` are the task's, in the study's folder `folder`."""
        self._folder, self._outputs = folder, outputs
        self._sent: dict[str, tuple[int, int]] = {}  # size and time of change

    def parcels(self) -> Iterator[list[Piece]]:
        """What has changed since the last time, in the order in which it is to be written; about LARGEST bytes at a time."""
        parcel: list[Piece] = []
        for piece in self._changed():
            parcel.append(piece)
            if sum(len(part.data) for part in parcel) >= LARGEST:
                yield parcel
                parcel = []
        if parcel:
            yield parcel

    def _changed(self) -> Iterator[Piece]:
        for path in sorted(listing(self._folder, self._outputs).files, key=order):
            state = (self._folder / path).stat()
            size, changed = self._sent.get(path, (0, 0))
            if (size, changed) == (state.st_size, state.st_mtime_ns):
                continue
            appended = grows(path) and 0 < size <= state.st_size
            yield from pieces(self._folder, path, size if appended else 0, whole=not appended)
            self._sent[path] = (state.st_size, state.st_mtime_ns)


class Listing(NamedTuple):
    """What a task has, from the study's folder on, without what is being written."""

    folders: list[str]
    files: list[str]


def listing(folder: Path, outputs: Sequence[Path]) -> Listing:
    """All of it that is there."""
    found = [path for output in outputs for path in (output, *output.rglob("*")) if not path.name.endswith(atomic.PART)]
    names = [(path.relative_to(folder).as_posix(), path.is_dir()) for path in found if path.exists()]
    return Listing(sorted(name for name, is_dir in names if is_dir), sorted(name for name, is_dir in names if not is_dir))


def grows(path: str) -> bool:
    """Whether a training only appends to this file."""
    return (path.endswith(".csv") and "/seed_" in path) or "tfevents" in path


def order(path: str) -> tuple[bool, bool, str]:
    """The place of a file in a transfer."""
    return path.endswith(LAST), not grows(path), path


def pieces(folder: Path, path: str, offset: int = 0, whole: bool = True) -> Iterator[Piece]:
    """A file from `offset` on."""
    with (folder / path).open("rb") as file:
        file.seek(offset)
        while True:
            data = file.read(LARGEST)
            complete = len(data) < LARGEST
            yield Piece(path, offset, data, whole, complete)
            offset += len(data)
            if complete:
                return


def write(folder: Path, piece: Piece) -> None:
    """Put a piece into its file; Unwritable if the disk does not take it, Damaged if what comes before is not there."""
    path = folder / piece.path
    target = path.with_name(f".{path.name}{atomic.PART}") if piece.whole else path
    with atomic.named_errors(path, len(piece.data)):
        atomic.disk.make_folder(path.parent)
        if piece.offset and (not target.exists() or target.stat().st_size < piece.offset):
            raise atomic.Damaged(f"{path} is shorter than it was")
        with target.open("r+b" if piece.offset else "wb") as file:
            file.seek(piece.offset)
            file.truncate()
            atomic.disk.write(file, piece.data)
            if piece.whole and piece.complete:
                atomic.disk.sync(file.fileno())
        if piece.whole and piece.complete:
            atomic.disk.rename(target, path)


def match(folder: Path, outputs: Sequence[Path], wanted: Listing) -> None:
    """Make the folders of a listing, and remove files and folders of the task that are not in it."""
    there = listing(folder, outputs)
    with atomic.named_errors(folder):
        for path in set(there.files) - set(wanted.files):
            (folder / path).unlink(missing_ok=True)
        for path in sorted(set(there.folders) - set(wanted.folders), reverse=True):  # what is in a folder comes first
            with suppress(OSError):  # a file in it is being written
                (folder / path).rmdir()
        for path in wanted.folders:
            atomic.disk.make_folder(folder / path)
