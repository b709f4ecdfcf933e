"""Promises and how far they were kept: the rows of the tables that `python -m tests.faults` and `tests.engines` print."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

from rich.console import Console
from rich.table import Table


class Row(NamedTuple):
    """One promise."""

    what: str
    bar: str
    figure: str
    kept: bool


def try_out(package: str, names: Sequence[str], description: str) -> int:
    """Print the rows of the modules of a package that were asked for, all by default; 1 if a promise was not kept."""
    parser = argparse.ArgumentParser(prog=f"python -m {package}", description=description)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}; default: all")
    parser.add_argument("--quick", action="store_true", help="a part of each, in a few minutes")
    options = parser.parse_args()
    unknown = set(options.names) - set(names)
    if unknown:
        parser.error(f"names must be of {', '.join(names)}, got {', '.join(sorted(unknown))}")
    table = Table("promise", "bar", "figure", "kept", "seconds")
    rows: list[Row] = []
    for name in options.names or names:
        begun = time.monotonic()
        found = import_module(f"{package}.{name}").rows(options.quick)
        for i, row in enumerate(found):
            table.add_row(
                row.what, row.bar, row.figure, "yes" if row.kept else "NO", f"{time.monotonic() - begun:.0f}" if not i else ""
            )
        rows += found
    Console(width=150).print(table)
    return 0 if all(row.kept for row in rows) else 1
