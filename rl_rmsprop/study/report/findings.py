"""The finding of an environment in a sentence or two, with its uncertainty.

One statistic throughout: arms are ranked by the IQM of the metric, and leads are differences of these IQMs. Controls are never
named best, since they exist to explain the arm that they are controls of.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rl_rmsprop.study.report.analysis import Analysis, VersusBaseline
from rl_rmsprop.study.results.runs import ArmResults
from rl_rmsprop.study.statistics.comparison import SIGNIFICANT
from rl_rmsprop.study.statistics.intervals import Interval, number

MOST_NAMES = 4
"""Arms that a sentence names; of more it gives the number."""


def finding(analysis: Analysis) -> str:
    """Which arm is best by the metric, whether its lead is more than chance, and which arms the seeds cannot tell from it."""
    metric, env_id = analysis.metric, analysis.env_id
    if not analysis.shown:
        return f"{env_id}: no run has finished."
    if not analysis.ranked:
        return f"{env_id}: too few episodes ended to say anything about {metric.label}: give more --steps."
    if len(analysis.arms) == 1:
        return f"{env_id}: {describe_alone(analysis.arms[0])}."
    best = analysis.leaders[0]
    scored = f"{number(analysis.average(best), form=metric.form)}{metric.unit}"
    tied = len(analysis.leaders) > 1
    winner = f"{listed(analysis.leaders)} tie in {metric.label}" if tied else f"{best.arm.label} {metric.best}"
    clauses = [f"{env_id}: {winner}, {scored}", describe_lead(analysis)]
    text = "; ".join(clause for clause in clauses if clause) + "."
    return " ".join([text, *describe_close(analysis), *describe_controls(analysis)])


def describe_alone(result: ArmResults) -> str:
    """What the only arm earned."""
    text = f"{result.arm.label} earned {number(result.mean_return)} per episode over training"
    return text if math.isnan(result.final_return.value) else f"{text}, {number(result.final_return)} in the final evaluation"


def describe_lead(analysis: Analysis) -> str:
    """The best arm's lead over the baseline, or over the next arm if the baseline is itself among the best; may be empty."""
    versus, over = rival(analysis)
    if versus is None:
        return ""
    comparison, named = versus.comparison, f" of {analysis.leaders[0].arm.label}" if len(analysis.leaders) > 1 else ""
    if math.isnan(comparison.p):
        return f"{comparison.pairs} seeds in common with {over} are too few for a test"
    leads = analysis.baseline in analysis.leaders
    difference = negated(comparison.difference) if leads else comparison.difference
    gap = f"the lead{named} over" if analysis.metric.better > 0 else f"the difference{named} from"
    tests = sum(not math.isnan(c.p_holm) for c in analysis.comparisons)
    correction = f" corrected for {tests} comparisons" if tests > 1 else ""
    text = f"{gap} {over} is {number(difference, sign=True, form=analysis.metric.form)}"
    return f"{text}, p = {probability(versus.p_holm)}{correction}: {conclusion(versus)}"


def rival(analysis: Analysis) -> tuple[VersusBaseline | None, str]:
    """The comparison that the lead is about, and what the other arm is to the reader; none if there is no other arm."""
    baseline, leaders = analysis.baseline, analysis.leaders
    if baseline is None:
        return None, ""
    if baseline not in leaders:
        versus = next(c for c in analysis.comparisons if c.result is leaders[0])
        role = "the best fixed β" if analysis.requested_baseline is None and baseline.arm.is_fixed else "the baseline"
        return versus, f"{baseline.arm.label}, {role}," if role == "the best fixed β" else f"{role}, {baseline.arm.label},"
    following = next((result for result in analysis.candidates if result not in leaders), None)
    if following is None:
        return None, ""
    return next(c for c in analysis.comparisons if c.result is following), f"{following.arm.label}, the next,"


def describe_close(analysis: Analysis) -> list[str]:
    """A sentence about arms that the seeds cannot tell from the best one, where there are some."""
    close = analysis.close_to_best
    if not close:
        return []
    best, others = analysis.leaders[0].arm.label, len(analysis.candidates) - len(analysis.leaders)
    if len(close) == others > 1:
        return [f"No other arm is distinguishable from {best}."]
    return [f"Not distinguishable from {best}: {listed(close)}."]


def describe_controls(analysis: Analysis) -> list[str]:
    """A sentence about controls whose IQM is better than that of the best arm, where there are some."""
    best = analysis.leaders[0]
    ahead = analysis.ranked[: analysis.ranked.index(best)]
    scores = {control.arm.label: analysis.printed(control) for control in ahead}
    better = [f"{label} ({score})" for label, score in scores.items() if score != analysis.printed(best)]
    if not better:
        return []
    what, verb = ("control", "is") if len(better) == 1 else ("controls", "are")
    return [f"The {what} {joined(better)} {verb} nominally better."]


def negated(interval: Interval) -> Interval:
    """The difference seen from the other arm."""
    return Interval(-interval.value, -interval.high, -interval.low)


def conclusion(versus: VersusBaseline) -> str:
    """What a difference and its corrected p amount to."""
    difference, p = versus.comparison.difference, versus.p_holm
    if p < SIGNIFICANT and versus.comparison.mean * float(difference.value) < 0:
        return "the means differ the other way, so that a few extreme runs decide"
    if p < SIGNIFICANT:
        return "chance hardly explains it"
    if difference.low > 0 or difference.high < 0:
        return "it may be chance among so many comparisons"
    return "not distinguishable from zero"


def listed(results: Sequence[ArmResults], conjunction: str = "and") -> str:
    """Arms by name, or how many more there are."""
    names = [result.arm.label for result in results]
    if len(names) > MOST_NAMES:
        names = [*names[: MOST_NAMES - 1], f"{len(names) - MOST_NAMES + 1} more"]
    return joined(names, conjunction)


def joined(names: Sequence[str], conjunction: str = "and") -> str:
    """Names in a sentence.

    >>> joined(["a"]), joined(["a", "b"]), joined(["a", "b", "c"], "or")
    ('a', 'a and b', 'a, b or c')
    """
    return f" {conjunction} ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def probability(p: float) -> str:
    """A p-value with two digits.

    >>> probability(0.0312), probability(0.00001)
    ('0.031', '< 0.0001')
    """
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"
