"""Controls: detectors that ignore the gradients. They are what an honest comparison needs beside a detector."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from rl_rmsprop.detectors.base import Detector, DetectorOutput, State
from rl_rmsprop.schedules import check_positive


class Control(Detector):
    """A detector that ignores the gradients."""

    listens = False

    def update(self, state: State, x: Tensor) -> DetectorOutput:
        seen = state["seen"] + 1.0
        return DetectorOutput({**state, "seen": seen}, self.fires(state, seen), torch.zeros_like(seen))

    def fires(self, state: State, n: Tensor) -> Tensor:
        """Whether the n-th update (from 1) alarms, [R] bool."""
        raise TypeError(f"{type(self).__name__} must define fires(state, n)")


@dataclass(frozen=True)
class Never(Control):
    """No alarm, ever: what is left of an adaptive rule without its detector."""

    def fires(self, state: State, n: Tensor) -> Tensor:
        return torch.zeros_like(n, dtype=torch.bool)


@dataclass(frozen=True)
class Periodic(Control):
    """An alarm every `every` updates."""

    every: int = 1000
    """Updates between alarms, at least 1."""

    def __post_init__(self) -> None:
        check_positive("every", self.every, "updates")

    def fires(self, state: State, n: Tensor) -> Tensor:
        return n % self.every == 0


@dataclass(frozen=True)
class Oracle(Control):
    """Alarms at the true shifts: at given updates, or as the training loop reports them.

    Without `at` it takes the signal "shift" in place of the user's: x > 0 at the update whose data are the first from after a
    shift, which the training loop reports through the optimizer's `observe`.
    """

    at: tuple[int, ...] | None = None
    """Updates, each at least 1; none to be told by the training loop."""

    def __post_init__(self) -> None:
        if self.at is not None and not self.at:
            raise ValueError("at must name at least one update, got (): never is the rule without alarms")
        for update in self.at or ():
            check_positive("at", update, "updates")

    @property
    def own_signal(self) -> str | None:
        return "shift" if self.at is None else None

    def update(self, state: State, x: Tensor) -> DetectorOutput:
        answer = super().update(state, x)
        return answer if self.at is not None else answer._replace(alarm=x > 0.0)

    def fires(self, state: State, n: Tensor) -> Tensor:
        return torch.isin(n, torch.tensor(self.at or (), dtype=n.dtype, device=n.device))


@dataclass(frozen=True)
class Random(Control):
    """Alarms at random updates, each with probability 1/every, independent between runs.

    The draw is a hash of the run's key and the update's number: no generator, and the same run alarms at the same updates
    whatever batch it is in.
    """

    every: float = 1000
    """Mean number of updates between alarms, at least 1."""

    def __post_init__(self) -> None:
        if not 1 <= self.every < math.inf:
            raise ValueError(f"every must be at least 1 update, got {self.every}")

    def init(self, keys: Tensor) -> State:
        return {**super().init(keys), "key": keys.double()}

    def fires(self, state: State, n: Tensor) -> Tensor:
        return hashed_uniform(state["key"].long(), n.long()) < 1 / self.every


def hashed_uniform(key: Tensor, n: Tensor) -> Tensor:
    """A number in [0, 1) from two integers, by the 32-bit finalizer of MurmurHash3 applied to each in turn."""
    mask = 0xFFFFFFFF
    h = torch.full_like(n, 0x9E3779B9)
    for word in (key, n):
        h = (h ^ word) & mask
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
            h = ((h ^ (h >> shift)) * factor) & mask
        h = h ^ (h >> 16)
    return h.double() / 2**32


@dataclass(frozen=True)
class Yoked(Control):
    """Alarms of another run: as many and as clustered as a detector's, at times that have nothing to do with this run's data.

    The run with key (seed) s replays what the folder's next seed recorded, cyclically; never itself if there are two. Where
    the environment changes at the same time for every seed, another run's alarms still follow the change: what is taken away
    is the run's own data, not the calendar (that is what `random` takes away).
    """

    runs: str
    """An arm's folder, with seed_0007/alarms.csv for each run. Read when the rule is made."""

    def __post_init__(self) -> None:
        recorded_alarms.cache_clear()  # a folder may have been recorded again
        recorded_alarms(self.runs, torch.device("cpu"))

    def init(self, keys: Tensor) -> State:
        seeds = recorded_alarms(self.runs, torch.device("cpu"))[0].to(keys.device)
        later = torch.searchsorted(seeds, keys.contiguous(), right=True) % len(seeds)
        return {**super().init(keys), "row": later.double()}

    def fires(self, state: State, n: Tensor) -> Tensor:
        table = recorded_alarms(self.runs, n.device)[1]
        last = table.shape[1] - 1  # a column without alarms, for updates after the last one of all
        return table[state["row"].long(), (n.long() - 1).clamp(max=last)]


@lru_cache
def recorded_alarms(runs: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """Seeds of a folder in ascending order [S], and their alarms [S, updates] bool with a last column of none."""
    try:
        found = {seed_of(file): alarms_of(file) for file in sorted(Path(runs).glob("seed_*/alarms.csv"))}
    except OSError as error:  # a name longer than the disk allows, a folder that may not be read
        raise ValueError(f"runs must be an arm's folder that can be read, got {runs!r}: {error.strerror}") from error
    if not found:
        raise ValueError(
            f"runs must be an arm's folder with recorded alarms (seed_0000/alarms.csv), got {runs!r}: "
            "train the arm first, or give the folder that holds its seed_… folders"
        )
    seeds = sorted(found)
    table = torch.zeros(len(seeds), max(max(updates, default=0) for updates in found.values()) + 1, dtype=torch.bool)
    for row, seed in zip(table, seeds, strict=True):
        row[[update - 1 for update in found[seed]]] = True
    return torch.tensor(seeds, device=device), table.to(device)


def seed_of(file: Path) -> int:
    """The number in the name of a run's folder."""
    number = file.parent.name.removeprefix("seed_")
    if not number.isdigit():
        raise ValueError(f"folders of runs must be named seed_ and a number, got {str(file.parent)!r}: rename or remove it")
    return int(number)


def alarms_of(file: Path) -> list[int]:
    """The updates (from 1) at which one run alarmed: the first column of its alarms.csv."""
    try:
        header, *rows = file.read_text(encoding="utf-8").splitlines() or [""]
        updates = [int(row.split(",")[0]) for row in rows]
        if header.split(",")[0] != "update" or any(update < 1 for update in updates):
            raise ValueError(f"{header!r} with updates {updates}")
    except ValueError as error:
        raise ValueError(f"{file} must hold a column `update` of numbers from 1, got {error}: train the run again") from None
    return updates
