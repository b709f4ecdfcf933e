"""A study that has been trained, wholly or in part: what `compare` returns and `load` opens.

    folder → results (a row a run), arms (a row an arm), runs (their files)     without torch, unless the report is not there yet
           → the report's analysis → table, finding, differences, figures
           → weights → policies

Everything is read from the study's folder when it is first asked for, so what the command line has made can be opened as well.
"""

from __future__ import annotations

import io
import shlex
from collections.abc import Sequence
from functools import cached_property
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rl_rmsprop import grammar
from rl_rmsprop.api.runs import StoredRun, Table, outline, read_rows, stored_runs, table_of
from rl_rmsprop.study.spec.names import check_holds_study, run_folder
from rl_rmsprop.study.spec.run_files import WEIGHTS
from rl_rmsprop.study.spec.seeds import written_seeds

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

    from rl_rmsprop.api.arguments import BetaRule
    from rl_rmsprop.api.curves import Curves
    from rl_rmsprop.api.difference import Difference
    from rl_rmsprop.api.policy import Policy
    from rl_rmsprop.study.report.analysis import Analysis
    from rl_rmsprop.study.spec.arms import Arm
    from rl_rmsprop.study.spec.study import Study


def load(folder: str | PathLike[str]) -> TrainedStudy:
    """Open a study: a finished one, or what there is of one that is not; made here or on the command line.

    ValueError if the folder holds none. What changes in the folder later shows after another `load`.
    """
    return TrainedStudy(Path(fspath(folder)).expanduser())


class TrainedStudy:
    """A study with its results. An arm is named by its text, the beginning of it, a number, or a rule."""

    def __init__(self, folder: Path, failures: Sequence[str] | None = None) -> None:
        """`failures` are those of a training that has just ended; else they are read from the folder."""
        check_holds_study(folder)
        self.folder = folder
        self._failures = failures

    # What it is ---------------------------------------------------------------------------------------------------------------

    @cached_property
    def spec(self) -> Study:
        """The study as data: arms, environments, seeds, settings."""
        from rl_rmsprop.study.spec.study import load_study  # imports torch

        return load_study(self.folder)

    @cached_property
    def runs(self) -> list[StoredRun]:
        """Every run with its files, an arm after the other: `run.env`, `run.arm`, `run.seed`, `run.status`, `run.metrics`, ….

        `run.metrics["optim/beta"]` is a column of metrics.csv; `episodes`, `alarms`, `shifts` and `config` are its other files.
        """
        return stored_runs(self.folder)

    @property
    def failures(self) -> list[str]:
        """A line for everything that failed."""
        if self._failures is not None:
            return list(self._failures)
        return [f"failed: {run.env} · {run.arm} · seed {run.seed}: {run.error}" for run in self.runs if run.error]

    @property
    def is_finished(self) -> bool:
        """Whether every run has finished."""
        return all(run.status == "finished" for run in self.runs)

    # Numbers ------------------------------------------------------------------------------------------------------------------

    @cached_property
    def results(self) -> pandas.DataFrame | Table:
        """A row a run: env, arm, seed, status, mean_return over training, final evaluation and further scores.

        The report's results.csv as a DataFrame, or without pandas as a table of NumPy columns; NaN where there is nothing to say.
        Status is `finished`, `failed` or `unfinished`.
        """
        status = {(run.env, run.arm, run.seed): run.status for run in self.runs}
        names, rows = self._rows("results")
        place, keys = names.index("status"), [names.index(name) for name in ("env", "arm", "seed")]
        told = [list(row) for row in rows]
        for row in told:
            env, arm, seed = (row[i] for i in keys)
            row[place] = status[env, arm, int(seed)]
        return table_of(names, told)

    @cached_property
    def arms(self) -> pandas.DataFrame | Table:
        """A row an arm in each environment: its averages over seeds with their intervals, and how it compares with the baseline.

        The report's arms.csv as a table, as `results`.
        """
        return table_of(*self._rows("arms"))

    def _rows(self, name: str) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        """Names and rows of one of the report's tables: from the report if it knows all runs, else from the runs."""
        if self._report_is_current:
            return read_rows(self.folder / "report" / f"{name}.csv")
        from rl_rmsprop.study.report import csv_files

        if name == "arms":
            return csv_files.ARM_COLUMNS, csv_files.arm_rows(self.analyses)
        return csv_files.RUN_COLUMNS, [row for analysis in self.analyses for row in csv_files.run_rows(analysis)]

    @property
    def _report_is_current(self) -> bool:
        """Whether the report says of each run whether it has finished as its folder does."""
        path = self.folder / "report" / "results.csv"
        if not path.is_file():
            return False
        names, rows = read_rows(path)
        env, arm, seed, status = (names.index(name) for name in ("env", "arm", "seed", "status"))
        known = {(r[env], r[arm], int(r[seed])): r[status] == "finished" for r in rows}
        return known == {(run.env, run.arm, run.seed): run.status == "finished" for run in self.runs}

    @cached_property
    def analyses(self) -> list[Analysis]:
        """The numbers of the report, an environment each."""
        from rl_rmsprop.study.report.analysis import analyse
        from rl_rmsprop.study.report.settings import load_settings
        from rl_rmsprop.study.results.runs import load_results

        return analyse(load_results(self.spec), load_settings(self.spec))

    def curves(self, tag: str, env: str | None = None) -> dict[str, Curves]:
        """What a tag was over the training: arm → steps [point] and values [seed, point], as far as runs are.

        `tag` is a column of metrics.csv, such as `optim/beta`, or `return`, the running return of 20 episodes. `env` is needed if
        there are several. Arms without a run that has begun are left out.
        """
        from rl_rmsprop.api.curves import curves

        runs = [run for run in self.runs if run.env == self._env(env)]
        return curves(runs, tag, outline(self.folder).arms)

    def difference(self, a: BetaRule, b: BetaRule | None = None, env: str | None = None, metric: str | None = None) -> Difference:
        """By how much arm `a` is better than arm `b` on the same seeds: estimate, 95 % interval, p, and p corrected by Holm.

        The report's numbers: `b` is its baseline unless another is named, `metric` the score that it compares by.
        """
        from rl_rmsprop.api.difference import difference

        analysis = self._analysis(env)
        if b is None and analysis.baseline is None:
            raise ValueError(f"{analysis.env_id} has no two arms with a {analysis.metric.label} yet: there is nothing to compare")
        other = analysis.baseline.arm if b is None and analysis.baseline is not None else self._arm(b)
        return difference(analysis, self._arm(a), other, metric)

    # Pictures and policies ----------------------------------------------------------------------------------------------------

    def plot(self, what: str = "return", ax: Axes | None = None, env: str | None = None) -> Axes:
        """Draw a curve an arm, the interquartile mean over seeds with its 95 % interval, and return matplotlib's Axes.

        `what` is `return`, `beta`, `window`, `E`, `effective_lr`, `alarms`, or any tag of metrics.csv. Without `ax` it is a new
        figure of pyplot's, which a notebook shows and a script shows with `matplotlib.pyplot.show()`.
        """
        from rl_rmsprop.api.figures import plot

        return plot(self._analysis(env), self.runs, what, ax)

    def policy(self, arm: BetaRule, seed: int | None = None, env: str | None = None) -> Policy:
        """The policy that a run has trained: `policy.act(observation)`, `policy.play()`; by default that of the first seed.

        ValueError if that run has not finished.
        """
        from rl_rmsprop.api.policy import Policy

        env_id, chosen = self._env(env), self._arm(arm)
        folders = {s: run_folder(self.folder, env_id, chosen.text, s) for s in self.spec.seeds}
        finished = [s for s, folder in folders.items() if (folder / WEIGHTS).is_file()]
        if not finished or (seed is not None and seed not in finished):
            known = f"finished are {written_seeds(finished)}" if finished else "no run of it has finished"
            raise ValueError(
                f"{env_id} · {chosen.text} has no trained policy{'' if seed is None else f' of seed {seed}'}: {known}"
            )
        return Policy(self.spec.batch(env_id, chosen, (finished[0] if seed is None else seed,)))

    # Words --------------------------------------------------------------------------------------------------------------------

    @property
    def finding(self) -> str:
        """Which arm is best, and whether chance explains it: a sentence or two for each environment."""
        from rl_rmsprop.study.report.findings import finding

        return "\n".join(finding(analysis) for analysis in self.analyses)

    @property
    def cautions(self) -> list[str]:
        """What makes the numbers weaker than they look, a sentence each."""
        from rl_rmsprop.study.report.cautions import cautions

        return cautions(self.spec, self.analyses)

    def report(self, show: bool = False) -> Path:
        """The path of the report's page, which is written if it is not there or does not know all runs; `show` opens a browser.

        ValueError if no run has finished.
        """
        page = self.folder / "report" / "report.html"
        if not (page.is_file() and self._report_is_current):
            from rl_rmsprop.study import report

            report.write_report(self.spec)
        if show:
            import webbrowser

            webbrowser.open(page.resolve().as_uri())
        return page

    def __repr__(self) -> str:
        from rich.console import Console

        from rl_rmsprop.cli.views.progress import arms_table

        out = Console(file=io.StringIO(), width=120, highlight=False, markup=False, color_system=None, force_jupyter=False)
        try:
            for analysis in self.analyses:
                out.print(arms_table(analysis))
            lines = [self.finding, *self._remarks()]
        except ValueError as error:  # of files that are damaged: a repr must not fail
            lines = [str(error)]
        assert isinstance(out.file, io.StringIO)
        table = "\n".join(line.rstrip() for line in out.file.getvalue().splitlines())
        return "\n".join(filter(None, [table, *lines, str(self.folder)]))

    def _repr_html_(self) -> str:
        from rl_rmsprop.study.report import page, tables
        from rl_rmsprop.study.report.document import Block, Cautions, Heading, Items, Paragraph

        blocks: list[Block] = []
        for analysis in self.analyses:
            blocks += [Heading(analysis.env_id, 3), tables.scores(analysis)]
        blocks += [Paragraph(line, "finding") for line in self.finding.splitlines()]
        blocks += [Items(remarks)] if (remarks := self._remarks(cautions=False)) else []
        blocks += [Cautions(self.cautions)] if self.cautions else []
        return page.fragment([*blocks, Paragraph(str(self.folder))])

    def _remarks(self, cautions: bool = True) -> list[str]:
        """What is not finished, what failed, and what to beware of."""
        finished = sum(run.status == "finished" for run in self.runs)
        again = f"resume() or rl-rmsprop resume {shlex.quote(str(self.folder))} continues"
        lines = [] if finished == len(self.runs) else [f"{finished} of {len(self.runs)} runs finished: {again}"]
        return [*lines, *self.failures, *(f"Beware: {caution}" for caution in self.cautions if cautions)]

    # Going on -----------------------------------------------------------------------------------------------------------------

    def resume(self, progress: bool = True, **workers: Any) -> TrainedStudy:
        """Train what is missing, and return this study with what came of it; failed runs are tried again.

        `workers` are those arguments of `compare` that say how the work is done: `workers`, `checkpoint_every`, `engine`,
        `address`, `slurm`. TypeError, ValueError, KeyboardInterrupt and OSError as of `compare`.
        """
        from rl_rmsprop.api import training
        from rl_rmsprop.api.arguments import worker_options

        options = worker_options(workers)
        for name in ("spec", "runs", "results", "arms", "analyses"):
            self.__dict__.pop(name, None)  # they are read again
        self._failures = None
        self._failures = training.resume(self.folder, options, progress).failures
        return self

    # Names --------------------------------------------------------------------------------------------------------------------

    def _env(self, env: str | None) -> str:
        """The environment that is meant; ValueError if it is not clear."""
        known = outline(self.folder).env_ids
        if env is None and len(known) == 1:
            return known[0]
        if env not in known:
            got = "none" if env is None else f"{env!r}: {grammar.nearest(env, known)}"
            raise ValueError(f"env must be one of the study's, {', '.join(known)}, got {got}")
        return env

    def _analysis(self, env: str | None) -> Analysis:
        """The analysis of the environment that is meant."""
        env_id = self._env(env)
        return next(analysis for analysis in self.analyses if analysis.env_id == env_id)

    def _arm(self, given: Any) -> Arm:
        """The arm that is meant; ValueError if it is none of the study's, or not clear."""
        from rl_rmsprop.api.arguments import rule_text
        from rl_rmsprop.study.report.settings import arm_named
        from rl_rmsprop.study.spec.controls import find_arm

        text, arms = str(rule_text(given)), self.spec.arms
        by_label = next((arm for arm in arms if arm.label == text), None)
        try:
            return by_label or next(arm for arm in arms if arm.text == arm_named(text, self.spec))
        except ValueError:
            return find_arm(text, arms, "arm")
