"""How fast it is beside others: `python -m tests.benchmarks [PART…] [--save]`, or `make bench` for all parts.

Every figure is a ratio to something measured in the same run, with the quartiles of its repetitions, or a cost. `--save` writes
them to results.json beside this file, with date, versions and machine, and from there into docs/results/speed.md.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks import failed_run, optimizer, rules, scale, stepping, telemetry, threads, training
from tests.benchmarks.timing import Row, Spread

PARTS = {
    "training": training.rows,
    "stepping": stepping.rows,
    "threads": threads.rows,
    "optimizer": optimizer.rows,
    "failed_run": failed_run.rows,
    "rules": rules.rows,
    "scale": scale.rows,
    "telemetry": telemetry.rows,
}
RESULTS = Path(__file__).with_name("results.json")
PAGE = Path(__file__).parents[2] / "docs" / "results" / "speed.md"
MARKS = ("<!-- measured by make bench -->\n", "<!-- until here -->\n")
"""Lines between which the page has the table."""


def main() -> None:
    """Measure, print, and write down if asked to."""
    options = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=(__doc__ or "").split("\n")[0])
    options.add_argument("parts", nargs="*", metavar="part", help=f"which: {', '.join(PARTS)} (default: all)")
    options.add_argument("--repeats", type=int, default=5, help="repetitions of a case (default: 5)")
    options.add_argument("--save", action="store_true", help="write the figures to results.json and docs/results/speed.md")
    given = options.parse_args()
    if unknown := [part for part in given.parts if part not in PARTS]:
        options.error(f"part must be one of {', '.join(PARTS)}, got {unknown[0]!r}")
    if given.repeats < 1:
        options.error(f"repeats must be at least 1, got {given.repeats}")
    for part in given.parts or PARTS:
        found = PARTS[part](given.repeats)
        Console(width=150).print(shown(part, found))
        if given.save:
            save(part, found)


def save(part: str, found: list[Row]) -> None:
    """Put the rows of a part in place of those measured before."""
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    results[part] = {"date": str(date.today()), "machine": machine(), "versions": versions(), "rows": list(map(as_dict, found))}
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    before, rest = PAGE.read_text(encoding="utf-8").split(MARKS[0])
    PAGE.write_text(before + MARKS[0] + markdown(results) + MARKS[1] + rest.split(MARKS[1])[1], encoding="utf-8")


def as_dict(row: Row) -> dict[str, Any]:
    """A row as JSON has it."""
    return row._asdict() | {"value": row.value._asdict()}


def from_dict(content: dict[str, Any]) -> Row:
    """A row from JSON."""
    return Row(**{**content, "value": Spread(**content["value"])})


def machine() -> str:
    """The processor's name, and how many of its cores there are."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if os.path.exists("/proc/cpuinfo") else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return f"{name}, {os.cpu_count()} cores"


def versions() -> dict[str, str]:
    """Of Python and the packages that matter here."""
    packages = ("torch", "numpy", "gymnasium", "stable-baselines3")
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in packages}}


def number(value: float) -> str:
    """Three digits, or more where there are more before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def shown(part: str, found: list[Row]) -> Table:
    """The rows on a terminal."""
    table = Table("", "value", "quartiles", "bar", "itself", "beside", title=f"{part}, {date.today()}, {machine()}")
    for row in found:
        quartiles = f"{number(row.value.low)} – {number(row.value.high)}"
        table.add_row(row.what, f"{number(row.value.median)} {row.unit}", quartiles, row.bar, row.own, row.peer)
    return table


def markdown(results: dict[str, Any]) -> str:
    """What the page shows: a table of all trainings and of what has a bar, then what a step costs by size and rule."""
    rows = {part: [from_dict(row) for row in content["rows"]] for part, content in results.items()}
    lines = ["| | value | quartiles | itself | beside |", "|---|---|---|---|---|"]
    barred = [row for part in ("optimizer", "failed_run", "telemetry") for row in rows.get(part, []) if row.bar]
    for row in [*rows.get("training", []), *rows.get("stepping", []), *rows.get("threads", []), *barred]:
        quartiles = f"{number(row.value.low)} – {number(row.value.high)}"
        lines.append(f"| {row.what} | {number(row.value.median)} {row.unit} | {quartiles} | {row.own} | {row.peer} |")
    lines.append("")
    by_size: dict[str, list[str]] = {}
    for row in [*rows.get("scale", []), *rows.get("rules", [])]:
        of, _, size = row.what.rpartition(": ")
        by_size.setdefault(f"{of}, {row.unit}" if of else row.what, []).append(
            f"{size.partition(':')[0]} → {number(row.value.median)}" if of else f"{number(row.value.median)} {row.unit}"
        )
    lines += [f"- {what}: {', '.join(values)}" for what, values in by_size.items()]
    where = sorted({(content["date"], content["machine"], tuple(content["versions"].items())) for content in results.values()})
    for day, host, packages in where:
        lines += ["", f"Measured on {day}: {host}; {', '.join(f'{name} {version}' for name, version in packages)}."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
