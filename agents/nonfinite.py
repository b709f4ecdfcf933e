"""Which runs may learn: an update on numbers that are not finite is skipped and counted, and too many of them end the run.

An update of a run is skipped where its gradient is not finite (or the sum of its squares overflows), and where its window holds
an observation or a reward that is not. All updates that an agent makes of such a window count as one. A run has failed after

    10 skipped updates in a row,  or  10 skipped updates in all, as soon as they are more than 1 % of its updates.

From then on none of its updates is made. Runs never meet: what one of them skips changes no bit of another.

The training loop shows each window to `look` and each update's gradient norms to `take`; a norm that comes back as NaN means
that the run is to be left alone. Where all is finite the two cost a sum each.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.rollout import Rollout
from rl_rmsprop.storage.snapshot import Snapshottable

LIMIT = 10
"""Skipped updates that end a run, in a row or as more than SHARE of its updates."""
SHARE = 0.01
REMEDIES = {"data": "mend the environment, or wrap it so that it returns finite numbers", "gradient": "lower lr or max_grad_norm"}


class Health(Snapshottable):
    """Counts what R runs skip, and says which of them have failed and why."""

    STATE_ATTRIBUTES = ("updates", "counted", "skipped", "in_a_row", "failed", "reasons")

    def __init__(self, runs: int) -> None:
        self.updates = 0  # asked for
        self.counted = np.zeros(runs, np.int64)  # [R] the same, those of a window with non-finite data as one
        self.skipped = np.zeros(runs, np.int64)  # [R] how many of `counted` were skipped
        self.in_a_row = np.zeros(runs, np.int64)  # [R] how many of the last ones
        self.failed = np.zeros(runs, bool)  # [R]
        self.reasons = [""] * runs  # why a run has failed, empty if it has not
        self._spoiled = np.zeros(runs, bool)  # [R] whether the window holds non-finite data
        self._seen = [""] * runs  # what was not finite in the last such window
        self._first = True  # whether the next update is the first one of its window
        self._calm = True  # whether every run is well, so that finite norms are all there is to know

    def look(self, rollout: Rollout, steps: NDArray[np.int64]) -> None:
        """Take note of a new window; `steps` [R] are the environment steps that the runs have made at its end."""
        self._spoiled[:] = False
        self._first = True
        # A sum is finite only if all of its terms are; it may overflow without cause, and then each is looked at.
        with np.errstate(over="ignore", invalid="ignore"):
            total = rollout.observations.numpy().sum() + rollout.rewards.numpy().sum()
        if not math.isfinite(total):
            for run in np.flatnonzero(~finite_runs(rollout)).tolist():
                self._spoiled[run] = True
                self._seen[run] = first_nonfinite(rollout, run, int(steps[run]))
        self._calm = not (self._spoiled.any() or self.failed.any() or self.in_a_row.any())

    def take(self, norms: Tensor) -> Tensor:
        """Count one update of every run; returns the gradient norms [R], NaN for the runs that must not be updated."""
        self.updates += 1
        if self._calm and math.isfinite(norms.sum().item()):
            self.counted += 1
            return norms
        return self._judged(norms)

    def fail(self, run: int, reason: str) -> None:
        """Let a run take no further part."""
        self.failed[run] = True
        self.reasons[run] = reason

    def _judged(self, norms: Tensor) -> Tensor:
        """The same as `take` where some run is not well."""
        bad = self._spoiled | ~torch.isfinite(norms).cpu().numpy()
        counts = ~self.failed & (~self._spoiled | self._first)
        self.counted += counts
        self.skipped += counts & bad
        self.in_a_row[counts & bad] += 1
        self.in_a_row[counts & ~bad] = 0
        too_many = (self.skipped >= LIMIT) & (self.skipped > SHARE * self.counted)
        for run in np.flatnonzero(counts & bad & (too_many | (self.in_a_row >= LIMIT))).tolist():
            self.fail(run, self._reason(run))
        self._first = self._calm = False
        return norms.masked_fill(torch.from_numpy(bad | self.failed).to(norms.device), math.nan)

    def _reason(self, run: int) -> str:
        """Why a run fails now."""
        row, skipped, counted = (int(count[run]) for count in (self.in_a_row, self.skipped, self.counted))
        many = f"{row} updates in a row" if row >= LIMIT else f"{skipped:,} of {counted:,} updates"
        last = f"the last at update {self.updates:,}"
        if self._spoiled[run]:
            return f"{self._seen[run]}; {many} were skipped, {last}: {REMEDIES['data']}"
        return f"non-finite gradient in {many}, {last}: {REMEDIES['gradient']}"


def finite_runs(rollout: Rollout) -> NDArray[np.bool_]:
    """Whether all observations and rewards of each run are finite [R]."""
    known = torch.isfinite(rollout.observations).all(-1).all(-1).all(0) & torch.isfinite(rollout.rewards).all(-1).all(0)
    return known.numpy()


def first_nonfinite(rollout: Rollout, run: int, steps: int) -> str:
    """What was not finite first in a run's window that ended after `steps` of its environment steps; sensors count from 1."""
    observations, rewards = rollout.observations[:, run], rollout.rewards[:, run]  # [T + 1, N, O], [T, N]
    made = steps - rollout.valid[:, run].sum() + torch.cat([torch.zeros(1), rollout.valid[:, run].sum(1).cumsum(0)])  # [T + 1]
    seen, earned = torch.isfinite(observations).logical_not().nonzero(), torch.isfinite(rewards).logical_not().nonzero()
    if not len(earned) or (len(seen) and seen[0, 0] <= earned[0, 0]):  # observation t is there before reward t
        t, n, sensor = seen[0].tolist()
        which, value = f"sensor {sensor + 1} of {observations.shape[2]}", observations[t, n, sensor].item()
        return f"observation of the environment: {which} was {value} at step {int(made[t])}"
    t, n = earned[0].tolist()
    return f"reward of the environment was {rewards[t, n].item()} at step {int(made[t + 1])}"
