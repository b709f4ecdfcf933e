"""The tables of a reference study, a row of each as a tuple: tasks.csv, results.csv, draws.csv, and forecast.csv if there is one.

Numbers have at most six significant digits; cells are empty where there is nothing to say; a time that never came is `inf`.
Several numbers of one run, one for each change of its environment, are joined by `/`, as in the text of a shift.
"""

from __future__ import annotations

import csv
import math
import typing
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from rl_rmsprop.storage.atomic import write_csv

FINISHED, FAILED = "finished", "failed"
UNTUNED = "untuned"
"""The variant in which all arms have the lr of the study file: several such studies, at one lr each, are a sweep."""
Row = TypeVar("Row", bound=NamedTuple)


class Task(NamedTuple):
    """A row of tasks.csv."""

    task: str
    """Name of the study's folder, which is that of its study file."""
    agent: str
    env: str
    shift: str
    """Text of the shifts; empty if nothing changes."""
    kind: str
    """stationary, abrupt, ramp or recurring."""
    severity: str
    """mild, medium or severe, if the name says so."""
    variant: str
    """How all arms' steps differ from the main study's, such as `lr_rule=trac` or `untuned`; empty in the main study."""
    steps: int
    """Environment steps a run."""
    updates: int
    """Optimizer updates a run."""
    seeds: str
    draws: int
    """Draws of the tuning, for each arm."""
    tune_seeds: str
    low: float
    """The return that counts as 0."""
    high: float
    """The return that counts as 1."""
    arms: str
    """Texts of the arms in the study's order, separated by spaces."""
    kernel: str
    """What computed the networks."""
    commit: str
    """Of the source; all of them where runs differ, as the next two."""
    processor: str
    """Vector instructions, on which last bits depend."""
    versions: str


class Result(NamedTuple):
    """A row of results.csv: a run."""

    task: str
    arm: str
    setting: str
    """The rule and lr that it trained with, see `setting_text`."""
    seed: int
    status: str
    """finished or failed."""
    mean_return: float
    """Mean return over training, the primary score."""
    final: float
    """Mean return of the final evaluation."""
    before: float
    """Level before a change, mean over changes; as in a study's report, as the next two."""
    drop: float
    recovery: float
    survived: float
    """Share of the changes that it survived, see survival.py."""
    alarms: float
    mean_beta: float
    """Mean over the logged updates."""
    recoveries: str
    """Steps to the recovery from each change."""
    watched: str
    """Steps from each change to the next one or the end."""
    delays: str
    """Updates from each change to the first alarm after it."""
    sha256: str
    """Of metrics.csv."""


class Draw(NamedTuple):
    """A row of draws.csv: a run of the tuning."""

    task: str
    arm: str
    draw: int
    lr: float
    rule: str
    seed: int
    mean_return: float
    update_rms: float


class Forecast(NamedTuple):
    """A row of forecast.csv: how well a rule predicts the next g² on recorded gradients of a task."""

    task: str
    arm: str
    regret: float
    """Mean QLIKE score above that of the best fixed β in hindsight; less is better."""


FILES: dict[type[Any], str] = {Task: "tasks.csv", Result: "results.csv", Draw: "draws.csv", Forecast: "forecast.csv"}

# Cells --------------------------------------------------------------------------------------------------------------------


def setting_text(rule: str, lr: float) -> str:
    """What a run trained with, in one cell.

    >>> setting_text("cusum:arl=50000,max=0.99", 0.003)
    'cusum:arl=50000,max=0.99 lr=0.003'
    """
    return f"{rule} lr={rounded(lr)!r}"


def parse_setting(text: str) -> tuple[str, float]:
    """Rule and lr of a setting.

    >>> parse_setting("0.99 lr=0.003")
    ('0.99', 0.003)
    """
    rule, _, lr = text.rpartition(" lr=")
    return rule, float(lr)


def joined(values: Iterable[float]) -> str:
    """Numbers in one cell.

    >>> joined([1200.0, math.inf, math.nan])
    '1200/inf/nan'
    """
    return "/".join(f"{value:.6g}" for value in values)


def separated(text: str) -> tuple[float, ...]:
    """The numbers of a cell."""
    return tuple(map(float, text.split("/"))) if text else ()


def rounded(x: float) -> float:
    """x to six significant digits."""
    return float(f"{x:.6g}")


def cell(value: Any) -> Any:
    """A value as a table has it."""
    if isinstance(value, float):  # numpy's are floats, too
        return "" if math.isnan(value) else rounded(value)
    return value


# Files --------------------------------------------------------------------------------------------------------------------


def write(path: Path, kind: type[Any], rows: Iterable[Sequence[Any]]) -> None:
    """A table of rows of this kind."""
    write_csv(path, kind._fields, [[cell(value) for value in row] for row in rows])


def read(path: Path, kind: type[Row]) -> list[Row]:
    """The rows of a table; ValueError for a file that holds something else."""
    types = list(typing.get_type_hints(kind).values())
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *lines = csv.reader(file)
        if tuple(header) != kind._fields:
            raise ValueError(f"its columns are {', '.join(header)}")
        return [kind(*(value_of(x, of) for x, of in zip(line, types, strict=True))) for line in lines]
    except (ValueError, csv.Error) as error:
        need = ", ".join(kind._fields)
        raise ValueError(f"{path} must be a table with the columns {need}: collect the studies again ({error})") from error


def value_of(text: str, kind: type) -> Any:
    """What a cell says."""
    return math.nan if kind is float and not text else kind(text)
