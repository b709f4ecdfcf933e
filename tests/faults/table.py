"""One promise and how far it was kept: the rows of the table that `python -m tests.faults` prints."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One promise."""

    what: str
    bar: str
    figure: str
    kept: bool
