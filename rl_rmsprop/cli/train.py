"""`rl-rmsprop train`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import OmitArgPrefixes, arg

from rl_rmsprop.cli.options import RunOptions, Settings
from rl_rmsprop.cli.running import run_study


@dataclass(frozen=True)
class Train:
    """Train one arm over some seeds: one β rule, or one optimizer of torch."""

    env: Annotated[str, arg(help_behavior_hint="(needed)")] = ""
    """Gymnasium id of the environment, such as CartPole-v1."""
    beta: Annotated[str | None, arg(metavar="RULE", help_behavior_hint="(default: 0.99)")] = None
    """β rule: a number, or one of those that `rl-rmsprop rules` lists."""
    optimizer: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """Train with this optimizer of torch instead: sgd, momentum, adagrad, rmsprop, adam, amsgrad or adamax."""
    run: OmitArgPrefixes[RunOptions] = RunOptions()
    settings: OmitArgPrefixes[Settings] = Settings()

    def __call__(self) -> int:
        if self.beta is not None and self.optimizer is not None:
            raise ValueError(f"train has one arm, got --beta {self.beta} and --optimizer {self.optimizer}: compare takes several")
        arm = ("0.99" if self.beta is None else self.beta, False) if self.optimizer is None else (self.optimizer, True)
        return run_study(self.run, self.settings, [self.env] if self.env else [], [arm])
