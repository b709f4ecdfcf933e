"""`rl-rmsprop train`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from tyro.conf import OmitArgPrefixes, arg

from rl_rmsprop.cli.compare import Compare
from rl_rmsprop.cli.options import RunOptions, Settings, WorkerOptions


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
    workers: OmitArgPrefixes[WorkerOptions] = WorkerOptions()

    def __call__(self) -> int:
        if self.beta is not None and self.optimizer is not None:
            raise ValueError(f"train has one arm, got --beta {self.beta} and --optimizer {self.optimizer}: compare takes several")
        env = (self.env,) if self.env else ()
        groups: dict[str, Any] = {"run": self.run, "settings": self.settings, "workers": self.workers}
        if self.optimizer is not None:
            return Compare(env=env, baselines=(self.optimizer,), **groups)()
        return Compare(env=env, betas=("0.99" if self.beta is None else self.beta,), **groups)()
