"""Sinks: where the scalars of a run go while it trains.

    recorder → sink.write(step, {tag: value, …})        once a logging step and run; tags in tags.py

TensorBoard's event file is one sink, nothing another; whoever calls `run_study` from Python may add their own. The tables of a
run's folder are written in any case: they are the truth that results are read from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


class RunInfo(NamedTuple):
    """The run that a sink is for."""

    folder: Path
    """Where the run has its files."""
    seed: int
    config: Mapping[str, Any]
    """What made the run, as in config.json."""
    hparams: Mapping[str, str | float]
    """The arm and the agent's settings, flat."""
    group: str
    """Study, environment and arm: the same for all seeds of an arm."""
    aggregated: bool
    """Whether the study aggregates its arms over seeds."""
    shifting: bool
    """Whether the environment changes."""
    saved: Mapping[str, Any] | None = None
    """What the sink's `snapshot` returned at the checkpoint from which the run resumes; None for a run that begins."""


class Sink(Protocol):
    """Takes the scalars of one run. A sink that has `snapshot()` gets what it returned back when the run resumes."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """The values at an environment step, by tag; NaN where there is none."""
        ...

    def flush(self) -> None:
        """Let others see what was written; called every few seconds."""
        ...

    def close(self) -> None:
        """Write what is left, and close."""
        ...


class Histogram(NamedTuple):
    """How many of K values lie between fixed edges; those beyond the outermost count as if they were there."""

    edges: NDArray[np.float64]  # [B + 1]
    counts: NDArray[np.int64]  # [B]
    low: float
    high: float
    total: float  # the values' sum
    squares: float  # and that of their squares
    size: int  # K


def histograms(values: NDArray[np.float64], edges: NDArray[np.float64]) -> list[Histogram]:
    """One for each row of `values` [R, K]; NaN is in no bin."""
    inside = np.clip(values, edges[0], edges[-1])
    runs, bins = len(inside), len(edges) - 1
    places = np.arange(runs)[:, None] * bins + np.searchsorted(edges[1:-1], inside, side="right")
    counts = np.bincount(places[~np.isnan(inside)], minlength=runs * bins).reshape(runs, bins)
    numbers = (inside.min(1).tolist(), inside.max(1).tolist(), inside.sum(1).tolist(), np.square(inside).sum(1).tolist())
    return [Histogram(edges, counts[r], *of_row, inside.shape[1]) for r, of_row in enumerate(zip(*numbers, strict=True))]


@runtime_checkable
class HistogramSink(Protocol):
    """A sink that also takes distributions."""

    def histogram(self, step: int, tag: str, histogram: Histogram) -> None:
        """A distribution at an environment step."""
        ...


SinkFactory = Callable[[RunInfo], Sink]
"""Makes the sink of a run, in the worker process that trains it: a module's function or class, so that it can be pickled."""


class NoSink:
    """Takes everything and does nothing.

    >>> NoSink().write(0, {"optim/beta": 0.99})
    """

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Nothing."""

    def flush(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""
