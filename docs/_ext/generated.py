"""Parts of pages that are made from the code: `<!-- generated: NAME -->` on a line of its own is replaced by what NAME makes.

    gallery            every β rule with its picture              gallery.py
    rules              every β rule in a line, by kind
    baselines          optimizers to compare with
    presets            published RMSProps
    signals            what a detector can listen to
    tags               every scalar of a run
    command_line       verbs and options of the command line      command_line.py
    study_file         keys of study files                        command_line.py
    agents             settings of the agents
    flip               how the runs of the flip study ended     docs/pictures/why_beta.csv
    detection          how many shifts detectors found          tests/benchmarks/detection.csv
    severity           how much shifts hurt                     envs/severity.csv
    contributing       CONTRIBUTING.md, without its title

A new name is a function and a row of MAKERS.
"""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from statistics import mean
from typing import Any

import command_line
import gallery

from envs.severity import LEVELS
from rl_rmsprop import signals
from rl_rmsprop.baselines import BASELINES
from rl_rmsprop.cli.fields import field_docs
from rl_rmsprop.cli.views import published
from rl_rmsprop.cli.views.rules import all_rules
from rl_rmsprop.detectors import OFFLINE
from rl_rmsprop.published import PUBLISHED
from rl_rmsprop.study.spec.presets import AGENTS
from rl_rmsprop.telemetry import tags

PLACE = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)
PICTURES = "_build/pictures"


def setup(app: Any) -> dict[str, bool]:
    """Replace the places of pages before they are parsed."""
    app.connect("source-read", fill)
    return {"parallel_read_safe": True}


def fill(app: Any, docname: str, source: list[str]) -> None:
    """Replace the places of a page."""
    source[0] = PLACE.sub(lambda place: MAKERS[place[1]](Path(app.srcdir)), source[0])


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines)


def code(text: object) -> str:
    """A text as code."""
    return f"`{text}`"


def make_gallery(docs: Path) -> str:
    """A heading, a sentence and a picture for each rule; the pictures are drawn anew."""
    parts, kind = [], ""
    with tempfile.TemporaryDirectory() as folder:
        for entry in gallery.entries(Path(folder)):
            if entry.kind != kind:
                kind = entry.kind
                parts.append(f"## {kind}\n")
            gallery.draw(entry.text, docs / PICTURES / f"{entry.name}.png")
            parts.append(
                f"({label(entry.name)})=\n### {entry.name}\n\n{entry.what}\n\n```text\n{entry.shown}\n```\n\n"
                f"![β, E and effective learning rate under {entry.name}](/{PICTURES}/{entry.name}.png)\n"
            )
    return "\n".join(parts)


def label(name: str) -> str:
    """The name of a rule's place in the gallery, as other pages link to it."""
    return f"rule-{name.replace('_', '-')}"


def make_rules(docs: Path) -> str:
    """A table for each kind of rule."""
    parts = []
    for (kind, purpose), rules in all_rules().items():
        rows = [[code(text), what] for text, what in rules.items()]
        parts.append(f"**{kind}.** {purpose}\n\n{table(['is written', 'what it does'], rows)}\n")
    rows = [[code(detector.example or name), gallery.first_sentence(detector)] for name, detector in OFFLINE.items()]
    what = "River's, for `rl-rmsprop replay` of recorded signals (extra `river`); an optimizer cannot run on them."
    parts.append(f"**Offline detectors.** {what}\n\n{table(['is written', 'what it does'], rows)}\n")
    return "\n".join(parts)


def make_baselines(docs: Path) -> str:
    """Optimizers to compare β rules with."""
    rows = []
    for name, kind in BASELINES.items():
        keys = ", ".join(f"`{field.name}={field.default}`" for field in fields(kind.keys))
        constants = ", ".join(f"{key} = {value}" for key, value in kind.constants)
        rows.append([code(name), f"{kind.optimizer.__module__.split('.')[0]}: {kind.optimizer.__name__}", keys, constants])
    return table(["`--baselines`", "optimizer", "keys", "constant"], rows)


def make_presets(docs: Path) -> str:
    """The published RMSProps."""
    head = ["preset", "lr", "β", "ε", "E₀", "half-life, updates", "more", "whose", "source"]
    return table(head, [[code(name), *published.cells(preset)] for name, preset in PUBLISHED.items()])


def make_signals(docs: Path) -> str:
    """What a detector can listen to."""
    return table(["`signal=`", "meaning"], [[code(name), signal.meaning] for name, signal in signals.SIGNALS.items()])


def make_tags(docs: Path) -> str:
    """Every scalar of a run, by its group."""
    groups: dict[str, list[str]] = {}
    for tag in tags.TAGS:
        group, _, name = tag.partition("/")
        groups.setdefault(group, []).append(code(name))
    return table(["group", "tags"], [[code(f"{group}/"), " · ".join(names)] for group, names in groups.items()])


def make_agents(docs: Path) -> str:
    """Settings of the agents, and their defaults."""
    names = {field.name: field for kind in AGENTS.values() for field in fields(kind)}
    rows = []
    for name in names:
        owners = {agent: kind for agent, kind in AGENTS.items() if name in {field.name for field in fields(kind)}}
        docs_of = field_docs(next(iter(owners.values())))
        defaults = {agent: shown(getattr(kind(), name)) for agent, kind in owners.items()}
        same = len(set(defaults.values())) == 1
        default = next(iter(defaults.values())) if same else ", ".join(f"{agent} {value}" for agent, value in defaults.items())
        only = "" if len(owners) == len(AGENTS) else f" ({', '.join(owners)})"
        rows.append([code(f"--{name.replace('_', '-')}"), default, docs_of[name] + only])
    return table(["setting", "default", "meaning"], rows)


def shown(value: Any) -> str:
    """A default."""
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    return (
        {True: "on", False: "off"}[value] if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
    )


def make_flip(docs: Path) -> str:
    """How the runs of every arm ended, as docs/pictures/why_beta.py has counted them."""
    rows = read(docs / "pictures" / "why_beta.csv")
    return table(list(rows[0]), [[code(value) if name == "arm" else value for name, value in row.items()] for row in rows])


def make_detection(docs: Path) -> str:
    """Shares of shifts that each detector has found, averaged over the shifts of an environment."""
    cells: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in read(docs.parent / "tests" / "benchmarks" / "detection.csv"):
        cells.setdefault((row["env_id"], row["contender"]), []).append(row)
    rows = [
        [env_id, contender, str(len(found)), *(f"{mean(float(row[name]) for row in found):.0%}" for name in SHARES)]
        for (env_id, contender), found in cells.items()
    ]
    return table(["environment", "detector, signal", "shifts", "within 20 updates", "within 50", "by chance"], rows)


SHARES = ("hits_20", "hits_50", "twin_hits")


def make_severity(docs: Path) -> str:
    """The value of each parameter at every level, with the loss that was measured there."""
    places: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in read(docs.parent / "envs" / "severity.csv"):
        place = places.setdefault((row["env_id"], row["parameter"], row["direction"]), {})
        place[row["level"]] = f"{row['value']} ({float(row['loss']):.0%})"
    rows = [[env_id, code(name), way, *(at.get(level, "–") for level in LEVELS)] for (env_id, name, way), at in places.items()]
    head = [f"{level}, {loss:.0%}" for level, loss in LEVELS.items()]
    return table(["environment", "parameter", "direction", *head], rows)


def make_contributing(docs: Path) -> str:
    """CONTRIBUTING.md below its title, if there is one; links to pages here stay, those to files are names."""
    file = docs.parent / "CONTRIBUTING.md"
    if not file.is_file():
        return ""
    text = file.read_text(encoding="utf-8").partition("\n")[2]
    text = re.sub(r"\]\(docs/([^)]+)\)", r"](\1)", text)
    return re.sub(r"\[([^\]]+)\]\((?!https?:|#|mailto:)(?!(?:[\w-]+/)*[\w-]+\.md)[^)]+\)", r"\1", text)


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


MAKERS: dict[str, Callable[[Path], str]] = {
    "gallery": make_gallery,
    "rules": make_rules,
    "baselines": make_baselines,
    "presets": make_presets,
    "signals": make_signals,
    "tags": make_tags,
    "agents": make_agents,
    "flip": make_flip,
    "detection": make_detection,
    "severity": make_severity,
    "contributing": make_contributing,
    "command_line": lambda docs: command_line.verbs(),
    "study_file": lambda docs: command_line.study_file_keys(),
}
"""Name → what makes that part of a page, from the folder of the pages."""
