"""What the command line prints of a study."""

from __future__ import annotations

import shlex
import sys
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rl_rmsprop.study.report import Report
    from rl_rmsprop.study.spec.study import Study


def console() -> Any:
    """Where tables and progress go; wide enough for a table when the output is not a terminal."""
    from rich.console import Console

    class Piped(Console):
        """Raises BrokenPipeError when the reader has gone; rich would end the process with exit code 1."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    width = None if sys.stdout.isatty() else 120
    return Piped(highlight=False, markup=False, width=width)  # no markup: [brackets] are intervals here


def reporting_hangs() -> AbstractContextManager[None]:
    """Says on stderr, while it lasts, which environment does not come back from a reset or a step."""
    import envs

    return envs.watching(lambda line: print(f"note: {line}", file=sys.stderr, flush=True))


def announce(study: Study, report: Report) -> None:
    """Print the table of arms, the findings and cautions, and where the report and the curves are."""
    from rl_rmsprop.cli.views import progress, tensorboard

    out = console()
    for analysis in report.analyses:
        out.print(progress.arms_table(analysis))
    for sentence in report.findings:
        out.print(sentence, soft_wrap=True)
    for warning in report.warnings:
        out.print(f"Beware: {warning}", soft_wrap=True)
    folder = shlex.quote(str(study.folder))
    out.print(f"report: {study.folder}/report/report.html", soft_wrap=True)
    out.print(f"curves: tensorboard --logdir {folder} --samples_per_plugin scalars=3000", soft_wrap=True)
    out.print(f"    or: rl-rmsprop tensorboard {folder}", soft_wrap=True)
    if len(study.arms) * (len(study.env_ids) * len(study.seeds) + 1) + 1 > tensorboard.MOST_RUNS:
        out.print(
            f"With more than {tensorboard.MOST_RUNS} runs TensorBoard shows none until its run filter says _agg, or a run's name."
        )
