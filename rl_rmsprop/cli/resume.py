"""`rl-rmsprop resume`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from rl_rmsprop.cli.options import WorkerOptions
from rl_rmsprop.cli.running import resume


@dataclass(frozen=True)
class Resume:
    """Go on with a study that was interrupted: its results are those of one that was not, byte for byte (on the CPU).

    Finished runs are kept, those under way are taken up at their last checkpoint, failed ones are tried again.
    """

    dir: Annotated[Path, Positional, arg(metavar="DIR")]
    """The study's folder."""
    workers: OmitArgPrefixes[WorkerOptions] = WorkerOptions()

    def __call__(self) -> int:
        from rl_rmsprop.study.spec.study import load_study

        return resume(load_study(self.dir), self.workers)
