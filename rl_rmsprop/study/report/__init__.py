"""From the files of a study to its report: findings, tables, figures, and the arms' curves for TensorBoard.

    runs → results (scores a run) → analysis (numbers) → content (blocks) → Markdown, page
                                                       → figures, CSV files, TensorBoard

Everything here reads the study's folder alone, so a report can be made again at any time, byte for byte, without training.
"""

from __future__ import annotations

from typing import NamedTuple

from rl_rmsprop.study.report import aggregates, figures, markdown, page, tensorboard_report
from rl_rmsprop.study.report.analysis import Analysis, analyse
from rl_rmsprop.study.report.cautions import cautions
from rl_rmsprop.study.report.content import content, title
from rl_rmsprop.study.report.csv_files import write_files, write_sensitivities
from rl_rmsprop.study.report.findings import finding
from rl_rmsprop.study.report.settings import ReportSettings, load_settings, make_settings, save_settings
from rl_rmsprop.study.results import sensitivity
from rl_rmsprop.study.results.recorded_signals import load_recordings
from rl_rmsprop.study.results.runs import load_results
from rl_rmsprop.study.spec.study import Study

__all__ = ["NothingFinished", "Report", "ReportSettings", "make_settings", "save_settings", "write_report"]


class Report(NamedTuple):
    """What a report says, for the terminal."""

    analyses: list[Analysis]
    findings: list[str]
    """A sentence or two an environment."""
    warnings: list[str]
    """What makes the numbers weaker than they look."""


class NothingFinished(ValueError):
    """A study without a finished run has no report."""


def write_report(study: Study, settings: ReportSettings | None = None) -> Report:
    """Write `report/` and the aggregate event files of a study; given settings replace those in its report.json.

    NothingFinished if no run has finished, ValueError if runs are not of this study.
    """
    results = load_results(study)
    analyses = analyse(results, settings or load_settings(study))
    if not any(analysis.shown for analysis in analyses):
        raise NothingFinished(f"{study.folder} has no finished run: rl-rmsprop compare or train fills it")
    tuned = sensitivity.responses(study)  # all is read before anything is written
    recordings = load_recordings(study, ("alarm", "shifted")) if study.options.record_signals else []
    folder = study.folder / "report"
    folder.mkdir(exist_ok=True)
    figures.draw(analyses, tuned, folder)
    write_files(folder, analyses)
    if len({response.env_id for response in tuned}) > 1:
        write_sensitivities(folder, sensitivity.sensitivities(tuned))
    blocks = content(study, analyses, recordings, tuned)
    (folder / "report.md").write_text(markdown.render(title(study), blocks), encoding="utf-8")
    (folder / "report.html").write_text(page.render(title(study), blocks, folder), encoding="utf-8")
    if settings is not None:
        save_settings(settings, study.folder)
    if len(study.seeds) > 1:
        aggregates.write_aggregates(study, results)
    tensorboard_report.write(study, blocks)
    return Report(analyses, [finding(analysis) for analysis in analyses], cautions(study, analyses))
