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
from rl_rmsprop.study.results.recorded_signals import Streams
from rl_rmsprop.study.results.runs import ArmResults
from rl_rmsprop.study.results.sensitivity import Response
from rl_rmsprop.study.statistics import intervals
from rl_rmsprop.study.statistics.intervals import Interval, number

DASH = "–"


def scores(found: Analysis) -> Table:
    """The main table: a row an arm, the baseline marked."""
    solved = not math.isnan(found.threshold)
    header = ["arm", "runs", "mean return over training", "final evaluation"]
    header += [f"steps to {found.threshold:g}"] if solved else []
    header += ["collapsed", "alarms per run"]
    rows = []
    for result in found.arms:
        name = result.arm.text + (" (baseline)" if result is found.baseline else "")
        rows.append([name, str(len(result.runs)), number(result.mean_return), number(result.final_return)])
        rows[-1] += [threshold_cell(found, result)] if solved else []
        rows[-1] += [percent(found.collapses(result)) if result.runs else DASH, alarms_cell(result)]
    return Table(header, rows, marks=[result.place for result in found.arms])


def threshold_cell(found: Analysis, result: ArmResults) -> str:
    """Median steps to the threshold, and how many runs got there if not all of them."""
    if not result.runs:
        return DASH
    median, reached = found.time_to_threshold(result)
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


def averages(found: Analysis) -> Table:
    """Other averages of the two scores, and how far the final one misses the threshold."""
    header = ["arm", "mean return: median", "mean return: mean", "final: median", "final: mean"]
    solved = not math.isnan(found.threshold)
    rows = []
    for result in found.shown:
        means, finals = [run.mean_return for run in result.runs], [run.final_return for run in result.runs]
        values = [result.average(x, trim) for x in (means, finals) for trim in (intervals.half, intervals.none)]
        rows.append([result.arm.text, *map(number, values), *([number(found.gap(result))] if solved else [])])
    return Table([*header, *(["optimality gap"] if solved else [])], rows, marks=[r.place for r in found.shown])


def differences(found: Analysis) -> Table:
    """Every arm against the baseline, seed by seed."""
    header = ["arm", "pairs", "difference", "P(better)", "p", "p, Holm"]
    rows = []
    for result, (pairs, difference, improvement, p), p_holm in ((a.result, a.comparison, a.p_holm) for a in found.against):
        numbers = [number(difference, sign=True, form=found.metric.form), number(improvement, form=".2f")]
        tested = [DASH if math.isnan(q) else probability(q) for q in (p, p_holm)]
        rows.append([result.arm.text, str(pairs), *numbers, *tested])
    return Table(header, rows, marks=[a.result.place for a in found.against])


def responses(found: Analysis) -> Table:
    """How the arms took the changes of the environment."""
    rows, marks = [], []
    for change in changes(found):
        when = change.what if math.isnan(change.step) else f"{change.what} at {change.step:,.0f}"
        recovery = times(change.recovery, change.watched) + share_of(change.recovered, change.runs)
        rows.append([when, change.result.arm.text, number(change.drop), recovery, number(change.regret)])
        marks.append(change.result.place)
    return Table(["change", "arm", "drop", "recovery, steps", "regret per episode"], rows, words=2, marks=marks)


def detection_quality(found: Analysis, streams: Sequence[Streams]) -> Table:
    """What the arms' own detectors answered to the true changes, where signals were recorded."""
    header = ["arm", "changes", *(f"hits ≤ {n}" for n in detection.WITHIN), "delay", "90 %", "alarms / 1000 before"]
    rows, marks = [], []
    for result in found.shown:
        own = next((s for s in streams if (s.env_id, s.arm) == (found.env_id, result.arm.text)), None)
        if own is None or not own.is_shifted or math.isnan(result.alarms):
            continue
        quality = detection.quality(own.arrays["alarm"], own.shifted)
        delays = [DASH if math.isnan(d) else "never" if math.isinf(d) else f"{d:.0f}" for d in quality[2:]]
        rows.append([result.arm.text, str(quality.changes), *(f"{hit:.0%}" for hit in quality.hits), *delays, calm_rate(own)])
        marks.append(result.place)
    return Table(header, rows, marks=marks)


def calm_rate(streams: Streams) -> str:
    """Alarms per 1000 updates before the first change of any run; a dash if that is at once."""
    calm = int(np.flatnonzero(streams.shifted.any(1))[0]) if streams.is_shifted else len(streams.shifted)
    return f"{detection.rate(streams.arrays['alarm'][:calm]):.2f}" if calm else DASH


def over_all(rows: Sequence[Overall]) -> Table:
    """Arms over all environments, in normalised scores."""
    cells = [[row.result.arm.text, *(number(x, form=".2f") for x in (row.iqm, row.median, row.mean, row.gap))] for row in rows]
    header = ["arm", "IQM", "median", "mean", "optimality gap"]
    return Table(header, cells, marks=[row.result.place for row in rows])


def failures(found: Sequence[Analysis]) -> Table:
    """Runs that did not finish, an arm a row."""
    rows = []
    for analysis in found:
        for result in analysis.arms:
            if result.failed:
                rows.append([analysis.env_id, result.arm.text, ", ".join(map(str, result.failed)), result.reason])
    return Table(["environment", "arm", "seeds", "reason"], rows, words=4)


def wall_times(found: Sequence[Analysis]) -> Table:
    """How long the training of each arm took, its batches added up."""
    header = ["environment", "arm", "runs", "training, seconds"]
    rows = [[a.env_id, result.arm.text, str(len(result.runs)), f"{result.seconds:,.1f}"] for a in found for result in a.shown]
    return Table(header, rows, words=2)


def terminal(found: Analysis) -> Table:
    """The main table as far as a terminal has room."""
    table = scores(found)
    keep = [i for i, name in enumerate(table.header) if name != "collapsed"]
    return replace(table, header=[table.header[i] for i in keep], rows=[[row[i] for i in keep] for row in table.rows])


def sensitivities(tuned: Sequence[Response]) -> Table:
    """What tuning for every environment anew gains each arm."""
    rows = [[row.arm, *(f"{x:.2f}" for x in (*row[1:], row.phi))] for row in sensitivity.sensitivities(tuned)]
    places = {response.arm: response.place for response in tuned}
    header = ["arm", "tuned for each environment", "one draw for all", "Φ"]
    return Table(header, rows, marks=[places[row[0]] for row in rows])
