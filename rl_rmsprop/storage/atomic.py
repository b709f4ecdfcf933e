"""Files that are written whole or not at all, always with the same bytes for the same content.

    write: a new file beside the old one → fsync → rename over it → fsync of the folder

A process that is killed in between leaves the old file, or the new one. A `Log` grows instead: a checkpoint records its length
and hash, and to resume is to cut off the rest. Every operation goes through `disk`, so that tests can stop at each of them; one
that fails is an `Unwritable` that names the file and how much was to be written.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class Disk:
    """The file operations that a study's results depend on."""

    def write(self, file: BinaryIO, data: bytes) -> None:
        """Write all of `data` and hand it to the system."""
        file.write(data)
        file.flush()

    def sync(self, handle: int) -> None:
        """Return when the file or folder is on the disk."""
        os.fsync(handle)

    def rename(self, old: Path, new: Path) -> None:
        """Put `old` in the place of `new`, in one step."""
        os.replace(old, new)

    def make_folder(self, path: Path) -> None:
        """A folder with its parents; it may exist."""
        path.mkdir(parents=True, exist_ok=True)

    def remove(self, path: Path) -> None:
        """A file, or a folder with all that is in it."""
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


disk = Disk()


PART = ".part"
"""Ending of a file that is being written."""


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}{PART}")
    with named_errors(path, len(data)):
        try:
            with temporary.open("wb") as file:
                disk.write(file, data)
                disk.sync(file.fileno())
            disk.rename(temporary, path)
        except OSError:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)  # the room it takes may be what is missing
            raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Return when the names in a folder are on the disk."""
    if os.name == "nt":  # has no such operation
        return
    with named_errors(folder):
        handle = os.open(folder, os.O_RDONLY)
        try:
            disk.sync(handle)
        finally:
            os.close(handle)


class Lock:
    """A lock on a folder, held by a process within `with`, and released by the system when the process dies.

    Shared ones keep out exclusive ones. Where the system has no `flock`, nothing is locked.
    """

    def __init__(self, folder: Path, shared: bool = False, patience: float = 0.0) -> None:
        """Wait for at most `patience` seconds."""
        self._folder, self._shared, self._patience = folder, shared, patience

    def __enter__(self) -> Lock:
        """Acquire it; BlockingIOError if another process holds it."""
        self._handle = os.open(self._folder, os.O_RDONLY) if fcntl is not None else -1
        until = time.monotonic() + self._patience
        try:
            while not self._acquire(self._shared):
                if time.monotonic() > until:
                    raise BlockingIOError(f"{self._folder} is locked")
                time.sleep(0.02)
        except BaseException:
            os.close(self._handle)
            raise
        return self

    def share(self) -> None:
        """Admit shared locks; BlockingIOError if an exclusive one was faster."""
        if not self._acquire(shared=True):
            raise BlockingIOError(f"{self._folder} is locked")

    def _acquire(self, shared: bool) -> bool:
        if fcntl is None:
            return True
        try:
            fcntl.flock(self._handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def __exit__(self, *_: object) -> None:
        if fcntl is not None:
            os.close(self._handle)


class Unwritable(OSError):
    """The disk does not take a study's results: it is full, read-only, gone, or not ours."""


class Damaged(ValueError):
    """A file is not what it was when it was written."""


class Log:
    """A file that grows; what was written is on disk's way after `flush`."""

    def __init__(self, path: Path, saved: Mapping[str, Any] | None = None) -> None:
        """Begin the file, or continue it from where `snapshot` returned `saved`; Damaged if it does not hold that any more."""
        self.path = path
        self._pending: list[bytes] = []
        self._hash = hashlib.sha256()
        self._size = 0
        with named_errors(path):
            if saved is None:
                self._file: BinaryIO = path.open("wb")
            else:
                self._file = self._cut(saved["size"], saved["sha256"])

    def _cut(self, size: int, sha256: str) -> BinaryIO:
        """The file without what came behind its first `size` bytes."""
        try:
            file = self.path.open("r+b")
        except FileNotFoundError as error:
            raise Damaged(f"{self.path} is missing") from error
        head = file.read(size)
        self._hash.update(head)
        if len(head) < size or self._hash.hexdigest() != sha256:
            file.close()
            raise Damaged(f"{self.path} is not what it was at the checkpoint")
        file.seek(size)
        file.truncate()
        self._size = size
        return file

    def write(self, data: bytes) -> None:
        """Add to the file, at the latest when it is closed."""
        self._pending.append(data)

    def flush(self) -> None:
        """Hand everything to the system; Unwritable if it does not take it."""
        if not self._pending:
            return
        data = b"".join(self._pending)
        self._pending.clear()
        with named_errors(self.path, len(data)):
            disk.write(self._file, data)
        self._hash.update(data)
        self._size += len(data)

    def snapshot(self) -> dict[str, Any]:
        """What is needed to continue from here."""
        self.flush()
        return {"size": self._size, "sha256": self._hash.hexdigest()}

    def close(self) -> None:
        """Write what is left, and close."""
        try:
            self.flush()
        finally:
            with suppress(OSError):  # of what could not be written, which `flush` has reported
                self._file.close()


@contextmanager
def named_errors(path: Path, size: int | None = None) -> Iterator[None]:
    """Let an OSError be an `Unwritable` that says which file it was, and how much was to be written."""
    try:
        yield
    except OSError as error:
        much = "" if size is None else f" ({size:,} bytes)"
        raise Unwritable(error.errno, f"{error.strerror or error}{much}", str(path)) from error


def write_text(path: Path, text: str) -> None:
    """A text in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, content: object) -> None:
    """Sorted, indented JSON with a final newline."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table with its header; numbers as `repr` writes them."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    write_text(path, text.getvalue())


def bytes_written(save: Callable[[BinaryIO], None]) -> bytes:
    """What `save` writes to a file, for libraries that do not return it."""
    memory = io.BytesIO()
    save(memory)
    return memory.getvalue()


def env_folder(env_id: str) -> str:
    """The folder of an environment in a study, and what its figures are called after: ids with a namespace have a slash.

    >>> env_folder("envs:Shifted/CartPole-v1")
    'envs:Shifted-CartPole-v1'
    """
    return env_id.replace("/", "-")
