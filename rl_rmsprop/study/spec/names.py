"""Names that options allow and that stand for something in torch or in a report: here, so that they are known without either."""

from __future__ import annotations

from typing import Literal, get_args

BaselineName = Literal["sgd", "momentum", "adagrad", "rmsprop", "adam", "amsgrad", "adamax"]
"""Optimizers of torch to compare with, see BASELINES."""
BASELINE_NAMES: tuple[str, ...] = get_args(BaselineName)

MetricName = Literal["mean_return", "final", "steps_to_threshold", "drop", "recovery", "regret"]
"""Scores that arms can be compared by, see study/results/metrics.py."""
