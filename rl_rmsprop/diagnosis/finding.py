"""One line of a diagnosis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """What was found out about one subject."""

    subject: str
    level: Level
    """ok; note, what works but is slower or less than it could be; problem, what will not work."""
    text: str
    remedy: str = ""
    """What to do about a note or a problem."""


def ok(subject: str, text: str) -> Finding:
    """All is well."""
    return Finding(subject, "ok", text)


def note(subject: str, text: str, remedy: str) -> Finding:
    """It works, but it could be better."""
    return Finding(subject, "note", text, remedy)


def problem(subject: str, text: str, remedy: str) -> Finding:
    """It will not work."""
    return Finding(subject, "problem", text, remedy)
