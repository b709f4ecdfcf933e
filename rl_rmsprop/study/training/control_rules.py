"""What a control trains with: known once its arm has trained."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rl_rmsprop import grammar, rules
from rl_rmsprop.detectors import Detector, Never, Oracle, Random, Yoked
from rl_rmsprop.detectors.yoked import alarms_of
from rl_rmsprop.rules import Adaptive, Rule
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.run_files import ALARMS, CONFIG, METRICS
from rl_rmsprop.telemetry import csv_table


def control_rule(control: Arm, arm_rule: str, folders: Sequence[Path]) -> str:
    """The text of the rule that a control trains with: known once its arm has trained.

    `arm_rule` is the text of the rule that the arm had in this environment, `folders` are those of its finished runs.
    ValueError if there is none.
    """
    if not folders:
        raise ValueError(f"{control.text} needs a finished run of {control.control_of}, and there is none")
    kind = control.control_kind
    if kind == "mean_beta":
        return grammar.value_text(mean_beta(folders))
    return rules.text(with_detector(control_detector(kind, folders), rules.parse(arm_rule)))


def with_detector(detector: Detector, rule: Rule) -> Adaptive:
    """The same schedule and reaction with other alarms."""
    assert isinstance(rule, Adaptive), rule  # others were refused by `objection_to`
    return Adaptive(detector, rule.schedule, rule.reaction)


def control_detector(kind: str, folders: Sequence[Path]) -> Detector:
    """What alarms in the place of the arm's detector."""
    if kind == "oracle":
        return Oracle()
    if kind == "yoked":
        return Yoked(str(folders[0].parent))
    alarms = sum(len(alarms_of(folder / ALARMS)) for folder in folders)
    updates = sum(json.loads((folder / CONFIG).read_text(encoding="utf-8"))["updates"] for folder in folders)
    return Random(updates / alarms) if alarms else Never()


def mean_beta(folders: Sequence[Path]) -> float:
    """β averaged over the logged updates of all runs, to six digits."""
    betas = [csv_table.read_table(folder / METRICS)["optim/beta"] for folder in folders]
    return float(f"{np.mean([np.nanmean(beta) for beta in betas]):.6g}")
