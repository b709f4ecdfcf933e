"""Schedules made of pieces: steps from one value to the next, or whole schedules one after another."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rl_rmsprop.schedules.base import Schedule, check_beta, check_updates
from rl_rmsprop.schedules.ramps import Ramp


@dataclass(frozen=True)
class Piecewise(Schedule):
    """Steps: values[0] before the update at[0], values[k] from the update at[k − 1] on."""

    values: tuple[float, ...]
    """β of each piece, each in [0, 1); one more than `at`."""
    at: tuple[int, ...]
    """Updates at which the next value takes over, rising."""
    interpolate: bool = False
    """Straight lines from piece to piece instead of steps: values[0] at n = 1, values[k] at n = at[k − 1]."""

    example = "piecewise:values=0.9/0.99/0.999,at=300/600"

    def validate(self) -> None:
        for value in self.values:
            check_beta("values", value)
        for update in self.at:
            check_updates("at", update, least=2)
        if not self.at:
            raise ValueError("at must name at least one update, got none: a number is the rule without changes")
        if len(self.values) != len(self.at) + 1:
            raise ValueError(
                f"piecewise needs one value more than changes, got {len(self.values)} values and {len(self.at)} in at"
            )
        if list(self.at) != sorted(set(self.at)):
            raise ValueError(f"at must rise, got {'/'.join(map(str, self.at))}")

    def __call__(self, n: Tensor) -> Tensor:
        values = torch.tensor(self.values, dtype=n.dtype, device=n.device)
        at = torch.tensor(self.at, dtype=n.dtype, device=n.device)
        piece = torch.bucketize(n, at, right=True)
        if not self.interpolate:
            return values[piece]
        knots = torch.cat([torch.ones_like(at[:1]), at])
        next_piece = (piece + 1).clamp(max=len(self.at))
        share = ((n - knots[piece]) / (knots[next_piece] - knots[piece]).clamp(min=1.0)).clamp(0.0, 1.0)
        return torch.lerp(values[piece], values[next_piece], share)


@dataclass(frozen=True)
class Join(Schedule):
    """Schedules one after another, each with a clock of its own; all but the last are ramps with a length.

    Written with `+`: `linear:start=0,end=0.9,steps=500+cosine:start=0.9,end=0.999` warms up, then follows the cosine.
    """

    parts: tuple[Schedule, ...]
    """At least two."""

    def validate(self) -> None:
        for part in self.parts[:-1]:
            if not isinstance(part, Ramp) or part.steps is None:
                raise ValueError(f"every part before a + must be a ramp with steps=…, got {part}")

    def __call__(self, n: Tensor) -> Tensor:
        beta = self.parts[-1](torch.clamp(n - sum(self._lengths), min=1.0))
        stop = sum(self._lengths)
        for part, length in zip(reversed(self.parts[:-1]), reversed(self._lengths), strict=True):
            beta = torch.where(n <= stop, part(torch.clamp(n - (stop - length), min=1.0)), beta)
            stop -= length
        return beta

    def resolve(self, horizon: int, steps_per_update: float | None = None) -> Join:
        rest = max(horizon - sum(self._lengths), 1)
        return replace(self, parts=(*self.parts[:-1], self.parts[-1].resolve(rest, steps_per_update)))

    @property
    def unresolved(self) -> bool:
        return self.parts[-1].unresolved

    @property
    def _lengths(self) -> list[int]:
        return [part.steps for part in self.parts[:-1] if isinstance(part, Ramp) and part.steps is not None]
