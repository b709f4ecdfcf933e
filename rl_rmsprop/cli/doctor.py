"""`rl-rmsprop doctor`."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rl_rmsprop.cli.exit_codes import SOME_FAILED
from rl_rmsprop.cli.fields import option

if TYPE_CHECKING:
    from rl_rmsprop.diagnosis.finding import Finding

WIDEST = 120
NAMES = {"ok": "OK", "note": "note", "problem": "PROBLEM"}


@dataclass(frozen=True)
class Doctor:
    """Look at what is installed and what the machine offers, and say what will not work; takes about ten seconds."""

    EXAMPLES: ClassVar = (
        ("rl-rmsprop doctor", "versions, kernel, cores, memory, disk; exit code 3 if there is a problem"),
        ("rl-rmsprop doctor --json > doctor.json", "the same for a report of an error"),
    )

    out: Path = option(Path("runs"), metavar="DIR")
    """Folder that results will go to."""
    json: bool = False
    """Print JSON."""

    def __call__(self) -> int:
        from rl_rmsprop.diagnosis.examination import examine

        found = examine(self.out)
        findings = list(found) if self.json else shown(found)
        problems = sum(finding.level == "problem" for finding in findings)
        if self.json:
            print(json.dumps([asdict(finding) for finding in findings], indent=1, ensure_ascii=False))
        else:
            print("no problem" if not problems else f"{problems} problem{'s' * (problems > 1)}: see above")
        return SOME_FAILED if problems else 0


def shown(findings: Iterable[Finding]) -> list[Finding]:
    """Print each finding as soon as it is known; returns all of them."""
    done: list[Finding] = []
    for finding in findings:
        print("\n".join(lines(finding, min(shutil.get_terminal_size((WIDEST, 24)).columns, WIDEST))), flush=True)
        done.append(finding)
    return done


def lines(finding: Finding, width: int) -> list[str]:
    """A finding, and its remedy below it."""
    first, column = f"{NAMES[finding.level]:8} {finding.subject:18} ", " " * 28
    wrapped = textwrap.wrap(finding.text, width, initial_indent=first, subsequent_indent=column, break_on_hyphens=False)
    if not finding.remedy:
        return wrapped
    return wrapped + textwrap.wrap(
        finding.remedy, width, initial_indent=f"{column}→ ", subsequent_indent=f"{column}  ", break_on_hyphens=False
    )
