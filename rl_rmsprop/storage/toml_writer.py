"""Writes TOML, which Python's tomllib only reads: `tomllib.loads(write(table)) == table`.

Strings, numbers, truth values, lists of them, and tables in tables; keys in the order given, those of a table before the tables
inside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any


def write(table: Mapping[str, Any]) -> str:
    """The table as text; TypeError for a value that has no place in it.

    >>> print(write({"steps": 1000, "settings": {"CartPole-v1": {"lr": 0.001}}}), end="")
    steps = 1000
    <BLANKLINE>
    [settings.CartPole-v1]
    lr = 0.001
    """
    return "\n\n".join(blocks(table, ())) + "\n"


def blocks(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    """A table's own lines under its header, then one block for each table inside it."""
    lines = [f"{key(name)} = {value(entry)}" for name, entry in table.items() if not isinstance(entry, Mapping)]
    inner = {name: entry for name, entry in table.items() if isinstance(entry, Mapping)}
    header = [f"[{'.'.join(map(key, path))}]"] if path and (lines or not inner) else []
    top = ["\n".join([*header, *lines])] if header or lines else []
    return top + [block for name, entry in inner.items() for block in blocks(entry, (*path, name))]


def key(name: str) -> str:
    """A key as it is written: bare where that is allowed."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else string(name)


def value(entry: object) -> str:
    """A value that is no table as it is written."""
    if isinstance(entry, bool):
        return str(entry).lower()
    if isinstance(entry, (int, float)):
        return repr(entry)  # of a float the shortest text that is read back as the same number
    if isinstance(entry, str):
        return string(entry)
    if isinstance(entry, (list, tuple)):
        return f"[{', '.join(map(value, entry))}]"
    raise TypeError(f"a value must be a string, number, truth value or list, got {type(entry).__name__}")


def string(text: str) -> str:
    """A basic string: JSON's, but for the one control character that JSON leaves as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
