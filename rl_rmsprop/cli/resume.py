"""`rl-rmsprop resume`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rl_rmsprop.cli.fields import option
from rl_rmsprop.cli.options import WorkerOptions
from rl_rmsprop.cli.running import resume
from rl_rmsprop.study.spec.names import check_holds_study


@dataclass(frozen=True)
class Resume:
    """Resume a study that was interrupted: its results are those of one that was not, byte for byte (on the CPU).

    Finished runs stay as they are, those under way continue from their last checkpoint, failed ones are tried again.
    """

    EXAMPLES: ClassVar = (("rl-rmsprop resume runs/demo", "trains what is missing, then writes the report"),)

    dir: Path = option(metavar="DIR", positional=True)
    """The study's folder."""
    workers: WorkerOptions = WorkerOptions()

    def __call__(self) -> int:
        self.workers.check()
        check_holds_study(self.dir)
        from rl_rmsprop.study.spec.study import load_study

        return resume(load_study(self.dir), self.workers)
