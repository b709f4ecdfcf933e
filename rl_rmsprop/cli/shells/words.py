"""What can stand where on the command line, by verb: the same for all shells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_rmsprop.cli.environment_ids import gymnasium_ids, tuned_ids
from rl_rmsprop.cli.fields import Option, declared
from rl_rmsprop.storage import field_types
from rl_rmsprop.study.spec.names import BASELINE_NAMES, DETECTOR_NAMES, RULE_NAMES, STEP_SIZE_NAMES


@dataclass(frozen=True)
class Values:
    """What can be the value of an option."""

    words: tuple[str, ...] = ()
    """Texts that are suggested."""
    files: bool = False
    """Files are suggested too, and folders."""
    folders: bool = False
    """Folders are suggested too."""


@dataclass(frozen=True)
class Flag:
    """An option as it is written."""

    name: str
    """With its dashes."""
    doc: str
    """The first sentence of its explanation."""
    takes: int | None
    """How many values: 0, 1, or None for several."""
    values: Values


@dataclass(frozen=True)
class VerbWords:
    """What can stand behind a verb."""

    name: str
    doc: str
    flags: tuple[Flag, ...]
    positional: Values


def verb_words(verbs: Mapping[str, type[Any]]) -> list[VerbWords]:
    """What can stand behind each verb; imports gymnasium for the ids of its environments."""
    known = known_values()
    return [words_of(name, verb, known) for name, verb in verbs.items()]


def known_values() -> dict[str, tuple[str, ...]]:
    """Option → texts that are its usual values."""
    of_rules = dict.fromkeys(("beta", "betas", "rules", "match_update_rms"), RULE_NAMES)
    of_optimizers = dict.fromkeys(("optimizer", "baselines"), BASELINE_NAMES)
    environments = tuple(dict.fromkeys([*tuned_ids(), *gymnasium_ids()]))
    return {**of_rules, **of_optimizers, "env": environments, "detectors": DETECTOR_NAMES, "lr_rule": STEP_SIZE_NAMES}


def words_of(name: str, verb: type[Any], known: dict[str, tuple[str, ...]]) -> VerbWords:
    """What can stand behind one verb."""
    options = declared(verb)
    places = [values_of(option, known) for option in options if option.is_positional]
    flags = [flag for option in options if not option.is_positional for flag in flags_of(option, known)]
    flags.append(Flag("--help", "Explain the verb and its options.", 0, Values()))
    return VerbWords(name, sentence(verb.__doc__ or ""), tuple(flags), any_of(places))


def any_of(places: Sequence[Values]) -> Values:
    """What can stand at any of some places.

    >>> any_of([Values(("page",)), Values(folders=True)])
    Values(words=('page',), files=False, folders=True)
    """
    words = tuple(word for place in places for word in place.words)
    return Values(words, any(place.files for place in places), any(place.folders for place in places))


def flags_of(option: Option, known: dict[str, tuple[str, ...]]) -> list[Flag]:
    """How an option is written: in one way, or as a switch that is on by itself in two."""
    doc = sentence(option.doc)
    if not option.is_switch:
        return [Flag(option.flag, doc, None if option.is_list else 1, values_of(option, known))]
    names = [option.flag] if option.field.default is False else [option.flag, f"--no-{option.flag[2:]}"]
    return [Flag(name, doc, 0, Values()) for name in names]


def values_of(option: Option, known: dict[str, tuple[str, ...]]) -> Values:
    """What can be the value of an option, by its type, its name, or whether it is a path."""
    kind = field_types.entry_type(option.hint) or field_types.without_none(option.hint)
    words = field_types.choices(kind) or known.get(option.name, ())
    is_file = "STUDY" in option.metavar or option.metavar == "FILE"
    return Values(tuple(words), files=is_file, folders=isinstance(kind, type) and issubclass(kind, Path) and not is_file)


def sentence(text: str) -> str:
    """The first sentence, in one line.

    >>> sentence("What is trained. And how long.")
    'What is trained.'
    """
    first, stop, _ = " ".join(text.split()).partition(". ")
    return first + stop.strip()
