"""What makes the numbers of a report weaker than they look, a sentence each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from rl_rmsprop.study.report import rule_lengths
from rl_rmsprop.study.report.analysis import Analysis
from rl_rmsprop.study.report.findings import joined
from rl_rmsprop.study.results.runs import ArmResults
from rl_rmsprop.study.spec.study import Study
from rl_rmsprop.study.statistics.comparison import FEWEST_PAIRS, SIGNIFICANT, pairs_needed, smallest_p

FEW_SEEDS = 10
"""Seeds below which a report warns."""


def cautions(study: Study, analyses: Sequence[Analysis]) -> list[str]:
    """Everything to beware of, the weightiest first."""
    seeds = len(study.seeds)
    texts = []
    if seeds < FEW_SEEDS:
        are_few = "1 seed is few" if seeds == 1 else f"{seeds} seeds are few"
        texts.append(f"{are_few}: intervals are too narrow, and differences may be luck. Use --seeds 0-29.")
    texts += list(power(seeds, analyses))
    texts += [*by_environment(analyses, failures), *by_environment(analyses, ceilings)]
    texts += by_environment(analyses, lambda analysis: rules_beyond_training(study, analysis))
    return [*texts, *by_environment(analyses, lambda analysis: step_sizes(study, analysis))]


def by_environment(analyses: Sequence[Analysis], find: Callable[[Analysis], Iterator[str]]) -> list[str]:
    """Sentences about environments, each once; with the environments that it holds for unless it holds for all of them."""
    places: dict[str, list[str]] = {}
    for analysis in analyses:
        for text in find(analysis):
            places.setdefault(text, []).append(analysis.env_id)
    where = {text: "" if len(envs) == len(analyses) else f"{', '.join(envs)}: " for text, envs in places.items()}
    return [where[text] + text for text in places]


def power(seeds: int, analyses: Sequence[Analysis]) -> Iterator[str]:
    """Whether a small p is out of reach, however the runs end."""
    comparisons = max((len(analysis.comparisons) for analysis in analyses), default=0)
    if not comparisons or smallest_p(seeds, comparisons) < SIGNIFICANT:
        return
    enough = f"{pairs_needed(comparisons)} seeds would do"
    if seeds < FEWEST_PAIRS:
        yield f"With {seeds} seed{'s' if seeds > 1 else ''} no difference can be tested: {enough}."
    else:
        p = f"{smallest_p(seeds, comparisons):.2g}"
        yield f"With {seeds} seeds and {comparisons} comparisons the smallest p that can be reached is {p}: {enough}."


def failures(analysis: Analysis) -> Iterator[str]:
    """Runs that did not finish."""
    failed = sum(len(result.failed) for result in analysis.arms)
    if failed:
        runs = failed + sum(len(result.runs) for result in analysis.arms)
        yield f"{failed} of {runs} runs did not finish; scores are those of the runs that did."


def ceilings(analysis: Analysis) -> Iterator[str]:
    """A final evaluation that is the same for all."""
    finals = {run.final_return for result in analysis.shown for run in result.runs}
    if len(finals) == 1 and len(analysis.shown) > 1 and analysis.is_evaluated:
        yield f"Every run ends at {finals.pop():g}, so the final evaluation ranks nothing."


def rules_beyond_training(study: Study, analysis: Analysis) -> Iterator[str]:
    """Rules that a training is too short for, and detectors that never alarmed."""
    arms = [result for result in analysis.shown if not (result.arm.is_baseline or result.arm.control_of)]
    trained = [(result, rule_lengths.trained_rule(study, analysis.env_id, result.arm)) for result in arms]
    lengths = {"window 1/(1−β)": rule_lengths.longest_window, "schedule": rule_lengths.schedule_length}
    for what, length_of in lengths.items():
        needed = [(result.arm.label, length_of(rule)) for result, rule in trained]
        longer = [f"{label} ({length:,.0f} updates)" for label, length in needed if length > analysis.updates]
        if longer:
            yield f"A run has {analysis.updates:,} updates, fewer than the {what} of {joined(longer)}."
    for result, rule in trained:
        yield from silent_detector(result, rule_lengths.run_length(rule), analysis.updates)


def silent_detector(result: ArmResults, arl: float, updates: int) -> Iterator[str]:
    """A detector that never alarmed, or less than once a run because of an arl that is longer than the run."""
    never = result.alarms == 0 and not math.isnan(arl)
    if arl > updates and result.alarms < 1:
        text = f"{result.arm.label} can hardly alarm in {updates:,} updates (arl: one false alarm in {arl:,.0f})"
        yield text + (", and never did: it trained as its schedule alone." if never else ".")
    elif never:
        yield f"{result.arm.label} never alarmed in any run: it trained as its schedule alone."


def step_sizes(study: Study, analysis: Analysis) -> Iterator[str]:
    """Step sizes that favour an arm, or hide differences."""
    agent = study.agent_in(analysis.env_id)
    if len(study.arms) > 1 and not (study.tune or study.match_update_rms):
        yield "The same lr for all arms, untuned: an arm that needs another lr is not at its best (--tune 24 gives each its own)."
    if agent.lr_schedule == "linear":
        yield "lr falls linearly to 0, so that arms differ less and less towards the end (--lr-schedule constant)."
