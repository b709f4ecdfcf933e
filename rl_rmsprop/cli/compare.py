"""`rl-rmsprop compare`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import OmitArgPrefixes, arg

from rl_rmsprop.cli.options import RunOptions, Settings
from rl_rmsprop.cli.running import run_study


@dataclass(frozen=True)
class Compare:
    """Compare arms over the same seeds and report: the main job."""

    env: Annotated[tuple[str, ...], arg(metavar="ID [ID ...]", help_behavior_hint="(needed)")] = ()
    """Gymnasium ids of the environments."""
    betas: Annotated[tuple[str, ...], arg(metavar="RULE [RULE ...]", help_behavior_hint="")] = ()
    """β rules, such as 0.9 0.99 linear:start=0.5,end=0.99 cusum:arl=50000,max=0.99."""
    baselines: Annotated[tuple[str, ...], arg(metavar="NAME [NAME ...]", help_behavior_hint="")] = ()
    """Optimizers of torch to compare with: sgd, momentum, adagrad, rmsprop, adam, amsgrad, adamax."""
    run: OmitArgPrefixes[RunOptions] = RunOptions()
    settings: OmitArgPrefixes[Settings] = Settings()

    def __call__(self) -> int:
        arms = [(b, False) for b in self.betas] + [(b, True) for b in self.baselines]
        return run_study(self.run, self.settings, list(self.env), arms)
