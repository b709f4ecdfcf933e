"""TensorBoard's event files: records of length, checksum, protobuf event, checksum.

A file is a view of what metrics.csv holds. One that grows (`EventFile`) is written by a run while it trains; one that is made
again from results (`replace_events`) takes the place of the old one, and a viewer that is open follows.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import google_crc32c  # TensorBoard's own checksum is pure Python and a hundred times slower
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary

from rl_rmsprop.storage.atomic import PART, Damaged, Log

PREFIX = "events.out.tfevents."
"""How the names of event files begin."""
VERSION = "brain.Event:2"


def record(event: Event) -> bytes:
    """An event as it stands in a file."""
    data = event.SerializeToString()
    length = struct.pack("<Q", len(data))
    return length + checksum(length) + data + checksum(data)


def checksum(data: bytes) -> bytes:
    """TensorFlow's masked CRC-32C of a record's part."""
    crc = google_crc32c.value(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


class EventFile:
    """An event file that grows.

    If it cannot be written any more, a line on stderr says so once, and the training continues without it.
    """

    def __init__(self, folder: Path, saved: Mapping[str, Any] | None = None) -> None:
        """Begin a file, or continue one as it was when `snapshot` returned `saved`, if it still is."""
        self._log: Log | None = None
        if saved is not None and saved["name"]:
            with suppress(Damaged, OSError):
                self._log = Log(folder / saved["name"], saved)
                return
        name = f"{PREFIX}{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.0"
        try:
            self._log = Log(folder / name)
        except OSError as error:
            self._give_up(error)
        self._add(Event(wall_time=time.time(), file_version=VERSION))

    def add(self, step: int, summary: Summary) -> None:
        """Append one summary at `step`."""
        self._add(Event(wall_time=time.time(), step=step, summary=summary))

    def _add(self, event: Event) -> None:
        if self._log is not None:
            self._log.write(record(event))

    def flush(self) -> None:
        """Hand everything to the system."""
        try:
            if self._log is not None:
                self._log.flush()
        except OSError as error:
            self._give_up(error)

    def snapshot(self) -> dict[str, Any]:
        """What is needed to continue from here."""
        self.flush()
        return {"name": self._log.path.name, **self._log.snapshot()} if self._log is not None else {"name": ""}

    def close(self) -> None:
        """Write what is left, and close."""
        self.flush()
        if self._log is not None:
            self._log.close()

    def _give_up(self, error: OSError) -> None:
        print(f"no curves in TensorBoard from here on: {error}; the numbers go on in metrics.csv", file=sys.stderr)
        if self._log is not None:
            self._log.close()  # nothing is left to write: `flush` has tried
        self._log = None


def replace_events(folder: Path, summaries: Iterable[tuple[int, Summary]], rank: int) -> None:
    """Put an event file with these summaries, each at its step, in the place of those that a folder holds.

    A viewer that is open shows the new curves: it reads a run's files in the order of their names, the fast loader drops old
    points when a step comes again, and the slow one when a session starts. So the new file has a later name than the old one,
    and no `tfevents` in it before it is whole. The old one stays until the next time: without it the slow loader would not find
    the new one.

    TensorBoard orders runs, and so their colours, by the time of their first event. Here that is `rank` seconds after 1970: such
    runs come before those that train, in the order of their ranks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    old, now = sorted(folder.glob(f"{PREFIX}*")), time.time()
    events = [Event(wall_time=float(rank), file_version=VERSION)]
    events.append(Event(wall_time=now, step=0, session_log=SessionLog(status=SessionLog.START)))
    events += [Event(wall_time=now, step=step, summary=summary) for step, summary in summaries]
    whole = folder / f"{PREFIX}{time.time_ns():020d}.{socket.gethostname()}.{os.getpid()}.0"
    temporary = folder / f".curves{PART}"
    temporary.write_bytes(b"".join(map(record, events)))
    os.replace(temporary, whole)
    for path in old[:-1]:
        path.unlink(missing_ok=True)
