"""The tables of one run's folder while it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rl_rmsprop.study.spec.run_files import ALARMS, EPISODES, METRICS, SHIFTS, TIMING
from rl_rmsprop.telemetry import tags
from rl_rmsprop.telemetry.csv_table import Table


class RunTables(NamedTuple):
    """Open tables of one run."""

    metrics: Table
    timing: Table
    episodes: Table
    shifts: Table
    alarms: Table

    @classmethod
    def open(cls, folder: Path, shifting: Sequence[str], saved: Sequence[Mapping[str, Any]] | None) -> RunTables:
        """Begin the tables, in place of what an earlier attempt left, or continue them as they were `saved`.

        `shifting` names the parameters that shift. Damaged if a saved table is not what it was.
        """
        columns = {
            METRICS: ("step", *tags.TAGS),
            TIMING: ("step", "time/seconds", "time/steps_per_second"),
            EPISODES: ("step", "return", "length"),
            SHIFTS: ("update", "step", "regime", *shifting),
            ALARMS: ("update", "step"),
        }
        states: Sequence[Mapping[str, Any] | None] = saved if saved is not None else (None,) * len(columns)
        tables = [Table(folder / name, names, state) for (name, names), state in zip(columns.items(), states, strict=True)]
        return cls(*tables)

    def snapshot(self) -> list[dict[str, Any]]:
        """What is needed to continue from here."""
        return [table.snapshot() for table in self]
