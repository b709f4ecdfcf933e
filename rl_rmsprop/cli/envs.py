"""`rl-rmsprop envs`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rl_rmsprop.cli.fields import option
from rl_rmsprop.cli.output import console


@dataclass(frozen=True)
class Envs:
    """List the environments, or what can shift in one: parameters with their usual value and tested range, and profiles."""

    EXAMPLES: ClassVar = (
        ("rl-rmsprop envs", "the environments with tuned presets, and Gymnasium's others"),
        ("rl-rmsprop envs LunarLander-v3", "what --shift can change there, and how much it hurts a trained policy"),
    )

    env: str = option("", metavar="[ID]", positional=True)
    """Gymnasium id of the environment to look into."""

    def __call__(self) -> int:
        from rl_rmsprop.cli.views import environments

        if self.env:
            environments.show_shifts(self.env, console())
        else:
            environments.show(console())
        return 0
