"""`rl-rmsprop study`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from rl_rmsprop.cli.compare import Compare
from rl_rmsprop.cli.exit_codes import SOME_FAILED
from rl_rmsprop.cli.fields import option
from rl_rmsprop.cli.output import console
from rl_rmsprop.study.spec.names import check_holds_study

if TYPE_CHECKING:
    from rl_rmsprop.study.spec import study as spec

Action = Literal["collect", "page", "verify"]
OPTIONS_OF: dict[Action, tuple[str, ...]] = {"collect": ("out", "scales"), "page": (), "verify": ("cells", "seed", "studies")}
"""Action → the options that are its own."""
TABLES = Path("docs/study")
STUDIES = Path("runs/reference")
MOST_CELLS = 10_000


@dataclass(frozen=True)
class Study:
    """Publish a study of many studies: small tables of all runs, a page made from them, runs trained anew to check them.

    collect: studies' folders → tables. page: tables → figures and numbers. verify: random runs are trained anew, and compared.
    """

    EXAMPLES: ClassVar = (
        ("rl-rmsprop study collect runs/cartpole_a2c runs/cartpole_ppo",
         "puts the results of two studies into the tables in docs/study"),
        ("rl-rmsprop study page docs/study", "makes tables/, figures/ and numbers.md there from the tables alone"),
        ("rl-rmsprop study verify docs/study --cells 5", "trains five random runs anew and compares their hashes"),
    )  # fmt: skip

    action: Action = option(metavar="ACTION", positional=True)
    """What to do: collect, page or verify."""
    folders: tuple[Path, ...] = option((), metavar="FOLDER...", positional=True)
    """Folders of studies to collect; for page and verify the folder of the tables."""
    out: Path | None = option(None, metavar="DIR", note=f"default: {TABLES}")
    """collect: where the tables are."""
    scales: Path | None = option(None, metavar="FILE", note=f"default: {STUDIES}/scales.toml")
    """collect: what counts as 0 and as 1 in each environment, a TOML table low, high, source of each."""
    cells: int | None = option(None, metavar="INT", note="default: 5")
    """verify: how many runs to train anew."""
    seed: int | None = option(None, metavar="INT", note="default: 0")
    """verify: which runs are drawn."""
    studies: Path | None = option(None, metavar="DIR", note=f"default: {STUDIES}")
    """verify: where the study files are, TASK.toml each."""

    def __call__(self) -> int:
        self.check_options()
        actions: dict[Action, Callable[[], int]] = {"collect": self.collect, "page": self.page, "verify": self.verify}
        return actions[self.action]()

    def check_options(self) -> None:
        """ValueError for an option of another action."""
        for action, names in OPTIONS_OF.items():
            for name in names:
                if action != self.action and getattr(self, name) is not None:
                    raise ValueError(f"--{name} is an option of study {action}, got it with study {self.action}: leave it out")

    def tables(self) -> Path:
        """The one folder that was named, which holds tables; ValueError if it does not."""
        if len(self.folders) != 1:
            raise ValueError(f"study {self.action} takes the folder of the tables, got {len(self.folders)}: such as {TABLES}")
        (folder,) = self.folders
        if not (folder / "tasks.csv").is_file():
            raise ValueError(f"{folder} has no tasks.csv: rl-rmsprop study collect … --out {folder} writes it")
        return folder

    def collect(self) -> int:
        """Folders of studies → tables."""
        if not self.folders:
            raise ValueError("study collect needs folders of studies: rl-rmsprop study collect runs/…")
        for folder in self.folders:
            check_holds_study(folder)
        out = self.out or TABLES
        if out.exists() and not out.is_dir():
            raise ValueError(f"out must be a folder, {out} is none: choose another --out")
        from rl_rmsprop.cli.views import study
        from rl_rmsprop.study.suite import collecting

        collected = collecting.collect(self.folders, out, self.scales or STUDIES / "scales.toml")
        study.show_collected(collected, out, console())
        return 0

    def page(self) -> int:
        """Tables → everything on the page."""
        folder = self.tables()
        from rl_rmsprop.cli.views import study
        from rl_rmsprop.study.suite import page

        study.show_answers(page.make_page(folder), folder, console())
        return 0

    def verify(self) -> int:
        """Random runs trained anew; exit code 3 unless all agree with the tables."""
        folder, cells, seed = self.tables(), 5 if self.cells is None else self.cells, self.seed or 0
        if not 1 <= cells <= MOST_CELLS:
            raise ValueError(f"cells must be from 1 to {MOST_CELLS:,}, got {cells}")
        if seed < 0:
            raise ValueError(f"seed must be a whole number from 0, got {seed}")
        from rl_rmsprop.cli.views import study
        from rl_rmsprop.study.suite import suite, verification

        loaded = suite.load(folder)
        drawn = verification.drawn(loaded, cells, seed)
        if not drawn:
            raise ValueError(f"{folder} has no finished run that could be trained by itself")
        studies = {task: described(task, self.studies or STUDIES) for task in dict.fromkeys(run.task for run in drawn)}
        report = lambda checked: print(study.line(checked), file=sys.stderr, flush=True)
        checks = verification.verify(loaded, drawn, studies, report)
        study.show_checks(checks, console())
        return 0 if all(checked.agrees for checked in checks) else SOME_FAILED


def described(task: str, folder: Path) -> spec.Study:
    """The study that a task's file describes; ValueError if there is none."""
    path = folder / f"{task}.toml"
    if not path.is_file():
        raise ValueError(f"no study file {path} of the task {task}: --studies names the folder of study files")
    compare, _ = Compare.begin([str(path)])
    return compare.described()
