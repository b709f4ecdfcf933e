"""Are the packages `agents` and `envs` that Python would import those of rl-rmsprop?

Other distributions have packages of these names too. With one of those before ours on `sys.path`, or installed over ours, studies
would fail with an error about a name that is missing somewhere; `check` says instead what was found, and where. It reads the
source of the packages and runs nothing of them.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from importlib.metadata import distribution, packages_distributions
from importlib.util import find_spec
from pathlib import Path

COMPANIONS = ("agents", "envs")
"""The packages that studies need and that are installed beside `rl_rmsprop`."""
OWN = "rl-rmsprop"
MARK = f'__distribution__ = "{OWN}"'
"""The line by which their `__init__.py` says whose they are."""


class WrongPackage(ImportError):
    """A package of rl-rmsprop is missing, or another one of its name is in its place."""


def check() -> None:
    """WrongPackage, in one line with the remedy, unless `import agents` and `import envs` find the packages of rl-rmsprop.

    >>> check()
    """
    for name in COMPANIONS:
        fault = fault_of(name)
        if fault:
            raise WrongPackage(fault, name=name)


def fault_of(name: str) -> str:
    """What is wrong with the package that `import name` finds, and what to do about it; empty if it is that of rl-rmsprop.

    >>> fault_of("agents")
    ''
    >>> fault_of("json").partition(":")[0].replace(find_spec("json").origin, "…/json/__init__.py")
    'rl-rmsprop has a package named json, but `import json` finds another one, …/json/__init__.py'
    """
    loaded = sys.modules.get(name)
    if loaded is not None:
        is_own, place = getattr(loaded, "__distribution__", None) == OWN, getattr(loaded, "__file__", None)
    else:
        spec = find_spec(name)
        if (
            spec is None or spec.loader is None or spec.origin is None
        ):  # a folder without an __init__.py is no package of anyone's
            home = Path(__file__).parents[1]
            return f"rl-rmsprop's package {name} is missing, which belongs beside rl_rmsprop in {home}: install rl-rmsprop again"
        is_own, place = MARK in source_of(spec), spec.origin
    if is_own:
        return ""
    return (
        f"rl-rmsprop has a package named {name}, but `import {name}` finds another one, {place or 'made in this process'}"
        f"{owner(name, place)}: install rl-rmsprop into a virtual environment of its own, without that folder in PYTHONPATH"
    )


def source_of(spec: ModuleSpec) -> str:
    """The source of a module that has not been imported; empty where there is none."""
    get_source = getattr(spec.loader, "get_source", None)
    try:
        return (get_source(spec.name) if get_source else None) or ""
    except (ImportError, SyntaxError, OSError):
        return ""


def owner(name: str, place: str | None) -> str:
    """` (of DISTRIBUTION)` if the package at this place was installed by another one."""
    for other in packages_distributions().get(name, ()):
        if other != OWN and str(distribution(other).locate_file(f"{name}/__init__.py")) == place:
            return f" (of {other})"
    return ""
