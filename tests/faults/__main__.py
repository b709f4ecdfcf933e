"""`python -m tests.faults [--quick] [NAME ...]`: try the promises about faults out, and print how far they were kept."""

from __future__ import annotations

import argparse
import sys
import time
from importlib import import_module

from rich.console import Console
from rich.table import Table

from tests.faults.table import Row

NAMES = ("kills", "driver", "storage", "numbers", "inputs", "cost")


def main() -> int:
    """Print the table; 1 if a promise was not kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; default: all")
    parser.add_argument("--quick", action="store_true", help="a part of each, in a few minutes")
    options = parser.parse_args()
    unknown = set(options.names) - set(NAMES)
    if unknown:
        parser.error(f"names must be of {', '.join(NAMES)}, got {', '.join(sorted(unknown))}")
    table = Table("promise", "bar", "figure", "kept", "seconds")
    rows: list[Row] = []
    for name in options.names or NAMES:
        begun = time.monotonic()
        found = import_module(f"tests.faults.{name}").rows(options.quick)
        for i, row in enumerate(found):
            table.add_row(
                row.what, row.bar, row.figure, "yes" if row.kept else "NO", f"{time.monotonic() - begun:.0f}" if not i else ""
            )
        rows += found
    Console(width=150).print(table)
    return 0 if all(row.kept for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
