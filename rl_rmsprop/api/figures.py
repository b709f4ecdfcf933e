"""Figures of a study: the report's curves, in Axes of the caller's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from matplotlib.axes import Axes

from rl_rmsprop.api.curves import known_tag
from rl_rmsprop.api.runs import StoredRun
from rl_rmsprop.study.report import curve_figures, plotting
from rl_rmsprop.study.report.analysis import Analysis
from rl_rmsprop.study.results.runs import ArmResults, Run
from rl_rmsprop.study.results.scores import RETURN, RUNNING, Episodes

TITLES = {tag: (title, scale) for tag, title, scale in curve_figures.PANELS} | {
    RETURN: (f"mean return of the last {RUNNING} episodes", "linear"),
    "optim/window": ("window 1/(1−β), updates", "log"),
}
"""Tag → title and scale of its figure; others have their tag and a linear one."""


def plot(analysis: Analysis, runs: Sequence[StoredRun], what: str, ax: Axes | None) -> Axes:
    """Draw a curve of each arm in one environment, as in the report; of runs that are under way as far as they are."""
    tag = known_tag(what)
    results = [with_runs_under_way(result, runs) for result in analysis.arms]
    if ax is None:
        from matplotlib import pyplot  # chooses what figures are shown in

        ax = pyplot.subplots(layout="constrained")[1]
    plotting.draw(ax, results, tag)
    plotting.mark_shifts(ax, results)
    title, scale = TITLES.get(tag, (tag, "linear"))
    if tag == RETURN:
        curve_figures.mark_threshold(ax, analysis.threshold)
    if ax.get_legend_handles_labels()[0]:
        curve_figures.set_scale(ax, scale)
        ax.legend(fontsize="small")
    ax.set_title(f"{analysis.env_id}: {title}")
    return ax


def with_runs_under_way(result: ArmResults, runs: Sequence[StoredRun]) -> ArmResults:
    """The runs of an arm, those that are not finished as far as they are; failed ones are left out, as in the report."""
    begun = [run for run in runs if (run.env, run.arm) == (result.env_id, result.arm.text) and run.seed in result.failed]
    under_way = [run_so_far(run) for run in begun if run.status == "unfinished" and len(run.metrics.get("step", ()))]
    return replace(result, runs=(*result.runs, *under_way)) if under_way else result


def run_so_far(run: StoredRun) -> Run:
    """A run with the curves and episodes that it has so far."""
    episodes = run.episodes
    ended = Episodes(episodes["step"], episodes["return"], episodes["length"])
    return Run(run.seed, run.metrics, run.shifts, ended)
