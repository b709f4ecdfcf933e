"""How many updates a β rule needs to have an effect, to compare with the updates of a run."""

from __future__ import annotations

import math

import numpy as np
import torch

from rl_rmsprop import rules
from rl_rmsprop.laws import Law
from rl_rmsprop.reactions import Soft
from rl_rmsprop.rules import Adaptive, Constant, Rule
from rl_rmsprop.schedules import Cyclic, Join, Piecewise, Ramp, Schedule
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.study import Study


def trained_rule(study: Study, env_id: str, arm: Arm) -> Rule:
    """The β rule that an arm trains with in an environment, its schedule as long as the training unless it says otherwise."""
    spec = study.batch(env_id, arm, study.seeds)
    return rules.resolve(rules.parse(spec.trained_arm.text), spec.updates, spec.agent.steps_per_update)


def longest_window(rule: Rule) -> float:
    """The longest window 1/(1 − β) that a rule can reach, in updates; 0 for a law that does not name its βs.

    >>> round(longest_window(rules.parse("0.999"))), round(longest_window(rules.parse("asymmetric:rise=0.5,fall=0.99")))
    (1000, 100)
    """
    if isinstance(rule, Law):
        beta = max((getattr(rule, name) for name in ("rise", "fall", "beta", "max", "long") if hasattr(rule, name)), default=0.0)
        beta = max(getattr(rule, "betas", (beta,)))
    else:
        clocks = torch.from_numpy(np.unique(np.geomspace(1, 1e12, 2000).round()))
        beta = float((rule if isinstance(rule, Constant) else rule.schedule)(clocks).max())
    return 1 / (1 - beta)


def schedule_length(rule: Rule) -> int:
    """Updates until the last part of a rule's schedule has come.

    >>> [schedule_length(rules.parse(text)) for text in ("0.9", "piecewise:values=0.9/0.99,at=500", "cusum")]
    [0, 500, 0]
    """
    return length_of(rule.schedule) if isinstance(rule, Adaptive) else 0


def length_of(schedule: Schedule) -> int:
    """Updates until a schedule has reached its end; 0 for one that only approaches it."""
    match schedule:
        case Ramp(steps=int(steps)):
            return steps
        case Piecewise(at=at):
            return at[-1]
        case Cyclic(period=period):
            return period
        case Join(parts=parts):
            return sum(map(length_of, parts))
    return 0


def run_length(rule: Rule) -> float:
    """Mean updates between false alarms of the rule's detector, 0 if it has no such number; NaN if no alarm is needed.

    >>> [run_length(rules.parse(text)) for text in ("cusum:arl=5000", "0.9", "tracking_signal")]
    [5000.0, nan, nan]
    """
    if not isinstance(rule, Adaptive) or not rule.detector.listens or isinstance(rule.reaction, Soft):
        return math.nan
    return float(getattr(rule.detector, "arl", 0) or 0)
