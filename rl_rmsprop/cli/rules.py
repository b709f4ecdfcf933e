"""`rl-rmsprop rules`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rl_rmsprop.cli.fields import option
from rl_rmsprop.cli.output import console


@dataclass(frozen=True)
class Rules:
    """List the β rules and draw their curves."""

    EXAMPLES: ClassVar = (
        ("rl-rmsprop rules", "every rule in a line, with its curve here and in runs/rules.png"),
        ("rl-rmsprop rules 0.99 cusum:arl=1000,max=0.99 --updates 500", "two of them, over 500 updates"),
    )

    rules: tuple[str, ...] = option(
        (), metavar="[RULE ...]", positional=True, note="default: an example of each", commas_inside=True
    )
    """Rules to draw."""
    updates: int = 1000
    """Updates to draw."""
    out: Path = Path("runs/rules.png")
    """Where the picture goes."""

    def __call__(self) -> int:
        from rl_rmsprop.cli.views import rules

        rules.show(self.rules, self.updates, self.out, console())
        return 0
