"""Writes down what a batch of runs does: a consumer of the training loop's records.

Between logging steps it only counts; at a logging step it measures once for all runs and writes a row a run. A row stands for a
window of the training, after its last optimizer update; the smallest and largest β are over all updates since the last row.
A run that has failed gets a row of the window in which it did, and nothing after it.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.training import Update
from envs import EnvBatch, ShiftedBatch
from rl_rmsprop.optimizer.adaptive_rmsprop import AdaptiveRMSprop
from rl_rmsprop.optimizer.stats import STATS
from rl_rmsprop.storage.snapshot import Snapshottable
from rl_rmsprop.study.spec.run_files import EVENTS
from rl_rmsprop.study.training.monitor import Progress
from rl_rmsprop.telemetry import tags, tensorboard
from rl_rmsprop.telemetry.csv_table import Table
from rl_rmsprop.telemetry.tensorboard import EventFile

FLUSH_EVERY = 5.0
"""Seconds after which what has been written may be read by others; a system call for every row would take longer than the row."""
WINDOW = 100  # episodes that rollout/ep_rew_mean averages over
HISTOGRAMS = 20  # per training
EDGES = {"hist/log10_E": np.linspace(-20, 4, 97), "hist/log10_effective_lr": np.linspace(-8, 4, 97)}
DETECTOR = {"statistic", "threshold", "alarms"}


class RunFiles(NamedTuple):
    """Open files of one run."""

    metrics: Table
    timing: Table
    episodes: Table
    shifts: Table
    alarms: Table
    events: EventFile


class Recorder(Snapshottable):
    """Keeps the records of R runs in their folders."""

    STATE_ATTRIBUTES = ("_onsets", "_alarms", "_made", "_recent", "_range", "_steps", "_columns", "_window", "_going")

    def __init__(
        self,
        folders: Sequence[Path],
        optimizer: torch.optim.Optimizer,
        env: EnvBatch,
        windows: int,
        updates: int,
        group: str,
        hparams: Mapping[str, str | float],
        aggregates: bool,
        kept: Mapping[str, Any] | None = None,
    ) -> None:
        """Begin the runs' files, or go on with them as they were when `snapshot` returned `kept`; Damaged if they are not.

        The training is of so many windows, with so many updates of the optimizer in all of them together.
        """
        self._optimizer, self._windows, self._per_window = optimizer, windows, updates // windows
        self._shifting = env if isinstance(env, ShiftedBatch) else None
        self._onsets = np.zeros(len(folders), np.int64)  # [R] changes of the environment written down
        self._alarms = np.zeros(len(folders))  # [R] alarms so far
        self._new_alarms: list[tuple[int, int]] = []  # run and update, not yet written down
        self._made = self._window = 0  # updates of the optimizer, windows of the training
        every = tags.logging_steps(windows)
        self._every_histogram = max(every, windows // HISTOGRAMS // every * every)
        shifting = tuple(self._shifting.values) if self._shifting is not None else ()
        self._files = [open_files(folder, shifting, kept["files"][r] if kept else None) for r, folder in enumerate(folders)]
        self._recent = [(deque[float](maxlen=WINDOW), deque[int](maxlen=WINDOW)) for _ in folders]
        self._range: tuple[Tensor, Tensor] | None = None  # smallest and largest β since the last logging step
        self._steps = np.zeros(len(folders), np.int64)
        self._going = np.ones(len(folders), bool)  # [R] whether the run has not failed
        self._columns: dict[str, NDArray[np.float64]] = {}
        self._started = self._flushed = time.perf_counter()
        optimizer.register_step_post_hook(self._notice_update)
        if kept is not None:
            self.restore(dict(kept))
            return
        for files in self._files:
            for summary in tensorboard.preamble(hparams, group, aggregates, self._shifting is not None):
                files.events.add(0, summary)
        self._measure()

    def take(self, update: Update) -> bool:
        """One record; returns whether this was a logging step."""
        self._keep_episodes(update)
        self._keep_shifts(update)
        self._keep_alarms(update)
        self._steps, self._window = update.steps, update.window
        logging = tags.is_logged(update.window, self._windows)
        failing = self._going & update.health.failed
        if logging or failing.any():
            columns = self._measured(update)
        if logging:
            self._columns, self._range = columns, None
        if logging and update.window < self._windows:
            self._write(columns, self._going)
        elif failing.any():  # the last row of the others waits for the evaluation
            self._write(columns, failing)
        self._going = ~update.health.failed
        if update.window % self._every_histogram == 0:
            self._write_histograms()
        return logging

    def finish(self, mean_reward: NDArray[np.float64]) -> None:
        """Write the last row of those that have not failed, with the final evaluation of each run [R]."""
        self._write({**self._columns, "eval/mean_reward": mean_reward}, self._going)

    def snapshot(self) -> dict[str, Any]:
        """Where the records are, and how long the files."""
        kept = [[file.snapshot() for file in files] for files in self._files]
        return {**super().snapshot(), "files": kept, "seconds": time.perf_counter() - self._started}

    def restore(self, saved: dict[str, Any]) -> None:
        super().restore(saved)
        self._flushed = time.perf_counter()
        self._started = self._flushed - saved["seconds"]
        self._measure()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *failure: object) -> None:
        with suppress(OSError) if failure[0] else nullcontext():  # the first failure is the one to tell
            self.close()

    def close(self) -> None:
        """Write what is left, and close all files."""
        for files in self._files:
            for file in files:
                file.close()

    def progress(self) -> Progress:
        """How far the batch is."""
        returns = [sum(episode_returns) / len(episode_returns) for episode_returns, _ in self._recent if episode_returns]
        beta, alarms = (self._columns.get(tag, np.array([math.nan])) for tag in ("optim/beta", "detector/alarms"))
        mean_return = sum(returns) / len(returns) if returns else math.nan
        return Progress(int(self._steps.sum()), mean_return, float(beta.mean()), float(np.nansum(alarms)))

    def _measure(self) -> None:
        """Have the optimizer measure the surprise of its next update if it is the last one before a row is written."""
        if isinstance(self._optimizer, AdaptiveRMSprop):
            window, rest = divmod(self._made + 1, self._per_window)
            self._optimizer.measure_surprise = not rest and tags.is_logged(window, self._windows)

    def _keep_episodes(self, update: Update) -> None:
        for run, step, episode_return, length in zip(*(column.tolist() for column in update.episodes), strict=True):
            if not self._going[run]:
                continue
            returns, lengths = self._recent[run]
            returns.append(episode_return)
            lengths.append(length)
            self._files[run].episodes.add_cells([repr(step), repr(episode_return), repr(length)])

    def _keep_shifts(self, update: Update) -> None:
        """Write down the changes that have begun since the last update."""
        if self._shifting is None:
            return
        for run in np.flatnonzero(self._going & (self._shifting.onsets > self._onsets)).tolist():
            values = {name: float(value[run].mean()) for name, value in self._shifting.values.items()}
            row = {"update": update.number, "step": int(update.steps[run]), "regime": int(self._shifting.regime[run])}
            self._files[run].shifts.add(row | values)
        self._onsets = self._shifting.onsets.copy()

    def _notice_update(self, *_: Any) -> None:
        """Called after each update of the optimizer, of which a record may hold several."""
        self._made += 1
        self._notice_alarms()
        self._keep_range()
        self._measure()

    def _notice_alarms(self) -> None:
        """Remember the runs in which the detector has alarmed in the last update."""
        alarms = self._optimizer.param_groups[0].get("rule_state", {}).get("alarms")
        if alarms is not None and (now := alarms.cpu().numpy()).sum() > self._alarms.sum():
            self._new_alarms += [(run, self._made) for run in np.flatnonzero(now > self._alarms).tolist()]
            self._alarms = now.copy()

    def _keep_alarms(self, update: Update) -> None:
        """Write down the alarms since the last record."""
        for run, number in self._new_alarms:
            self._files[run].alarms.add({"update": number, "step": int(update.steps[run])})
        self._new_alarms.clear()

    def _keep_range(self) -> None:
        """Widen the range of β by that of the last update."""
        beta = self._optimizer.param_groups[0].get("alpha")
        if isinstance(beta, Tensor):
            beta = beta.cpu()
            low, high = self._range or (beta, beta)
            self._range = (torch.minimum(low, beta), torch.maximum(high, beta))

    def _measured(self, update: Update) -> dict[str, NDArray[np.float64]]:
        """Every scalar of this step, each [R]."""
        columns: dict[str, Any] = {"step": update.steps, "optim/grad_norm": update.grad_norm}
        for name, x in update.metrics().items():
            columns[name] = torch.where(x.isfinite(), x, math.nan)
        columns["optim/skipped"] = update.health.skipped
        for name, values in zip(("rollout/ep_rew_mean", "rollout/ep_len_mean"), zip(*self._recent, strict=True), strict=True):
            columns[name] = np.array([sum(v) / len(v) if v else math.nan for v in values])
        if self._shifting is not None:
            columns["env/regime"] = self._shifting.regime
        if isinstance(self._optimizer, AdaptiveRMSprop):
            stats = self._optimizer.stats()
            columns |= {
                f"{'detector' if k in DETECTOR else 'optim'}/{k}": stats[k] for k in STATS if k not in ("clock", "skipped")
            }
            low, high = self._range or (stats["beta"], stats["beta"])
            columns |= {"optim/beta_min": low, "optim/beta_max": high}
        on_cpu = {tag: values.cpu() if isinstance(values, Tensor) else values for tag, values in columns.items()}
        return {tag: np.asarray(values, dtype=np.float64) for tag, values in on_cpu.items()}

    def _write(self, columns: dict[str, NDArray[np.float64]], runs: NDArray[np.bool_]) -> None:
        """A row for each of these runs [R]."""
        elapsed = time.perf_counter() - self._started
        speed = float(self._steps.sum()) / elapsed
        values = {tag: x.tolist() for tag, x in columns.items()}
        steps = [int(step) for step in values.pop("step")]
        empty = [""] * len(steps)
        cells = [[repr(x) if x == x else "" for x in values[tag]] if tag in values else empty for tag in tags.TAGS]
        for r in np.flatnonzero(runs).tolist():
            files, step = self._files[r], steps[r]
            files.metrics.add_cells([repr(step), *[of_tag[r] for of_tag in cells]])
            files.timing.add_cells([repr(step), repr(elapsed), repr(speed)])
            shown = {tag: of_tag[r] for tag, of_tag in values.items()}
            files.events.add(step, tensorboard.scalars({**shown, "time/steps_per_second": speed}))
        if time.perf_counter() - self._flushed > FLUSH_EVERY:
            self._flushed = time.perf_counter()
            for files in self._files:
                for file in files:
                    file.flush()

    def _write_histograms(self) -> None:
        if not isinstance(self._optimizer, AdaptiveRMSprop):
            return
        samples = self._optimizer.samples()
        for (tag, edges), values in zip(EDGES.items(), samples, strict=True):
            going = np.flatnonzero(self._going)
            logs = np.log10(np.maximum(values.numpy()[going], 1e-38))
            for r, summary in zip(going.tolist(), tensorboard.histograms(tag, logs, edges), strict=True):
                self._files[r].events.add(int(self._steps[r]), summary)


def open_files(folder: Path, shifting: Sequence[str], kept: Sequence[Any] | None) -> RunFiles:
    """The files of one run: begun, in place of what an earlier attempt left, or as they were `kept`.

    `shifting` names the parameters that shift.
    """
    if kept is None:
        for old in folder.glob(EVENTS):
            old.unlink()
    tables = {
        "metrics": ("step", *tags.TAGS),
        "timing": ("step", "time/seconds", "time/steps_per_second"),
        "episodes": ("step", "return", "length"),
        "shifts": ("update", "step", "regime", *shifting),
        "alarms": ("update", "step"),
    }
    *of_tables, of_events = kept or [None] * (len(tables) + 1)
    opened: list[Any] = [
        Table(folder / f"{name}.csv", columns, was) for (name, columns), was in zip(tables.items(), of_tables, strict=True)
    ]
    return RunFiles._make([*opened, EventFile(folder, of_events)])
