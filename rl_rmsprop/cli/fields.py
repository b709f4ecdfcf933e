"""The options of a verb, read from its dataclass: name, type, default and explanation stand there and nowhere else.

    @dataclass(frozen=True)
    class Draw:
        updates: int = 1000
        '''Updates to draw.'''
        out: Path = option(Path("rules.png"), metavar="FILE")
        '''Where the picture goes.'''

A field whose default is a dataclass is a group of options.
"""

from __future__ import annotations

import ast
import inspect
import sys
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from rl_rmsprop.storage import field_types


def option(
    default: Any = MISSING,
    *,
    metavar: str = "",
    note: str | None = None,
    doc: str = "",
    positional: bool = False,
    commas_inside: bool = False,
    in_study_file: bool = True,
    is_table: bool = False,
    instead: str = "",
) -> Any:
    """A field that is shown or read in an unusual way.

    Args:
        default: value of an option that is not given; without one it is needed.
        metavar: what stands for its value in the help; by default its type, or its name.
        note: what the help adds in parentheses; by default what the default is.
        doc: explanation of a field that is made by a program; others have theirs below them.
        positional: whether its value stands without a flag.
        commas_inside: whether one value can have commas, so that several are separated by spaces alone.
        in_study_file: whether it is a key of study files.
        is_table: whether its values are written key=value, and are a table in study files.
        instead: what to do if more than one value is given.
    """
    metadata: dict[str, Any] = {"metavar": metavar, "note": note, "doc": doc, "positional": positional, "instead": instead}
    metadata |= {"commas_inside": commas_inside, "in_study_file": in_study_file, "is_table": is_table}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Option:
    """One option of a verb."""

    name: str
    """The field's name, and the key in a study file."""
    hint: Any
    """Its type."""
    owner: type[Any]
    """The dataclass that has the field."""
    field: Field[Any]
    group: str = ""
    """The verb's field that holds it, if it is one of a group."""

    def _shown(self, name: str) -> Any:
        return self.field.metadata.get(name)

    @property
    def flag(self) -> str:
        """How it is written."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def is_needed(self) -> bool:
        """Whether it has no default."""
        return self.field.default is MISSING and self.field.default_factory is MISSING

    @property
    def is_positional(self) -> bool:
        """Whether its value stands without a flag."""
        return bool(self._shown("positional"))

    @property
    def is_switch(self) -> bool:
        """Whether it is on or off."""
        return field_types.without_none(self.hint) is bool

    @property
    def is_list(self) -> bool:
        """Whether it takes several values."""
        return field_types.entry_type(self.hint) is not None

    @property
    def commas_inside(self) -> bool:
        """Whether one value can have commas."""
        return bool(self._shown("commas_inside"))

    @property
    def in_study_file(self) -> bool:
        """Whether it is a key of study files."""
        return self._shown("in_study_file") is not False

    @property
    def is_table(self) -> bool:
        """Whether its values are written key=value, and are a table in study files."""
        return bool(self._shown("is_table"))

    @property
    def instead(self) -> str:
        """What to do if more than one value is given."""
        return self._shown("instead") or ""

    @property
    def metavar(self) -> str:
        """What stands for its value."""
        if self._shown("metavar"):
            return str(self._shown("metavar"))
        if field_types.choices(self.hint):
            return "{" + ",".join(field_types.choices(self.hint)) + "}"
        kind = field_types.entry_type(self.hint) or field_types.without_none(self.hint)
        return {int: "INT", float: "FLOAT", Path: "FILE"}.get(kind, self.name.upper().replace("_", "-"))

    @property
    def note(self) -> str:
        """What the help adds in parentheses, or nothing."""
        value, text = self.field.default, self._shown("note")
        if text is not None or value is MISSING or value in (None, False, ()):
            return text or ""
        return f"default: {shown_default(value)}"

    @property
    def doc(self) -> str:
        """What it means."""
        return self._shown("doc") or field_docs(self.owner).get(self.name, "")


def shown_default(value: Any) -> str:
    """A default as the help shows it; empty for an empty list."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def declared(verb: type[Any]) -> tuple[Option, ...]:
    """A verb's options in the order of its fields, those of its groups in their places."""
    hints = typing.get_type_hints(verb)
    options: list[Option] = []
    for entry in fields(verb):
        if is_dataclass(entry.default):
            options += [replace(inner, group=entry.name) for inner in declared(type(entry.default))]
        else:
            options.append(Option(entry.name, hints[entry.name], verb, entry))
    return tuple(options)


def value_of(verb: Any, option: Option) -> Any:
    """What an option of a verb is set to."""
    return getattr(getattr(verb, option.group) if option.group else verb, option.name)


def with_values(verb: Any, values: Mapping[str, Any]) -> Any:
    """The verb with these values of options, by name, whatever their group."""
    groups = {entry.group for entry in declared(type(verb)) if entry.group}
    changes = {entry.name: values[entry.name] for entry in declared(type(verb)) if not entry.group and entry.name in values}
    for group in groups:
        names = {entry.name for entry in declared(type(verb)) if entry.group == group} & values.keys()
        changes[group] = replace(getattr(verb, group), **{name: values[name] for name in names})
    return replace(verb, **changes)


def field_docs(kind: type[Any]) -> dict[str, str]:
    """Field of a dataclass → the docstring below it, in one line; inherited ones included."""
    docs: dict[str, str] = {}
    for cls in reversed(kind.__mro__[:-1]):
        for entry, below in pairwise(class_body(cls)):
            if isinstance(entry, ast.AnnAssign) and isinstance(entry.target, ast.Name) and isinstance(below, ast.Expr):
                docs[entry.target.id] = " ".join(str(ast.literal_eval(below.value)).split())
    return docs


def class_body(cls: type[Any]) -> list[ast.stmt]:
    """The source of a class at the top of its module, in statements."""
    classes = (node for node in statements(cls.__module__) if isinstance(node, ast.ClassDef) and node.name == cls.__name__)
    return next((node.body for node in classes), [])


@lru_cache
def statements(module: str) -> list[ast.stmt]:
    """The source of a module, in statements."""
    return ast.parse(inspect.getsource(sys.modules[module])).body
