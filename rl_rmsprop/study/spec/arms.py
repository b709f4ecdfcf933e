"""An arm: one setting under comparison, a β rule, another optimizer, or a control of another arm.

A study names its folders after the arms' texts, and compares arms. The rule and the lr that an arm's runs train with may differ
from one environment to the next: tuning chooses them, or the results of the arm that it is a control of (see `ChosenSetting`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from rl_rmsprop import baselines, rules
from rl_rmsprop.detectors import Yoked
from rl_rmsprop.rules import Rule
from rl_rmsprop.study.spec.names import arm_folder


@dataclass(frozen=True)
class Arm:
    """One setting under comparison, parsed once."""

    text: str
    """A β rule, a baseline, or a control as `yoked@cusum` (see controls.py)."""
    control_of: str = ""
    """The text of the arm that this one is a control of; empty if it is none."""

    @cached_property
    def rule(self) -> Rule | None:
        """The β rule; None for a baseline, and for a control, whose rule follows from its arm's results."""
        return None if self.is_baseline or self.control_of else rules.parse(self.text)

    @property
    def is_baseline(self) -> bool:
        """Whether it is another optimizer."""
        return baselines.names_baseline(self.text)

    @property
    def is_fixed(self) -> bool:
        """Whether it is a β that never changes."""
        return isinstance(self.rule, rules.Constant)

    @property
    def control_kind(self) -> str:
        """What kind of control it is, such as `yoked`; empty if it is none."""
        return self.text.partition("@")[0] if self.control_of else ""

    @property
    def reads_other_runs(self) -> bool:
        """Whether it replays what other runs have recorded."""
        return isinstance(self.rule, rules.Adaptive) and isinstance(self.rule.detector, Yoked)

    @property
    def name(self) -> str:
        """A folder's name: letters, digits, dots, dashes, underscores, @."""
        return arm_folder(self.text)

    @property
    def label(self) -> str:
        """What tables and figures call it: `β = 0.99` for a number, else its text."""
        return f"β = {self.text}" if self.text[:1].isdigit() else self.text

    @property
    def canonical(self) -> str:
        """The text with defaults left out: two texts that mean the same have it in common."""
        if self.control_of:
            return f"{self.control_kind}@{Arm(self.control_of).canonical}"
        return baselines.parse(self.text).text if self.rule is None else rules.text(self.rule)


def make_arm(text: str, baseline: bool = False) -> Arm:
    """The arm that a text stands for by itself; ValueError if it stands for nothing."""
    if baseline:
        baselines.parse(text)
        return Arm(text.strip())
    arm = Arm(text.strip())
    if arm.rule is None:
        raise ValueError(f"{text} is an optimizer and no β rule: give it with --baselines")
    rules.check(arm.rule)
    return arm
