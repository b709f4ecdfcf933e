"""The figure of a tuned study: every draw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from rl_rmsprop.study.report.plotting import WIDE, Paper, look, panels, put_below
from rl_rmsprop.study.results.sensitivity import Response


def draws(responses: Sequence[Response], paper: Paper = WIDE) -> Figure:
    """Score of one environment's draws against lr, and against the size of the updates that they led to."""
    figure, (left, right) = panels(paper, 2, 4.2, sharey=True)
    for response in responses:
        colour, style = look(response.place)
        for axes, x in ((left, response.lr), (right, response.update_rms)):
            known = np.isfinite(response.score) & np.isfinite(x) & (x > 0)
            order = np.argsort(x[known], kind="stable")
            curve = (x[known][order], response.score[known][order])
            axes.plot(*curve, label=response.label, color=colour, ls=style, marker=".", lw=1.0)
    for axes, name in ((left, "lr"), (right, "root mean square update over the training")):
        axes.set_xlabel(name)
        axes.grid(alpha=0.3)
        if not any(len(line.get_xdata()) for line in axes.lines):  # type: ignore[arg-type]  # arrays
            axes.text(0.5, 0.5, "no draw has a score: no episode ended", ha="center", va="center", transform=axes.transAxes)
            continue
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    left.set_ylabel("mean return, IQM over tuning seeds")
    put_below(figure, left.lines)
    return figure
