"""What a report says, in order: finding, warnings, an environment at a time, how to read it, how it was made."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rl_rmsprop.storage.atomic import env_folder
from rl_rmsprop.study.report import tables
from rl_rmsprop.study.report.analysis import Analysis
from rl_rmsprop.study.report.changes import changes
from rl_rmsprop.study.report.document import Block, Code, Heading, Items, Paragraph, Picture
from rl_rmsprop.study.report.findings import finding, warnings
from rl_rmsprop.study.report.methods import settings_of_the_arms
from rl_rmsprop.study.report.overall import overall
from rl_rmsprop.study.results.recorded_signals import Streams
from rl_rmsprop.study.results.runs import MOST_CHANGES, provenance
from rl_rmsprop.study.results.scores import PLATEAU, WINDOW
from rl_rmsprop.study.results.sensitivity import Response
from rl_rmsprop.study.spec.seeds import written_seeds
from rl_rmsprop.study.spec.study import Study


def content(study: Study, found: Sequence[Analysis], streams: Sequence[Streams], tuned: Sequence[Response]) -> list[Block]:
    """All blocks of the report."""
    blocks: list[Block] = [Paragraph(what(study))]
    blocks += [Paragraph(finding(analysis), "finding") for analysis in found]
    blocks += [Paragraph(text, "warning") for text in warnings(found, len(study.seeds))]
    together = overall(found)
    if together:
        blocks += [Heading("All environments"), Paragraph(OVERALL), tables.over_all(together)]
    if len({response.env_id for response in tuned}) > 1:
        blocks += [Heading("One setting for all environments", 3), Paragraph(PHI), tables.sensitivities(tuned)]
    for analysis in (a for a in found if a.shown):
        blocks += environment(analysis, streams)
        if analysis.env_id in {response.env_id for response in tuned}:
            blocks += [Heading("Every draw of the tuning", 3), Picture(f"{env_folder(analysis.env_id)}_sensitivity", DRAWS)]
    failed = tables.failures(found)
    blocks += [Heading("Failed runs"), failed] if failed.rows else []
    blocks += [Heading("How to read this"), Items(definitions(study, found))]
    blocks += [Heading("How it was made"), Code(study.command)] if study.command else [Heading("How it was made")]
    return [*blocks, Items(made(study)), tables.wall_times(found)]


def title(study: Study) -> str:
    """What was trained where."""
    arms = f"Comparison of {len(study.arms)} arms" if len(study.arms) > 1 else study.arms[0].label
    return f"{arms} on {', '.join(study.env_ids)}"


def what(study: Study) -> str:
    """The study in one line."""
    sizes = f"{study.options.agent}, {len(study.seeds)} seeds × {study.options.steps:,} environment steps an arm"
    return " · ".join([sizes, *(f"changing: {shift}" for shift in study.options.shift)])


def environment(found: Analysis, streams: Sequence[Streams]) -> list[Block]:
    """One environment's section."""
    name = env_folder(found.env_id)
    blocks: list[Block] = [Heading(found.env_id), tables.scores(found)]
    dashed = "; dashed: true changes" if any(run.changes for result in found.shown for run in result.runs) else ""
    blocks.append(Picture(f"{name}_returns", f"Running return, IQM over seeds with its 95 % interval{dashed}."))
    if found.against and found.baseline is not None:
        blocks += [Heading(f"Against {found.baseline.arm.text}, seed by seed: {found.metric.label}", 3)]
        blocks += [Paragraph(choice(found)), tables.differences(found)]
        blocks.append(Picture(f"{name}_differences", "Differences of runs with the same seed."))
    if changes(found):
        blocks += [Heading("After changes of the environment", 3), tables.responses(found)]
    detected = tables.detection_quality(found, streams)
    if detected.rows:
        blocks += [Heading("Detectors against the true changes", 3), detected]
    blocks += [Heading("What the optimizers did", 3)]
    blocks.append(Picture(f"{name}_optimizer", "β, E, effective learning rate and alarms, IQM over seeds."))
    blocks += [Heading("Spread between runs", 3)]
    blocks.append(Picture(f"{name}_scores", "Every run a dot; stroke and bar: IQM and 95 % interval."))
    blocks.append(Picture(f"{name}_profiles", "Share of runs that reach each level; a curve further right is better."))
    if found.metric.better < 0:
        blocks[-1] = Picture(f"{name}_profiles", "Share of runs that stay within each level; a curve further left is better.")
    return [*blocks, tables.averages(found)]


def choice(found: Analysis) -> str:
    """Where the baseline comes from."""
    assert found.baseline is not None
    if found.chosen is not None:
        return "The baseline was named with --baseline: its p-values hold if that was before the results were seen."
    if found.baseline.is_fixed:
        return (
            "The baseline is the fixed β with the best score in these very runs, which flatters it: for rules that change β "
            "the comparison is the harder, for other fixed βs the p-values are too small. Name one with --baseline."
        )
    return "No arm is a fixed β, so the first one is the baseline. Name another with --baseline."


DRAWS = (
    "Score on the tuning seeds against lr and against the size of the updates: arms whose curves meet on the right differ in "
    "step size alone."
)
PHI = (
    "Normalised score of each arm's draws on the tuning seeds: the best draw of each environment, the draw that is best on "
    "average, and their difference Φ, what tuning for every environment anew gains (Adkins, Bowling and White 2024)."
)
OVERALL = (
    "Final evaluation on a scale where 0 is an untrained policy (mean of the first 100 episodes of every run) and 1 is solved; "
    "averages over all runs of all environments, resampled within each environment."
)


def definitions(study: Study, found: Sequence[Analysis]) -> list[str]:
    """What the numbers are; only of what the report holds."""
    solved, shifting = any(not math.isnan(a.threshold) for a in found), bool(study.options.shift)
    return [
        "Numbers are interquartile means (IQM) over seeds [in brackets: 95 % percentile bootstrap intervals over whole runs, "
        "10,000 resamples]. Bands of curves are such intervals too, point by point.",
        f"Mean return over training, the primary score: the mean return of the last {WINDOW} episodes, averaged over the "
        f"{study.options.steps:,} environment steps of the training. Final evaluation: mean return of "
        f"{study.options.eval_episodes} episodes of the greedy policy.",
        *([THRESHOLD] if solved else []),
        COLLAPSED,
        DIFFERENCES,
        *([f"The environment changes: {' and '.join(study.options.shift)}. {SHIFTED}"] if shifting else []),
        *([RESPONSES] if shifting else []),
        *(["Trained in the environments of EnvPool, evaluated in Gymnasium's."] if study.options.backend == "envpool" else []),
        *([DETECTORS] if study.options.record_signals else []),
        *settings(study),
    ]


THRESHOLD = (
    f"Steps to the threshold: environment steps until the mean of {PLATEAU} episodes reached it, median over runs. Runs that "
    "never did count as beyond the training, so the median is “>” its length if half of them did not; k/n says how many did. "
    "Optimality gap: by how much the final evaluation misses the threshold on average, runs above it counting 0."
)
COLLAPSED = (
    f"Collapsed: share of runs in which the mean of {PLATEAU} consecutive episodes at some time lost more than half of what it "
    "had gained over the first such mean, with Wilson's interval. A gain counts from two standard deviations of the first "
    f"{PLATEAU} returns, and after a change of the environment the best so far starts again."
)
DIFFERENCES = (
    "Difference: IQM of the differences between runs of the same seed. P(better): probability that a run of the arm beats a run "
    "of the baseline, ties counting half. p: two-sided sign-flip test of the mean difference, exact up to 14 seeds; Holm: "
    "corrected for all arms of the environment. Times that never came count as the length of the training there."
)
SHIFTED = (
    "Returns are what the changed environment pays, the final evaluation is in the environment as it is at the end, and dashed "
    "lines in the figures mark the changes of the first seed."
)
RESPONSES = (
    f"Drop: mean return of the last {WINDOW} episodes before a change minus that of the first {WINDOW} begun after it. Recovery: "
    f"environment steps until {WINDOW} consecutive episodes earned 90 % of the level before again, median over runs; never "
    "within the phase counts as beyond it. Regret: the level before minus the running return, averaged over the steps until the "
    f"next change: what an episode loses. Environments with more than {MOST_CHANGES} changes have no such table."
)

DETECTORS = (
    "Detectors: an alarm within n updates after a true change is a hit. Delay: median updates from a change to the first alarm "
    "before the next one, and the updates within which 90 % of changes are answered. The rate before is alarms per 1000 updates "
    "before the first change of any run."
)


def settings(study: Study) -> list[str]:
    """Settings without which the numbers mislead."""
    corrected = "with" if study.options.bias_correction else "without"
    return [
        f"β rules run {corrected} bias correction, ε = {study.options.eps} outside the root.",
        *settings_of_the_arms(study),
        "The arm in the finding was picked for its score; the correction for all arms allows for that, its average does not: "
        "confirm it on other seeds.",
    ]


def made(study: Study) -> list[str]:
    """What it takes to make the study again."""
    return [
        f"seeds {written_seeds(study.seeds)}",
        f"{study.options.steps:,} environment steps a run, agent {study.options.agent}",
        *provenance(study),
    ]
