"""Arguments that environments are made with, as text: `continuous=true`, for every environment of a study, or
`LunarLander-v3:continuous=true`, for that one alone, which wins over the former.

A value is written as in TOML: a number, true or false, a text in quotes, a list in brackets. Whatever is none of these is a text,
so that `map_name=4x4` needs no quotes. In study files they are a table, with tables of single environments inside it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from rl_rmsprop import grammar
from rl_rmsprop.storage import toml_writer
from rl_rmsprop.storage.field_types import describe

CONSTANTS = {"true": True, "false": False}


class Argument(NamedTuple):
    """One argument."""

    env_id: str  # of the environment that it is for; empty: for all
    key: str
    value: Any

    @property
    def text(self) -> str:
        """The text that `parse` reads back."""
        return f"{self.env_id}:{self.key}={written(self.value)}" if self.env_id else f"{self.key}={written(self.value)}"


def parse(text: str) -> Argument:
    """The argument that a text stands for; ValueError if it is none.

    >>> parse("gravity=-5.5"), parse("mine:Walk-v0:map_name=4x4")
    (Argument(env_id='', key='gravity', value=-5.5), Argument(env_id='mine:Walk-v0', key='map_name', value='4x4'))
    """
    name, equals, value = text.partition("=")
    env_id, _, key = name.strip().rpartition(":")
    if not equals or not key.isidentifier() or not value.strip():
        raise ValueError(f"env_kwargs must be written key=value, or Env-v1:key=value, got {text!r}: continuous=true is one")
    if value.strip() == "None":
        raise ValueError(f"env_kwargs must have values that TOML has, got {text!r}: leave {key} out for its default")
    return Argument(env_id, key, value_of(value.strip()))


def canonical(texts: Iterable[str]) -> tuple[str, ...]:
    """The same arguments, each written in the one way that others are compared with, those for all environments first.

    >>> canonical(["Ant-v5:seed=3", "size = 1.50", "name='a b'"])
    ('name=a b', 'size=1.5', 'Ant-v5:seed=3')
    """
    arguments = [parse(text) for text in texts]
    names = [(argument.env_id, argument.key) for argument in arguments]
    if twice := next((argument for argument in arguments if names.count((argument.env_id, argument.key)) > 1), None):
        raise ValueError(f"each of the env_kwargs may be given once, got {twice.key} twice: leave one of them out")
    return tuple(argument.text for argument in sorted(arguments, key=lambda argument: argument[:2]))


def kwargs_of(texts: Iterable[str], env_id: str) -> dict[str, Any]:
    """The arguments of one environment.

    >>> kwargs_of(["size=3", "Walk-v0:size=5"], "Walk-v0"), kwargs_of(["size=3", "Walk-v0:size=5"], "Run-v0")
    ({'size': 5}, {'size': 3})
    """
    arguments = [argument for text in texts if (argument := parse(text)).env_id in ("", env_id)]
    return {argument.key: argument.value for argument in sorted(arguments, key=lambda argument: argument.env_id != "")}


def of_environment(texts: Iterable[str], env_id: str) -> tuple[str, ...]:
    """The arguments of one environment, as text without its id.

    >>> of_environment(["size=3", "Walk-v0:size=5", "Run-v0:fast=true"], "Walk-v0")
    ('size=5',)
    """
    return tuple(f"{key}={written(value)}" for key, value in kwargs_of(texts, env_id).items())


def check_environments(texts: Iterable[str], env_ids: Iterable[str]) -> None:
    """ValueError for an argument of an environment that is none of these."""
    for argument in map(parse, texts):
        if argument.env_id and argument.env_id not in (known := list(env_ids)):
            nearest = grammar.nearest(argument.env_id, known)
            raise ValueError(f"env_kwargs must be of one of the environments, got {argument.env_id!r}: {nearest}")


# Values ----------------------------------------------------------------------------------------------------------------------


def value_of(text: str) -> Any:
    """What a text stands for.

    >>> [value_of(text) for text in ("3", "1e-3", "True", "'3'", "[0.7, 2]", "2020-01-01", "human")]
    [3, 0.001, True, '3', [0.7, 2], '2020-01-01', 'human']
    """
    if text.lower() in CONSTANTS:  # as Python writes them too: the text 'False' would count as true
        return CONSTANTS[text.lower()]
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return table["value"] if len(table) == 1 and is_plain(table["value"]) else text


def is_plain(value: Any) -> bool:
    """Whether a value is a number, truth value or text, or a list of them."""
    return all(map(is_plain, value)) if isinstance(value, list) else isinstance(value, (bool, int, float, str))


def written(value: Any) -> str:
    """The text that `value_of` reads back as this value: of a text itself wherever that is possible."""
    if isinstance(value, str):
        is_bare = bool(value) and value.isprintable() and value == value.strip() and value not in ("None", *CONSTANTS)
        return value if is_bare and isinstance(value_of(value), str) and value_of(value) == value else toml_writer.string(value)
    return toml_writer.value(value)


# Tables of study files -------------------------------------------------------------------------------------------------------


def from_table(table: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """The arguments in a table of a study file, in which a table inside is of one environment; `where` is for messages.

    >>> from_table({"size": 3, "Walk-v0": {"size": 5}}, "study.toml: env_kwargs")
    ('size=3', 'Walk-v0:size=5')
    """
    arguments: list[Argument] = []
    for name, entry in table.items():
        pairs = [(name, key, value) for key, value in entry.items()] if isinstance(entry, dict) else [("", name, entry)]
        for argument in pairs:
            if not is_plain(argument[2]) or not argument[1].isidentifier():
                raise ValueError(f"{where}.{argument[1]} must be a number, true, false, a text or a list, got {describe(entry)}")
            arguments.append(Argument(*argument))
    return canonical(argument.text for argument in arguments)


def to_table(texts: Iterable[str]) -> dict[str, Any]:
    """The table of a study file with these arguments."""
    arguments = list(map(parse, texts))
    table: dict[str, Any] = {argument.key: argument.value for argument in arguments if not argument.env_id}
    for argument in arguments:
        if argument.env_id:
            table.setdefault(argument.env_id, {})[argument.key] = argument.value
    return table
