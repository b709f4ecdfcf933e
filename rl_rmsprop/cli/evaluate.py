"""`rl-rmsprop evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from rl_rmsprop.cli.output import console


@dataclass(frozen=True)
class Evaluate:
    """Evaluate the trained policies of a study in fresh episodes."""

    dir: Annotated[Path, Positional, arg(metavar="DIR")]
    """The study's folder."""
    episodes: int = 100
    """Episodes per run."""
    stochastic: bool = False
    """Sample actions instead of taking the most likely one."""

    def __call__(self) -> int:
        from rl_rmsprop.study import evaluation
        from rl_rmsprop.study.spec.study import load_study

        if self.episodes < 1:
            raise ValueError(f"episodes must be at least 1, got {self.episodes}")
        evaluation.evaluate_study(load_study(self.dir), self.episodes, self.stochastic, console())
        return 0
