"""The report's tables of numbers: results.csv, a row a run; arms.csv, a row an arm; shifts.csv, a row a run and change.

Cells are empty where there is nothing to say; a time that never came is `inf`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from rl_rmsprop.storage.atomic import write_csv
from rl_rmsprop.study.report.analysis import Analysis
from rl_rmsprop.study.results.metrics import METRICS
from rl_rmsprop.study.results.runs import Run
from rl_rmsprop.study.results.sensitivity import Sensitivity

Cell = str | int | float

RUN_COLUMNS = (
    "env", "arm", "seed", "status", "steps", "episodes", "mean_return", "final", "steps_to_threshold", "collapsed", "alarms",
    "changes", "drop", "recovery", "regret",
)  # fmt: skip
ARM_COLUMNS = (
    "env", "arm", "runs", "failed", "mean_return_iqm", "mean_return_low", "mean_return_high", "final_iqm", "final_low",
    "final_high", "alarms_per_run", "metric", "baseline", "pairs", "difference", "difference_low", "difference_high", "p_better",
    "p_better_low", "p_better_high", "p", "p_holm",
)  # fmt: skip
SENSITIVITY_COLUMNS = ("arm", "tuned_for_each", "one_for_all", "phi")
SHIFT_COLUMNS = ("env", "arm", "seed", "change", "step", "watched", "before", "drop", "recovery", "regret")


def write_files(folder: Path, analyses: Sequence[Analysis]) -> None:
    """Write the tables into the report's folder."""
    write(folder / "results.csv", RUN_COLUMNS, [row for a in analyses for row in run_rows(a)])
    write(folder / "arms.csv", ARM_COLUMNS, arm_rows(analyses))
    shifts = shift_rows(analyses)
    if shifts:
        write(folder / "shifts.csv", SHIFT_COLUMNS, shifts)


def write_sensitivities(folder: Path, rows: Sequence[Sensitivity]) -> None:
    """Φ of every arm as a file."""
    write(folder / "sensitivity.csv", SENSITIVITY_COLUMNS, [(*row, row.phi) for row in rows])


def write(path: Path, header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """A table as a file."""
    write_csv(path, header, [["" if isinstance(cell, float) and math.isnan(cell) else cell for cell in row] for row in rows])


def run_rows(analysis: Analysis) -> list[list[Cell]]:
    """All runs of an environment, an arm after the other, in the order of their seeds; of failed ones nothing but the name."""
    rows: list[list[Cell]] = []
    for result in analysis.arms:
        of_arm: list[list[Cell]] = [run_row(analysis, result.arm.text, run) for run in result.runs]
        missing = [""] * (len(RUN_COLUMNS) - 4)
        of_arm += [[analysis.env_id, result.arm.text, seed, "failed", *missing] for seed in result.failed]
        rows += sorted(of_arm, key=lambda row: int(row[2]))
    return rows


def run_row(analysis: Analysis, rule: str, run: Run) -> list[Cell]:
    """All scores of one run."""
    solved = run.steps_to(analysis.threshold) if not math.isnan(analysis.threshold) else math.nan
    responses = [METRICS[name].of(run, analysis.threshold) for name in ("drop", "recovery", "regret")]
    return [
        analysis.env_id, rule, run.seed, "finished", int(run.end), len(run.episodes.step), run.mean_return, run.final_return,
        solved, run.collapsed, run.alarms, len(run.changes), *responses,
    ]  # fmt: skip


def arm_rows(analyses: Sequence[Analysis]) -> list[list[Cell]]:
    """All arms with their intervals and their comparison with the baseline."""
    rows: list[list[Cell]] = []
    for analysis in analyses:
        for result in analysis.arms:
            intervals = [float(x) for interval in (result.mean_return, result.final_return) for x in interval]
            row: list[Cell] = [analysis.env_id, result.arm.text, len(result.runs), len(result.failed), *intervals]
            row += [result.alarms if result.runs else math.nan, analysis.metric.name]
            row += [analysis.baseline.arm.text if analysis.baseline else ""]
            versus = next((c for c in analysis.comparisons if c.result is result), None)
            if versus is not None:
                pairs, difference, improvement, _, p = versus.comparison
                row += [pairs, *map(float, difference), *map(float, improvement), p, versus.p_holm]
            rows.append(row + [""] * (len(ARM_COLUMNS) - len(row)))
    return rows


def shift_rows(analyses: Sequence[Analysis]) -> list[list[Cell]]:
    """How every run responded to every change."""
    return [
        [analysis.env_id, result.arm.text, run.seed, k, *response]
        for analysis in analyses
        for result in analysis.arms
        for run in result.runs
        for k, response in enumerate(run.responses, 1)
    ]
