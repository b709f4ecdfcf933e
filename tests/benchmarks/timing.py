"""Timing for benchmarks: repetitions of all cases in turn, so that whatever else the machine does falls on all of them alike.

Time is that of the thread's processor, not of the clock on the wall: on a shared machine a thread waits for its turn.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Spread(NamedTuple):
    """What repetitions gave."""

    median: float
    low: float  # lower quartile
    high: float  # upper quartile


def spread(values: list[float]) -> Spread:
    """Median and quartiles of at least two values."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)


class Row(NamedTuple):
    """A line of the table of results."""

    what: str
    unit: str  # × for a ratio to the peer, % for a share, or what is measured
    value: Spread
    peer: str  # what it is compared with
    rate: float | None  # median of what was measured itself: environment steps per second, or seconds
    bar: str  # what is good enough, empty if nothing was asked


def of_cases(cases: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """What each case says, in every repetition; all take turns."""
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, function in cases.items():
            found[name].append(function())
    return found


def interleaved(cases: Mapping[str, Callable[[], object]], calls: int, repeats: int) -> dict[str, list[float]]:
    """Seconds of the processor for one call of each case, in every repetition; one repetition before is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    collecting = gc.isenabled()
    gc.disable()
    try:
        for repeat in range(repeats + 1):
            for name, function in cases.items():
                start = time.thread_time()
                for _ in range(calls):
                    function()
                if repeat:
                    seconds[name].append((time.thread_time() - start) / calls)
    finally:
        if collecting:
            gc.enable()
    return seconds
