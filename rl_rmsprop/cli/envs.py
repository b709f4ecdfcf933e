"""`rl-rmsprop envs`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from rl_rmsprop.cli.output import console


@dataclass(frozen=True)
class Envs:
    """List the environments, or what can shift in one: parameters with their usual value and tested range, and profiles."""

    env: Annotated[str, Positional, arg(metavar="[ID]", help_behavior_hint="")] = ""
    """Gymnasium id of the environment to look into."""

    def __call__(self) -> int:
        from rl_rmsprop.cli.views import environments

        if self.env:
            environments.show_shifts(self.env, console())
        else:
            environments.show(console())
        return 0
