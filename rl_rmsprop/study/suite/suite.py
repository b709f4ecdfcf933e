"""A reference study read back from its tables: scores on one scale, by task and arm.

    x' = (mean return − low) / (high − low)        low and high of the task's environment, see scales.py

A run that failed, or in which no episode ended, scores what the worst other run of its task does, or 0 where that is less:
excluding it would reward rules that diverge. The same holds for runs of the tuning.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.statistics.intervals import iqm
from rl_rmsprop.study.suite import families, schema
from rl_rmsprop.study.suite.schema import Draw, Forecast, Result, Task

Cell = tuple[str, str]
"""Task and text of an arm."""


class Tuning(NamedTuple):
    """The draws of one arm in one task, in the order of their numbers."""

    number: NDArray[np.int64]  # [K]
    lr: NDArray[np.float64]  # [K]
    scores: NDArray[np.float64]
    """[K, tuning seeds], on the task's scale; of runs that failed the worst score of the task."""
    failed: NDArray[np.bool_]  # [K] whether a run of the draw failed
    update_rms: NDArray[np.float64]  # [K]

    @property
    def best(self) -> float:
        """The IQM of the best draw, as the tuning chose it: draws with a failed run are no candidates; NaN without one."""
        scores = iqm(self.scores, axis=1)[~self.failed]
        return float(scores.max()) if len(scores) else math.nan


@dataclass(frozen=True, eq=False)
class Suite:
    """All tables of a reference study."""

    tasks: tuple[Task, ...]
    results: tuple[Result, ...]
    draws: tuple[Draw, ...]
    forecasts: tuple[Forecast, ...] = ()

    @cached_property
    def arms(self) -> dict[str, Arm]:
        """Text → arm, in the order of the studies. What a control is of is decided in the first study that has it."""
        arms: dict[str, Arm] = {}
        for task in self.tasks:
            for text, arm in families.parse(task.arms.split()).items():
                arms.setdefault(text, arm)
        return arms

    @cached_property
    def task(self) -> dict[str, Task]:
        """Name → task."""
        return {task.task: task for task in self.tasks}

    def place(self, arm: str) -> int:
        """The arm's place, which decides its colour."""
        return list(self.arms).index(arm)

    @cached_property
    def runs(self) -> dict[Cell, list[Result]]:
        """The runs of each arm in each task, by seed."""
        return grouped(self.results, key=lambda row: row.seed)

    @cached_property
    def scores(self) -> dict[Cell, dict[int, float]]:
        """Seed → score of each arm in each task."""
        worst = self.worst(self.results)
        return {
            cell: {run.seed: self.scaled(run.task, run.mean_return, worst) for run in runs} for cell, runs in self.runs.items()
        }

    @cached_property
    def tuning(self) -> dict[Cell, Tuning]:
        """The draws of each arm in each task, of those whose tuning is complete."""
        worst = self.worst(self.draws)
        tables = {cell: self._tuning(rows, worst) for cell, rows in grouped(self.draws, key=lambda r: (r.draw, r.seed)).items()}
        return {cell: table for cell, table in tables.items() if table is not None}

    def _tuning(self, rows: Sequence[Draw], worst: dict[str, float]) -> Tuning | None:
        """The table of an arm's draws; None if it has gaps."""
        number = np.unique([row.draw for row in rows])
        seeds = len({row.seed for row in rows})
        if len(rows) != len(number) * seeds or len(number) != self.task[rows[0].task].draws:
            return None
        table = lambda values: np.array(values, dtype=float).reshape(len(number), seeds)
        scores = table([self.scaled(row.task, row.mean_return, worst) for row in rows])
        failed = np.asarray(np.isnan(table([row.mean_return for row in rows])).any(1))
        size = np.sqrt((table([row.update_rms for row in rows]) ** 2).mean(1))
        return Tuning(number, table([row.lr for row in rows])[:, 0], scores, failed, size)

    def worst(self, rows: Iterable[Result | Draw]) -> dict[str, float]:
        """Task → the score of a run that failed."""
        lowest: dict[str, float] = {}
        for row in rows:
            if not math.isnan(row.mean_return):
                lowest[row.task] = min(lowest.get(row.task, 0.0), self.scaled(row.task, row.mean_return, {}))
        return lowest

    def scaled(self, task: str, mean_return: float, worst: dict[str, float]) -> float:
        """A return on the scale of its task; `worst` of the task for one that is missing."""
        low, high = self.task[task].low, self.task[task].high
        return worst.get(task, 0.0) if math.isnan(mean_return) else (mean_return - low) / (high - low)

    # Selections -----------------------------------------------------------------------------------------------------------

    def select(self, wanted: Callable[[Task], bool] = lambda task: True, variant: str = "") -> list[str]:
        """Names of the tasks of a variant, by default of the main study, that have results."""
        with_runs = {row.task for row in self.results}
        return [t.task for t in self.tasks if t.variant == variant and t.task in with_runs and wanted(t)]

    @cached_property
    def selections(self) -> dict[str, list[str]]:
        """The sets of tasks over which arms are compared, those that are not empty: by kind, and each variant apart."""
        kinds = ("stationary", "abrupt", "ramp", "recurring")
        sets = {"all": self.select(), "shifted": self.shifted}
        sets |= {kind: self.select(lambda task, kind=kind: task.kind == kind) for kind in kinds}  # type: ignore[misc]
        variants = dict.fromkeys(task.variant for task in self.tasks if task.variant)
        sets |= {variant: self.select(variant=variant) for variant in variants}
        return {name: tasks for name, tasks in sets.items() if tasks}

    @property
    def shifted(self) -> list[str]:
        """The tasks of the main study whose environment changes."""
        return self.select(lambda task: task.kind != "stationary")

    @property
    def swept(self) -> list[str]:
        """The tasks whose environment changes and in which nothing is tuned."""
        return self.select(lambda task: task.kind != "stationary", schema.UNTUNED)

    @property
    def stationary(self) -> list[str]:
        """The tasks of the main study whose environment stays as it is."""
        return self.select(lambda task: task.kind == "stationary")

    def complete(self, tasks: Sequence[str], among: Iterable[str] | None = None) -> list[str]:
        """The arms that have a run in all of these tasks: only those can be averaged over them."""
        arms = self.arms if among is None else among
        return [arm for arm in arms if tasks and all((task, arm) in self.scores for task in tasks)]

    def group(self, task: str, arm: str) -> NDArray[np.float64]:
        """The scores of an arm's runs in a task, by seed."""
        return np.array([score for _, score in sorted(self.scores[task, arm].items())])

    # Chosen on the tuning seeds -------------------------------------------------------------------------------------------

    def tuned_score(self, task: str, arm: str) -> float:
        """What an arm's best draw scored on the tuning seeds of a task; NaN if it was not tuned."""
        tuning = self.tuning.get((task, arm))
        return math.nan if tuning is None else tuning.best

    def best_of(self, task: str, arms: Iterable[str]) -> str | None:
        """The arm with the best score on the tuning seeds of a task, of those with runs in it; None if none was tuned."""
        scored = [(self.tuned_score(task, arm), arm) for arm in arms if (task, arm) in self.scores]
        known = [(score, arm) for score, arm in scored if not math.isnan(score)]
        return max(known, key=lambda pair: pair[0])[1] if known else None

    def best_over(self, tasks: Sequence[str], arms: Iterable[str]) -> str | None:
        """The arm with the best mean over tasks of these scores, of those with runs in all of them."""
        scored = [(float(np.mean([self.tuned_score(task, arm) for task in tasks])), arm) for arm in self.complete(tasks, arms)]
        known = [(score, arm) for score, arm in scored if not math.isnan(score)]
        return max(known, key=lambda pair: pair[0])[1] if known else None


def grouped(rows: Iterable, key: Callable) -> dict[Cell, list]:
    """Rows by task and arm, each group in the order of the key."""
    groups: dict[Cell, list] = {}
    for row in sorted(rows, key=key):
        groups.setdefault((row.task, row.arm), []).append(row)
    return dict(sorted(groups.items()))


def load(folder: Path) -> Suite:
    """The suite whose tables lie in a folder; ValueError if one is missing or is something else."""
    for kind in (Task, Result, Draw):
        if not (folder / schema.FILES[kind]).is_file():
            raise ValueError(f"{folder} has no {schema.FILES[kind]}: rl-rmsprop study collect … --out {folder} writes it")
    forecasts = folder / schema.FILES[Forecast]
    suite = Suite(
        tuple(schema.read(folder / schema.FILES[Task], Task)),
        tuple(schema.read(folder / schema.FILES[Result], Result)),
        tuple(schema.read(folder / schema.FILES[Draw], Draw)),
        tuple(schema.read(forecasts, Forecast)) if forecasts.is_file() else (),
    )
    tables: tuple[Iterable[Any], ...] = (suite.results, suite.draws, suite.forecasts)
    strangers = {row.task for rows in tables for row in rows} - suite.task.keys()
    if strangers:
        raise ValueError(f"{folder / schema.FILES[Task]} has no task {min(strangers)}, of which other tables have rows")
    return suite
