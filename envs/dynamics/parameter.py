"""One number of an environment that can shift: its meaning, its default, its possible values."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Parameter:
    """One number that can shift."""

    name: str
    meaning: str
    default: float
    low: float
    """Smallest possible value."""
    high: float
    """Largest possible value."""
    tested: tuple[float, float]
    """The range that the tests cover."""
    whole: bool = False
    """Whether it takes whole numbers only."""
    choices: tuple[float, ...] = ()
    """The only possible values, where they are few."""

    def check(self, value: float) -> None:
        """ValueError unless the parameter can take this value."""
        if self.choices and value not in self.choices:
            raise ValueError(f"{self.name} must be {' or '.join(f'{c:g}' for c in self.choices)}, got {value:g}: {self.meaning}")
        if not (self.low <= value <= self.high and math.isfinite(value)):
            raise ValueError(f"{self.name} must be from {self.low:g} to {self.high:g}, got {value:g}: {self.meaning}")
        if self.whole and value != int(value):
            raise ValueError(f"{self.name} must be a whole number, got {value:g}: {self.meaning}")
