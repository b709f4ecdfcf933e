"""The text form of settings: `name:key=value,key=value`, used by the command line, study files and reports alike.

A text stands for one frozen dataclass. `build` makes it from the pairs that `split` reads, `non_defaults` and `text` write it
back, so that it is read back as the same. Values are numbers, words, or lists with `/` between the entries.

    cusum:arl=50000,max=0.99      linear:start=0.5,end=0.99      piecewise:values=0.9/0.99,at=1000
"""

from __future__ import annotations

import difflib
import numbers
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

T = TypeVar("T")


# Settings -------------------------------------------------------------------------------------------------------------


class Settings:
    """Base of frozen dataclasses with a text form: fields hold plain Python values, and are validated when one is made."""

    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]  # subclasses are dataclasses
            object.__setattr__(self, field.name, plain(getattr(self, field.name)))
        self.validate()

    def validate(self) -> None:
        """ValueError for a field out of its range."""


def plain(value: Any) -> Any:
    """A real scalar of NumPy, torch or another library as a Python number, lists and tuples as tuples; all else unchanged.

    >>> import numpy as np
    >>> plain(np.float64(0.5)), plain(np.array(3)), plain([np.int64(1), 2]), plain("beta")
    (0.5, 3, (1, 2), 'beta')
    """
    if isinstance(value, (list, tuple)):
        return tuple(plain(entry) for entry in value)
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):  # NumPy's scalars and 0-d arrays, torch's 0-d tensors
        return value.item()
    if isinstance(value, numbers.Real) and not isinstance(value, (int, float)):  # a Fraction, say
        return float(value)
    return value


# Errors ---------------------------------------------------------------------------------------------------------------


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


# From text ------------------------------------------------------------------------------------------------------------


def number(text: str) -> float | None:
    """The number that a text is, None if it is none.

    >>> number(" 0.99"), number("1e3"), number("cusum")
    (0.99, 1000.0, None)
    """
    try:
        return float(text)
    except ValueError:
        return None


def split(spec: str) -> tuple[str, dict[str, str]]:
    """Name and pairs of a text; ValueError if it is not of the form `name:key=value,…` or has a key twice.

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
    """The dataclass `kind` with the fields in `pairs`; `spec` is the whole text, for messages."""
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]  # T is always a dataclass
    hints = typing.get_type_hints(kind)
    for key in pairs:
        if key not in known:
            raise ValueError(f"{spec!r} has no key {key!r}: {nearest(key, known)}")
    missing = [n for n, f in known.items() if f.default is MISSING and f.default_factory is MISSING and n not in pairs]
    if missing:
        values = [f"{m}=…" for m in missing]
        example = f"{spec}{',' if pairs else ':'}{','.join(values)}"
        raise ValueError(f"{spec!r} needs {' and '.join(values)}: write {example}")
    return kind(**{key: parse_value(pairs[key], hints[key], key, spec) for key in pairs})


def parse_value(text: str, hint: Any, key: str, spec: str) -> Any:
    """The value of a field of type `hint` (int, float, bool, str, a tuple of one of them, or one of them or None)."""
    options = [a for a in typing.get_args(hint) if a is not type(None)]
    if typing.get_origin(hint) is tuple:
        entries = [] if text == "none" else text.split("/")
        return tuple(parse_value(entry, options[0], key, spec) for entry in entries)
    if type(None) in typing.get_args(hint):
        return None if text == "none" else parse_value(text, options[0], key, spec)
    try:
        if hint is bool:
            return {"true": True, "false": False}[text.lower()]
        return whole_number(text) if hint is int else hint(text)
    except (ValueError, KeyError, OverflowError):
        wanted = {int: "a whole number", float: "a number", bool: "true or false"}[hint]
        raise ValueError(f"{key} must be {wanted}, got {text!r} in {spec!r}") from None


def whole_number(text: str) -> int:
    """The whole number that a text is, also where it is written as 1e5; ValueError if it is none."""
    try:
        return int(text)
    except ValueError:
        if not float(text).is_integer():
            raise
        return int(float(text))


# To text --------------------------------------------------------------------------------------------------------------


def text(name: str, pairs: Mapping[str, str]) -> str:
    """`name:key=value,…`, the inverse of `split`."""
    return f"{name}:{','.join(f'{key}={value}' for key, value in pairs.items())}" if pairs else name


def non_defaults(settings: object) -> dict[str, str]:
    """The fields of a dataclass that differ from their defaults, as pairs."""
    values = {f: getattr(settings, f.name) for f in fields(settings)}  # type: ignore[arg-type]  # settings are dataclasses
    return {f.name: value_text(value) for f, value in values.items() if f.default is MISSING or value != f.default}


def value_text(value: object) -> str:
    """A value as text: numbers in their shortest exact form, `/` between entries.

    >>> value_text(0.99), value_text(50000.0), value_text((1, 2)), value_text(True)
    ('0.99', '50000', '1/2', 'true')
    """
    if isinstance(value, tuple):
        return "/".join(value_text(v) for v in value) or "none"
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return repr(value) if isinstance(value, float) else str(value)
