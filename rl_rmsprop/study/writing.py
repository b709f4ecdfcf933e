"""How a study names and writes its files: folders of environments, JSON, CSV, always the same bytes for the same content."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def env_folder(env_id: str) -> str:
    """The folder of an environment in a study, and what its figures are called after: ids of namespaces have a slash.

    >>> env_folder("envs:Shifted/CartPole-v1")
    'envs:Shifted-CartPole-v1'
    """
    return env_id.replace("/", "-")


def write_json(path: Path, content: object) -> None:
    """Sorted, indented JSON with a final newline."""
    path.write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table with its header; numbers as `repr` writes them."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
