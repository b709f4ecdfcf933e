"""Reads a study's JSON as data that others may have written: whatever is wrong with it is a ValueError that names the place.

    file → tables (read_json) → frozen dataclass, each field of the type that it declares (from_table)

Nothing in a file is run, imported or opened because of what it says.
"""

from __future__ import annotations

import json
import typing
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from rl_rmsprop import grammar
from rl_rmsprop.storage import field_types
from rl_rmsprop.storage.field_types import describe

T = TypeVar("T")

DEEPEST = 20
"""Tables and lists inside one another; a study's files have five."""


def read_json(path: Path) -> dict[str, Any]:
    """The table that a file holds; see `parsed`."""
    return parsed(path.read_bytes(), path)


def parsed(data: bytes, path: Path) -> dict[str, Any]:
    """The table that is written in `data`, from `path`.

    ValueError if it is not JSON, or something else than a table, or nested without end, or a key stands in a table twice.
    """
    try:
        content = json.loads(data.decode("utf-8"), object_pairs_hook=once)
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, a number with thousands of digits
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a table, got {describe(content)}")
    level: list[Any] = [content]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)]
        level = [inner for inner in level if isinstance(inner, (dict, list))]
    if level:
        raise ValueError(f"{path} must have at most {DEEPEST} tables and lists inside one another, got more")
    return content


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs as a table; ValueError for a key that comes twice, which parsers read differently."""
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a key stands in it twice")
    return content


def from_table(kind: type[T], content: Any, where: str, **ready: Any) -> T:
    """The dataclass `kind` of a table; `ready` are fields that do not come from it. ValueError names the key."""
    if not isinstance(content, dict):
        raise ValueError(f"{where} must be a table, got {describe(content)}")
    expected = {f.name: f for f in fields(kind) if f.name not in ready}  # type: ignore[arg-type]  # T is always a dataclass
    for name in content:
        if name not in expected:
            raise ValueError(f"{where} has no key {name!r}: {grammar.nearest(name, expected)}")
    for name, field in expected.items():
        if field.default is MISSING and field.default_factory is MISSING and name not in content:
            raise ValueError(f"{where} needs a key {name!r}")
    hints = typing.get_type_hints(kind)
    return kind(**ready, **{name: convert(value, hints[name], f"{where}: {name}") for name, value in content.items()})


def convert(value: Any, hint: Any, where: str) -> Any:
    """The value as a field of type `hint` takes it: a dataclass, a table, a list, or one of the types in field_types.py."""
    kind = field_types.without_none(hint)
    if value is None and kind is not hint:
        return None
    if kind is list:
        if not isinstance(value, list):
            raise ValueError(f"{where} must be a list, got {describe(value)}")
        return value
    if typing.get_origin(kind) is dict:
        if not isinstance(value, dict):
            raise ValueError(f"{where} must be a table, got {describe(value)}")
        return {name: convert(entry, typing.get_args(kind)[1], f"{where}.{name}") for name, entry in value.items()}
    if is_dataclass(kind):
        return from_table(typing.cast(Any, kind), value, where)
    if is_dataclass(field_types.entry_type(kind)) and isinstance(value, list):
        return tuple(convert(entry, field_types.entry_type(kind), where) for entry in value)
    return field_types.convert(value, kind, where)


def leaves(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """What nested tables hold, by path.

    >>> leaves({"settings": {"lr": 0.1}, "seed": 3})
    {'settings.lr': 0.1, 'seed': 3}
    """
    flat: dict[str, Any] = {}
    for name, value in content.items():
        flat |= leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
