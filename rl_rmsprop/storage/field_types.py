"""What a field of each type must be: one table for the words of a command line, for study files (TOML) and for JSON.

    words → from_words → value → convert → the field's value

A type is bool, int, float, str, Path, a Literal, a tuple of one of them, or one of them or None.
"""

from __future__ import annotations

import difflib
import json
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rl_rmsprop import grammar

LARGEST_NUMBER = 2**63
"""Beyond it no whole number of a study has a meaning, and further on none can be a float or be printed."""


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number of ordinary size, written as one or as 1e5; true and false are none."""
    if isinstance(value, float):
        return value.is_integer() and abs(value) <= LARGEST_NUMBER
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST_NUMBER


def is_number(value: Any) -> bool:
    """Whether a value is a number."""
    return isinstance(value, float) or is_whole(value)


def truth(word: str) -> bool:
    """The truth value that a word is; KeyError if it is none."""
    return {"true": True, "false": False}[word.lower()]


def whole(word: str) -> int:
    """The whole number that a word is, in digits or as 1e5; ValueError for one with a decimal point, such as 500.000."""
    if "." in word and "e" not in word.lower():
        raise ValueError
    return grammar.whole_number(word)


class Kind(NamedTuple):
    """What a field of one type must be."""

    one: str
    several: str
    fits: Callable[[Any], bool]
    """Whether a value of TOML or JSON is one."""
    from_word: Callable[[str], Any]
    """The value that a word of a command line is; ValueError, KeyError or OverflowError if it is none."""


KINDS: dict[Any, Kind] = {
    bool: Kind("true or false", "true or false", lambda value: isinstance(value, bool), truth),
    int: Kind("a whole number such as 64 or 1e5", "whole numbers such as 64 64", is_whole, whole),
    float: Kind("a number such as 0.001", "numbers such as 1 0.5", is_number, float),
    str: Kind("a text in quotes", "texts in quotes", lambda value: isinstance(value, str), str),
    Path: Kind("a text in quotes", "texts in quotes", lambda value: isinstance(value, str), Path),
}


def without_none(hint: Any) -> Any:
    """The type of a field that may also be None."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return next(kind for kind in typing.get_args(hint) if kind is not type(None))
    return hint


def entry_type(hint: Any) -> Any:
    """The type of the entries of a tuple; None for every other type."""
    hint = without_none(hint)
    return typing.get_args(hint)[0] if typing.get_origin(hint) is tuple else None


def choices(hint: Any) -> tuple[str, ...]:
    """The texts that a Literal allows; none for every other type."""
    hint = without_none(hint)
    return typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()


def wanted(hint: Any) -> str:
    """What a field of this type must be.

    >>> wanted(int | None), wanted(tuple[float, ...]), wanted(typing.Literal["cpu", "cuda"])
    ('a whole number such as 64 or 1e5', 'numbers such as 1 0.5', 'cpu or cuda')
    """
    kind = entry_type(hint) or without_none(hint)
    if choices(kind):
        return " or ".join(filter(None, (", ".join(choices(kind)[:-1]), choices(kind)[-1])))
    return KINDS[kind].several if entry_type(hint) else KINDS[kind].one


def convert(value: Any, hint: Any, where: str) -> Any:
    """A value of TOML or JSON as a field of this type takes it; ValueError says what must stand at `where`.

    >>> convert(1e5, int, "steps"), convert([64, 64], tuple[int, ...], "hidden")
    (100000, (64, 64))
    """
    if value is None and hint is not without_none(hint):
        return None
    hint = without_none(hint)
    if entry_type(hint):
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"{where} must be a list, got {describe(value)}")
        return tuple(convert(entry, entry_type(hint), where) for entry in value)
    if not (value in choices(hint) if choices(hint) else KINDS[hint].fits(value)):
        raise ValueError(f"{where} must be {wanted(hint)}, got {describe(value)}{nearest_choice(value, hint)}")
    return value if choices(hint) else hint(value)


def from_words(words: Sequence[str], hint: Any, where: str) -> Any:
    """The value that words of a command line are, as a field of this type takes it; one word unless the type is a tuple.

    >>> from_words(["1e5"], int, "--steps"), from_words(["64", "64"], tuple[int, ...], "--hidden")
    (100000, (64, 64))
    """
    kind = entry_type(hint) or without_none(hint)
    values: list[Any] = []
    for word in words:
        try:
            value = word if choices(kind) else KINDS[kind].from_word(word)
        except (ValueError, KeyError, OverflowError):
            value = None
        if not (value in choices(kind) if choices(kind) else isinstance(value, Path) or KINDS[kind].fits(value)):
            got = word if choices(kind) else " ".join(words)
            raise ValueError(f"{where} must be {wanted(hint)}, got {got!r}{nearest_choice(word, kind)}")
        values.append(value)
    return tuple(values) if entry_type(hint) else values[0]


def nearest_choice(value: Any, hint: Any) -> str:
    """The remedy for a misspelt choice: `: did you mean …?`, or nothing.

    >>> nearest_choice("PPO", typing.Literal["a2c", "ppo"]), nearest_choice("gpu", typing.Literal["cpu", "cuda"])
    (': did you mean ppo?', '')
    """
    near = difflib.get_close_matches(value.lower(), choices(hint), n=1, cutoff=0.75) if isinstance(value, str) else []
    return f": did you mean {near[0]}?" if near else ""


def describe(value: Any) -> str:
    """What a value is, in short: itself, or its kind if it is long."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, int) and abs(value) > LARGEST_NUMBER:
        return "a number beyond 2⁶³"
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):  # of a list: a number with thousands of digits, lists without end
        return "a list"
    return "a list" if isinstance(value, (list, tuple)) and len(text) > LONGEST_LIST else text[:80]


LONGEST_LIST = 40
"""Characters of a list that is shown in full."""
