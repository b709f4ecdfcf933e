"""Names of options and files that are checked before torch is imported."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

STUDY_FILE = "study.json"
"""In a study's folder: what it is."""

BaselineName = Literal[
    "sgd", "momentum", "adagrad", "rmsprop", "adam", "adam_balanced", "adam_rel", "adam_amsgrad", "adamax_momentum"
]
"""Optimizers to compare with, see rl_rmsprop/baselines.py."""
BASELINE_NAMES: tuple[str, ...] = get_args(BaselineName)

MetricName = Literal["mean_return", "final", "steps_to_threshold", "drop", "recovery", "regret"]
"""Scores that arms can be compared by, see study/results/metrics.py."""


def check_holds_study(folder: Path) -> None:
    """ValueError unless a study is in the folder."""
    if not (folder / STUDY_FILE).is_file():
        raise ValueError(f"{folder} holds no study: there is no {STUDY_FILE} in it; rl-rmsprop train or compare makes one")
