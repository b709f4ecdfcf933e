"""`rl-rmsprop envs`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rl_rmsprop.cli.fields import option
from rl_rmsprop.cli.output import console
from rl_rmsprop.study.spec import env_kwargs


@dataclass(frozen=True)
class Envs:
    """List the environments, or describe one and what can shift in it: parameters with value and tested range, and profiles."""

    EXAMPLES: ClassVar = (
        ("rl-rmsprop envs", "the environments with tuned presets, and Gymnasium's others"),
        ("rl-rmsprop envs LunarLander-v3", "what --shift can change there, and how much it hurts a trained policy"),
        ("rl-rmsprop envs LunarLander-v3 --env-kwargs continuous=true gravity=-5", "the same of one that is made with arguments"),
    )

    env: str = option("", metavar="[ID]", positional=True)
    """Gymnasium id of the environment to look into."""
    env_kwargs: tuple[str, ...] = option((), metavar="[ID:]KEY=VALUE", is_table=True)
    """Arguments that it is made with, as in a training."""
    wrapper: tuple[str, ...] = option((), metavar="MODULE:CLASS")
    """Gymnasium wrappers around it; the first one is innermost."""

    def __call__(self) -> int:
        arguments = env_kwargs.canonical(self.env_kwargs)
        if not self.env and (arguments or self.wrapper):
            raise ValueError("env_kwargs and wrapper are of one environment: rl-rmsprop envs needs its ID before them")
        from rl_rmsprop.cli.views import environments

        if self.env:
            environments.show_one(self.env, console(), arguments, self.wrapper)
        else:
            environments.show(console())
        return 0
