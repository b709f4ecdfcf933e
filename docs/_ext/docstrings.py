"""Docstrings as they are written here, plain text that is read in an editor, as reStructuredText.

    `name`                        is code, as in Markdown
    an indented block             after a blank line is an equation or a program, its lines kept as they are
    |g|, *, name_                 are what they look like

Sections such as `Args:` are napoleon's to convert, which here sees no attributes: it
would take what stands before a colon for a type.
"""

from __future__ import annotations

import re
from typing import Any

SECTIONS = re.compile(r"(Args|Returns|Raises|Yields|Attributes|Note|Example|Examples):\s*$")
ATTRIBUTES = ("attribute", "data", "property", "variable", "type")
DOCTEST = re.compile(r"\s*>>> ")
CODE = re.compile(r"(``?)(?!`)(.+?)\1(?!`)")
SPECIAL = re.compile(r"(?<![\\\w*])(\*\*?)(?=[^\s*])([^*]*[^\s*])\1(?![\w*])|[|*\\]|(?<=\w)_(?![\w])")


def setup(app: Any) -> dict[str, bool]:
    """Convert every docstring of the reference."""
    app.connect("autodoc-process-docstring", process)
    app.connect("autodoc-process-signature", without_factories)
    return {"parallel_read_safe": True}


def process(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Convert the lines of a docstring in place."""
    from sphinx.ext.napoleon import Config, GoogleDocstring  # not needed, nor there, where the conversion alone is tested

    lines[:] = converted(lines)
    if what not in ATTRIBUTES:
        lines[:] = GoogleDocstring(lines, Config(napoleon_use_rtype=False), app, what, name, thing, options).lines()


def without_factories(
    app: Any, what: str, name: str, thing: Any, options: Any, signature: str | None, returns: str | None
) -> Any:
    """A default that a dataclass makes anew for each object is written `...`, since `<factory>` is no Python."""
    return (signature.replace("<factory>", "..."), returns) if signature and "<factory>" in signature else None


def converted(lines: list[str]) -> list[str]:
    """The lines as reStructuredText."""
    result: list[str] = []
    i, in_section = 0, False
    while i < len(lines):
        line = lines[i]
        if line and not line[0].isspace():
            in_section = bool(SECTIONS.match(line))
        if DOCTEST.match(line):  # up to the next blank line
            while i < len(lines) and lines[i].strip():
                result.append(lines[i])
                i += 1
            continue
        if begins_block(lines, i) and not in_section:
            end = end_of_block(lines, i)
            result += ["", "::", "", *lines[i:end], ""]
            i = end
            continue
        result.append(inline(line))
        i += 1
    return result


def begins_block(lines: list[str], i: int) -> bool:
    """Whether an indented block begins at this line."""
    return lines[i].startswith("    ") and i > 0 and not lines[i - 1].strip()


def end_of_block(lines: list[str], i: int) -> int:
    """The first line after an indented block, blank lines at its end not counted to it."""
    end = i
    while end < len(lines) and (not lines[end].strip() or lines[end].startswith("    ")):
        end += 1
    while not lines[end - 1].strip():
        end -= 1
    return end


def inline(line: str) -> str:
    r"""A line of text: code in double backticks, and nothing that is special outside of it.

    >>> inline("`E` of |g|, *not* of detector_ or a * b")
    '``E`` of \\|g\\|, *not* of detector\\_ or a \\* b'
    """
    parts, position = [], 0
    for code in CODE.finditer(line):
        parts += [escaped(line[position : code.start()]), f"``{code[2]}``" + separator(line[code.end() : code.end() + 1])]
        position = code.end()
    return "".join([*parts, escaped(line[position:])])


def escaped(text: str) -> str:
    """Text outside code with what reStructuredText would read as markup escaped; *emphasis* stays."""
    return SPECIAL.sub(lambda found: found[0] if found[1] else f"\\{found[0]}", text)


def separator(following: str) -> str:
    """What must stand between code and a letter that follows it at once."""
    return "\\ " if following.isalnum() else ""
