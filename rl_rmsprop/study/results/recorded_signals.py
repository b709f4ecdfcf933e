"""Recorded signals read back: signals.npz of the runs of an arm → arrays [T, R]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rl_rmsprop.study.spec.run_files import SIGNALS
from rl_rmsprop.study.spec.study import Study
from rl_rmsprop.study.training.signal_log import ARRAYS

KINDS = {**{name: (np.dtype(kind).kind, 1) for name, kind in ARRAYS.items()}, "squares": ("f", 2)}
"""Name of a recorded array → kind of its numbers, as numpy has it, and how many axes it has."""


@dataclass(frozen=True)
class RecordedSignals:
    """What the runs of one arm in one environment recorded; T updates, R runs."""

    env_id: str
    arm: str
    seeds: tuple[int, ...]
    arrays: dict[str, NDArray]
    """Name → [T, R]; `squares` [T, R, K]."""

    def signal(self, name: str) -> Tensor:
        """What a detector would have listened to, [T, R] float64. Updates without a value (no episode ended) repeat the last."""
        return torch.from_numpy(forward_filled(self._recorded(name).astype(np.float64)))

    def has(self, name: str) -> bool:
        """Whether the signal was recorded: baselines have no surprise, and episodes may be longer than the training."""
        return bool(np.isfinite(self._recorded(name)).any(0).all())

    def _recorded(self, name: str) -> NDArray:
        if name not in self.arrays:
            known = [n for n, a in self.arrays.items() if a.dtype.kind == "f" and a.ndim == 2]
            raise ValueError(f"signal must be a recorded one, got {name!r}: known are {', '.join(known)}")
        return self.arrays[name]

    @cached_property
    def squares(self) -> Tensor:
        """The sample of g² [T, R, K]."""
        return torch.from_numpy(self.arrays["squares"])

    @property
    def shifted(self) -> NDArray[np.bool_]:
        """Updates whose data were the first since a true change [T, R]."""
        return self.arrays["shifted"]

    @property
    def is_shifted(self) -> bool:
        """Whether the environment changed in any run."""
        return bool(self.shifted.any())


def forward_filled(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """x [T, R] with every NaN replaced by the value before it; those before the first value take the first."""
    rows = np.where(np.isnan(x), 0, np.arange(len(x))[:, None])
    filled = np.take_along_axis(x, np.maximum.accumulate(rows, axis=0), 0)
    first = np.take_along_axis(x, (~np.isnan(x)).argmax(0)[None], 0)
    return np.nan_to_num(np.where(np.isnan(filled), first, filled))


def load_recordings(study: Study, names: Sequence[str] | None = None) -> list[RecordedSignals]:
    """The recorded signals of every arm in every environment, or those of these names; ValueError if there are none."""
    files: dict[tuple[str, str], list[tuple[int, Path]]] = {}
    for spec in study.batches():
        for seed in spec.seeds:
            path = spec.run_folder(seed) / SIGNALS
            if path.is_file():
                files.setdefault((spec.env_id, spec.arm.text), []).append((seed, path))
    if not files:
        raise ValueError(f"{study.folder} holds no recorded signals: train or compare with --record-signals writes them")
    return [read(env_id, arm, of_arm, names) for (env_id, arm), of_arm in files.items()]


def read(env_id: str, arm: str, files: Sequence[tuple[int, Path]], names: Sequence[str] | None = None) -> RecordedSignals:
    """Stack the files of some runs; ValueError for a file that is not whole or of another length."""
    loaded = [load_arrays(path, names) for _, path in files]
    if len({len(next(iter(arrays.values()))) for arrays in loaded}) > 1:
        raise ValueError(f"runs of {arm} in {env_id} recorded different numbers of updates: replay them apart")
    stacked = {name: np.stack([arrays[name] for arrays in loaded], 1) for name in loaded[0]}
    if not np.isfinite(squares := stacked.get("squares", np.zeros(0))).all():  # of updates that were skipped
        stacked["squares"] = forward_filled(squares.reshape(len(squares), -1)).reshape(squares.shape)
    return RecordedSignals(env_id, arm, tuple(seed for seed, _ in files), stacked)


def load_arrays(path: Path, names: Sequence[str] | None) -> dict[str, NDArray]:
    """All arrays of one run, or those of these names; ValueError unless they are those that SignalLog writes, of one length."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            loaded = {name: arrays[name] for name in names or KINDS}
    except Exception as error:  # a broken archive can fail in any of the ways of zipfile, zlib and numpy
        raise ValueError(f"{path} is not a whole file of signals ({error}): train this run again") from error
    for name, array in loaded.items():
        kind, axes = KINDS[name]
        if array.dtype.kind != kind or array.ndim != axes or not len(array) or len(array) != len(next(iter(loaded.values()))):
            raise ValueError(
                f"{path} is not a whole file of signals ({name} is {array.dtype}{list(array.shape)}): train it again"
            )
    return loaded
