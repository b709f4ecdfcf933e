"""The files of single runs, and tables of them. Nothing here needs torch.

study.json → which runs there are (`outline`) → a `StoredRun` each → its tables, as NumPy arrays
rows → pandas' DataFrame if pandas is installed, else a `Table` of NumPy columns
"""

from __future__ import annotations

import csv
import html
import importlib.util
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rl_rmsprop.storage.json_tables import convert, read_json
from rl_rmsprop.study.spec.names import STUDY_FILE, run_folder
from rl_rmsprop.study.spec.run_files import ALARMS, CONFIG, EPISODES, ERROR, METRICS, SHIFTS, WEIGHTS
from rl_rmsprop.telemetry import csv_table

if TYPE_CHECKING:
    import pandas

Columns = dict[str, NDArray[np.float64]]


# Runs ---------------------------------------------------------------------------------------------------------------------


class Outline(NamedTuple):
    """Which runs a study has."""

    env_ids: tuple[str, ...]
    arms: tuple[str, ...]
    """Texts."""
    seeds: tuple[int, ...]


def outline(folder: Path) -> Outline:
    """Which runs the study in a folder has; ValueError if its study.json does not say it."""
    path = folder / STUDY_FILE
    content = read_json(path)
    env_ids = convert(content.get("env_ids"), tuple[str, ...], f"{path}: env_ids")
    seeds = convert(content.get("seeds"), tuple[int, ...], f"{path}: seeds")
    arms = convert(content.get("arms"), list, f"{path}: arms")
    tables = [convert(arm, dict[str, str], f"{path}: arms") for arm in arms]
    return Outline(env_ids, tuple(table.get("text", "") for table in tables), seeds)


def stored_runs(folder: Path) -> list[StoredRun]:
    """All runs of the study in a folder, whether or not they have begun, in its order."""
    env_ids, arms, seeds = outline(folder)
    return [
        StoredRun(env_id, arm, seed, run_folder(folder, env_id, arm, seed))
        for env_id in env_ids
        for arm in arms
        for seed in seeds
    ]


@dataclass(frozen=True)
class StoredRun:
    """One run of a study, as far as it is: its files, read whenever they are asked for."""

    env: str
    arm: str
    """The arm's text."""
    seed: int
    folder: Path

    @property
    def status(self) -> str:
        """`finished`; `failed`, with `error` saying why; `unfinished`."""
        if (self.folder / WEIGHTS).is_file():
            return "finished"
        return "failed" if (self.folder / ERROR).is_file() else "unfinished"

    @property
    def error(self) -> str:
        """Why it failed: the last line of its traceback; empty if it did not."""
        if self.status != "failed":
            return ""
        lines = (self.folder / ERROR).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "it did not say why"

    @property
    def metrics(self) -> Columns:
        """Every scalar over the training, by tag, and `step`; NaN where a tag has no value. Empty before the first row."""
        return self._table(METRICS)

    @property
    def episodes(self) -> Columns:
        """Every episode that ended: `step`, `return`, `length`."""
        return self._table(EPISODES)

    @property
    def alarms(self) -> Columns:
        """Every alarm of the detector: `update` and `step`."""
        return self._table(ALARMS)

    @property
    def shifts(self) -> Columns:
        """Every change of the environment: `update`, `step`, `regime`, and the values of what shifts."""
        return self._table(SHIFTS)

    @property
    def config(self) -> dict[str, Any]:
        """Everything that made it, with versions and git commit."""
        return read_json(self.folder / CONFIG)

    def _table(self, name: str) -> Columns:
        path = self.folder / name
        if not path.is_file():
            return {}
        with path.open(encoding="utf-8") as file:
            header = file.readline().rstrip("\n").split(",")
        return csv_table.read_growing(path, header)


# Tables -------------------------------------------------------------------------------------------------------------------


class Table:
    """A table of NumPy columns: `table["arm"]`, `len(table)`, `table.columns`; it prints itself.

    >>> table = Table({"arm": np.array(["0.9", "0.99"]), "final": np.array([1.5, 2.0])})
    >>> table["final"].mean(), len(table), table.columns
    (np.float64(1.75), 2, ('arm', 'final'))
    >>> table
     arm  final
     0.9    1.5
    0.99      2
    """

    def __init__(self, columns: Mapping[str, NDArray[Any]]) -> None:
        self._columns = dict(columns)

    @property
    def columns(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self._columns)

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._columns:
            raise KeyError(f"no column {name!r}: known are {', '.join(self._columns)}")
        return self._columns[name]

    def __len__(self) -> int:
        return len(next(iter(self._columns.values()), ()))

    def rows(self) -> Iterator[dict[str, Any]]:
        """Its rows, as dictionaries."""
        for i in range(len(self)):
            yield {name: column[i] for name, column in self._columns.items()}

    def _cells(self) -> list[list[str]]:
        rows = [[shown(value) for value in row.values()] for row in self.rows()]
        return [list(self._columns), *rows]

    def __repr__(self) -> str:
        cells = self._cells()
        widths = [max(len(row[i]) for row in cells) for i in range(len(self._columns))]
        return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)

    def _repr_html_(self) -> str:
        head, *rows = self._cells()
        first = "".join(f"<th>{html.escape(name)}</th>" for name in head)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        return f"<table><thead><tr>{first}</tr></thead><tbody>{body}</tbody></table>"


def shown(value: Any) -> str:
    """A cell as text: numbers with six digits, nothing for a missing one."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)


TEXTS, WHOLE = ("env", "arm", "status", "metric", "baseline"), ("seed", "runs", "failed")
"""Columns of text, and of whole numbers that are never missing; all others are numbers, NaN where missing."""


def table_of(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> pandas.DataFrame | Table:
    """Rows of cells as a table: pandas' if it is installed. Empty cells are missing numbers."""
    columns: dict[str, Any] = {}
    for name, cells in zip(names, zip(*rows, strict=True) if rows else [()] * len(names), strict=True):
        if name in TEXTS:
            columns[name] = np.array(cells, dtype=object)
        elif name in WHOLE:
            columns[name] = np.array([int(cell) for cell in cells], dtype=np.int64)
        else:
            columns[name] = np.array([float(cell) if cell != "" else math.nan for cell in cells])
    if importlib.util.find_spec("pandas") is None:
        return Table(columns)
    import pandas

    return pandas.DataFrame(columns)


def read_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows of one of the report's tables."""
    with path.open(encoding="utf-8", newline="") as file:
        names, *rows = csv.reader(file)
    return names, rows
