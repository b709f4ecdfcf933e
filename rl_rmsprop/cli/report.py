"""`rl-rmsprop report`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rl_rmsprop.cli.fields import option
from rl_rmsprop.cli.options import ReportOptions
from rl_rmsprop.cli.output import announce
from rl_rmsprop.study.spec.names import check_holds_study


@dataclass(frozen=True)
class Report:
    """Make a study's report again from its files; options replace those that it was made with."""

    EXAMPLES: ClassVar = (
        ("rl-rmsprop report runs/demo", "writes runs/demo/report/report.html and its tables"),
        ("rl-rmsprop report runs/demo --metric final --baseline 0.99", "compares final evaluations with those of β = 0.99"),
    )

    dir: Path = option(metavar="DIR", positional=True)
    """The study's folder."""
    report: ReportOptions = ReportOptions()
    rebuild_curves: bool = False
    """Write TensorBoard's event files of all runs again from their tables; without it, of those that have none."""

    def __call__(self) -> int:
        check_holds_study(self.dir)
        from rl_rmsprop.study import report
        from rl_rmsprop.study.report import event_files
        from rl_rmsprop.study.spec.study import load_study

        study = load_study(self.dir)
        settings = report.make_settings(study, **vars(self.report)) if self.report != ReportOptions() else None
        rebuilt = event_files.read(study, self.rebuild_curves)  # first: what is not whole is refused before anything is written
        summary = report.write_report(study, settings)
        for curves in rebuilt:
            event_files.write(curves)
        announce(study, summary)
        return 0
