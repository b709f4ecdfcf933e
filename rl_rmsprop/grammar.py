"""The text form of settings: `name:key=value,key=value`, used by the command line, study files and reports alike.

A text stands for one frozen dataclass. `parse` builds it from a table of known names, `text` writes it back with the fields
that differ from their defaults, so `parse(text(x)) == x`. Values are numbers, words, or lists with `/` between the entries.

    cusum:arl=50000,max=0.99      linear:start=0.5,end=0.99      piecewise:values=0.9/0.99,at=1000
"""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

T = TypeVar("T")


def nearest(name: str, known: Iterable[str]) -> str:
    """The remedy for an unknown name: the nearest known one, or all of them.

    >>> nearest("liner", ["linear", "cosine"])
    'did you mean linear?'
    """
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else "known are " + ", ".join(known)


def suggestion(name: str, known: Iterable[str], prefix: str = "") -> str:
    """The same behind a message that lists what is known: `: did you mean …?`, or nothing.

    >>> suggestion("--sed", ["seeds"], "--"), suggestion("x", ["seeds"])
    (': did you mean --seeds?', '')
    """
    near = difflib.get_close_matches(name, list(known), n=1)
    return f": did you mean {prefix}{near[0]}?" if near else ""


def split(spec: str) -> tuple[str, dict[str, str]]:
    """Name and keys of one text; ValueError if it is not of the form `name:key=value,…` or gives a key twice.

    >>> split("cusum:arl=1000,max=0.99")
    ('cusum', {'arl': '1000', 'max': '0.99'})
    """
    name, _, rest = spec.strip().partition(":")
    pairs: dict[str, str] = {}
    for item in rest.split(",") if rest else []:
        key, equals, value = (part.strip() for part in item.partition("="))
        if not (key and equals and value):
            raise ValueError(f"a rule is written name:key=value,key=value, got {item!r} in {spec!r}")
        if key in pairs:
            raise ValueError(f"each key may be given once, got {key} twice in {spec!r}")
        pairs[key] = value
    return name, pairs


def build(kind: type[T], pairs: Mapping[str, str], spec: str) -> T:
    """The dataclass `kind` with the fields that `pairs` gives in text."""
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]  # T is always a dataclass
    hints = typing.get_type_hints(kind)
    for key in pairs:
        if key not in known:
            raise ValueError(f"{spec!r} has no key {key!r}: {nearest(key, known)}")
    missing = [n for n, f in known.items() if f.default is MISSING and f.default_factory is MISSING and n not in pairs]
    if missing:
        raise ValueError(f"{spec!r} needs {' and '.join(f'{m}=…' for m in missing)}")
    return kind(**{key: value_of(pairs[key], hints[key], key, spec) for key in pairs})


def value_of(written: str, hint: Any, key: str, spec: str) -> Any:
    """The value that `written` stands for in a field of type `hint` (int, float, bool, str, a tuple, or one of them or None)."""
    options = [a for a in typing.get_args(hint) if a is not type(None)]
    if typing.get_origin(hint) is tuple:
        entries = [] if written == "none" else written.split("/")
        return tuple(value_of(entry, options[0], key, spec) for entry in entries)
    if type(None) in typing.get_args(hint):
        return None if written == "none" else value_of(written, options[0], key, spec)
    try:
        if hint is bool:
            return {"true": True, "false": False}[written.lower()]
        if hint is int:
            return int(float(written)) if float(written).is_integer() else int(written)
        return hint(written)
    except (ValueError, KeyError, OverflowError):
        wanted = {int: "a whole number", float: "a number", bool: "true or false"}[hint]
        raise ValueError(f"{key} must be {wanted}, got {written!r} in {spec!r}") from None


def text(name: str, pairs: Mapping[str, str]) -> str:
    """`name:key=value,…`, the inverse of `split`."""
    return f"{name}:{','.join(f'{key}={value}' for key, value in pairs.items())}" if pairs else name


def changed(part: object) -> dict[str, str]:
    """The fields of a dataclass that differ from their defaults, with their values as text."""
    values = {f: getattr(part, f.name) for f in fields(part)}  # type: ignore[arg-type]  # parts are always dataclasses
    return {f.name: written(value) for f, value in values.items() if f.default is MISSING or value != f.default}


def written(value: object) -> str:
    """A value as text: shortest exact form of numbers, `/` between entries.

    >>> written(0.99), written(50000.0), written((1, 2)), written(True)
    ('0.99', '50000', '1/2', 'true')
    """
    if isinstance(value, tuple):
        return "/".join(written(v) for v in value) or "none"
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return repr(value) if isinstance(value, float) else str(value)
