"""Timing for benchmarks: repetitions of all cases in turn, so that whatever else the machine does falls on all of them alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple


class Spread(NamedTuple):
    """What repetitions gave."""

    median: float
    low: float  # lower quartile
    high: float  # upper quartile


class Row(NamedTuple):
    """A line of the table of results."""

    what: str
    value: Spread  # a ratio to the peer, or a share, or what it costs
    unit: str  # "×", "%", "MB" …
    peer: str = ""  # what it is compared with; empty if with nothing
    own: str = ""  # what was measured itself, in words
    bar: str = ""  # what is good enough; empty if nothing was asked


def spread(values: list[float]) -> Spread:
    """Median and quartiles of some values."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return Spread(median, low, high)


def in_turn(cases: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """What each case says, in every repetition."""
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, function in cases.items():
            found[name].append(function())
    return found


def interleaved(
    cases: Mapping[str, Callable[[], object]], calls: int, repeats: int, clock: Callable[[], float] = time.thread_time
) -> dict[str, list[float]]:
    """Seconds of the processor for one call of each case, in every repetition; one repetition before is not counted.

    Time is that of the thread's processor, not of the clock on the wall: on a shared machine a thread waits for its turn. Where
    other threads do the work, `clock` is to be `time.process_time`.
    """

    def seconds(function: Callable[[], object]) -> float:
        start = clock()
        for _ in range(calls):
            function()
        return (clock() - start) / calls

    collecting = gc.isenabled()
    gc.disable()
    try:
        timed = {name: partial(seconds, function) for name, function in cases.items()}
        return {name: values[1:] for name, values in in_turn(timed, repeats + 1).items()}
    finally:
        if collecting:
            gc.enable()
