"""From the words behind a verb to its options; whatever is wrong with them is a ValueError in one line."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

import tyro

from rl_rmsprop import grammar


def read_options(name: str, verb: type[Any], words: Sequence[str]) -> Any:
    """The verb with its options; prints the help and raises SystemExit if that is asked for."""
    default, rest = verb.begin(words) if hasattr(verb, "begin") else (None, list(words))
    if not {"-h", "--help"} & set(rest):
        check_flags(name, verb, rest)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            return tyro.cli(verb, args=rest, prog=f"rl-rmsprop {name}", default=default)
    except SystemExit as stop:
        if stop.code in (None, 0):  # --help
            print(said.getvalue(), end="")
            raise SystemExit(0) from None
        raise ValueError(f"{complaint(verb, rest, said.getvalue())}; rl-rmsprop {name} --help explains the options") from None


def complaint(verb: type[Any], rest: Sequence[str], said: str) -> str:
    """What the parser's message says in one line; values of the wrong type in words of our own."""
    words = " ".join(re.sub(r"[╭╮╰╯│─]+|-{4,}", " ", said).split())
    wrong = re.search(r"Error parsing --([\w-]+):", words)
    if wrong:
        kind = str(options(verb)[wrong[1]].type)
        wanted = next(what for name, what in KINDS.items() if name in kind)
        return f"--{wrong[1]} must be {wanted}, got {' '.join(dict(typed(rest))[wrong[1]])!r}"
    text = re.split(r" (?:Argument helptext|For full helptext)", words)[0]
    return re.sub(r"^(?:Value error|Invalid choice|Missing argument|Unrecognized options) (?=\S)", "", text).rstrip(".")


KINDS = {
    "tuple[float": "numbers such as 1 0.5",
    "tuple[int": "whole numbers such as 64 64",
    "float": "a number such as 0.001",
    "int": "a whole number written in digits",
}
"""Part of an option's type → what its value must be."""


def check_flags(name: str, verb: type[Any], rest: Sequence[str]) -> None:
    """ValueError for an option that the verb does not have or that is given twice, or a folder that is missing."""
    known = options(verb)
    negated = {f"no-{flag}": flag for flag, field in known.items() if field.type == "bool"}
    seen: set[str] = set()
    for flag, _ in typed(rest)[1:]:
        if flag not in known and flag not in negated:
            raise ValueError(f"rl-rmsprop {name} has no option --{flag}{grammar.suggestion(flag, [*known, *negated], '--')}")
        flag = negated.get(flag, flag)
        if flag in seen:  # the parser would drop all but the last without a word
            several = ": write its values behind one another" if "tuple" in str(known[flag].type) else ""
            raise ValueError(f"each option may be given once, got --{flag} twice{several}")
        seen.add(flag)
    needed = [f.name for f in fields(verb) if f.default is MISSING and f.default_factory is MISSING]
    if needed and not any(values for _, values in typed(rest)):
        raise ValueError(f"rl-rmsprop {name} needs {' and '.join(n.upper() for n in needed)}: the study's folder")


def options(verb: type[Any]) -> dict[str, Field[Any]]:
    """A verb's options by name, those of its groups included."""
    found: dict[str, Field[Any]] = {}
    for field in fields(verb):
        found |= options(type(field.default)) if is_dataclass(field.default) else {field.name.replace("_", "-"): field}
    return found


def typed(rest: Sequence[str]) -> list[tuple[str, list[str]]]:
    """The options as they were typed, each with the words behind it; those before the first one stand under ''."""
    found: list[tuple[str, list[str]]] = [("", [])]
    for word in rest:
        if word.startswith("--"):
            flag, equals, value = word[2:].partition("=")
            found.append((flag.replace("_", "-"), [value] if equals else []))
        else:
            found[-1][1].append(word)
    return found
