"""Where telemetry may go: whatever has a method that takes scalars, by what it can do and not by what it is.

    torch.utils.tensorboard.SummaryWriter    add_scalar(tag, value, step)
    a path, str or os.PathLike               a CSV file: a row a call, `step` first
    a run of Weights & Biases                log({tag: value}, step=step)
    a sink of this package                   write(step, {tag: value})
    a function                               f(step, {tag: value})

What has several of these methods is written to by the first of them.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Values = Mapping[str, float]
Write = Callable[[int, Values], Any]


def writing(writer: Any) -> Write:
    """The function that writes to it; TypeError for something that takes no scalars.

    >>> written = []
    >>> writing(lambda step, values: written.append((step, dict(values))))(7, {"optim/beta": 0.99})
    >>> written
    [(7, {'optim/beta': 0.99})]
    """
    if isinstance(writer, str | os.PathLike):
        return CsvFile(Path(writer))
    if hasattr(writer, "add_scalar"):
        return lambda step, values: [writer.add_scalar(tag, value, step) for tag, value in values.items()]
    if hasattr(writer, "write") and not hasattr(writer, "writelines"):  # a sink, and no open file
        return lambda step, values: writer.write(step, values)
    if hasattr(writer, "log"):
        return lambda step, values: writer.log(dict(values), step=step)
    if callable(writer):
        return lambda step, values: writer(step, values)
    known = "a SummaryWriter, a path, a run of Weights & Biases, or a function of step and values"
    raise TypeError(f"writer must be {known}, got {type(writer).__name__}")


class CsvFile:
    """A CSV file that grows by a row a call, and is continued if it is there."""

    def __init__(self, path: Path) -> None:
        """ValueError at the first row for a file with other columns."""
        self._path = path

    def __call__(self, step: int, values: Values) -> None:
        """One row; the columns are those of the first one."""
        columns = ["step", *values]
        begins = not self._path.exists() or self._path.stat().st_size == 0
        if not begins:
            with self._path.open(encoding="utf-8", newline="") as file:
                there = next(csv.reader(file))
            if there != columns:
                raise ValueError(
                    f"{self._path} must have the columns of this telemetry, has {', '.join(there)}: take another file"
                )
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            if begins:
                table.writerow(columns)
            table.writerow([step, *("" if value != value else repr(float(value)) for value in values.values())])
