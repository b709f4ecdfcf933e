"""The tables of a report as rows of text, for the page, the Markdown and the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rl_rmsprop.study.report.analysis import Analysis
from rl_rmsprop.study.report.changes import changes
from rl_rmsprop.study.report.document import Table
from rl_rmsprop.study.report.findings import probability
from rl_rmsprop.study.report.overall import Overall
from rl_rmsprop.study.results import detection, sensitivity
from rl_rmsprop.study.results.recorded_signals import RecordedSignals
from rl_rmsprop.study.results.runs import ArmResults
from rl_rmsprop.study.results.sensitivity import Response
from rl_rmsprop.study.statistics import intervals
from rl_rmsprop.study.statistics.intervals import Interval, number

DASH = "–"


def scores(analysis: Analysis) -> Table:
    """The main table: a row an arm, baseline and controls marked."""
    solved = not math.isnan(analysis.threshold)
    header = ["arm", "runs", "mean return over training"]
    header += ["final evaluation"] if analysis.is_evaluated else []
    header += [f"steps to {analysis.threshold:g}"] if solved else []
    header += ["collapsed", "alarms per run"]
    rows = []
    for result in analysis.arms:
        row = [result.arm.label + role(analysis, result), str(len(result.runs)), number(result.mean_return)]
        row += [number(result.final_return)] if analysis.is_evaluated else []
        row += [threshold_cell(analysis, result)] if solved else []
        rows.append([*row, percent(analysis.collapses(result)) if result.runs else DASH, alarms_cell(result)])
    return Table(header, rows, marks=[result.place for result in analysis.arms])


def role(analysis: Analysis, result: ArmResults) -> str:
    """What stands behind an arm's name."""
    if result is analysis.baseline:
        return " (baseline)"
    return " (control)" if result.is_control else ""


def threshold_cell(analysis: Analysis, result: ArmResults) -> str:
    """Median steps to the threshold, and how many runs got there if not all of them."""
    if not result.runs:
        return DASH
    median, reached = analysis.time_to_threshold(result)
    return times(median, max(run.end for run in result.runs)) + share_of(reached, len(result.runs))


def times(interval: Interval, longest: float) -> str:
    """Steps with their interval; beyond the last step watched where half of the runs never got there.

    >>> times(Interval(1200.0, 900.0, math.inf), 5000.0), times(Interval(math.inf, math.inf, math.inf), 5000.0)
    ('1,200 [900, > 5,000]', '> 5,000')
    """
    if math.isnan(interval.value):
        return DASH
    value, low, high = (f"> {longest:,.0f}" if math.isinf(x) else f"{x:,.0f}" for x in interval)
    return value if math.isnan(interval.low) or math.isinf(interval.low) else f"{value} [{low}, {high}]"


def share_of(some: int, all_: int) -> str:
    """` · 7/10`, or nothing if it is all of them."""
    return f" · {some}/{all_}" if some < all_ else ""


def percent(share: Interval) -> str:
    """A share with its interval, in percent."""
    return DASH if math.isnan(share.value) else f"{share.value:.0%} [{share.low:.0%}, {share.high:.0%}]"


def alarms_cell(result: ArmResults) -> str:
    """Mean alarms per run."""
    return DASH if not result.runs or math.isnan(result.alarms) else f"{result.alarms:.1f}"


def averages(analysis: Analysis) -> Table:
    """Other averages of the two scores, and how far the final one misses the threshold."""
    kinds = {"mean return": [[run.mean_return for run in result.runs] for result in analysis.shown]}
    if analysis.is_evaluated:
        kinds["final"] = [[run.final_return for run in result.runs] for result in analysis.shown]
    gaps = analysis.is_evaluated and not math.isnan(analysis.threshold)
    header = ["arm", *(f"{kind}: {average}" for kind in kinds for average in ("median", "mean"))]
    rows = []
    for result, *values in zip(analysis.shown, *kinds.values(), strict=True):
        cells = [number(result.average(x, trim)) for x in values for trim in (intervals.half, intervals.none)]
        rows.append([result.arm.label, *cells, *([number(analysis.gap(result))] if gaps else [])])
    return Table([*header, *(["optimality gap"] if gaps else [])], rows, marks=[r.place for r in analysis.shown])


def differences(analysis: Analysis) -> Table:
    """Every arm against the baseline, seed by seed."""
    header = ["arm", "pairs", "difference of IQMs", "P(better)", "p", "p, Holm"]
    rows = []
    for versus in analysis.comparisons:
        pairs, difference, improvement, _, p = versus.comparison
        numbers = [number(difference, sign=True, form=analysis.metric.form), number(improvement, form=".2f")]
        tested = [DASH if math.isnan(q) else probability(q) for q in (p, versus.p_holm)]
        rows.append([versus.result.arm.label, str(pairs), *numbers, *tested])
    return Table(header, rows, marks=[versus.result.place for versus in analysis.comparisons])


def responses(analysis: Analysis) -> Table:
    """How the arms responded to the changes of the environment."""
    rows, marks = [], []
    for change in changes(analysis):
        when = change.what if math.isnan(change.step) else f"{change.what} at {change.step:,.0f}"
        recovery = times(change.recovery, change.watched) + share_of(change.recovered, change.runs)
        rows.append([when, change.result.arm.label, number(change.drop), recovery, number(change.regret)])
        marks.append(change.result.place)
    return Table(["change", "arm", "drop", "recovery, steps", "regret per episode"], rows, words=2, marks=marks)


def detection_quality(analysis: Analysis, recordings: Sequence[RecordedSignals]) -> Table:
    """How the arms' detectors answered to the true changes, where signals were recorded."""
    hits = [f"hits within {n}" for n in detection.WITHIN]
    header = ["arm", "changes", *hits, "delay, updates", "90 % within", "alarms per 1000 before"]
    rows, marks = [], []
    for result in analysis.shown:
        recorded = next((s for s in recordings if (s.env_id, s.arm) == (analysis.env_id, result.arm.text)), None)
        if recorded is None or not recorded.is_shifted or math.isnan(result.alarms):
            continue
        quality = detection.quality(recorded.arrays["alarm"], recorded.shifted)
        delays = [DASH if math.isnan(d) else "never" if math.isinf(d) else f"{d:.0f}" for d in quality[2:]]
        rows.append(
            [result.arm.label, str(quality.changes), *(f"{hit:.0%}" for hit in quality.hits), *delays, calm_rate(recorded)]
        )
        marks.append(result.place)
    return Table(header, rows, marks=marks)


def calm_rate(recording: RecordedSignals) -> str:
    """Alarms per 1000 updates before the first change of any run; a dash if that is at once."""
    calm = int(np.flatnonzero(recording.shifted.any(1))[0]) if recording.is_shifted else len(recording.shifted)
    return f"{detection.rate(recording.arrays['alarm'][:calm]):.2f}" if calm else DASH


def over_all(rows: Sequence[Overall]) -> Table:
    """Arms over all environments, in scaled returns."""
    header = ["arm", "mean return over training"]
    evaluated = any(not math.isnan(row.final.value) for row in rows)
    header += ["final evaluation", "final: median", "final: mean", "optimality gap"] if evaluated else []
    cells = []
    for row in rows:
        averages = (row.mean_return, row.final, row.median, row.mean, row.gap)[: len(header) - 1]
        cells.append([row.result.arm.label, *(number(x, form=".2f") for x in averages)])
    return Table(header, cells, marks=[row.result.place for row in rows])


def failures(analyses: Sequence[Analysis]) -> Table:
    """Runs that did not finish, an arm a row."""
    rows = []
    for analysis in analyses:
        for result in analysis.arms:
            if result.failed:
                rows.append([analysis.env_id, result.arm.label, ", ".join(map(str, result.failed)), result.reason])
    return Table(["environment", "arm", "seeds", "reason"], rows, words=4)


def wall_times(analyses: Sequence[Analysis]) -> Table:
    """How long the training of each arm took, its batches added up."""
    header = ["environment", "arm", "runs", "seconds of training"]
    rows = [[a.env_id, result.arm.label, str(len(result.runs)), f"{result.seconds:,.1f}"] for a in analyses for result in a.shown]
    return Table(header, rows, words=2)


def terminal(analysis: Analysis) -> Table:
    """The main table as far as a terminal has room."""
    table = scores(analysis)
    keep = [i for i, name in enumerate(table.header) if name != "collapsed"]
    return replace(table, header=[table.header[i] for i in keep], rows=[[row[i] for i in keep] for row in table.rows])


def sensitivities(tuned: Sequence[Response]) -> Table:
    """What tuning for each environment alone gains each arm."""
    results, arms = sensitivity.sensitivities(tuned), {response.arm: response for response in tuned}
    rows = [[arms[row.arm].label, *(f"{x:.2f}" for x in (*row[1:], row.phi))] for row in results]
    header = ["arm", "tuned for each environment", "one draw for all", "Φ"]
    return Table(header, rows, marks=[arms[row.arm].place for row in results])
