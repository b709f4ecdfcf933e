"""The public names of the packages, and the pages of the reference that are to have an entry for each of them.

A name is public if a module of the packages has it in its `__all__`. It needs one entry, under whichever of its names: the class
that `rl_rmsprop` and `rl_rmsprop.laws` both offer is documented once.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
PACKAGES = ("rl_rmsprop", "agents", "envs")
DIRECTIVE = re.compile(r"^\.\. auto(module|class|function|data|attribute|exception):: ([\w.]+)\n((?:   :.*\n)*)", re.MULTILINE)


def modules() -> list[str]:
    """Names of the modules that have an `__all__`."""
    files = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    listing = [file for file in files if re.search(r"^__all__ = ", file.read_text(encoding="utf-8"), re.MULTILINE)]
    return [".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in listing]


def public() -> Iterator[tuple[str, Any]]:
    """Every public name with its module, and the object that it stands for."""
    for module in modules():
        loaded = importlib.import_module(module)
        for name in loaded.__all__:
            yield f"{module}.{name}", getattr(loaded, name)


def without_entry(documented: Iterable[str]) -> list[str]:
    """The public names of which no documented name stands for the same object."""
    documented = set(documented)
    objects = [(name, resolve(name)) for name in documented]
    known = {id(thing) for _, thing in objects if thing is not None}
    return [name for name, thing in public() if name not in documented and id(thing) not in known]


def resolve(name: str) -> Any:
    """The object of a dotted name; None if there is none, as for attributes of instances."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for part in parts[length:]:
            thing = getattr(thing, part, None)
        return thing
    return None


def announced() -> Iterator[str]:
    """The names that the directives of the reference's pages will document, without building it.

    Of a module those in its `__all__`, or of those that the directive names, or else the functions and classes defined in it.
    """
    for page in sorted((DOCS / "reference").glob("*.md")):
        for kind, name, options in DIRECTIVE.findall(page.read_text(encoding="utf-8")):
            yield name
            if kind == "module" and ":no-members:" not in options:
                yield from members(name, options)


def members(module: str, options: str) -> Iterator[str]:
    """The members of a module that `automodule` documents."""
    loaded = importlib.import_module(module)
    chosen = re.search(r":members: (.+)", options)
    left_out = re.search(r":exclude-members: (.+)", options)
    own = [name for name, thing in vars(loaded).items() if getattr(thing, "__module__", None) == module and name[0] != "_"]
    names = chosen[1].split(", ") if chosen else getattr(loaded, "__all__", own)
    excluded = left_out[1].split(", ") if left_out else []
    for name in names:
        thing = getattr(loaded, name)
        if name not in excluded and (getattr(thing, "__doc__", None) or not callable(thing)):
            yield f"{module}.{name}"
