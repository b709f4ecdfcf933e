"""What a report is made of, before it is written as Markdown or HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Heading:
    """Begins an environment (level 2) or a part of it (level 3)."""

    text: str
    level: Literal[2, 3] = 2


@dataclass(frozen=True)
class Paragraph:
    """Some sentences."""

    text: str
    kind: Literal["plain", "finding"] = "plain"


@dataclass(frozen=True)
class Cautions:
    """What to beware of, in a box."""

    items: Sequence[str]


@dataclass(frozen=True)
class Contents:
    """A list of the headings that follow, and of files beside the report."""

    files: Sequence[tuple[str, str]]
    """Path from the report's folder, and what the file holds."""


@dataclass(frozen=True)
class Table:
    """Rows of text under a header."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1
    """Columns of words on the left; the others are numbers."""
    marks: Sequence[int | None] = ()
    """For each row the place of its arm, whose colour stands before it."""


@dataclass(frozen=True)
class Picture:
    """A figure, by the name of its files without ending."""

    name: str
    caption: str


@dataclass(frozen=True)
class Items:
    """A list of remarks."""

    items: Sequence[str]


@dataclass(frozen=True)
class Code:
    """A command."""

    text: str


Block = Heading | Paragraph | Cautions | Contents | Table | Picture | Items | Code
