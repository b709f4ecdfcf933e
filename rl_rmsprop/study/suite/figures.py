"""The figures of a reference study: averages, profiles, ranks, curves over lr, survival, variance, delays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from rl_rmsprop.study.report.plotting import Paper, look, new_figure, panels, put_below, save
from rl_rmsprop.study.report.score_figures import forest, height
from rl_rmsprop.study.statistics.intervals import iqm
from rl_rmsprop.study.suite import families
from rl_rmsprop.study.suite.numbers import Numbers
from rl_rmsprop.study.suite.responses import Survival
from rl_rmsprop.study.suite.suite import Suite
from rl_rmsprop.study.suite.summaries import Ranking

PAPER = Paper(11.0, 4)
TWO = ("shifted", "stationary")
"""The selections that figures show beside each other."""
FAMILIES = (families.FIXED, families.SCHEDULE, families.DETECTOR, families.LAW, families.BASELINE, families.CONTROL)
"""In the order of their colours."""
TERMS = ("task", "lr", "rule", "task×lr", "task×rule", "rule×lr", "task×rule×lr", "seed")


def draw(suite: Suite, numbers: Numbers, folder: Path) -> list[str]:
    """Write all figures for which there is something to draw; returns their names."""
    folder.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Callable[[Suite, Numbers], Figure | None]] = {
        "iqm": averages, "profiles": profiles, "ranks": ranking, "lr": curves, "survival": survival, "variance": variance,
        "delay": delays,
    }  # fmt: skip
    drawn = []
    for name, make in figures.items():
        figure = make(suite, numbers)
        (folder / f"{name}.png").unlink(missing_ok=True)  # of tables that there were before
        if figure is not None:
            save(figure, folder / f"{name}.png")
            drawn.append(name)
    return drawn


def shown(suite: Suite) -> list[str]:
    """The arms that lines are drawn of: the best of each family over all tasks, 0.99, and the best of each direction."""
    tasks = suite.selections.get("all", [])
    groups = [families.members(suite.arms, name) for name in (families.FIXED, families.SCHEDULE, families.DETECTOR, families.LAW,
                                                              families.BASELINE)]  # fmt: skip
    groups += [[text for text, arm in suite.arms.items() if test(arm)] for test in (families.rises_first, families.falls_first)]
    best = [suite.best_over(tasks, group) for group in groups]
    wanted = {arm for arm in best if arm} | ({"0.99"} & suite.arms.keys())
    return [arm for arm in suite.arms if arm in wanted] or list(suite.arms)[:7]


def named(suite: Suite, arm: str) -> str:
    """What figures call an arm."""
    return suite.arms[arm].label


# Over tasks ---------------------------------------------------------------------------------------------------------------


def averages(suite: Suite, numbers: Numbers) -> Figure | None:
    """IQM of the normalised area over runs × tasks, a panel a selection, a colour a family; dots are tasks."""
    overs = [over for over in TWO if over in suite.selections]
    rows = {over: {row.arm: row for row in numbers.averages if row.over == over} for over in overs}
    arms = list(dict.fromkeys(arm for over in overs for arm in rows[over]))
    if not arms:
        return None
    figure, grid = panels(PAPER, len(overs), height(len(arms)) * 0.75, sharey=True)
    for axes, over in zip(grid, overs, strict=True):
        for line, arm in enumerate(arms):
            if arm in rows[over]:
                dots = [float(iqm(suite.group(task, arm))) for task in suite.selections[over]]
                forest(axes, FAMILIES.index(families.family(suite.arms[arm])), line, rows[over][arm].iqm, dots)
        count = len(suite.selections[over])
        axes.set(title=f"{over}, {count} task{'s' * (count > 1)}", xlabel="normalised area, IQM over runs × tasks")
        axes.grid(axis="x", alpha=0.3)
    name_rows(grid[0], suite, arms)
    present = {families.family(suite.arms[arm]) for arm in arms}
    put_below(figure, [
        Line2D([], [], color=look(place)[0], lw=6, label=name) for place, name in enumerate(FAMILIES) if name in present
    ])  # fmt: skip
    return figure


def name_rows(axes: Axes, suite: Suite, arms: Sequence[str]) -> None:
    """The arms' names beside their rows, the first on top."""
    axes.set_yticks(range(len(arms)), [PAPER.wrap_label(named(suite, arm)) for arm in arms])
    axes.set_ylim(len(arms) - 0.5, -0.5)


def profiles(suite: Suite, numbers: Numbers) -> Figure | None:
    """Share of runs × tasks above each score, a panel a selection."""
    overs = [over for over in TWO if any(row.over == over for row in numbers.profiles)]
    if not overs:
        return None
    figure, grid = panels(PAPER, len(overs), 4.2, sharey=True)
    for axes, over in zip(grid, overs, strict=True):
        for arm in shown(suite):
            rows = [row for row in numbers.profiles if (row.over, row.arm) == (over, arm)]
            colour, style = look(suite.place(arm))
            levels = [row.level for row in rows]
            axes.plot(levels, [row.share.value for row in rows], color=colour, ls=style, lw=1.5, label=named(suite, arm))
            low, high = ([getattr(row.share, end) for row in rows] for end in ("low", "high"))
            axes.fill_between(levels, low, high, color=colour, alpha=0.12, lw=0)
        axes.set(title=over, xlabel="normalised area τ", ylim=(-0.02, 1.02))
        axes.grid(alpha=0.3)
    grid[0].set_ylabel("share of runs × tasks above τ")
    put_below(figure, grid[0].lines)
    return figure


def ranking(suite: Suite, numbers: Numbers) -> Figure | None:
    """Mean ranks over tasks; arms that a bar joins differ by less than Nemenyi's critical difference (Demšar 2006)."""
    overs = [ranking for ranking in numbers.rankings if ranking.over in TWO]
    if not overs:
        return None
    rows = max(len(ranking.arms) for ranking in overs)
    figure, grid = panels(Paper(11.0, 2), len(overs), 1.2 + 0.24 * rows)
    for axes, of_tasks in zip(grid, overs, strict=True):
        rank_axes(axes, suite, of_tasks)
    return figure


def rank_axes(axes: Axes, suite: Suite, ranking: Ranking) -> None:
    """One diagram: a row an arm, a dot at its mean rank, and to the left the groups that do not differ."""
    for row, (arm, rank) in enumerate(zip(ranking.arms, ranking.ranks, strict=True)):
        axes.plot(rank, row, "o", color=look(suite.place(arm))[0], ms=5)
    gap = 0.025 * len(ranking.arms)  # of the axis
    for place, (first, last) in enumerate(cliques(ranking)):
        axes.plot([1 - gap * (place + 1)] * 2, [first, last], color="0.35", lw=3, solid_capstyle="butt")
    axes.plot([1, 1 + ranking.critical_difference], [-1.2, -1.2], color="0.2", lw=2)
    axes.text(1, -1.5, f"critical difference {ranking.critical_difference:.2f}", fontsize="small", va="bottom")
    names = [f"{rank:.1f}  {named(suite, arm)}" for arm, rank in zip(ranking.arms, ranking.ranks, strict=True)]
    axes.set_yticks(range(len(names)), names, fontsize="small")
    axes.set_ylim(len(names) - 0.5, -3.0)
    p = "no test" if math.isnan(ranking.p) else f"p = {ranking.p:.3f}" if ranking.p >= 0.001 else "p < 0.001"
    axes.set_title(f"{ranking.over}, {ranking.tasks} tasks; Friedman: {p}", fontsize="medium")
    axes.set_xlabel("mean rank, 1 is best")
    axes.grid(axis="x", alpha=0.3)


def cliques(ranking: Ranking) -> list[tuple[int, int]]:
    """First and last place of each largest group of arms whose ranks differ by less than the critical difference."""
    groups: list[tuple[int, int]] = []
    for first, rank in enumerate(ranking.ranks):
        last = max(i for i, other in enumerate(ranking.ranks) if other - rank < ranking.critical_difference)
        if last > first and (not groups or last > groups[-1][1]):
            groups.append((first, last))
    return groups


# Tuning -------------------------------------------------------------------------------------------------------------------


def curves(suite: Suite, numbers: Numbers) -> Figure | None:
    """Score of the draws against lr, a panel a task."""
    tasks = [task for task in suite.task if any((task, arm) in suite.tuning for arm in shown(suite))]
    if not tasks:
        return None
    figure, grid = panels(PAPER, len(tasks), 2.4)
    for axes, task in zip(grid, tasks, strict=False):
        for arm in (arm for arm in shown(suite) if (task, arm) in suite.tuning):
            tuning = suite.tuning[task, arm]
            order, (colour, style) = np.argsort(tuning.lr, kind="stable"), look(suite.place(arm))
            axes.plot(
                tuning.lr[order], iqm(tuning.scores, axis=1)[order], color=colour, ls=style, lw=1.2, label=named(suite, arm)
            )
        axes.set_xscale("log")
        axes.set_title(task, fontsize="small")
        axes.tick_params(labelsize="x-small")
        axes.grid(alpha=0.3)
    hide_empty(grid, len(tasks))
    put_below(figure, distinct(grid))
    return figure


def hide_empty(grid: Sequence[Axes], used: int) -> None:
    """Nothing where there is no panel."""
    for axes in grid[used:]:
        axes.set_visible(False)


def distinct(grid: Sequence[Axes]) -> list:
    """A line for each label."""
    return list(
        {
            str(line.get_label()): line for axes in grid for line in axes.lines if not str(line.get_label()).startswith("_")
        }.values()
    )


def variance(suite: Suite, numbers: Numbers) -> Figure | None:
    """Shares of the variance of the draws' scores, a bar a table."""
    bars = list(dict.fromkeys((part.arms, part.group) for part in numbers.parts))
    if not bars:
        return None
    figure = new_figure(11.0, 1.6 + 0.5 * len(bars))
    axes = figure.subplots()
    left = np.zeros(len(bars))
    for number, term in enumerate(TERMS):
        share = {(part.arms, part.group): float(part.share.value) for part in numbers.parts if part.term == term}
        widths = np.nan_to_num(np.array([share.get(bar, 0.0) for bar in bars]))
        hatch = "//" if number >= 7 else None
        axes.barh(range(len(bars)), widths, left=left, color=look(number)[0], label=term, hatch=hatch, edgecolor="white")
        left += widths
    labels = {"all": "all arms", "fixed": "fixed βs"}
    axes.set_yticks(range(len(bars)), [f"{labels[arms]}\n{group}" for arms, group in bars], fontsize="small")
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="share of the variance of the normalised area over all draws")
    handles, _ = axes.get_legend_handles_labels()
    put_below(figure, handles)
    return figure


# After changes ------------------------------------------------------------------------------------------------------------


def survival(suite: Suite, numbers: Numbers) -> Figure | None:
    """Share of survivors against lr, a panel a change: fixed βs, and rules whose E rises or falls first.

    Tasks that differ in lr alone, as those of a sweep do, share a panel.
    """
    telling = lambda arm: arm.is_fixed or families.protects(arm) or families.falls_first(arm)
    rows: dict[tuple[str, str, str], list[Survival]] = {}
    for row in (row for row in numbers.survivals if telling(suite.arms[row.arm]) and suite.task[row.task].kind == "abrupt"):
        task = suite.task[row.task]
        rows.setdefault((task.agent, task.env, task.shift), []).append(row)
    if not rows:
        return None
    figure, grid = panels(PAPER, len(rows), 2.6, sharey=True)
    for axes, of_change in zip(grid, rows.values(), strict=False):
        for row in of_change:
            colour, _ = look(suite.place(row.arm))
            marker = "os^vDP*X"[suite.place(row.arm) // 7 % 8]
            axes.plot([row.lr] * 2, [row.share.low, row.share.high], color=colour, lw=1, alpha=0.5)
            axes.plot(row.lr, row.share.value, marker, color=colour, ms=6, ls="", label=named(suite, row.arm))
        axes.set(xscale="log", ylim=(-0.03, 1.03))
        axes.set_title(of_change[0].task, fontsize="small")
        axes.set_xlabel("lr", fontsize="small")
        axes.grid(alpha=0.3)
    for axes in grid[:: PAPER.columns]:
        axes.set_ylabel("share that survived")
    hide_empty(grid, len(rows))
    put_below(figure, distinct(grid))
    return figure


def delays(suite: Suite, numbers: Numbers) -> Figure | None:
    """Median delay of the alarm against median recovery: a point a task and detector; hollow where one of them never came."""
    rows = [row for row in numbers.delays if families.family(suite.arms[row.arm]) == families.DETECTOR]
    if not rows:
        return None
    figure = new_figure(7.0, 4.6)
    axes = figure.subplots()
    x, y = (np.array([getattr(row, name) for row in rows]) for name in ("delay", "recovery"))
    x, y = at_the_edge(x + 1), at_the_edge(y)
    for row, a, b in zip(rows, x.tolist(), y.tolist(), strict=True):
        colour = look(suite.place(row.arm))[0]
        came = math.isfinite(row.delay) and math.isfinite(row.recovery)
        axes.plot(a, b, "o", color=colour, mfc=colour if came else "none", ls="", label=named(suite, row.arm))
    axes.set(xscale="log", xlabel="median updates to the alarm, from 1", ylabel="median steps to the recovery")
    axes.grid(alpha=0.3)
    put_below(figure, distinct([axes]))
    return figure


def at_the_edge(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """x with infinite values a little beyond the largest other one.

    >>> at_the_edge(np.array([1.0, np.inf])).tolist()
    [1.0, 1.5]
    """
    finite = x[np.isfinite(x)]
    return np.where(np.isfinite(x), x, 1.5 * finite.max() if len(finite) else 1.0)
