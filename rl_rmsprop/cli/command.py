"""From a verb with its options back to the words that are read as it: the inverse of parsing.py."""

from __future__ import annotations

import shlex
from typing import Any

from rl_rmsprop import grammar
from rl_rmsprop.cli.fields import Option, declared, value_of


def command_line(name: str, verb: Any) -> str:
    """The command line that says what a verb does, in the order of its help and without what is a default.

    >>> from rl_rmsprop.cli.rules import Rules
    >>> command_line("rules", Rules(updates=500))
    'rl-rmsprop rules --updates 500'
    """
    words = [word for option in declared(type(verb)) for word in words_of(option, value_of(verb, option))]
    return shlex.join(["rl-rmsprop", name, *words])


def words_of(option: Option, value: Any) -> list[str]:
    """The words that give an option this value; none if it is the default."""
    if value is None or (not option.is_needed and value == option.field.default):
        return []
    if option.is_switch:
        return [option.flag] if value else [f"--no-{option.flag[2:]}"]
    words = [grammar.value_text(entry) for entry in (value if option.is_list else [value])]
    return words if option.is_positional else [option.flag, *words]
