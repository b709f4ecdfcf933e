"""The command line's verbs and options, and the keys of study files, from the dataclasses that the parser reads them from."""

from __future__ import annotations

import inspect
from dataclasses import fields, is_dataclass
from typing import Any

from rl_rmsprop.cli.compare import Compare
from rl_rmsprop.cli.fields import Option, declared
from rl_rmsprop.cli.help import signature
from rl_rmsprop.cli.options import Settings
from rl_rmsprop.cli.study_file import keys_of
from rl_rmsprop.cli.verbs import VERBS


def verbs() -> str:
    """A section for each verb: what it does, examples, and its options by group.

    Options that several verbs share in one group are listed where they come first.
    """
    parts, seen = [], dict[type[Any], str]()
    for name, verb in VERBS.items():
        parts += [f"({anchor(name)})=\n## {name}\n", prose(verb), examples(verb)]
        own = [option for option in declared(verb) if not option.group]
        parts += [options(own)] if own else []
        for entry in fields(verb):
            kind = type(entry.default)
            if not is_dataclass(entry.default):
                continue
            heading = " ".join((kind.__doc__ or "").split()).removesuffix(".")
            if kind in seen:
                parts.append(f"**{heading}**: as for [`{seen[kind]}`](#{anchor(seen[kind])}).\n")
            else:
                seen[kind] = name
                parts.append(f"**{heading}**\n\n{options([o for o in declared(verb) if o.group == entry.name])}")
    return "\n".join(parts)


def anchor(verb: str) -> str:
    """The name of a verb's section."""
    return f"verb-{verb}"


def prose(verb: type[Any]) -> str:
    """What a verb does, from its docstring."""
    return inspect.cleandoc(verb.__doc__ or "") + "\n"


def examples(verb: type[Any]) -> str:
    """A verb's examples, each under a line that says what it does."""
    lines = [line for command, what in getattr(verb, "EXAMPLES", ()) for line in (f"# {what}", command)]
    return "\n".join(["```bash", *lines, "```\n"]) if lines else ""


def options(entries: list[Option]) -> str:
    """Options as a list of definitions."""
    return "\n".join(f"`{signature(option)}`\n: {sentence(option)}\n" for option in entries)


def sentence(option: Option) -> str:
    """What an option means, and its default."""
    note = f" ({option.note})" if option.note else ""
    return f"{escaped(option.doc)}{escaped(note)}" or "–"


def escaped(text: str) -> str:
    """Text in which nothing is markup but code."""
    parts = text.split("`")
    parts[::2] = [part.replace("*", "\\*").replace("_", "\\_").replace("<", "&lt;").replace("[", "\\[") for part in parts[::2]]
    return "`".join(parts)


def study_file_keys() -> str:
    """The keys of a study file, and those of its table `settings`."""
    keys = [f"`{option.name}`\n: {sentence(option)}\n" for option in keys_of(declared(Compare))]
    settings = ", ".join(f"`{option.name}`" for option in declared(Settings))
    return "\n".join([*keys, f'`[settings]`, `[settings."ENVIRONMENT"]`\n: The agent\'s settings: {settings}.\n'])
