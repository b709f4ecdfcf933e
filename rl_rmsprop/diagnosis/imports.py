"""Can these modules be imported here? `python imports.py MODULE …` tries one after the other, in a process of its own.

A package whose compiled part ends the process is found out too, as the first one of which nothing is said.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

SAID = "imported: "
"""What a line begins with that is meant for `Attempt`: packages print lines of their own when they are imported."""
LONGEST = 120.0
"""Seconds that all imports may take together."""


class Import(NamedTuple):
    """What came of importing a module."""

    module: str
    version: str = ""
    """Version of its distribution; empty if it is not installed."""
    error: str = ""
    """Why it could not be imported; empty if it could, or is not installed."""


class Attempt:
    """Imports under way in another process."""

    def __init__(self, modules: Sequence[str]) -> None:
        self.modules = tuple(modules)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYGAME_HIDE_SUPPORT_PROMPT": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", __file__, *self.modules],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True,
            encoding="utf-8",
        )  # fmt: skip

    def results(self) -> dict[str, Import]:
        """Wait for all of them."""
        try:
            output, _ = self._process.communicate(timeout=LONGEST)
            end = f"importing it ends Python, with exit code {self._process.returncode}"
        except subprocess.TimeoutExpired:
            self._process.kill()
            output, _ = self._process.communicate()
            end = f"importing it takes more than {LONGEST:g} seconds"
        said = [Import(**json.loads(line[len(SAID) :])) for line in output.split("\n") if line.startswith(SAID)]
        found = {entry.module: entry for entry in said}
        left = [module for module in self.modules if module not in found]
        if left:
            found[left[0]] = Import(left[0], error=end)
        if left[1:]:
            found |= Attempt(left[1:]).results()
        return found


def attempt(module: str) -> Import:
    """Import a module in this process.

    >>> attempt("json"), attempt("no_such_module")
    (Import(module='json', version='?', error=''), Import(module='no_such_module', version='', error=''))
    """
    if importlib.util.find_spec(module) is None:
        return Import(module)
    version = version_of(module)
    try:
        importlib.import_module(module)
    except Exception as error:
        return Import(module, version, " ".join(f"{type(error).__name__}: {error}".split()))
    return Import(module, version)


def version_of(module: str) -> str:
    """The version of the distribution that a module belongs to; ? if it belongs to none."""
    names = distributions().get(module, ())
    return importlib.metadata.version(names[0]) if names else "?"


@cache
def distributions() -> Mapping[str, Sequence[str]]:
    """Module → the distributions that it belongs to."""
    return importlib.metadata.packages_distributions()


if __name__ == "__main__":
    for name in sys.argv[1:]:
        sys.stdout.write(f"\n{SAID}{json.dumps(attempt(name)._asdict())}\n")
        sys.stdout.flush()
