"""From the files of a study to its report: finding, tables, figures, and the arms' curves for TensorBoard.

    runs → results (scores a run) → analysis (numbers) → content (blocks) → Markdown, page
                                                       → figures, files

Everything here reads the study's folder alone, so a report can be made again at any time, byte for byte, without training.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rl_rmsprop.storage.atomic import env_folder
from rl_rmsprop.study.report import curve_figures, markdown, page, plotting, score_figures
from rl_rmsprop.study.report.aggregates import write_aggregates
from rl_rmsprop.study.report.analysis import Analysis, analyse
from rl_rmsprop.study.report.content import content, title
from rl_rmsprop.study.report.csv_files import write_files
from rl_rmsprop.study.report.findings import finding, warnings
from rl_rmsprop.study.report.settings import ReportSettings, load_settings, make_settings, save_settings
from rl_rmsprop.study.results import sensitivity
from rl_rmsprop.study.results.recorded_signals import Streams, load_streams
from rl_rmsprop.study.results.runs import load_results
from rl_rmsprop.study.spec.study import Study

__all__ = ["NothingFinished", "Report", "ReportSettings", "make_settings", "save_settings", "write_report"]


class Report(NamedTuple):
    """What a report says, for the terminal."""

    analyses: list[Analysis]
    findings: list[str]
    """One sentence an environment."""
    warnings: list[str]


class NothingFinished(ValueError):
    """A study without a finished run has no report."""


def write_report(study: Study, settings: ReportSettings | None = None) -> Report:
    """Write `report/` and the aggregate event files of a study; given settings replace those in its report.json.

    NothingFinished if no run has finished, ValueError if runs are not of this study.
    """
    results = load_results(study)
    found = analyse(results, settings or load_settings(study))
    if not any(analysis.shown for analysis in found):
        raise NothingFinished(f"{study.folder} has no finished run: rl-rmsprop compare or train fills it")
    tuned, alarms = sensitivity.responses(study), recorded(study)  # all is read before anything is written
    folder = study.folder / "report"
    folder.mkdir(exist_ok=True)
    for analysis in (a for a in found if a.shown):
        draw_figures(analysis, folder)
    write_files(folder, found)
    draw_tuning(tuned, folder)
    blocks = content(study, found, alarms, tuned)
    (folder / "report.md").write_text(markdown.render(title(study), blocks), encoding="utf-8")
    (folder / "report.html").write_text(page.render(title(study), blocks, folder), encoding="utf-8")
    if settings is not None:
        save_settings(settings, study.folder)
    if len(study.seeds) > 1:
        write_aggregates(study.folder, results, bool(study.options.shift))
    return Report(found, [finding(analysis) for analysis in found], warnings(found, len(study.seeds)))


def draw_figures(found: Analysis, folder: Path) -> None:
    """Every figure of one environment, as PNG for Markdown and SVG for the page."""
    drawn = {
        "returns": curve_figures.learning_curves(found.shown, found.threshold),
        "optimizer": curve_figures.optimizer_curves(found.shown),
        "scores": score_figures.scores(found),
        "profiles": score_figures.profiles(found),
    }
    if found.against:
        drawn["differences"] = score_figures.differences(found)
    for name, figure in drawn.items():
        for ending in ("png", "svg"):
            plotting.save(figure, folder / f"{env_folder(found.env_id)}_{name}.{ending}")


def draw_tuning(tuned: Sequence[sensitivity.Response], folder: Path) -> None:
    """A figure of every draw for each environment of a tuned study, and with several of them their table."""
    env_ids = list(dict.fromkeys(response.env_id for response in tuned))
    for env_id in env_ids:
        figure = sensitivity.figure([response for response in tuned if response.env_id == env_id])
        for ending in ("png", "svg"):
            plotting.save(figure, folder / f"{env_folder(env_id)}_sensitivity.{ending}")
    if len(env_ids) > 1:
        sensitivity.write_table(sensitivity.sensitivities(tuned), folder / "sensitivity.csv")


def recorded(study: Study) -> Sequence[Streams]:
    """Alarms and true changes of every update, where they were recorded."""
    return load_streams(study, ("alarm", "shifted")) if study.options.record_signals else []
