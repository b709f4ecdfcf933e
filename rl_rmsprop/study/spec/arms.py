"""From an arm to an optimizer: a β rule for AdaptiveRMSprop, or a baseline of torch.optim.

An arm is what a study compares and its folder is called after. The rule and the lr that its runs train with may differ from
one environment to the next: tuning chooses them, or the results of the arm that it is a control of (see spec.Choice).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from rl_rmsprop import grammar, rules

BASELINES: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "momentum": partial(torch.optim.SGD, momentum=0.9),
    "adagrad": torch.optim.Adagrad,
    "rmsprop": partial(torch.optim.RMSprop, alpha=0.99),
    "adam": torch.optim.Adam,
    "amsgrad": partial(torch.optim.Adam, amsgrad=True),
    "adamax": torch.optim.Adamax,
}
"""Name on the command line → optimizer of torch; β₁ = 0.9, β₂ = 0.999 and ε as the arm has it."""

WITHOUT_EPS = ("sgd", "momentum")


@dataclass(frozen=True)
class Arm:
    """One setting under comparison: a β rule, a baseline, or a control of another arm."""

    rule: str
    """Text of a β rule, the name of a baseline, or of a control: `yoked@cusum` (see controls.py)."""
    eps: float = 1e-5
    """ε of the optimizer, ≥ 0; Stable-Baselines3's A2C has 1e-5."""
    bias_correction: bool = True
    """Divide E by the weight it has received, so that arms do not also differ in how long their first steps are."""
    of: str = ""
    """The text of the arm that this one is a control of; empty if it is none."""

    @property
    def name(self) -> str:
        """A folder's name: letters, digits, dots, dashes, underscores, @."""
        short = self.rule.replace("/", "-").replace("+", "_then_")
        return short.replace(":", "_").replace(",", "_").replace("=", "")

    @property
    def canonical(self) -> str:
        """The rule with defaults left out: two texts that mean the same have it in common."""
        if self.of:
            return f"{self.rule.partition('@')[0]}@{Arm(self.of).canonical}"
        return self.rule if self.is_baseline else rules.text(rules.parse(self.rule))

    @property
    def is_baseline(self) -> bool:
        return self.rule in BASELINES

    @property
    def is_fixed(self) -> bool:
        """Whether it is a β that never changes."""
        return not (self.of or self.is_baseline) and isinstance(rules.parse(self.rule), rules.Constant)


def make_arm(text: str, baseline: bool = False, **options: Any) -> Arm:
    """The arm that a text stands for by itself; ValueError if it stands for nothing."""
    if baseline:
        if text not in BASELINES:
            raise ValueError(f"baseline must be a known optimizer, got {text!r}: {grammar.nearest(text, BASELINES)}")
        return Arm(text, **options)
    rules.parse(text)
    return Arm(text.strip(), **options)
