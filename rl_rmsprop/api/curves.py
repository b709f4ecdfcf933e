"""Curves of a study as arrays, as far as its runs are. Nothing here needs torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rl_rmsprop import grammar
from rl_rmsprop.api.runs import Columns, StoredRun
from rl_rmsprop.study.results import scores
from rl_rmsprop.study.results.scores import GRID, RETURN
from rl_rmsprop.telemetry import tags

SHORT = {
    "beta": "optim/beta", "window": "optim/window", "E": "optim/E_q50", "effective_lr": "optim/effective_lr_q50",
    "alarms": "detector/alarms",
}  # fmt: skip
"""Short name of a figure → the tag that it shows."""


class Curves(NamedTuple):
    """One tag of the runs of one arm; NaN where a run has no value."""

    seeds: tuple[int, ...]
    steps: NDArray[np.float64]
    """Environment steps [point]: the mean over seeds, whose rows are of the same update and some steps apart."""
    values: NDArray[np.float64]
    """[seed, point]."""
    steps_of_seeds: NDArray[np.float64]
    """Environment steps of every seed [seed, point]."""


def curves(runs: Sequence[StoredRun], tag: str, arms: Sequence[str]) -> dict[str, Curves]:
    """The curves of a tag by arm, from the runs of one environment that have begun; ValueError for a tag that is never logged."""
    name = known_tag(tag)
    tables = {run: table for run in runs if len((table := series(run, name)).get("step", ()))}
    stacked = {arm: {run: table for run, table in tables.items() if run.arm == arm} for arm in arms}
    return {arm: stack(of_arm, name) for arm, of_arm in stacked.items() if of_arm}


def series(run: StoredRun, tag: str) -> Columns:
    """Step and value of a run's curve."""
    if tag != RETURN:
        return run.metrics
    episodes = run.episodes
    return {"step": episodes["step"], RETURN: scores.running_mean(episodes["return"], scores.RUNNING)} if episodes else {}


def stack(tables: dict[StoredRun, Columns], tag: str) -> Curves:
    """Curves of one arm, side by side; those of the return, whose points are the episodes of each run, on common steps."""
    seeds = tuple(run.seed for run in tables)
    if tag == RETURN:
        ends = [(table["step"][0], table["step"][-1]) for table in tables.values()]
        steps = np.linspace(min(first for first, _ in ends), max(last for _, last in ends), GRID)
        returns = [np.interp(steps, table["step"], table[tag], left=math.nan, right=math.nan) for table in tables.values()]
        return Curves(seeds, steps, np.stack(returns), np.tile(steps, (len(seeds), 1)))
    points = max(len(table["step"]) for table in tables.values())
    steps_of_seeds, values = (np.stack([filled(table[name], points) for table in tables.values()]) for name in ("step", tag))
    return Curves(seeds, np.nanmean(steps_of_seeds, 0), values, steps_of_seeds)


def filled(column: NDArray[np.float64], points: int) -> NDArray[np.float64]:
    """A column with NaN behind it up to so many points."""
    return np.concatenate([column, np.full(points - len(column), math.nan)])


def known_tag(tag: str) -> str:
    """A tag, or the one that a short name stands for; ValueError for what is neither."""
    name = SHORT.get(tag, tag)
    if name != RETURN and name not in tags.TAGS:
        near = grammar.suggestion(tag, [RETURN, *SHORT, *tags.TAGS])
        raise ValueError(f"tag must be a column of metrics.csv or one of {', '.join((RETURN, *SHORT))}, got {tag!r}{near}")
    return name
