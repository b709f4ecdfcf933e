"""`rl-rmsprop presets`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rl_rmsprop.cli.output import console


@dataclass(frozen=True)
class Presets:
    """List the RMSProps that reinforcement learning has been done with: their β, ε, E₀ and sources."""

    EXAMPLES: ClassVar = (("rl-rmsprop presets", "the table, and how to use a row of it in Python"),)

    def __call__(self) -> int:
        from rl_rmsprop.cli.views import published

        published.show(console())
        return 0
