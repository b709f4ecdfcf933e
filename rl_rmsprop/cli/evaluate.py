"""`rl-rmsprop evaluate`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rl_rmsprop.cli.exit_codes import SOME_FAILED
from rl_rmsprop.cli.fields import option
from rl_rmsprop.cli.output import console, reporting_hangs
from rl_rmsprop.study.spec.names import check_holds_study

MOST_EPISODES = 1_000_000


@dataclass(frozen=True)
class Evaluate:
    """Evaluate the trained policies of a study in fresh episodes; report/evaluation.csv has a row a run."""

    EXAMPLES: ClassVar = (
        ("rl-rmsprop evaluate runs/demo", "100 episodes of every run, in the environments of the final evaluation"),
        ("rl-rmsprop evaluate runs/demo --episodes 500 --seed 1", "more of them, in environments with other seeds"),
        ("rl-rmsprop evaluate runs/demo --video", "and an episode of each arm to look at, as runs/demo/videos/ENV/ARM.mp4"),
    )

    dir: Path = option(metavar="DIR", positional=True)
    """The study's folder."""
    episodes: int = 100
    """Episodes per run."""
    stochastic: bool = False
    """Sample actions instead of taking the most likely one."""
    seed: int | None = option(None, metavar="N", note="default: those of the final evaluation")
    """Evaluate in environments whose seeds follow from this one and the run's seed."""
    video: bool = False
    """Film an episode of each arm as it is evaluated, in DIR/videos; needs the extra video."""
    video_seed: int | None = option(None, metavar="N", note="default: each arm's first finished run")
    """Seed of the run that is filmed."""

    def __call__(self) -> int:
        if not 1 <= self.episodes <= MOST_EPISODES:
            raise ValueError(f"episodes must be from 1 to {MOST_EPISODES:,}, got {self.episodes}")
        if self.seed is not None and self.seed < 0:
            raise ValueError(f"seed must be at least 0, got {self.seed}")
        if self.video_seed is not None and not self.video:
            raise ValueError(f"video_seed says which run is filmed, got {self.video_seed} without --video: add it")
        check_holds_study(self.dir)
        from rl_rmsprop.study import evaluation, video
        from rl_rmsprop.study.spec.study import load_study

        with reporting_hangs():
            study = load_study(self.dir)
            shots = video.plan(study, self.video_seed) if self.video else []
            failures = evaluation.evaluate_study(study, self.episodes, self.stochastic, console(), self.seed)
            failures += video.film_all(shots, self.episodes, self.stochastic, console(), self.seed)
        for failure in failures:
            print(failure, file=sys.stderr)
        return SOME_FAILED if failures else 0
