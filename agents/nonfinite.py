"""Which runs may learn: an update on numbers that are not finite is skipped and counted, and too many of them end the run.

An update of a run is skipped where its gradient is not finite (or the sum of its squares overflows), and where its rollout holds
an observation or a reward that is not. All updates that an agent makes of such a rollout count as one. A run has failed after

    10 skipped updates in a row,  or  10 skipped updates in all, as soon as they are more than 1 % of its updates.

From then on none of its updates is made. Runs never meet: what one of them skips changes no bit of another.

The training loop shows each rollout to `check_rollout` and each update's gradient norms to `check_gradients`, which returns the
mask of the runs that are to be updated, or None for all. Where all is finite the two cost a pass over the numbers each.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.experience import Rollout
from rl_rmsprop.storage.snapshot import Snapshottable

LIMIT = 10
"""Skipped updates that end a run, in a row or as more than SHARE of its updates."""
SHARE = 0.01
HUGE = 1e6
"""Observations and rewards beyond this, as they are learned from, explain a gradient that overflows."""
REMEDIES = {
    "data": "mend the environment, or wrap it so that it returns finite numbers",
    "gradient": "lower lr or max_grad_norm",
    "rewards": "make them smaller with --reward-scale or --normalize-rewards",
    "observations": "make them smaller with --observation-scale or --normalize-observations",
}


class RunStatus(NamedTuple):
    """What the runs have skipped so far, and which have failed: a value, which later updates do not change."""

    skipped: NDArray[np.int64]  # [R] skipped updates, those of a rollout with non-finite data counted as one
    failed: NDArray[np.bool_]  # [R]
    reasons: tuple[str, ...]  # [R] why a run has failed, empty if it has not


class NonfiniteGuard(Snapshottable):
    """Counts what R runs skip, and decides which of them have failed and why.

    >>> guard = NonfiniteGuard(runs=2)
    >>> guard.check_gradients(torch.tensor([0.3, 0.5])) is None
    True
    >>> guard.check_gradients(torch.tensor([0.3, math.inf]))
    tensor([ True, False])
    >>> guard.status().skipped
    array([0, 1])
    """

    STATE_ATTRIBUTES = ("updates", "counted", "skipped", "consecutive", "failed", "reasons")

    def __init__(self, runs: int, reward_scale: float = 1.0) -> None:
        """`reward_scale` is what rewards are multiplied by before they are learned from."""
        self.updates = 0  # asked for
        self.counted = np.zeros(runs, np.int64)  # [R] the same, those of a rollout with non-finite data as one
        self.skipped = np.zeros(runs, np.int64)  # [R] how many of `counted` were skipped
        self.consecutive = np.zeros(runs, np.int64)  # [R] how many of the last ones
        self.failed = np.zeros(runs, bool)  # [R]
        self.reasons = [""] * runs  # why a run has failed, empty if it has not
        self._reward_scale = reward_scale
        self._rollout: Rollout | None = None  # the last one
        self._nonfinite_data = np.zeros(runs, bool)  # [R] whether it holds numbers that are not finite
        self._first_nonfinite = [""] * runs  # which, in the last rollout that did
        self._first = True  # whether the next update is the first on its rollout
        self._all_well = True  # whether finite norms are all there is to check, of the runs that have not failed
        self._rest: Tensor | None = None  # [R] the runs that have not failed, once some have
        self._status: RunStatus | None = None  # that of now, if it has been asked for

    def check_rollout(self, rollout: Rollout, steps: NDArray[np.int64]) -> None:
        """Examine a new rollout; `steps` [R] are the environment steps that the runs have made at its end."""
        self._rollout, self._first = rollout, True
        self._nonfinite_data[:] = False
        with np.errstate(invalid="ignore"):  # NaN is the largest and the smallest where there is one
            limits = [limit for x in (rollout.observations.numpy(), rollout.rewards.numpy()) for limit in (x.max(), x.min())]
        if not all(map(math.isfinite, limits)):
            self._nonfinite_data = nonfinite_runs(rollout)
            for run in np.flatnonzero(self._nonfinite_data & ~self.failed).tolist():
                self._first_nonfinite[run] = first_nonfinite(rollout, run, int(steps[run]))
        self._all_well = not ((self._nonfinite_data | (self.consecutive > 0)) & ~self.failed).any()

    def check_gradients(self, norms: Tensor) -> Tensor | None:
        """Count one update of every run; returns which are to be updated (bool [R], on the CPU), or None for all."""
        self.updates += 1
        if self._all_well and math.isfinite((norms if self._rest is None else norms[self._rest]).sum().item()):
            self.counted += ~self.failed
            return self._rest
        bad = self._nonfinite_data | ~np.isfinite(norms.cpu().numpy())
        counts = ~self.failed & (~self._nonfinite_data | self._first)
        self.counted += counts
        self.skipped += counts & bad
        self.consecutive[counts & bad] += 1
        self.consecutive[counts & ~bad] = 0
        too_many = (self.skipped >= LIMIT) & (self.skipped > SHARE * self.counted)
        for run in np.flatnonzero(counts & bad & (too_many | (self.consecutive >= LIMIT))).tolist():
            self.fail(run, self._reason(run))
        self._first = self._all_well = False
        self._changed()
        masked = bad | self.failed
        return torch.from_numpy(~masked) if masked.any() else None

    def fail(self, run: int, reason: str) -> None:
        """Let a run take no further part."""
        self.failed[run] = True
        self.reasons[run] = reason
        self._changed()

    def status(self) -> RunStatus:
        """The runs' status of now."""
        if self._status is None:
            skipped, failed = self.skipped.copy(), self.failed.copy()
            skipped.flags.writeable = failed.flags.writeable = False
            self._status = RunStatus(skipped, failed, tuple(self.reasons))
        return self._status

    def restore(self, saved: dict[str, Any]) -> None:
        super().restore(saved)
        self._changed()

    def _changed(self) -> None:
        """Renew what depends on `skipped` and `failed`."""
        self._status = None
        self._rest = torch.from_numpy(~self.failed) if self.failed.any() else None

    def _reason(self, run: int) -> str:
        """Why a run fails now."""
        consecutive, skipped, counted = (int(count[run]) for count in (self.consecutive, self.skipped, self.counted))
        many = f"{consecutive} updates in a row" if consecutive >= LIMIT else f"{skipped:,} of {counted:,} updates"
        last = f"the last at update {self.updates:,}"
        if self._nonfinite_data[run]:
            return f"{self._first_nonfinite[run]}; {many} were skipped, {last}: {REMEDIES['data']}"
        return f"non-finite gradient in {many}, {last}{self._explanation(run)}"

    def _explanation(self, run: int) -> str:
        """The likely cause of a gradient that is not finite, and what helps."""
        if self._rollout is not None:
            sizes = {
                "rewards": float(self._rollout.rewards[:, run].abs().max()) * self._reward_scale,
                "observations": float(self._rollout.observations[:, run].abs().max()),
            }
            name = max(sizes, key=lambda name: sizes[name])
            if sizes[name] > HUGE:
                return f", where {name} were as large as {sizes[name]:.3g}: {REMEDIES[name]}"
        return f": {REMEDIES['gradient']}"


def nonfinite_runs(rollout: Rollout) -> NDArray[np.bool_]:
    """Whether an observation or a reward of each run is not finite [R]."""
    observations, rewards = np.isfinite(rollout.observations.numpy()), np.isfinite(rollout.rewards.numpy())
    return ~(observations.all((0, 2, 3)) & rewards.all((0, 2)))


def first_nonfinite(rollout: Rollout, run: int, steps: int) -> str:
    """The first number that is not finite in a run's rollout, which ended after `steps` environment steps; sensors from 1."""
    observations, rewards = rollout.observations[:, run], rollout.rewards[:, run]  # [T + 1, N, O], [T, N]
    by_time = steps - rollout.valid[:, run].sum() + torch.cat([torch.zeros(1), rollout.valid[:, run].sum(1).cumsum(0)])  # [T + 1]
    of_observations, of_rewards = (torch.isfinite(x).logical_not().nonzero() for x in (observations, rewards))
    if not len(of_rewards) or (len(of_observations) and of_observations[0, 0] <= of_rewards[0, 0]):  # observation t comes first
        t, n, sensor = of_observations[0].tolist()
        which, value = f"sensor {sensor + 1} of {observations.shape[2]}", observations[t, n, sensor].item()
        return f"observation of the environment: {which} was {value} at step {int(by_time[t])}"
    t, n = of_rewards[0].tolist()
    return f"reward of the environment was {rewards[t, n].item()} at step {int(by_time[t + 1])}"
