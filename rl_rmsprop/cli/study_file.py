"""Study files: what `rl-rmsprop compare` is to run, in TOML.

    rl-rmsprop compare study.toml                             runs it
    rl-rmsprop compare study.toml --seeds 0-29                flags win over the file
    rl-rmsprop compare … --print-config > study.toml          writes what file and flags describe, complete

The keys are the flags with _ for -. The agent's settings are in the table `settings`, those of one environment in
`settings."CartPole-v1"`, which wins over the former. runs/example.toml shows all of it.
"""

from __future__ import annotations

import json
import re
import tomllib
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rl_rmsprop import grammar
from rl_rmsprop.cli.options import ReportOptions, RunOptions, Settings
from rl_rmsprop.storage import toml_writer

if TYPE_CHECKING:
    from rl_rmsprop.study.spec.study import Study

OF_THE_COMMAND = {"study", "print_config", "report", "run", "settings", "workers", "overwrite"}
"""Options that say how a study is run, not what it is, and groups."""
LARGEST = 1_000_000
"""Bytes of a study file; one with 10,000 seeds written one by one has 70,000."""
LARGEST_NUMBER = 2**63
"""Beyond it no whole number of a study has a meaning, and further on none can be a float or be printed."""


@dataclass(frozen=True)
class StudyFile:
    """What a study file says."""

    path: Path
    options: dict[str, Any] = field(default_factory=dict)
    """Name of an option → its value."""
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Environment → the agent's settings there; under "" those for all."""

    def settings_in(self, env_id: str) -> dict[str, Any]:
        """The agent's settings that the file gives for an environment."""
        return {**self.settings.get("", {}), **self.settings.get(env_id, {})}


# Reading -----------------------------------------------------------------------------------------------------------------


def read(path: Path, verb: type[Any]) -> StudyFile:
    """What a file says to the options of `verb`; ValueError names file, key, what is allowed, and the nearest known key."""
    content = parsed(path)
    hints = {name: hint for kind in (verb, RunOptions, ReportOptions) for name, hint in typing.get_type_hints(kind).items()}
    known = [name for name in hints if name not in OF_THE_COMMAND]
    options: dict[str, Any] = {}
    for name, value in content.items():
        if name == "settings":
            continue
        if name not in known:
            raise ValueError(f"{path} has no key {name!r}: {grammar.nearest(name, [*known, 'settings'])}")
        options[name] = converted(value, hints[name], f"{path}: {name}")
    file = StudyFile(path, options, read_settings(path, content.get("settings", {}), options.get("env", ())))
    check(file)
    return file


NESTED = re.compile(r"(\[\s*){50}")
"""The beginning of lists within lists, deeper than any study's."""


def parsed(path: Path) -> dict[str, Any]:
    """The tables of a TOML file; ValueError with the line for what cannot be read. A byte order mark and CRLF do no harm."""
    if not path.exists():
        raise ValueError(
            f"no study file {path}: rl-rmsprop compare … --print-config > {path} writes one; --env names environments"
        )
    if not path.is_file():  # to open a pipe would be to wait for whoever writes to it
        what = "a folder" if path.is_dir() else "no ordinary file"
        raise ValueError(f"a study file must be a file of TOML, {path} is {what}: --env names environments")
    if path.stat().st_size > LARGEST:
        raise ValueError(f"a study file must have at most {LARGEST:,} bytes, {path} has {path.stat().st_size:,}")
    text = ""
    try:
        text = decoded(path.read_bytes())
        if not NESTED.search(text):  # a parser that has run out of stack may have no room left to say so
            return tomllib.loads(text)
    except RecursionError:
        pass
    except ValueError as error:
        raise ValueError(f"{path} is not TOML: {with_key(str(error), text)}") from error
    raise ValueError(f"{path} is not TOML of a study: its lists are nested too deeply")


def decoded(data: bytes) -> str:
    """UTF-8 bytes as text with bare line ends; ValueError names byte and line that are not UTF-8."""
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"byte 0x{data[error.start]:02x} (at line {line}) is not UTF-8: save it as UTF-8") from None


def with_key(message: str, text: str) -> str:
    r"""The parser's message; where it is about a key that is given twice, which one.

    >>> with_key("Cannot overwrite a value (at line 3, column 5)", "lr=1\neps=1\nlr=2\n")
    'key lr is given twice, the second time at line 3'
    """
    if not message.startswith("Cannot overwrite a value"):
        return message
    lines = text.splitlines()
    place = re.search(r"at line (\d+)", message)  # where the value ends: of a list that may be lines below its key
    number = int(place[1]) if place else len(lines)
    while number > 1 and not re.match(r"\s*(\[|[^#]*=)", lines[number - 1]):
        number -= 1
    key = lines[number - 1].partition("=")[0].strip(" \t[]")
    return f"key {key} is given twice, the second time at line {number}"


def read_settings(path: Path, table: Any, env_ids: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """The table `settings`, cut into those for all environments and those for one."""
    if not isinstance(table, dict):
        raise ValueError(f"{path}: settings must be a table such as [settings], got {shown(table)}")
    hints = typing.get_type_hints(Settings)
    found: dict[str, dict[str, Any]] = {"": {}}
    for name, value in table.items():
        if isinstance(value, dict):
            if env_ids and name not in env_ids:
                raise ValueError(f"{path}: settings has no environment {name!r}: {grammar.nearest(name, env_ids)}")
            own = value.items()
            where = f"settings.{toml_writer.key(name)}"
            found[name] = {key: setting(path, where, key, v, hints) for key, v in own}
        else:
            found[""][name] = setting(path, "settings", name, value, hints)
    return found


def setting(path: Path, where: str, name: str, value: Any, hints: dict[str, Any]) -> Any:
    """One setting of the agent."""
    if name not in hints:
        raise ValueError(f"{path}: {where} has no key {name!r}: {grammar.nearest(name, hints)}")
    return converted(value, hints[name], f"{path}: {where}.{name}")


def converted(value: Any, hint: Any, where: str) -> Any:
    """The value as a field of type `hint` takes it; ValueError says what must stand at `where`."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return converted(value, next(kind for kind in typing.get_args(hint) if kind is not type(None)), where)
    if typing.get_origin(hint) is tuple:
        entries = value if isinstance(value, list) else [value]
        return tuple(converted(entry, typing.get_args(hint)[0], where) for entry in entries)
    if typing.get_origin(hint) is typing.Literal:
        allowed = typing.get_args(hint)
        if value not in allowed:
            raise ValueError(f"{where} must be {' or '.join(allowed)}, got {shown(value)}")
        return value
    if hint is str and isinstance(value, list) and all(is_whole(entry) for entry in value):
        return ",".join(map(str, value))  # seeds
    wanted, fits, make = KINDS[hint]
    if not fits(value) or (is_whole(value) and abs(value) > LARGEST_NUMBER):
        raise ValueError(f"{where} must be {wanted}, got {shown(value)}")
    return make(value)


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether a value is a number."""
    return is_whole(value) or isinstance(value, float)


def is_text(value: Any) -> bool:
    """Whether a value is a text, or a bare number that stands for one, such as a β."""
    return isinstance(value, str) or is_number(value)


def is_truth(value: Any) -> bool:
    """Whether a value is true or false."""
    return isinstance(value, bool)


KINDS: dict[Any, tuple[str, Callable[[Any], bool], Callable[[Any], Any]]] = {
    bool: ("true or false", is_truth, bool),
    int: ("a whole number", is_whole, int),
    float: ("a number", is_number, float),
    str: ("a text in quotes", is_text, str),
    Path: ("a text in quotes", lambda value: isinstance(value, str), Path),
}
"""Type of an option → what it must be, which values are that, and how it is made of them."""


def shown(value: Any) -> str:
    """A value as TOML has it, where that is short."""
    if is_whole(value) and abs(value) > LARGEST_NUMBER:
        return "a number beyond 2⁶³"
    try:
        return toml_writer.value(value)
    except (TypeError, ValueError):
        named = "a table" if isinstance(value, dict) else "a list"
        return named if isinstance(value, (dict, list)) else json.dumps(value, default=str)


def check(file: StudyFile) -> None:
    """ValueError naming file and key for whatever does not stand for what its key is about."""
    import envs
    from envs.shifts.shift import parse_all
    from rl_rmsprop.study.spec import presets
    from rl_rmsprop.study.spec.arms import make_arm
    from rl_rmsprop.study.spec.seeds import parse_seeds

    checks: dict[str, Callable[[Any], object]] = {
        "env": lambda env_id: envs.check_env_id(env_id),
        "betas": lambda text: text if "@" in text else make_arm(text),
        "baselines": lambda name: make_arm(name, baseline=True),
        "seeds": parse_seeds,
        "tune_seeds": parse_seeds,
        "shift": parse_all,
    }
    for name, examine in checks.items():
        given = file.options.get(name, ())
        for value in [given] if isinstance(given, str) else given:
            with place(f"{file.path}: {name}"):
                examine(value)
    agent = file.options.get("agent", RunOptions.agent)
    for env_id in dict.fromkeys([*file.settings, *file.options.get("env", ())]):
        own = f".{toml_writer.key(env_id)}" if file.settings.get(env_id) and env_id else ""
        with place(f"{file.path}: settings{own}"):
            presets.make_agent(agent, env_id, file.settings_in(env_id))


@contextmanager
def place(where: str) -> Iterator[None]:
    """A ValueError from inside gets the place in the file put before it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


# Writing -----------------------------------------------------------------------------------------------------------------


def written(study: Study, report: ReportOptions) -> str:
    """A study and how it is reported as the text of a study file: every choice, every default, all settings of the agent."""
    from rl_rmsprop.study.spec.seeds import written_seeds

    tuning: dict[str, Any] = {"tune": study.tune} if study.tune else {}
    tuning |= {"match_update_rms": study.match_update_rms} if study.match_update_rms else {}
    tuning |= {"tune_seeds": written_seeds(study.tune_seeds)} if tuning else {}
    options = study.options
    table: Mapping[str, Any] = {
        "env": study.env_ids,
        "betas": [arm.text for arm in study.arms if not arm.is_baseline],
        "baselines": [arm.text for arm in study.arms if arm.is_baseline],
        "seeds": written_seeds(study.seeds),
        "steps": options.steps,
        "shift": options.shift,
        **tuning,
        "agent": options.agent,
        "bias_correction": options.bias_correction,
        "eps": options.eps,
        "eval_episodes": options.eval_episodes,
        "record_signals": options.record_signals,
        "backend": options.backend,
        "device": options.device,
        "metric": report.metric,
        **({"baseline": report.baseline} if report.baseline is not None else {}),
        "threshold": report.threshold,
        "out": study.folder.as_posix(),
        "settings": {env_id: asdict(agent) for env_id, agent in zip(study.env_ids, study.agents, strict=True)},
    }
    return f"# rl-rmsprop compare THIS_FILE\n{toml_writer.write(table)}"
