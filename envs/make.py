"""From an environment's id to an `EnvBatch` of R runs × N environments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.checks import BACKENDS, check_env_id
from envs.classic_control import KINDS, ClassicControlBatch
from envs.core import EnvBatch
from envs.envpool import EnvPoolBatch
from envs.serial import SerialBatch
from envs.shifted import ShiftedBatch
from envs.shifts.shift import Shift


def make(
    env_id: str,
    seeds: Sequence[int],
    envs_per_run: int,
    shifts: Sequence[Shift] = (),
    *,
    frozen_at: Mapping[str, NDArray[np.int64]] | None = None,
    shift_seeds: Sequence[int] | None = None,
    backend: str = BACKENDS[0],
    kwargs: Mapping[str, Any] | None = None,
    wrappers: Sequence[str] = (),
) -> EnvBatch:
    """Environments for the runs with these seeds: classic control in array operations, any other registered id one by one.

    With the backend `envpool` they are all EnvPool's, see envs/envpool.py. `kwargs` are arguments for `gymnasium.make`, and
    `wrappers` classes, written module:Class, that are put around each environment in this order; classic control with any of them
    is stepped one by one too.

    `seeds` are the runs' seeds, ≥ 0 (runs with the same one see the same randomness); `envs_per_run` is N ≥ 1. `shifts` change
    the environments over the run, see envs/shifts/shift.py. For evaluation, `frozen_at`, counts [R] of every clock, stops the
    clocks there, and `shift_seeds` are the seeds of the training runs, from which random times come; noise comes from `seeds`.

    Raises ValueError for an id that is not registered (naming the nearest one), for environments that the agents cannot
    use, and for shifts that are not possible.

    >>> batch = make("Pendulum-v1", seeds=(0, 1), envs_per_run=3)
    >>> batch.reset().shape, batch.step(np.zeros((2, 3, 1))).rewards.shape
    ((2, 3, 3), (2, 3))
    >>> make("LunarLander-v3", (0,), 2, kwargs={"continuous": True}).action_space.shape
    (2,)
    """
    if envs_per_run < 1:
        raise ValueError(f"environments per run must be at least 1, got {envs_per_run}")
    check_env_id(env_id, shifts, backend, kwargs, wrappers)
    batch: EnvBatch
    if backend == "envpool":
        batch = EnvPoolBatch(env_id, seeds, envs_per_run)
    elif env_id in KINDS and not (kwargs or wrappers):
        batch = ClassicControlBatch(KINDS[env_id], seeds, envs_per_run)
    else:
        batch = SerialBatch(env_id, seeds, envs_per_run, kwargs, wrappers)
    return ShiftedBatch(batch, shifts, seeds if shift_seeds is None else shift_seeds, frozen_at, seeds) if shifts else batch
