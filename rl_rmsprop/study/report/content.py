"""What a report says, in order: findings, cautions, all environments, each of them, how to read it, how it was made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rl_rmsprop.storage.atomic import env_folder
from rl_rmsprop.study.report import definitions, tables
from rl_rmsprop.study.report.analysis import Analysis
from rl_rmsprop.study.report.cautions import cautions
from rl_rmsprop.study.report.changes import changes
from rl_rmsprop.study.report.document import Block, Cautions, Code, Contents, Heading, Items, Paragraph, Picture
from rl_rmsprop.study.report.findings import finding
from rl_rmsprop.study.report.overall import overall, scales
from rl_rmsprop.study.results.recorded_signals import RecordedSignals
from rl_rmsprop.study.results.runs import provenance
from rl_rmsprop.study.results.sensitivity import Response
from rl_rmsprop.study.spec.seeds import written_seeds
from rl_rmsprop.study.spec.study import Study

FILES = {
    "results.csv": "a row a run",
    "arms.csv": "a row an arm",
    "shifts.csv": "a row a run and change",
    "sensitivity.csv": "what tuning gains",
    "evaluation.csv": "a row a run of `rl-rmsprop evaluate`",
    "../tuning.csv": "every draw",
    "../matching.csv": "how lr was matched",
    "../study.json": "the study",
    "report.md": "this report as Markdown",
}
"""Path from the report's folder → what the file holds."""


def content(
    study: Study, analyses: Sequence[Analysis], recordings: Sequence[RecordedSignals], tuned: Sequence[Response]
) -> list[Block]:
    """All blocks of the report."""
    blocks: list[Block] = [Paragraph(summary(study, analyses))]
    blocks += [Paragraph(finding(analysis), "finding") for analysis in analyses]
    beware = cautions(study, analyses)
    blocks += [Cautions(beware)] if beware else []
    blocks.append(Contents(files(study.folder / "report")))
    blocks += all_environments(analyses, tuned)
    for analysis in (a for a in analyses if a.shown):
        blocks += environment(analysis, recordings)
        if analysis.env_id in {response.env_id for response in tuned}:
            name = f"{env_folder(analysis.env_id)}_sensitivity"
            blocks += [Heading("Every draw of the tuning", 3), Picture(name, definitions.DRAWS)]
    failed = tables.failures(analyses)
    blocks += [Heading("Failed runs"), failed] if failed.rows else []
    blocks += [Heading("How to read this"), Items(definitions.definitions(study, analyses))]
    blocks += [Heading("How it was made"), *([Code(study.command)] if study.command else [])]
    return [*blocks, Items(provenance_lines(study)), tables.wall_times(analyses)]


def title(study: Study) -> str:
    """What was trained where."""
    arms = f"Comparison of {len(study.arms)} arms" if len(study.arms) > 1 else study.arms[0].label
    return f"{arms} on {', '.join(study.env_ids)}"


def summary(study: Study, analyses: Sequence[Analysis]) -> str:
    """The study in one line."""
    options = study.options
    seeds = f"{len(study.seeds)} seed{'s' * (len(study.seeds) > 1)}"
    run = f"{options.steps:,} environment steps and {updates(analyses)} optimizer updates per run"
    return " · ".join([options.agent, seeds, run, *(f"changing: {shift}" for shift in options.shift)])


def updates(analyses: Sequence[Analysis]) -> str:
    """Updates per run, of each environment where they differ."""
    counts = {analysis.env_id: f"{analysis.updates:,}" for analysis in analyses}
    if len(set(counts.values())) == 1:
        return next(iter(counts.values()))
    return ", ".join(f"{count} ({env_id})" for env_id, count in counts.items())


def files(folder: Path) -> list[tuple[str, str]]:
    """The files beside the report that exist."""
    return [(path, what) for path, what in FILES.items() if (folder / path).is_file() or path == "report.md"]


def all_environments(analyses: Sequence[Analysis], tuned: Sequence[Response]) -> list[Block]:
    """The section about all environments together; empty with one."""
    if len(analyses) < 2:
        return []
    scaling = scales(analyses)
    rows = overall(analyses, scaling)
    blocks: list[Block] = [Heading("All environments"), Paragraph(definitions.scaling(scaling, analyses))]
    blocks += [tables.over_all(rows)] if rows else []
    if len({response.env_id for response in tuned}) > 1:
        blocks += [Heading("One setting for all environments", 3), Paragraph(definitions.PHI), tables.sensitivities(tuned)]
    return blocks


def environment(analysis: Analysis, recordings: Sequence[RecordedSignals]) -> list[Block]:
    """One environment's section."""
    name = env_folder(analysis.env_id)
    blocks: list[Block] = [Heading(analysis.env_id), tables.scores(analysis)]
    dashed = "; dashed: true changes" if any(run.changes for result in analysis.shown for run in result.runs) else ""
    blocks.append(Picture(f"{name}_returns", f"Return during training, IQM over seeds with its 95 % interval{dashed}."))
    if analysis.comparisons and analysis.baseline is not None:
        blocks += [Heading(f"Compared with {analysis.baseline.arm.label}: {analysis.metric.label}", 3)]
        blocks += [Paragraph(why_baseline(analysis)), tables.differences(analysis)]
        caption = "Dots: differences of runs with the same seed. Stroke and bar: difference of the IQMs with its 95 % interval."
        blocks.append(Picture(f"{name}_differences", caption))
    if changes(analysis):
        blocks += [Heading("After changes of the environment", 3), tables.responses(analysis)]
    detected = tables.detection_quality(analysis, recordings)
    if detected.rows:
        blocks += [Heading("Detectors and the true changes", 3), detected]
    caption = "Decay rate β, mean squared gradient E, step size lr/√E and alarms: IQM over seeds with its 95 % interval."
    blocks += [Heading("What the optimizers did", 3), Picture(f"{name}_optimizer", caption)]
    blocks += [Heading("Spread between runs", 3)]
    blocks.append(Picture(f"{name}_scores", "Dots: runs. Stroke and bar: IQM and its 95 % interval."))
    better = "reach each level; further right is" if analysis.metric.better > 0 else "stay within each level; further left is"
    return [*blocks, Picture(f"{name}_profiles", f"Share of runs that {better} better."), tables.averages(analysis)]


def why_baseline(analysis: Analysis) -> str:
    """Where the baseline comes from."""
    assert analysis.baseline is not None
    if analysis.requested_baseline is not None:
        return "The baseline was named with --baseline: p holds if that was before the results were seen."
    if analysis.baseline.arm.is_fixed:
        return (
            "The baseline is the fixed β that is best in these very runs, which flatters it: rules that change β have it harder, "
            "and p is too small for other fixed βs. Name one with --baseline."
        )
    return "No arm is a fixed β, so the first one is the baseline. Name another with --baseline."


def provenance_lines(study: Study) -> list[str]:
    """What it takes to make the study again."""
    return [
        f"seeds {written_seeds(study.seeds)}",
        f"{study.options.steps:,} environment steps a run, agent {study.options.agent}, kernel {study.options.used_kernel}",
        *provenance(study),
    ]
