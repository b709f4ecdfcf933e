"""All numbers of a reference study in one object, and as tables: a row of each as CSV has it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_rmsprop.storage.atomic import write_csv
from rl_rmsprop.study.statistics.intervals import Interval
from rl_rmsprop.study.suite import hypotheses, responses, sensitivity, summaries
from rl_rmsprop.study.suite.responses import Delay, Recovery, Survival
from rl_rmsprop.study.suite.schema import cell
from rl_rmsprop.study.suite.sensitivity import Area, Part, Phi
from rl_rmsprop.study.suite.suite import Suite
from rl_rmsprop.study.suite.summaries import Average, Foresight, Profile, Ranking, TaskAverage
from rl_rmsprop.study.suite.versus import Answer, Versus


@dataclass(frozen=True)
class Numbers:
    """Everything that the page states."""

    answers: Sequence[Answer]
    comparisons: Sequence[Versus]
    averages: Sequence[Average]
    task_averages: Sequence[TaskAverage]
    rankings: Sequence[Ranking]
    profiles: Sequence[Profile]
    areas: Sequence[Area]
    phis: Sequence[Phi]
    parts: Sequence[Part]
    survivals: Sequence[Survival]
    recoveries: Sequence[Recovery]
    delays: Sequence[Delay]
    foresights: Sequence[Foresight]


def compute(suite: Suite) -> Numbers:
    """The numbers of a suite."""
    found = hypotheses.answer_all(suite)
    tasks = suite.selections.get("all", [])
    return Numbers(
        found.answers,
        found.comparisons,
        summaries.averages(suite),
        summaries.task_averages(suite),
        summaries.rankings(suite),
        [row for over in ("shifted", "stationary") for row in summaries.profiles(suite, over)],
        [
            row
            for over in ("all", "shifted", "stationary")
            for row in sensitivity.areas(suite, over, suite.selections.get(over, []))
        ],
        sensitivity.phis(suite, tasks),
        sensitivity.parts(suite, tasks),
        responses.survivals(suite, [*suite.shifted, *suite.swept]),
        responses.recoveries(suite, suite.shifted),
        responses.delays(suite, suite.shifted),
        summaries.foresights(suite),
    )


def write_tables(numbers: Numbers, folder: Path) -> None:
    """Every kind of number as a table of its own; one without rows leaves no file."""
    folder.mkdir(parents=True, exist_ok=True)
    tables: dict[str, Sequence[Any]] = {
        "answers": numbers.answers, "comparisons": numbers.comparisons, "averages": numbers.averages,
        "by_task": numbers.task_averages, "ranks": flat_ranks(numbers.rankings), "profiles": numbers.profiles,
        "areas": numbers.areas, "phi": numbers.phis, "variance": numbers.parts, "survival": numbers.survivals,
        "recovery": numbers.recoveries, "delays": numbers.delays, "foresight": numbers.foresights,
    }  # fmt: skip
    for name, rows in tables.items():
        path = folder / f"{name}.csv"
        path.unlink(missing_ok=True)
        if rows:
            header = [column for column, _ in flat(rows[0])]
            write_csv(path, header, [[cell(value) for _, value in flat(row)] for row in rows])


def flat(row: Any) -> Iterable[tuple[str, Any]]:
    """The columns of a row and their values, three for an interval."""
    pairs: list[tuple[str, Any]] = row if isinstance(row, list) else list(zip(row._fields, row, strict=True))
    for name, value in pairs:
        if isinstance(value, Interval):
            yield from zip((name, f"{name}_low", f"{name}_high"), map(float, value), strict=True)
        else:
            yield name, value


def flat_ranks(rankings: Sequence[Ranking]) -> list[list[tuple[str, Any]]]:
    """A row an arm of each ranking."""
    return [
        [("over", r.over), ("arm", arm), ("rank", rank), ("tasks", r.tasks), ("friedman", r.statistic), ("p", r.p),
         ("critical_difference", r.critical_difference)]
        for r in rankings
        for arm, rank in zip(r.arms, r.ranks, strict=True)
    ]  # fmt: skip
