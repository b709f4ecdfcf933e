"""From Python's values to the values of the command line's options: numbers, rules, ranges and mappings instead of words.

value of an argument → plain numbers, texts, lists and tables → the option's value, as from a study file
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rl_rmsprop import grammar
from rl_rmsprop.cli.compare import Compare
from rl_rmsprop.cli.fields import Option, declared, with_values
from rl_rmsprop.cli.options import Settings, WorkerOptions
from rl_rmsprop.cli.parsing import SYNONYMS
from rl_rmsprop.cli.study_file import value_of_key
from rl_rmsprop.study.spec.seeds import written_seeds

if TYPE_CHECKING:
    from rl_rmsprop.rules import Rule
    from rl_rmsprop.schedules import Schedule

    BetaRule = float | str | Rule | Schedule
    """A number, a text as on the command line, or a rule as an object."""

NOT_HERE = ("study", "print_config", "dry_run")
"""Options of `rl-rmsprop compare` that only make sense on a command line."""

OPTIONS: dict[str, Option] = {option.name: option for option in declared(Compare) if option.name not in NOT_HERE}
"""Name of an argument → the option that it is, the agent's settings among them."""
SETTINGS = tuple(name for name, option in OPTIONS.items() if option.owner is Settings)
WORKER_OPTIONS = {option.name: option for option in declared(WorkerOptions) if option.name not in NOT_HERE}


def compare_options(arguments: Mapping[str, Any], settings: Mapping[str, Any]) -> Compare:
    """The options of `rl-rmsprop compare` that say the same as these arguments.

    TypeError for a name that there is not, with the nearest one; ValueError for a value that the option cannot have.
    """
    check_names("compare", settings, SETTINGS, OPTIONS)
    given = {name: value for name, value in {**arguments, **settings}.items() if name not in SETTINGS or value is not None}
    return with_values(Compare(), {name: option_value(OPTIONS[name], value) for name, value in given.items()})


def worker_options(arguments: Mapping[str, Any]) -> WorkerOptions:
    """How the work is done, from arguments; TypeError and ValueError as above."""
    check_names("resume", arguments, WORKER_OPTIONS, WORKER_OPTIONS)
    options = WorkerOptions(**{name: option_value(WORKER_OPTIONS[name], value) for name, value in arguments.items()})
    options.check()
    return options


def check_names(function: str, names: Iterable[str], allowed: Iterable[str], known: Iterable[str]) -> None:
    """TypeError for the first name that is not allowed, with the nearest known one."""
    allowed = list(allowed)
    for name in names:
        if name not in allowed:
            synonym = SYNONYMS.get(name.replace("_", "-"), name).replace("-", "_")
            same = next((other for other in (synonym, f"{synonym}s") if other in known), None)
            remedy = f"did you mean {same}?" if same else grammar.nearest(name, known)
            raise TypeError(f"{function}() has no argument {name!r}: {remedy}")


@contextmanager
def in_arguments() -> Iterator[None]:
    """A ValueError from inside speaks of arguments where it speaks of flags: `shift` instead of --shift."""
    try:
        yield
    except ValueError as error:
        error.args = tuple(with_arguments(text) if isinstance(text, str) else text for text in error.args)
        raise


def with_arguments(text: str) -> str:
    """A message of the command line's in Python's words.

    >>> with_arguments("oracle needs an environment that changes: give --shift, or --tune-seeds 3")
    'oracle needs an environment that changes: give `shift`, or `tune_seeds` 3'
    """
    flags = {option.flag: name for name, option in OPTIONS.items()}
    return re.sub(r"--[a-z][a-z-]*", lambda flag: f"`{flags[flag[0]]}`" if flag[0] in flags else flag[0], text)


def option_value(option: Option, value: Any) -> Any:
    """The value of an option from that of an argument; ValueError, or TypeError for what has no text."""
    value = CONVERTERS.get(option.name, lambda entry: entry)(value)
    if option.is_list and not isinstance(value, Mapping):
        value = [plain(entry) for entry in entries(value)]
    return value_of_key(plain(value), option, option.name)


def plain(value: Any) -> Any:
    """Numbers of NumPy and torch as Python's, paths as texts, sequences as lists, mappings as dicts."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    value = grammar.plain(value)
    return [plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def entries(value: Any) -> list[Any]:
    """The entries of a list, tuple, range, set or array; of anything else a list of it."""
    if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable) or getattr(value, "ndim", 1) == 0:
        return [value]
    return list(value)


# Arguments that need more than that ---------------------------------------------------------------------------------------


def each(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The conversion of a list, entry by entry."""
    return lambda value: [convert(entry) for entry in entries(value)]


def rule_text(value: Any) -> Any:
    """The text of a β rule that is an object of `schedules`, `detectors`, `laws` or `Adaptive`; all else unchanged.

    >>> from rl_rmsprop import Adaptive, schedules
    >>> rule_text(Adaptive(schedule=schedules.Harmonic(max=0.9))), rule_text(0.99), rule_text("cusum")
    ('cusum:max=0.9', 0.99, 'cusum')
    """
    value = grammar.plain(value)
    if value is None or isinstance(value, (str, bool, int, float, tuple)):
        return value
    from rl_rmsprop import rules  # imports torch, as whoever has made the rule has done

    try:
        rule = rules.as_rule(value)
    except TypeError:
        kind = type(value).__name__
        remedy = "put it into rl_rmsprop.Adaptive(…)" if hasattr(value, "usual_reaction") else "see rl_rmsprop.rules"
        raise TypeError(f"a β rule must be a number, a text, a schedule, a law or an Adaptive, got {kind}: {remedy}") from None
    return rules.text(rule)


def seeds_text(value: Any) -> Any:
    """Seeds in the shortest form that the command line has for them; ValueError for a bare number, which could mean two things.

    >>> seeds_text(range(10)), seeds_text([3, 5, 4]), seeds_text("0-9")
    (['0-9'], ['3', '5', '4'], '0-9')
    """
    value = grammar.plain(value)
    if isinstance(value, (int, float)):
        raise ValueError(
            f"seeds must be a range or a list, got {value}: range({value}) for so many runs, [{value}] for that seed"
        )
    numbers = entries(value)
    if isinstance(value, str) or not all(type(grammar.plain(number)) is int for number in numbers):
        return value
    return written_seeds([grammar.plain(number) for number in numbers]).split(",") if numbers else []


def shift_text(value: Any) -> Any:
    """The text of a shift that is an `envs.Shift`; all else unchanged."""
    from envs.shifts import shift  # imports Gymnasium

    return shift.text(value) if isinstance(value, shift.Shift) else value


def step_size_text(value: Any) -> Any:
    """The text of a step-size rule; None is none."""
    if value is None or isinstance(value, str):
        return value or "none"
    from rl_rmsprop import step_sizes

    return step_sizes.text(value)


def wrapper_text(value: Any) -> Any:
    """A wrapper's class as module:Class; all else unchanged."""
    return f"{value.__module__}:{value.__qualname__}" if isinstance(value, type) else value


def pairs(value: Any) -> Any:
    """A mapping as texts key=value; all else unchanged."""
    return [f"{name}={grammar.plain(entry)}" for name, entry in value.items()] if isinstance(value, Mapping) else value


CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "betas": each(rule_text),
    "match_update_rms": rule_text,
    "baseline": rule_text,
    "seeds": seeds_text,
    "tune_seeds": seeds_text,
    "shift": each(shift_text),
    "lr_rule": step_size_text,
    "wrapper": each(wrapper_text),
    "threshold": pairs,
    "slurm": pairs,
}
"""Argument → what makes plain values of Python's objects."""
