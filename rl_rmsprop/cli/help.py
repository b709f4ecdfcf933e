"""What `rl-rmsprop VERB --help` prints: what the verb does, examples, and its options by group."""

from __future__ import annotations

import inspect
import shutil
import textwrap
from dataclasses import fields, is_dataclass
from typing import Any

from rl_rmsprop.cli.fields import Option, declared

COLUMN = 26
"""Where explanations begin."""
WIDEST = 100


def help_text(name: str, verb: type[Any]) -> str:
    """The help of a verb, as wide as the terminal allows, at most 100 columns; 80 where there is none."""
    width = min(shutil.get_terminal_size((80, 24)).columns, WIDEST)
    options = declared(verb)
    usage = ["usage: rl-rmsprop", name, *(option.metavar for option in options if option.is_positional)]
    if any(not option.is_positional for option in options):
        usage.append("[OPTIONS]")
    first, _, more = inspect.cleandoc(verb.__doc__ or "").partition("\n\n")
    parts = [" ".join(usage), filled(first, width), *([filled(more, width)] if more else [])]
    parts += [examples(verb, width)] if getattr(verb, "EXAMPLES", ()) else []
    ungrouped = [option for option in options if not option.group]
    parts += [block("options:", ungrouped, width)] if ungrouped else []
    for entry in fields(verb):
        if is_dataclass(entry.default):
            heading = filled(type(entry.default).__doc__ or "", width).removesuffix(".") + ":"
            parts.append(block(heading, [option for option in options if option.group == entry.name], width))
    return "\n\n".join(parts)


def filled(text: str, width: int) -> str:
    """A paragraph in lines of this width."""
    return textwrap.fill(" ".join(text.split()), width, break_on_hyphens=False)


def examples(verb: type[Any], width: int) -> str:
    """The verb's examples, each with a line that says what it does."""
    lines = ["examples:"]
    for command, what in verb.EXAMPLES:
        lines += [f"  {command}", *textwrap.wrap(what, width, initial_indent="      # ", subsequent_indent="      # ")]
    return "\n".join(lines)


def block(heading: str, options: list[Option], width: int) -> str:
    """Options under a heading: what is written in the left column, what it means in the right one."""
    return "\n".join([heading, *(line for option in options for line in rows(option, width))])


def rows(option: Option, width: int) -> list[str]:
    """The lines of one option."""
    left, note = f"  {signature(option)}", f" ({option.note})" if option.note else ""
    right = textwrap.wrap(
        f"{option.doc}{note}", width, initial_indent=" " * COLUMN, subsequent_indent=" " * COLUMN, break_on_hyphens=False
    ) or [""]  # fmt: skip
    return [left + right[0][len(left) :], *right[1:]] if len(left) < COLUMN - 1 else [left, *right]


def signature(option: Option) -> str:
    """How an option is written: flag and value."""
    if option.is_positional:
        return option.metavar
    if option.is_switch:
        return option.flag if option.field.default is False else f"{option.flag}, --no-{option.flag[2:]}"
    return f"{option.flag} {option.metavar} ..." if option.is_list else f"{option.flag} {option.metavar}"
