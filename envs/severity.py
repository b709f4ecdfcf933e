"""How much a shift costs: values of each parameter at which a trained policy that no longer learns loses 10, 50 and 90 %.

The loss is a share of the trained policy's lead over random actions: 0 % keeps all of it, 100 % is no better than random, more is
worse. The numbers are in severity.csv; `python -m tests.benchmarks.severity` measures them.
"""

from __future__ import annotations

import csv
from importlib import resources
from typing import NamedTuple

LEVELS = {"mild": 0.1, "medium": 0.5, "severe": 0.9}
"""Name → loss."""


class Severity(NamedTuple):
    """One value of one parameter."""

    env_id: str
    parameter: str
    direction: str
    """`up` or `down` from the default; `to` where values have no order."""
    level: str
    """mild, medium or severe."""
    value: float
    loss: float
    """The share of the lead that a policy loses at this value, as measured."""


def load(env_id: str) -> list[Severity]:
    """The table of one environment, empty if it was not measured there."""
    text = (resources.files("envs") / "severity.csv").read_text(encoding="utf-8")
    _, *rows = csv.reader(text.splitlines())
    return [
        Severity(name, parameter, direction, level, float(value), float(loss))
        for name, parameter, direction, level, value, loss in rows
        if name == env_id
    ]
