"""All figures of a report as files: PNG for Markdown, SVG for the page, and a narrow SVG for the page on a phone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from rl_rmsprop.storage.atomic import env_folder
from rl_rmsprop.study.report import curve_figures, score_figures, tuning_figures
from rl_rmsprop.study.report.analysis import Analysis
from rl_rmsprop.study.report.page import NARROW_FOLDER
from rl_rmsprop.study.report.plotting import NARROW, WIDE, save
from rl_rmsprop.study.results.sensitivity import Response


def draw(analyses: Sequence[Analysis], tuned: Sequence[Response], folder: Path) -> None:
    """Write every figure of every environment, and of a tuned study its draws."""
    (folder / NARROW_FOLDER).mkdir(exist_ok=True)
    for name, figure in (*of_environments(analyses), *of_tuning(tuned)):
        wide = figure(paper=WIDE)
        save(wide, folder / f"{name}.png")
        wide.set_layout_engine(None)  # it is laid out, and must not be again
        save(wide, folder / f"{name}.svg")
        save(figure(paper=NARROW), folder / NARROW_FOLDER / f"{name}.svg")


def of_environments(analyses: Sequence[Analysis]) -> Iterator[tuple[str, Callable[..., Figure]]]:
    """The name of each figure of each environment, and what draws it on paper."""
    for analysis in (a for a in analyses if a.shown):
        plots: dict[str, Callable[..., Figure]] = {
            "returns": partial(curve_figures.learning_curves, analysis.shown, analysis.threshold),
            "optimizer": partial(curve_figures.optimizer_curves, analysis.shown),
            "scores": partial(score_figures.scores, analysis),
            "profiles": partial(score_figures.profiles, analysis),
        }
        if analysis.comparisons:
            plots["differences"] = partial(score_figures.differences, analysis)
        for name, figure in plots.items():
            yield f"{env_folder(analysis.env_id)}_{name}", figure


def of_tuning(tuned: Sequence[Response]) -> Iterator[tuple[str, Callable[..., Figure]]]:
    """The figure of each environment's draws."""
    for env_id in dict.fromkeys(response.env_id for response in tuned):
        responses = [response for response in tuned if response.env_id == env_id]
        yield f"{env_folder(env_id)}_sensitivity", partial(tuning_figures.draws, responses)
