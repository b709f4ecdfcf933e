"""What `rl-rmsprop study` shows: what was collected, the answers, the runs that were trained anew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rl_rmsprop.study.statistics.intervals import number
from rl_rmsprop.study.suite.collecting import Collected
from rl_rmsprop.study.suite.numbers import Numbers
from rl_rmsprop.study.suite.schema import FAILED
from rl_rmsprop.study.suite.verification import Checked


def show_collected(collected: Sequence[Collected], out: Path, console: Console) -> None:
    """A row a task: how many of its runs are in the tables now."""
    table = Table("task", "kind", "runs", "failed", "tuning runs")
    for task, results, draws in collected:
        failed = sum(run.status == FAILED for run in results)
        table.add_row(task.task, task.kind, f"{len(results):,}", f"{failed:,}", f"{len(draws):,}")
    console.print(table)
    console.print(f"tables: {out}", soft_wrap=True)


def show_answers(numbers: Numbers, folder: Path, console: Console) -> None:
    """The answers, a row each, and where everything is."""
    table = Table("", "question", "estimate", "must exceed", "verdict")
    for answer in numbers.answers:
        estimate = number(answer.estimate, form=".3f")
        table.add_row(answer.hypothesis, answer.question, estimate, f"{answer.bar:g}", answer.verdict)
    console.print(table)
    console.print(f"page: {folder}/numbers.md, {folder}/tables, {folder}/figures", soft_wrap=True)


def show_checks(checks: Sequence[Checked], console: Console) -> None:
    """A row a run."""
    table = Table("task", "arm", "seed", "recorded", "anew", "outcome")
    for checked in checks:
        run = checked.run
        table.add_row(
            run.task, run.arm, str(run.seed), f"{run.mean_return:.6g}", f"{checked.mean_return:.6g}", checked.outcome
        )  # fmt: skip
    console.print(table)
    for note in dict.fromkeys(checked.note for checked in checks if checked.note):
        console.print(note, soft_wrap=True)
    agreeing = sum(checked.agrees for checked in checks)
    console.print(f"{agreeing} of {len(checks)} runs agree with the tables")


def line(checked: Checked) -> str:
    """One run as soon as it is done."""
    run = checked.run
    return f"{run.task} · {run.arm} · seed {run.seed}: {checked.outcome}"
