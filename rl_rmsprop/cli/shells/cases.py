"""What bash and zsh read alike: for each place of the command line how many values it takes, and which."""

from __future__ import annotations

from collections.abc import Sequence

from rl_rmsprop.cli.shells.words import Values, VerbWords


def cases(verbs: Sequence[VerbWords]) -> str:
    """The branches of `case "VERB FLAG"`; they set takes (how many values; empty for any number), kind and values."""
    branches = [
        f"        {pattern(places)}) {setting(values, takes)} ;;"
        for (values, takes), places in by_values(verbs).items()
        if values != Values() or takes is not None
    ]
    return "\n".join(branches)


def by_values(verbs: Sequence[VerbWords]) -> dict[tuple[Values, int | None], list[str]]:
    """Values and how many of them → all places `VERB FLAG` that take them, and `VERB ` for those without a flag."""
    places: dict[tuple[Values, int | None], list[str]] = {}
    for verb in verbs:
        for flag in verb.flags:
            places.setdefault((flag.values, flag.takes), []).append(f"{verb.name} {flag.name}")
        places.setdefault((verb.positional, None), []).append(f"{verb.name} ")
    return places


def pattern(places: Sequence[str]) -> str:
    """The pattern of a case for these places."""
    return " | ".join(f"'{place}'" for place in places)


def setting(values: Values, takes: int | None) -> str:
    """The assignments of what can stand at a place."""
    kind = "files" if values.files else "folders" if values.folders else ""
    parts = [f"takes={takes}" if takes is not None else "", f"kind={kind}" if kind else ""]
    parts += [f"values='{' '.join(values.words)}'" if values.words else ""]
    return " ".join(filter(None, parts)) or ":"
