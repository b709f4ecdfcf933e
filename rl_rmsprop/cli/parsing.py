"""From the words behind a verb to its options; whatever is wrong with them is a ValueError in one line.

    --flag value    --flag=value    --list a b c    --list a,b,c    --switch    --no-switch    --switch false

Options may stand in any order, each once; _ is as good as - in a flag. Only values that are β rules, changes of an environment or
detectors are never split at commas, which belong to their text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from rl_rmsprop import grammar
from rl_rmsprop.cli.fields import Option, declared, with_values
from rl_rmsprop.cli.help import help_text
from rl_rmsprop.storage import field_types

SYNONYMS = {
    "learning-rate": "lr", "step-size": "lr", "alpha": "beta", "discount": "gamma", "algo": "agent", "algorithm": "agent",
    "environment": "env", "env-id": "env", "timesteps": "steps", "total-timesteps": "steps", "num-envs": "n-envs",
    "num-steps": "n-steps", "epochs": "n-epochs", "update-epochs": "n-epochs", "clip-coef": "clip-range", "epsilon": "eps",
    "optim": "optimizer", "rule": "beta", "rules": "betas", "output": "out", "output-dir": "out", "log-dir": "out",
    "jobs": "workers", "cores": "workers", "processes": "workers", "num-workers": "workers", "force": "overwrite",
    "gpu": "device", "shifts": "shift", "n-episodes": "episodes", "entropy-coef": "ent-coef", "num-seeds": "seeds",
    "n-seeds": "seeds", "config": "study", "file": "study", "folder": "dir", "logdir": "dir",
}  # fmt: skip
"""What other programs call an option → its name here."""


class TypedOption(NamedTuple):
    """An option as it was typed."""

    flag: str  # without dashes; empty for the words before the first option
    words: list[str]
    has_equals: bool = False  # whether the first word stood behind a =


def read_options(name: str, verbs: Mapping[str, type[Any]], words: Sequence[str]) -> Any:
    """The verb `name` with its options; prints the help and raises SystemExit if that is asked for."""
    verb = verbs[name]
    if {"-h", "--help"} & set(words):
        print(help_text(name, verb))
        raise SystemExit(0)
    base, rest = verb.begin(words) if hasattr(verb, "begin") else (None, list(words))
    typed = split_flags(name, rest)
    options = check_flags(name, verbs, typed[1:])
    values: dict[str, Any] = {}
    left = list(typed[0].words)
    behind: dict[str, Option] = {}
    for option, entry in zip(options, typed[1:], strict=True):
        values[option.name], extra = take(option, entry)
        left += extra
        behind |= dict.fromkeys(extra, option)
    values |= positionals(name, verb, left, behind)
    if base is None:
        needed = {option.name: values.pop(option.name) for option in declared(verb) if option.is_needed}
        base = verb(**needed)
    return with_values(base, values)


def split_flags(name: str, words: Sequence[str]) -> list[TypedOption]:
    """The words by the flag before them; those without a flag come first."""
    typed = [TypedOption("", [])]
    for word in words:
        if word.startswith("--"):
            flag, equals, value = word[2:].partition("=")
            typed.append(TypedOption(flag.replace("_", "-"), [value] if equals else [], bool(equals)))
        elif word.startswith("-") and word[1:2].isalpha() and grammar.number(word) is None:
            raise ValueError(f"options begin with two dashes, got {word}: rl-rmsprop {name} --help lists them")
        else:
            typed[-1].words.append(word)
    return typed


def check_flags(name: str, verbs: Mapping[str, type[Any]], typed: Sequence[TypedOption]) -> list[Option]:
    """The options that the flags name; ValueError for one that the verb does not have or that is given twice."""
    known = flags(verbs[name])
    options: list[Option] = []
    for entry in typed:
        if entry.flag not in known:
            raise ValueError(f"rl-rmsprop {name} has no option --{entry.flag}{remedy(entry.flag, name, verbs)}")
        if known[entry.flag] in options:
            several = ": write all its values after one flag" if known[entry.flag].is_list else ""
            raise ValueError(f"each option may be given once, got {known[entry.flag].flag} twice{several}")
        options.append(known[entry.flag])
    return options


def flags(verb: type[Any]) -> dict[str, Option]:
    """Flags of a verb, without dashes: its options, and `no-` before its switches."""
    options = [option for option in declared(verb) if not option.is_positional]
    return {option.flag[2:]: option for option in options} | {
        f"no-{option.flag[2:]}": option for option in options if option.is_switch
    }


def remedy(flag: str, name: str, verbs: Mapping[str, type[Any]]) -> str:
    """What to do about a flag that the verb does not have."""
    known = flags(verbs[name])
    for synonym in (SYNONYMS.get(flag), f"{SYNONYMS.get(flag, flag)}s", SYNONYMS.get(flag, flag).removesuffix("s")):
        if synonym in known:
            return f": did you mean --{synonym}?"
    for option in declared(verbs[name]):
        if option.is_positional and option.name in (flag, SYNONYMS.get(flag)):
            return f": {option.metavar.strip('[]')} is written without a flag, after rl-rmsprop {name}"
    others = [other for other, verb in verbs.items() if flag in flags(verb)]
    if others:
        return f": rl-rmsprop {' and '.join(others)} {'has' if len(others) == 1 else 'have'} it"
    return grammar.suggestion(flag, known, "--") or f": rl-rmsprop {name} --help lists its options"


def take(option: Option, typed: TypedOption) -> tuple[Any, list[str]]:
    """The value of an option, and the words behind it that are not its own."""
    words = typed.words
    if option.is_switch:
        if typed.flag.startswith("no-") and option.flag != f"--{typed.flag}":
            if typed.has_equals:
                raise ValueError(f"--{typed.flag} takes no value, got {words[0]!r}: write {option.flag} {words[0]}")
            return False, words
        if typed.has_equals or (words and words[0].lower() in ("true", "false")):
            return field_types.from_words(words[:1], option.hint, option.flag), words[1:]
        return True, words
    if not words and not option.is_list:
        raise ValueError(f"{option.flag} needs a value: {option.flag} {option.metavar}")
    if option.commas_inside and not option.is_table:
        check_joined(words, option)
        check_separate(words if option.is_list else words[:1], option)
    if not option.is_list:
        return field_types.from_words(words[:1], option.hint, option.flag), words[1:]
    values = words if option.commas_inside or option.is_table else [part for word in words for part in word.split(",")]
    return field_types.from_words(values, option.hint, option.flag), []


def positionals(name: str, verb: type[Any], words: list[str], behind: Mapping[str, Option]) -> dict[str, Any]:
    """The values without a flag; `behind` maps a word to the option before it."""
    options = [option for option in declared(verb) if option.is_positional and not hasattr(verb, "begin")]
    values: dict[str, Any] = {}
    for option in options:
        if option.is_list:
            values[option.name], words = field_types.from_words(words, option.hint, option.metavar), []
        elif words:
            values[option.name], words = field_types.from_words(words[:1], option.hint, option.metavar), words[1:]
        elif option.is_needed:
            raise ValueError(f"rl-rmsprop {name} needs {option.metavar}: {option.doc[:1].lower()}{option.doc[1:].rstrip('.')}")
    if not words:
        return values
    if words[0] in behind:
        option = behind[words[0]]
        takes = "takes no value but true or false" if option.is_switch else "takes one value"
        also = f": {option.instead}" if option.instead else ""
        raise ValueError(f"{option.flag} {takes}, got {words[0]!r}{'' if option.is_switch else ' as well'}{also}")
    one = f"one {options[0].metavar.strip('[]')}" if options else "options only"
    example = ", as in --env CartPole-v1" if "env" in flags(verb) else ""
    raise ValueError(f"rl-rmsprop {name} takes {one}, got {words[0]!r}: values follow their option{example}")


# Commas --------------------------------------------------------------------------------------------------------------------


def separate(text: str) -> list[str]:
    """The texts in a comma-separated one: `key=value` belongs to the text before it.

    >>> separate("0.9,cusum:arl=100,max=0.99,linear:start=0,end=0.9")
    ['0.9', 'cusum:arl=100,max=0.99', 'linear:start=0,end=0.9']
    """
    parts: list[str] = []
    if any(":" in piece and "=" not in piece for piece in text.split(",")):
        return [text]  # not a valid text: its own parser names the fault better
    for piece in text.split(","):
        key, equals, _ = piece.partition("=")
        if parts and equals and ":" not in key:
            parts[-1] += f",{piece}"
        else:
            parts.append(piece)
    return parts


def check_separate(texts: Iterable[str], option: Option) -> None:
    """ValueError for a value that is several ones with commas between them."""
    parts = [[part.strip(" []()'\"") for part in separate(text)] for text in texts]
    if all(len(entry) == 1 for entry in parts):
        return
    flat = [part for entry in parts for part in entry if part]
    if option.is_list:
        raise ValueError(
            f"{option.flag} takes values that may contain commas, so separate them with spaces: {option.flag} {' '.join(flat)}"
        )
    also = f": {option.instead}" if option.instead else ""
    raise ValueError(f"{option.flag} takes one value, got {' and '.join(flat)}{also}")


def check_joined(words: Sequence[str], option: Option) -> None:
    """ValueError for a text whose keys stand apart: `cusum:arl=9 max=0.9`."""
    for text, key in pairwise(words):
        if ":" in text and re.match(r"[a-z_.]+=", key):
            joined = f"{text.rstrip(',')},{key}"
            raise ValueError(
                f"keys of one text are joined by commas without spaces, got {key!r} apart: write {option.flag} {joined}"
            )
