"""Tables of numbers that grow row by row: `metrics.csv` and its like, which are the truth about a run.

Floats are written as `repr` does, nothing of wall-clock; empty cells are values that were not measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl_rmsprop.storage.atomic import Log


class Table(Log):
    """A CSV file that grows row by row."""

    def __init__(self, path: Path, columns: Sequence[str], saved: Mapping[str, Any] | None = None) -> None:
        """Begin the table with its header, or continue one as it was when `snapshot` returned `saved`."""
        super().__init__(path, saved)
        self._columns = columns
        if saved is None:
            self.write(",".join(columns).encode() + b"\n")

    def add(self, row: Mapping[str, float]) -> None:
        """One row; columns that are missing in `row` stay empty."""
        self.add_cells([repr(row[c]) if c in row else "" for c in self._columns])

    def add_cells(self, cells: Sequence[str]) -> None:
        """One row, in the order of the columns, as it will be read."""
        self.write((",".join(cells) + "\n").encode())

    def add_columns(self, *columns: Sequence[float]) -> None:
        """As many rows as each of the columns has numbers."""
        self.write("".join([",".join(map(repr, row)) + "\n" for row in zip(*columns, strict=True)]).encode())


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


def read_growing(path: Path, names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Some columns of a CSV file that is still written: without a last line that is not whole yet.

    ValueError if a column is missing, or a line is not as long as the header.
    """
    header, *lines = path.read_bytes().decode("utf-8").split("\n")[:-1] or [""]
    places = [header.split(",").index(name) for name in names]
    rows = [line.split(",") for line in lines]
    if any(len(row) != header.count(",") + 1 for row in rows):
        raise ValueError(f"{path} must have {header.count(',') + 1} cells in each line")
    return {name: np.array([float(row[i] or math.nan) for row in rows]) for name, i in zip(names, places, strict=True)}
