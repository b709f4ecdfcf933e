"""What arms can be compared by: one score a run, and which way is better.

`mean_return` is the primary one: it asks how good the policy was during the whole training, and does not saturate on easy
environments as the final score does. Times that never come count as the time for which the run was watched, so that every run
has a number (a restricted mean; the tables show medians that know the difference).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rl_rmsprop import grammar
from rl_rmsprop.study.results.runs import Run


@dataclass(frozen=True)
class Metric:
    """A score of a run by which arms are compared."""

    name: str
    label: str
    """How tables call it."""
    best: str
    """What the best arm did, in the finding."""
    unit: str
    """What stands behind a number of it in a sentence."""
    better: int
    """1 if more is better, −1 if less is."""
    of: Callable[[Run, float], float]
    """The score of a run, given the environment's threshold (NaN where it has none)."""
    needs: str = ""
    """`threshold` or `shift` if the score exists only with one."""

    @property
    def form(self) -> str:
        """The format of its numbers."""
        return ",.0f" if self.unit == " steps" else ".1f"


def mean_response(name: str) -> Callable[[Run, float], float]:
    """The mean over a run's changes of one number of its responses, no more than the steps watched where it is infinite."""

    def of(run: Run, threshold: float) -> float:
        values = [min(getattr(r, name), r.watched) if name == "recovery" else getattr(r, name) for r in run.responses]
        return float(np.mean(values)) if values else float("nan")

    return of


METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            "mean_return",
            "mean return over training",
            "earned most over training",
            " per episode",
            1,
            lambda run, _: run.mean_return,
        ),
        Metric(
            "final", "final evaluation", "was best in the final evaluation", " per episode", 1, lambda run, _: run.final_return
        ),
        Metric(
            "steps_to_threshold",
            "steps to threshold",
            "reached the threshold soonest",
            " steps",
            -1,
            lambda run, threshold: min(run.steps_to(threshold), run.end),
            needs="threshold",
        ),
        Metric("drop", "drop after a change", "dropped least after changes", " per episode", -1, mean_response("drop"), "shift"),
        Metric("recovery", "recovery time", "recovered soonest from changes", " steps", -1, mean_response("recovery"), "shift"),
        Metric(
            "regret", "regret after a change", "lost least after changes", " per episode", -1, mean_response("regret"), "shift"
        ),
    )
}
"""Name → metric."""


def metric_named(name: str) -> Metric:
    """The metric of this name; ValueError for an unknown one."""
    if name not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(METRICS)}, got {name!r}{grammar.suggestion(name, METRICS)}")
    return METRICS[name]
