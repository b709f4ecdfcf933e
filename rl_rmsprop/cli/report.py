"""`rl-rmsprop report`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from rl_rmsprop.cli.running import make_report


@dataclass(frozen=True)
class Report:
    """Make a study's report again from its files."""

    dir: Annotated[Path, Positional, arg(metavar="DIR")]
    """The study's folder."""

    def __call__(self) -> int:
        from rl_rmsprop.study import spec

        make_report(spec.load(self.dir))
        return 0
