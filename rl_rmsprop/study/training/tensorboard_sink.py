"""The sink that every study has unless told otherwise: a TensorBoard event file in the run's folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rl_rmsprop.study.spec.run_files import EVENTS
from rl_rmsprop.telemetry import tensorboard
from rl_rmsprop.telemetry.event_file import EventFile
from rl_rmsprop.telemetry.sinks import Histogram, RunInfo


class TensorBoardSink:
    """Scalars, histograms, the charts of the Custom Scalars tab and the settings of the HParams tab, for one run."""

    def __init__(self, run: RunInfo) -> None:
        """Begin an event file in place of older ones, or continue the one that was `saved`."""
        if run.saved is None:
            for old in run.folder.glob(EVENTS):
                old.unlink()
        self._events = EventFile(run.folder, run.saved)
        if run.saved is None:
            for summary in tensorboard.preamble(run.hparams, run.group, run.aggregated, run.shifting):
                self._events.add(0, summary)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """All values of a step in one record, without those that are NaN."""
        self._events.add(step, tensorboard.scalars(values))

    def histogram(self, step: int, tag: str, histogram: Histogram) -> None:
        """See `HistogramSink`."""
        self._events.add(step, tensorboard.histogram(tag, histogram))

    def flush(self) -> None:
        """Let TensorBoard see what was written."""
        self._events.flush()

    def close(self) -> None:
        """Write what is left, and close."""
        self._events.close()

    def snapshot(self) -> dict[str, Any]:
        """Which file it is, and how long."""
        return self._events.snapshot()


DEFAULT_SINKS = (TensorBoardSink,)
"""What a study writes beside its tables by default."""
