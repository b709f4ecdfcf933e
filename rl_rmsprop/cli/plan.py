"""`rl-rmsprop plan`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rl_rmsprop.cli.compare import Compare
from rl_rmsprop.cli.fields import option
from rl_rmsprop.cli.output import console, reporting_hangs
from rl_rmsprop.study.spec.names import check_holds_study

if TYPE_CHECKING:
    from rl_rmsprop.study.spec.study import Study

MOST_CORES = 100_000


@dataclass(frozen=True)
class Plan:
    """Predict what a study will take, from rates that are measured here: steps, time on so many cores, memory, disk.

    Nothing of the study is run or written.
    """

    EXAMPLES: ClassVar = (
        ("rl-rmsprop plan study.toml", "on the cores of this machine"),
        ("rl-rmsprop plan study.toml --cores 2 16 128 1024", "and on more of them, each as fast as one is here"),
    )

    study: Path = option(metavar="STUDY", positional=True)
    """Study file, or the folder of a study."""
    cores: tuple[int, ...] = option((), metavar="INT", note="default: those of this machine")
    """Cores to predict for, a batch of runs on each."""
    measure: float = option(2.0, metavar="SECONDS")
    """How long to train in each environment with one run, and with several."""

    def __call__(self) -> int:
        for cores in self.cores:
            if not 1 <= cores <= MOST_CORES:
                raise ValueError(f"cores must be from 1 to {MOST_CORES:,}, got {cores}")
        if not 0 < self.measure <= 3600:
            raise ValueError(f"measure must be more than 0 and at most 3600 seconds, got {self.measure:g}")
        with reporting_hangs():
            study = self.described()
            study.check_machine()
            from rl_rmsprop.cli.views import plan

            plan.show(study, self.cores, self.measure, console())
        return 0

    def described(self) -> Study:
        """The study that a file describes, or that a folder holds."""
        if self.study.is_dir():
            check_holds_study(self.study)
            from rl_rmsprop.study.spec.study import load_study

            study = load_study(self.study)
            study.check_environments()
            return study
        compare, _ = Compare.begin([str(self.study)])
        return compare.described()
