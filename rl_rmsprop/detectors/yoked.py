"""The control that repeats the alarms that another arm's runs recorded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from rl_rmsprop.detectors.base import State
from rl_rmsprop.detectors.controls import Control


@dataclass(frozen=True)
class Yoked(Control):
    """Alarms of another run: as many and as clustered as a detector's, at times that have nothing to do with this run's data.

    The run with key (seed) s replays what the folder's next seed recorded, cyclically; never itself if there are two. Where
    the environment changes at the same time for every seed, another run's alarms still follow the change: what is taken away
    is the run's own data, not the calendar (that is what `random` takes away).
    """

    runs: str
    """An arm's folder, with seed_0007/alarms.csv for each run; read when a training starts."""

    def check_files(self) -> None:
        recorded_alarms(self.runs)

    def init(self, keys: Tensor) -> State:
        seeds, updates = recorded_alarms(self.runs)
        later = torch.searchsorted(seeds, keys.cpu().contiguous(), right=True) % len(seeds)
        return {**super().init(keys), "alarms": updates[:, later].to(keys.device)}

    def fires(self, state: State, n: Tensor) -> Tensor:
        return (state["alarms"] == n).any(0)


def recorded_alarms(runs: str) -> tuple[Tensor, Tensor]:
    """Seeds of a folder in ascending order [S], and the updates of their alarms [K, S] float64, infinite where there are fewer.

    ValueError if the folder holds no recorded alarms.
    """
    try:
        by_seed = {seed_of(file): alarms_of(file) for file in sorted(Path(runs).glob("seed_*/alarms.csv"))}
    except OSError as error:  # a name longer than the disk allows, a folder that may not be read
        raise ValueError(f"runs must be an arm's folder that can be read, got {runs!r}: {error.strerror}") from error
    if not by_seed:
        raise ValueError(
            f"runs must be an arm's folder with recorded alarms (seed_0000/alarms.csv), got {runs!r}: "
            "train the arm first, or give the folder that holds its seed_… folders"
        )
    seeds = sorted(by_seed)
    updates = torch.full((max(1, *map(len, by_seed.values())), len(seeds)), torch.inf, dtype=torch.float64)
    for column, seed in enumerate(seeds):
        updates[: len(by_seed[seed]), column] = torch.tensor(by_seed[seed], dtype=torch.float64)
    return torch.tensor(seeds), updates


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
