"""The tables of a reference study → everything on its page: tables/, figures/ and numbers.md. No folder of runs is read."""

from __future__ import annotations

from pathlib import Path

from rl_rmsprop.storage.atomic import write_text
from rl_rmsprop.study.suite import figures, fragments, numbers, suite
from rl_rmsprop.study.suite.numbers import Numbers

TABLES, FIGURES, NUMBERS = "tables", "figures", "numbers.md"
"""In the folder of the study's tables."""


def make_page(folder: Path) -> Numbers:
    """Write everything on the page of the tables in a folder; ValueError if there are none, or no run has finished."""
    loaded = suite.load(folder)
    if not loaded.results:
        raise ValueError(f"{folder} has no run yet: rl-rmsprop study collect … --out {folder} adds those of finished studies")
    found = numbers.compute(loaded)
    numbers.write_tables(found, folder / TABLES)
    figures.draw(loaded, found, folder / FIGURES)
    write_text(folder / NUMBERS, fragments.render(loaded, found, f"rl-rmsprop study page {folder.as_posix()}"))
    return found
