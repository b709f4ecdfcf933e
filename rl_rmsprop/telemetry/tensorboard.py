"""TensorBoard's event files: a view of what metrics.csv holds.

All values of a step go into one record, each tag once (the fast loader drops a second value of the same step).
"""

from __future__ import annotations

import functools
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
import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard import summary as torch_summary

from rl_rmsprop.storage.atomic import Damaged, Log
from rl_rmsprop.telemetry.tags import CHARTS, ENVIRONMENT_TAGS, LOGARITHMIC, TAGS


class EventFile:
    """One TensorBoard event file: records of length, checksum, protobuf, checksum.

    It is a view: one that cannot be written any more says so once, and the training goes on without it.
    """

    def __init__(self, folder: Path, kept: Mapping[str, Any] | None = None) -> None:
        """Begin a file, or go on with one as it was `kept`, if it still is."""
        self._log: Log | None = None
        if kept is not None and kept["name"]:
            with suppress(Damaged, OSError):
                self._log = Log(folder / kept["name"], kept)
                return
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.0"
        try:
            self._log = Log(folder / name)
        except OSError as error:
            self._give_up(error)
        self._add(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def add(self, step: int, summary: Summary) -> None:
        """Append one summary at `step`."""
        self._add(Event(wall_time=time.time(), step=step, summary=summary))

    def _add(self, event: Event) -> None:
        if self._log is None:
            return
        data = event.SerializeToString()
        length = struct.pack("<Q", len(data))
        self._log.write(length + checksum(length) + data + checksum(data))

    def flush(self) -> None:
        """Hand everything to the system."""
        try:
            if self._log is not None:
                self._log.flush()
        except OSError as error:
            self._give_up(error)

    def snapshot(self) -> dict[str, Any]:
        """What is needed to go on from here."""
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


def checksum(data: bytes) -> bytes:
    """TensorFlow's masked CRC-32C of a record's part."""
    crc = google_crc32c.value(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def scalars(values: Mapping[str, float]) -> Summary:
    """All scalars of one step in one summary, which the next call changes; NaN is left out, since a curve cannot show it."""
    shown = {tag: value for tag, value in values.items() if value == value}
    summary = summary_of(tuple(shown))
    for entry, value in zip(summary.value, shown.values(), strict=True):
        entry.simple_value = value
    return summary


@functools.lru_cache(maxsize=64)
def summary_of(tags: tuple[str, ...]) -> Summary:
    """A summary with these tags: making one takes four times as long as setting its values."""
    return Summary(value=[Summary.Value(tag=tag) for tag in tags])


def histograms(tag: str, values: NDArray[np.float64], edges: NDArray[np.float64]) -> list[Summary]:
    """Counts of each row of `values` [R, K] between fixed `edges` [B + 1]; what lies outside counts in the outermost bins."""
    inside = np.clip(values, edges[0], edges[-1])
    runs, bins = len(inside), len(edges) - 1
    places = np.arange(runs)[:, None] * bins + np.searchsorted(edges[1:-1], inside, side="right")
    counts = np.bincount(places[~np.isnan(inside)], minlength=runs * bins).reshape(runs, bins)
    low, high, total, squares = inside.min(1), inside.max(1), inside.sum(1), np.square(inside).sum(1)
    return [
        torch_summary.histogram_raw(
            tag, low[r], high[r], inside.shape[1], total[r], squares[r], edges[1:].tolist(), counts[r].tolist()
        )
        for r in range(runs)
    ]


def layout(aggregates: bool, shifting: bool = False) -> Summary:
    """The Custom Scalars tab: with `aggregates` first the arms with their intervals over seeds, then single runs.

    The chart of the true regime is there only if the environment is `shifting`.
    """
    charts = {title: tags for title, tags in CHARTS.items() if shifting or tags not in ENVIRONMENT_TAGS}
    runs = {title: ["Multiline", [f"^{tags}$"]] for title, tags in charts.items()}
    # TensorBoard shows margin charts of a category last to first.
    arms = {
        f"log₁₀ {title}" if tag in LOGARITHMIC else title: [
            "Margin",
            [aggregate_tag(tag, part) for part in ("iqm", "low", "high")],
        ]
        for title, tag in reversed(charts.items())
        if tag in TAGS
    }
    return torch_summary.custom_scalars(
        {"Arms: IQM over seeds, 95 % interval": arms, "Runs": runs} if aggregates else {"Runs": runs}
    )


def aggregate_tag(tag: str, part: str) -> str:
    """The tag under which an aggregate run holds the IQM, or the low or high end of its interval, of a run's tag."""
    return f"{tag.replace('/', '_')}/{part}"


def hparams(values: Mapping[str, str | float], metrics: Iterable[str], group: str) -> list[Summary]:
    """The HParams tab: settings of this run, the scalars to show for it, and the group (arm) to average over.

    Every run of a study must give the same keys: the tab takes its columns from the first run it finds.
    """
    experiment, start, end = torch_summary.hparams(dict(values), dict.fromkeys(metrics, 0.0))
    data = HParamsPluginData.FromString(start.value[0].metadata.plugin_data.content)
    data.session_start_info.group_name = group
    start.value[0].metadata.plugin_data.content = data.SerializeToString()
    return [experiment, start, end]


def preamble(values: Mapping[str, str | float], group: str, aggregates: bool, shifting: bool) -> list[Summary]:
    """What a run's event file begins with, at step 0: settings and charts (see `hparams` and `layout`)."""
    return [*hparams(values, ("eval/mean_reward", "rollout/ep_rew_mean"), group), layout(aggregates, shifting)]
