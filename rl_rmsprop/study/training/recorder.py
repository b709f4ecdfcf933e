"""Records what a batch of runs does: a consumer of the training loop's records.

    Update → measured once for all R runs → a row of each run's tables, and the same values to its sinks

Between logging steps it only counts. A row stands for an iteration of the training, after its last optimizer update; the smallest
and largest β are over all updates since the last row. A run that has failed gets a row of the iteration in which it did, and
nothing after it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.training import Update
from envs import EnvBatch, ShiftedBatch
from rl_rmsprop.optimizer.adaptive_rmsprop import AdaptiveRMSprop
from rl_rmsprop.optimizer.stats import STATS
from rl_rmsprop.storage.snapshot import Snapshottable
from rl_rmsprop.study.training.episode_record import EpisodeRecord
from rl_rmsprop.study.training.monitor import Progress
from rl_rmsprop.study.training.run_tables import RunTables
from rl_rmsprop.telemetry import tags
from rl_rmsprop.telemetry.csv_table import Table
from rl_rmsprop.telemetry.sinks import HistogramSink, RunInfo, Sink, SinkFactory, histograms

FLUSH_EVERY = 5.0
"""Seconds after which what has been written may be read by others; a system call for every row would take longer than the row."""
HISTOGRAMS = 20  # per training
EDGES = {"hist/log10_E": np.linspace(-20, 4, 97), "hist/log10_effective_lr": np.linspace(-8, 4, 97)}
DETECTOR = {"statistic", "threshold", "alarms"}


class Recorder(Snapshottable):
    """Records R runs in their tables and sinks."""

    STATE_ATTRIBUTES = ("_onsets", "_alarms", "_updates", "_range", "_steps", "_columns", "_iteration", "_active")

    def __init__(
        self,
        runs: Sequence[RunInfo],
        sinks: Sequence[SinkFactory],
        optimizer: torch.optim.Optimizer,
        env: EnvBatch,
        iterations: int,
        updates: int,
        saved: Mapping[str, Any] | None = None,
    ) -> None:
        """Begin the runs' files, or continue them as they were when `snapshot` returned `saved`; Damaged if they are not.

        The training has so many iterations, with so many updates of the optimizer in all of them together.
        """
        self._optimizer, self._iterations, self._per_iteration = optimizer, iterations, updates // iterations
        self._shifting = env if isinstance(env, ShiftedBatch) else None
        self._onsets = np.zeros(len(runs), np.int64)  # [R] changes of the environment that are recorded
        self._alarms = np.zeros(len(runs))  # [R] alarms so far
        self._new_alarms: list[tuple[int, int]] = []  # run and update, not yet recorded
        self._updates = self._iteration = 0  # of the optimizer, of the training
        every = tags.logging_steps(iterations)
        self._every_histogram = max(every, iterations // HISTOGRAMS // every * every)
        names = tuple(self._shifting.values) if self._shifting is not None else ()
        tables = saved["tables"] if saved else [None] * len(runs)
        self._tables = [RunTables.open(run.folder, names, state) for run, state in zip(runs, tables, strict=True)]
        states = saved["sinks"] if saved else [[None] * len(sinks) for _ in runs]
        self._sinks = [
            [make(run._replace(saved=state)) for make, state in zip(sinks, of_run, strict=True)]
            for run, of_run in zip(runs, states, strict=True)
        ]
        self._histogram_sinks = [[sink for sink in of_run if isinstance(sink, HistogramSink)] for of_run in self._sinks]
        self._episodes = EpisodeRecord([of_run.episodes for of_run in self._tables])
        self._range: tuple[Tensor, Tensor] | None = None  # smallest and largest β since the last logging step
        self._steps = np.zeros(len(runs), np.int64)
        self._active = np.ones(len(runs), bool)  # [R] whether the run has not failed
        self._columns: dict[str, NDArray[np.float64]] = {}
        self._started = self._flushed = time.perf_counter()
        optimizer.register_step_post_hook(self._after_update)
        if saved is not None:
            self.restore(dict(saved))
        self._request_surprise()

    def take(self, update: Update) -> bool:
        """One iteration of the training; returns whether this was a logging step."""
        self._episodes.add(update.episodes, self._active)
        self._record_shifts(update)
        self._record_alarms(update)
        self._steps, self._iteration = update.steps, update.iteration
        logging = tags.is_logged(update.iteration, self._iterations)
        failing = self._active & update.status.failed
        if logging or failing.any():
            columns = self._measure(update)
        if logging:
            self._columns, self._range = columns, None
        if logging and update.iteration < self._iterations:
            self._write(columns, self._active)
        elif failing.any():  # the last row of the others waits for the evaluation
            self._write(columns, failing)
        self._active = ~update.status.failed
        if update.iteration % self._every_histogram == 0:
            self._write_histograms()
        return logging

    def finish(self, mean_reward: NDArray[np.float64]) -> None:
        """Write the last row of those that have not failed, with the final evaluation of each run [R]."""
        self._write({**self._columns, "eval/mean_reward": mean_reward}, self._active)

    def snapshot(self) -> dict[str, Any]:
        """Where the records are, how long the tables are, and what the sinks want to know again."""
        self._episodes.write()
        tables = [tables.snapshot() for tables in self._tables]
        sinks = [[sink.snapshot() if hasattr(sink, "snapshot") else None for sink in of_run] for of_run in self._sinks]
        own = {**super().snapshot(), "episodes": self._episodes.snapshot()}
        return {**own, "tables": tables, "sinks": sinks, "seconds": time.perf_counter() - self._started}

    def restore(self, saved: dict[str, Any]) -> None:
        super().restore(saved)
        self._episodes.restore(saved["episodes"])
        self._flushed = time.perf_counter()
        self._started = self._flushed - saved["seconds"]

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *failure: object) -> None:
        with suppress(OSError) if failure[0] else nullcontext():  # the first failure is the one to report
            self.close()

    def close(self) -> None:
        """Write what is left, and close all files."""
        self._episodes.write()
        for output in self._outputs():
            output.close()

    def _outputs(self) -> Iterator[Table | Sink]:
        for tables, sinks in zip(self._tables, self._sinks, strict=True):
            yield from tables
            yield from sinks

    def progress(self) -> Progress:
        """How far the batch is."""
        beta, alarms = (self._columns.get(tag, np.array([math.nan])) for tag in ("optim/beta", "detector/alarms"))
        returns = self._episodes.means()[0]
        known = returns[~np.isnan(returns)]
        mean_return = float(known.mean()) if len(known) else math.nan
        return Progress(int(self._steps.sum()), mean_return, float(beta.mean()), float(np.nansum(alarms)))

    def _request_surprise(self) -> None:
        """Have the optimizer measure the surprise of its next update if it is the last one before a row is written."""
        if isinstance(self._optimizer, AdaptiveRMSprop):
            iteration, rest = divmod(self._updates + 1, self._per_iteration)
            self._optimizer.measure_surprise = not rest and tags.is_logged(iteration, self._iterations)

    def _record_shifts(self, update: Update) -> None:
        """A row for every change that has begun since the last iteration."""
        if self._shifting is None:
            return
        for run in np.flatnonzero(self._active & (self._shifting.onsets > self._onsets)).tolist():
            values = {name: float(value[run].mean()) for name, value in self._shifting.values.items()}
            row = {"update": update.updates, "step": int(update.steps[run]), "regime": int(self._shifting.regime[run])}
            self._tables[run].shifts.add(row | values)
        self._onsets = self._shifting.onsets.copy()

    def _after_update(self, *_: Any) -> None:
        """Called after each update of the optimizer, of which an iteration may have several."""
        self._updates += 1
        self._note_alarms()
        self._widen_range()
        self._request_surprise()

    def _note_alarms(self) -> None:
        """Remember the runs in which the detector has alarmed in the last update."""
        alarms = self._optimizer.param_groups[0].get("rule_state", {}).get("alarms")
        if alarms is not None and (now := alarms.cpu().numpy()).sum() > self._alarms.sum():
            self._new_alarms += [(run, self._updates) for run in np.flatnonzero(now > self._alarms).tolist()]
            self._alarms = now.copy()

    def _record_alarms(self, update: Update) -> None:
        """A row for every alarm since the last iteration."""
        for run, number in self._new_alarms:
            self._tables[run].alarms.add({"update": number, "step": int(update.steps[run])})
        self._new_alarms.clear()

    def _widen_range(self) -> None:
        """Widen the range of β by that of the last update."""
        beta = self._optimizer.param_groups[0].get("alpha")
        if isinstance(beta, Tensor):
            beta = beta.cpu()
            low, high = self._range or (beta, beta)
            self._range = (torch.minimum(low, beta), torch.maximum(high, beta))

    def _measure(self, update: Update) -> dict[str, NDArray[np.float64]]:
        """Every scalar of this step, each [R]."""
        columns: dict[str, Any] = {"step": update.steps, "optim/grad_norm": update.grad_norm}
        for name, x in update.metrics().items():
            columns[name] = torch.where(x.isfinite(), x, math.nan)
        columns["optim/skipped"] = update.status.skipped
        self._episodes.write()
        columns["rollout/ep_rew_mean"], columns["rollout/ep_len_mean"] = self._episodes.means()
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
            tables, step = self._tables[r], steps[r]
            tables.metrics.add_cells([repr(step), *[of_tag[r] for of_tag in cells]])
            tables.timing.add_cells([repr(step), repr(elapsed), repr(speed)])
            scalars = {tag: of_tag[r] for tag, of_tag in values.items()} | {"time/steps_per_second": speed}
            for sink in self._sinks[r]:
                sink.write(step, scalars)
        if time.perf_counter() - self._flushed > FLUSH_EVERY:
            self._flushed = time.perf_counter()
            for output in self._outputs():
                output.flush()

    def _write_histograms(self) -> None:
        """Distributions of E and of the effective learning rate over parameters, for sinks that take them."""
        runs = [r for r in np.flatnonzero(self._active).tolist() if self._histogram_sinks[r]]
        if not runs or not isinstance(self._optimizer, AdaptiveRMSprop):
            return
        for (tag, edges), values in zip(EDGES.items(), self._optimizer.samples(), strict=True):
            logs = np.log10(np.maximum(values.numpy()[runs], 1e-38))
            if not logs.size:  # before the first update
                return
            for r, histogram in zip(runs, histograms(logs, edges), strict=True):
                for sink in self._histogram_sinks[r]:
                    sink.histogram(int(self._steps[r]), tag, histogram)
