"""The finding in one sentence, with its uncertainty, and what to beware of."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rl_rmsprop.study.report.analysis import FEW_SEEDS, Analysis
from rl_rmsprop.study.results.runs import ArmResults
from rl_rmsprop.study.statistics.intervals import Interval, number

LIKELY = 0.05
"""Corrected p below which a difference is called one."""


def finding(analysis: Analysis) -> str:
    """Which arm is best by the metric, and whether its lead is more than chance."""
    metric, env_id = analysis.metric, analysis.env_id
    if not analysis.shown:
        return f"{env_id}: no run has finished."
    if not analysis.ranked:
        return f"{env_id}: too few episodes ended to say anything about {metric.label}: give more --steps."
    best = analysis.ranked[0]
    if len(analysis.arms) == 1:
        scored = f"{number(best.mean_return)} per episode over training, {number(best.final_return)} at the end"
        return f"{env_id}: {best.arm.text} earned {scored}."
    earned = number(analysis.averages[analysis.arms.index(best)], form=metric.form)
    said = f"{env_id}: {best.arm.text} {metric.best}, {earned}{metric.unit}"
    if analysis.baseline is None or len(analysis.ranked) < 2:
        return said + "."
    return said + f"; {lead(analysis, analysis.baseline)}."


def lead(analysis: Analysis, baseline: ArmResults) -> str:
    """The best arm's lead over the baseline in words, or over the next if it is the baseline itself."""
    best, leads = analysis.ranked[0], analysis.ranked[0] is baseline
    rival = analysis.ranked[1] if leads else baseline
    who = f"{'the next' if leads else kind(analysis)}, {rival.arm.text},"
    against = next(a for a in analysis.against if a.result is (rival if leads else best))
    if math.isnan(against.comparison.p):
        return f"{against.comparison.pairs} seeds in common with {who} are too few to compare"
    difference = turned(against.comparison.difference) if leads else against.comparison.difference
    gap = "its lead over" if analysis.metric.better > 0 else "its difference from"
    tests = sum(not math.isnan(a.comparison.p) for a in analysis.against)
    correction = f" corrected for {tests} comparisons" if tests > 1 else ""
    said = f"seed by seed {gap} {who} is {number(difference, sign=True, form=analysis.metric.form)}"
    return f"{said}, p = {probability(against.p_holm)}{correction}, {verdict(difference, against.p_holm)}"


def kind(analysis: Analysis) -> str:
    """What the baseline is to the reader."""
    return "the best fixed β" if analysis.chosen is None and analysis.baseline and analysis.baseline.is_fixed else "the baseline"


def turned(interval: Interval) -> Interval:
    """The difference seen from the baseline."""
    return Interval(-interval.value, -interval.high, -interval.low)


def verdict(difference: Interval, p: float) -> str:
    """What a difference and its corrected p amount to."""
    if p < LIKELY:
        return "a difference that chance hardly explains"
    if difference.low > 0 or difference.high < 0:
        return "which may be chance among so many comparisons"
    return "which these seeds cannot tell from zero"


def probability(p: float) -> str:
    """A p-value with two digits.

    >>> probability(0.0312), probability(0.00001)
    ('0.031', '< 0.0001')
    """
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def warnings(analyses: Sequence[Analysis], seeds: int) -> list[str]:
    """What makes the numbers weaker than they look."""
    said = []
    if seeds < FEW_SEEDS:
        said.append(
            f"Fewer than {FEW_SEEDS} seeds ({seeds}): intervals are too narrow and differences may be luck; use --seeds 0-29."
        )
    for analysis in analyses:
        failed = sum(len(result.failed) for result in analysis.arms)
        if failed:
            runs = failed + sum(len(result.runs) for result in analysis.arms)
            said.append(f"{analysis.env_id}: {failed} of {runs} runs did not finish; scores are those of the runs that did.")
        ceiling = {run.final_return for result in analysis.shown for run in result.runs}
        if len(ceiling) == 1 and len(analysis.shown) > 1:
            said.append(f"{analysis.env_id}: every run ends at {ceiling.pop():g}, so the final evaluation ranks nothing.")
    return said
