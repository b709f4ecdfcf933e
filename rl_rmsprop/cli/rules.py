"""`rl-rmsprop rules`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from rl_rmsprop.cli.output import console


@dataclass(frozen=True)
class Rules:
    """List the β rules and draw their curves."""

    rules: Annotated[
        tuple[str, ...], Positional, arg(metavar="[RULE ...]", help_behavior_hint="(default: an example of each)")
    ] = ()
    """Rules to draw."""
    updates: int = 1000
    """Updates to draw."""
    out: Path = Path("runs/rules.png")
    """Where the picture goes."""

    def __call__(self) -> int:
        from rl_rmsprop.cli.views import rules

        rules.show(self.rules, self.updates, self.out, console())
        return 0
