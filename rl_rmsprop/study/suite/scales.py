"""What counts as 0 and as 1 in each environment, fixed before anything was trained: a TOML table beside the study files.

["CartPole-v1"]
low = 20.0         # an untrained policy
high = 500.0
source = "low: 1000 random episodes; high: the longest episode"
"""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import NamedTuple

from rl_rmsprop import grammar
from rl_rmsprop.storage.field_types import convert

DEFAULT = Path("runs/reference/scales.toml")


class Scale(NamedTuple):
    """The scale of the returns of one environment."""

    low: float
    high: float
    source: str
    """Where the two numbers come from."""


def read(path: Path) -> dict[str, Scale]:
    """Environment → scale; ValueError for a file that is none."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"no table of scales {path}: write one, a table low, high, source for each environment") from None
    except ValueError as error:  # UnicodeDecodeError and TOMLDecodeError are
        raise ValueError(f"{path} is not TOML: {error}") from error
    return {env_id: scale_of(table, f"{path}: {env_id}") for env_id, table in tables.items()}


def scale_of(table: object, where: str) -> Scale:
    """One environment's scale."""
    if not isinstance(table, dict) or set(table) != set(Scale._fields):
        raise ValueError(f"{where} must be a table of low, high and source")
    low, high = (convert(table[name], float, f"{where}: {name}") for name in ("low", "high"))
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"{where} must have finite numbers with low < high, got {low:g} and {high:g}")
    return Scale(low, high, convert(table["source"], str, f"{where}: source"))


def find(env_id: str, scales: dict[str, Scale], path: Path) -> Scale:
    """The scale of an environment; ValueError if the file has none."""
    if env_id not in scales:
        raise ValueError(f"{path} has no scale for {env_id}: {grammar.nearest(env_id, scales)}")
    return scales[env_id]
