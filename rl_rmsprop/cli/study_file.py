"""Study files: what `rl-rmsprop compare` is to run, in TOML.

    rl-rmsprop compare study.toml                             runs it
    rl-rmsprop compare study.toml --seeds 0-29                flags win over the file
    rl-rmsprop compare … --print-config > study.toml          writes what file and flags describe, complete

The keys are the flags with _ for -. The agent's settings are in the table `settings`, those of one environment in
`settings."CartPole-v1"`, which wins over the former; arguments of environments are in `env_kwargs` in the same way.
runs/example.toml shows all of it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rl_rmsprop import grammar
from rl_rmsprop.cli.fields import Option, declared
from rl_rmsprop.cli.options import ReportOptions, Settings
from rl_rmsprop.cli.parsing import separate
from rl_rmsprop.storage import field_types, toml_writer
from rl_rmsprop.storage.field_types import describe
from rl_rmsprop.study.spec import env_kwargs
from rl_rmsprop.study.spec.seeds import written_seeds

if TYPE_CHECKING:
    from rl_rmsprop.study.spec.study import Study

LARGEST = 1_000_000
"""Bytes of a study file; one with 10,000 seeds written one by one has 70,000."""


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

    def place_of_settings(self, env_id: str) -> str:
        """What messages call the place of an environment's settings."""
        return f"{self.path}: settings" + (f".{toml_writer.key(env_id)}" if self.settings.get(env_id) else "")


# Reading -----------------------------------------------------------------------------------------------------------------


def read(path: Path, options: Sequence[Option]) -> StudyFile:
    """What a file says to these options; ValueError names file, key, what is allowed, and the nearest known key."""
    content = parsed(path)
    known = {option.name: option for option in keys_of(options)}
    values: dict[str, Any] = {}
    for name, value in content.items():
        if name == "settings":
            continue
        if name not in known:
            raise ValueError(f"{path} has no key {name!r}: {grammar.nearest(name, [*known, 'settings'])}")
        values[name] = value_of_key(value, known[name], f"{path}: {name}")
    return StudyFile(path, values, read_settings(path, content.get("settings", {}), values.get("env", ())))


def keys_of(options: Iterable[Option]) -> list[Option]:
    """The options that are keys of a study file; the agent's settings are in tables of their own."""
    return [option for option in options if option.in_study_file and option.owner is not Settings]


def value_of_key(value: Any, option: Option, where: str) -> Any:
    """The value of a key as its option takes it: one value stands for a list of it, a bare number for its text."""
    if not option.is_list:
        return field_types.convert(bare_text(value, option.hint), option.hint, where)
    if option.is_table and isinstance(value, dict):
        return env_kwargs.from_table(value, where)
    entries = value if isinstance(value, list) else [value]
    texts = [entry for entry in entries if isinstance(entry, str)]
    if not option.commas_inside and not option.is_table:
        entries = [part for entry in entries for part in (entry.split(",") if isinstance(entry, str) else [entry])]
    elif option.commas_inside and any(len(separate(text)) > 1 for text in texts):
        parts = [part for text in texts for part in separate(text)]
        raise ValueError(f"{where} must be texts in quotes of their own: {toml_writer.value(parts)}")
    kind = field_types.entry_type(option.hint)
    return field_types.convert([bare_text(entry, kind) for entry in entries], option.hint, where)


def bare_text(value: Any, hint: Any) -> Any:
    """The text of a bare number where a text is wanted, such as a β or a seed; all else unchanged."""
    return str(value) if field_types.without_none(hint) is str and field_types.is_number(value) else value


NESTED = re.compile(r"(\[\s*){50}")
"""The beginning of lists within lists, deeper than any study's."""


def parsed(path: Path) -> dict[str, Any]:
    """The tables of a TOML file; ValueError with the line for what cannot be read. A byte order mark and CRLF do no harm."""
    if not path.exists():
        raise ValueError(
            f"no study file {path}: rl-rmsprop compare … --print-config > {path} writes one; --env names environments"
        )
    if not path.is_file():  # opening a pipe would block until something is written to it
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
        raise ValueError(f"{path} is not TOML: {key_given_twice(text) or error}") from error
    raise ValueError(f"{path} is not TOML of a study: its lists are nested too deeply")


def decoded(data: bytes) -> str:
    """UTF-8 bytes as text with bare line ends; ValueError names byte and line that are not UTF-8."""
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"byte 0x{data[error.start]:02x} (at line {line}) is not UTF-8: save it as UTF-8") from None


KEY = re.compile(r"""\s*((?:[\w.-]|"[^"]*"|'[^']*')+)\s*=""")
TABLE = re.compile(r"\s*\[([^\[\]]+)\]\s*(?:#.*)?$")


def key_given_twice(text: str) -> str:
    r"""Which key stands twice in its table, and where; empty if none does.

    >>> key_given_twice("lr=1\neps=1\nlr=2\n"), key_given_twice("lr=1\n[settings]\nlr=2\n")
    ('key lr is given twice, at lines 1 and 3', '')
    """
    table, first_lines = "", dict[tuple[str, str], int]()
    for number, line in enumerate(text.splitlines(), 1):
        if header := TABLE.match(line):
            table = header[1].strip()
        elif key := KEY.match(line):
            first = first_lines.setdefault((table, key[1]), number)
            if first != number:
                return f"key {key[1]} is given twice, at lines {first} and {number}"
    return ""


def read_settings(path: Path, table: Any, env_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The table `settings`, cut into those for all environments and those for one."""
    if not isinstance(table, dict):
        raise ValueError(f"{path}: settings must be a table such as [settings], got {describe(table)}")
    settings: dict[str, dict[str, Any]] = {"": {}}
    for name, value in table.items():
        if isinstance(value, dict):
            if env_ids and name not in env_ids:
                raise ValueError(f"{path}: settings has no environment {name!r}: {grammar.nearest(name, env_ids)}")
            where = f"settings.{toml_writer.key(name)}"
            settings[name] = {key: setting(path, where, key, entry) for key, entry in value.items()}
        else:
            settings[""][name] = setting(path, "settings", name, value)
    return settings


def setting(path: Path, where: str, name: str, value: Any) -> Any:
    """One setting of the agent."""
    known = {option.name: option for option in declared(Settings)}
    if name not in known:
        raise ValueError(f"{path}: {where} has no key {name!r}: {grammar.nearest(name, known)}")
    return value_of_key(value, known[name], f"{path}: {where}.{name}")


@contextmanager
def place(where: str) -> Iterator[None]:
    """A ValueError from inside gets the place in the file put before it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


# Writing -----------------------------------------------------------------------------------------------------------------


def to_toml(options: Iterable[Option], study: Study, report: ReportOptions) -> str:
    """A study and how it is reported as the text of a study file: every choice, every default, all settings of the agent."""
    values: dict[str, Any] = {option.name: getattr(study.options, option.name) for option in fields(study.options)}
    values |= vars(report) | {
        "env_kwargs": env_kwargs.to_table(study.options.env_kwargs),
        "env": study.env_ids,
        "betas": [arm.text for arm in study.arms if not arm.is_baseline],
        "baselines": [arm.text for arm in study.arms if arm.is_baseline],
        "seeds": written_seeds(study.seeds),
        "tune": study.tune or None,
        "match_update_rms": study.match_update_rms or None,
        "tune_seeds": written_seeds(study.tune_seeds) or None,
        "out": study.folder.as_posix(),
    }
    table: Mapping[str, Any] = {
        **{option.name: values[option.name] for option in keys_of(options) if values.get(option.name) is not None},
        "settings": {env_id: asdict(agent) for env_id, agent in zip(study.env_ids, study.agents, strict=True)},
    }
    return f"# rl-rmsprop compare THIS_FILE\n{toml_writer.write(table)}"
