"""What is written down about a run, and in which form: tags, TensorBoard event files, tables of numbers.

`metrics.csv` is the truth: a row a logging step, a column a tag, floats as `repr` writes them, nothing of wall-clock.
TensorBoard's event file is a view of it. All values of a step go into one record, each tag once (the fast loader drops a
second value of the same step), and a tag gets at most `POINTS` values (the viewer samples beyond 1000).
"""

from __future__ import annotations

import functools
import math
import os
import socket
import struct
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
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

from rl_rmsprop.files import Damaged, Log

POINTS = 160
"""Logging steps of one training; each tag gets at most this many values, and one more for the final evaluation."""

OPTIMIZER_TAGS = (
    "optim/beta", "optim/beta_min", "optim/beta_max", "optim/window", "optim/E_q05", "optim/E_q50", "optim/E_q95",
    "optim/effective_lr_q05", "optim/effective_lr_q50", "optim/effective_lr_q95", "optim/update_rms", "optim/grad_norm",
    "optim/surprise", "optim/share_below_eps", "optim/skipped",
)  # fmt: skip
DETECTOR_TAGS = ("detector/statistic", "detector/threshold", "detector/alarms")
AGENT_TAGS = (
    "rollout/ep_rew_mean", "rollout/ep_len_mean", "eval/mean_reward", "train/policy_loss", "train/value_loss",
    "train/entropy", "train/explained_variance", "train/approx_kl", "train/clip_fraction",
)  # fmt: skip
ENVIRONMENT_TAGS = ("env/regime",)
TAGS = (*AGENT_TAGS, *OPTIMIZER_TAGS, *DETECTOR_TAGS, *ENVIRONMENT_TAGS)
"""Every scalar of a run, in the order of the columns of metrics.csv; x is the run's environment steps."""

CHARTS = {
    "Return": "rollout/ep_rew_mean",
    "β": "optim/beta",
    "E (median)": "optim/E_q50",
    "Effective lr (median)": "optim/effective_lr_q50",
    "Detector": "detector/(statistic|threshold)",
    "Alarms so far": "detector/alarms",
    "True regime": "env/regime",
}
"""Title → tags (a regular expression) of the charts on TensorBoard's Custom Scalars tab."""

LOGARITHMIC = {"optim/E_q50", "optim/effective_lr_q50"}
"""Tags whose aggregates are of their decimal logarithms: they range over many powers of ten, and the viewer starts linear."""


class Table(Log):
    """A CSV file that grows row by row."""

    def __init__(self, path: Path, columns: Sequence[str], kept: Mapping[str, Any] | None = None) -> None:
        """Begin the table with its header, or go on with one as it was `kept`."""
        super().__init__(path, kept)
        self._columns = columns
        if kept is None:
            self.write(",".join(columns).encode() + b"\n")

    def add(self, row: Mapping[str, float]) -> None:
        """One row; columns that are missing in `row` stay empty."""
        self.add_cells([repr(row[c]) if c in row else "" for c in self._columns])

    def add_cells(self, cells: Sequence[str]) -> None:
        """One row, in the order of the columns, as it will be read."""
        self.write((",".join(cells) + "\n").encode())


def read_table(path: Path) -> dict[str, NDArray[np.float64]]:
    """Columns of a CSV file by name; empty cells are NaN. ValueError names the line that is not whole."""
    try:
        with path.open(encoding="utf-8") as file:
            names = file.readline().rstrip("\n").split(",")
            rows = [[float(cell) if cell else math.nan for cell in line.rstrip("\n").split(",")] for line in file]
    except ValueError as error:  # UnicodeDecodeError is one
        raise ValueError(f"{path} must be a table of numbers, got something else ({error}): train the run again") from error
    for number, row in enumerate(rows, 2):
        if len(row) != len(names):
            raise ValueError(f"{path} must have {len(names)} cells in line {number}, got {len(row)}: train the run again")
    columns = np.array(rows, dtype=float).reshape(len(rows), len(names)).T
    return dict(zip(names, columns, strict=True))


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


def logging_steps(windows: int) -> int:
    """Windows of the training from one logging step to the next, so that there are at most POINTS."""
    return max(1, math.ceil(windows / POINTS))


def is_logged(window: int, windows: int) -> bool:
    """Whether a window of the training is a logging step: every so many, and the last one."""
    return window % logging_steps(windows) == 0 or window == windows
