"""Shifts at work in R runs × N environments: which values are in force at each step, and what they change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.dynamics import is_dynamics
from envs.dynamics.base import Dynamics
from envs.shifts.profiles import NoChange
from envs.shifts.shift import CLOCKS, Shift
from envs.transforms import NEUTRAL, change_actions, change_observations, change_rewards
from rl_rmsprop.seeding import seed_sequence
from rl_rmsprop.storage.snapshot import Snapshottable, load_plain, to_plain

KINDS = ("reward", "obs", "action")


class Shifter(Snapshottable):
    """Applies shifts in R runs × N environments. The code that steps the environments calls, for each step and in this order:
    `before_step`, `action`, then `after_step`, `observe` and `reward`.

    A snapshot leaves out what the dynamics were set to: it is in theirs.
    """

    STATE_ATTRIBUTES = (
        "_noise", "counts", "values", "regime", "onsets", "_due", "_due_regime", "_in_progress", "_next_change", "_waiting",
        "_regimes", "_active", "changed", "_any_changed", "_beginning", "_wake", "random_times",
    )  # fmt: skip

    def __init__(
        self,
        shifts: Sequence[Shift],
        dynamics: Dynamics,
        action_space: gym.Space,
        seeds: Sequence[int],
        envs_per_run: int,
        steps_per_call: int = 1,
        noise_seeds: Sequence[int] | None = None,
    ) -> None:
        """`action_space` is that of one environment; `seeds` of the runs set random times, `noise_seeds` noise (None: the same).

        A call counts `steps_per_call` steps for each environment that it steps: more than one where other environments, out of
        reach, train together with these.
        """
        self._shifts = [shift for shift in shifts if not isinstance(shift.profile, NoChange)]
        self._dynamics, self._action_space = dynamics, action_space
        self._shape = runs, _ = (len(seeds), envs_per_run)
        self._per_call, self._frozen = steps_per_call, False
        self._traces = [
            s.profile.start([np.random.default_rng(seed_sequence(seed, "shift times", s.parameter)) for seed in seeds])
            for s in self._shifts
        ]
        self._noise = {
            s.parameter: [
                np.random.default_rng(seed_sequence(seed, "shift noise", s.parameter))
                for seed in (seeds if noise_seeds is None else noise_seeds)
            ]
            for s in self._shifts
            if s.parameter.endswith("_noise")
        }
        self.counts = {clock: np.zeros(runs, np.int64) for clock in CLOCKS}  # [R] each
        self.values = {shift.parameter: self._initial(shift) for shift in shifts}  # [R, N] in force
        self.regime = np.zeros(runs, np.int64)  # [R] of the profiles, whether or not an environment waits for its reset
        self.onsets = np.zeros(runs, np.int64)  # [R] how often a profile began a change
        count = len(self._shifts)
        self._due = np.full((count, runs), np.nan)  # the profiles' values
        self._due_regime = np.zeros((count, runs), np.int64)
        self._in_progress = np.zeros((count, runs), bool)  # whether a change was in progress when the profile was last evaluated
        self._next_change = np.zeros((count, runs), np.int64)  # when the profile is to be evaluated again
        self._waiting = False  # whether an environment waits for its reset to take the values that are due
        self._regimes = np.zeros((count, *self._shape), np.int64)  # in force
        self._active: dict[str, dict[str, NDArray[np.float64]]] = {kind: {} for kind in KINDS}  # not neutral everywhere
        self.changed = np.zeros(self._shape, bool)  # [R, N] whether values differ from those of the environment's last step
        self._start()

    def _initial(self, shift: Shift) -> NDArray[np.float64]:
        if is_dynamics(shift.parameter):
            return self._dynamics.get(shift.parameter).reshape(self._shape).astype(float)
        return np.full(self._shape, NEUTRAL[shift.parameter])

    def _start(self) -> None:
        """Put the present values into force everywhere; that is no change."""
        self._beginning = np.ones(self._shape, bool)  # [R, N] whose next call begins an episode
        self._wake = {shift.clock: np.zeros(self._shape[0], np.int64) for shift in self._shifts}  # [R] each: earliest next change
        self.before_step()
        self.onsets = np.zeros(self._shape[0], np.int64)
        self.changed, self._any_changed = np.zeros(self._shape, bool), False

    def before_step(self) -> None:
        """Put into force the profiles' values at the present clocks."""
        due = any((self.counts[clock] >= wake).any() for clock, wake in self._wake.items())
        if due:
            self._evaluate_profiles()
        if due or (self._waiting and self._beginning.any()):
            self._apply()

    def _evaluate_profiles(self) -> None:
        """The values that are due now."""
        starting = np.zeros(self._shape[0], bool)
        for i, (shift, trace) in enumerate(zip(self._shifts, self._traces, strict=True)):
            t = self.counts[shift.clock]
            due, self._due_regime[i] = trace.evaluate(t)
            starting |= (due != self._due[i]) & ~self._in_progress[i]
            self._due[i], self._in_progress[i], self._next_change[i] = due, trace.in_progress(t), trace.next_change(t)
        self.onsets = self.onsets + starting
        self.regime = self._joined(self._due_regime)
        for clock in self._wake:
            self._wake[clock] = np.min([t for t, s in zip(self._next_change, self._shifts, strict=True) if s.clock == clock], 0)

    def _apply(self) -> None:
        """Put the values that are due into force: at once, or where the next call begins an episode."""
        values, self._waiting = dict(self.values), False
        for i, shift in enumerate(self._shifts):
            name, due, regime = shift.parameter, self._due[i][:, None], self._due_regime[i][:, None]
            where = np.ones(self._shape, bool) if shift.apply == "now" else self._beginning
            values[name] = np.where(where, due, values[name])
            self._regimes[i] = np.where(where, regime, self._regimes[i])
            self._waiting |= bool(((values[name] != due) | (self._regimes[i] != regime)).any())
            different = values[name] != self.values[name]
            if different.any():
                self.changed, self._any_changed = self.changed | different, True
                if is_dynamics(name):
                    self._dynamics.set(name, values[name].ravel())
        self.values = values
        active = {name: value for name, value in values.items() if name in NEUTRAL and (value != NEUTRAL[name]).any()}
        for kind in KINDS:
            self._active[kind] = {name: value for name, value in active.items() if name.startswith(kind)}

    @property
    def random_times(self) -> list[Any]:
        """The state of each profile that draws random times, in the order of the shifts; None for the others."""
        return [to_plain(trace) if isinstance(trace, Snapshottable) else None for trace in self._traces]

    @random_times.setter
    def random_times(self, saved: list[Any]) -> None:
        for trace, state in zip(self._traces, saved, strict=True):
            if state is not None:
                load_plain(trace, state)

    def _joined(self, regimes: NDArray[np.int64]) -> NDArray[np.int64]:
        """One number for the regimes of all shifts [shifts, …]."""
        radix = np.cumprod([1, *(shift.profile.regimes for shift in self._shifts)])[:-1]
        return np.tensordot(radix, regimes, 1) if len(radix) else np.zeros(regimes.shape[1:], np.int64)

    def action(self, actions: NDArray) -> NDArray:
        """The agent's actions [R, N, …] as they reach the environments; Discrete ones are numbered from 0."""
        return change_actions(actions, self._active["action"], self._action_space, self._noise)

    def after_step(self, done: NDArray[np.bool_], valid: NDArray[np.bool_]) -> None:
        """Count a step: `done` [R, N] whether it ended an episode, `valid` [R, N] whether it was a step and not only a reset."""
        self._beginning = done
        if self._any_changed:
            self.changed = self.changed & ~valid
            self._any_changed = bool(self.changed.any())
        if not self._frozen:
            self.counts["steps"] = self.counts["steps"] + np.add.reduce(valid, 1) * self._per_call
            self._count_episodes(done)

    def truncate(self, which: NDArray[np.bool_]) -> None:
        """Count the episodes of some environments [R, N] as ended, after the step."""
        if not self._frozen:
            self._count_episodes(which & ~self._beginning)
        self._beginning = self._beginning | which

    def _count_episodes(self, done: NDArray[np.bool_]) -> None:
        if done.any():
            self.counts["episodes"] = self.counts["episodes"] + done.sum(1)

    def observe(self, observations: NDArray) -> NDArray:
        """The environments' observations [R, N, …] as the agent sees them."""
        return change_observations(observations, self._active["obs"], self._noise)

    def reward(self, rewards: NDArray, valid: NDArray[np.bool_]) -> NDArray:
        """The environments' rewards [R, N] as the agent gets them; those of calls that only reset stay as they are."""
        shifted = change_rewards(rewards, self._active["reward"], self._noise)
        return shifted if shifted is rewards else np.where(valid, shifted, rewards)

    def before_reset(self, which: NDArray[np.bool_] | None = None) -> None:
        """To be called before a reset of all environments, or of `which` [R, N]: it puts into force what is due now."""
        self._beginning = np.ones(self._shape, bool) if which is None else self._beginning | which
        self.before_step()
        self._beginning = np.zeros(self._shape, bool) if which is None else self._beginning & ~which

    def count_update(self) -> None:
        """Advance the clock `updates` by one."""
        if not self._frozen:
            self.counts["updates"] = self.counts["updates"] + 1

    def freeze(self, counts: Mapping[str, NDArray[np.int64]]) -> None:
        """Set all clocks to these counts [R], as if that time had passed, and stop them."""
        self.counts = {clock: np.array(counts[clock], np.int64) for clock in CLOCKS}
        self._frozen = True
        self._start()

    def truth(self) -> dict[str, NDArray]:
        """The values in force in each environment, by the names of Gymnasium's infos, [R, N] each.

        shift/t (steps of the run so far), shift/regime (number of the values in force), shift/changed (whether they differ from
        those of the environment's last step), shift/<parameter>.
        """
        steps = np.repeat(self.counts["steps"][:, None], self._shape[1], 1)
        state = {"shift/t": steps, "shift/regime": self._joined(self._regimes), "shift/changed": self.changed}
        return state | {f"shift/{name}": value for name, value in self.values.items()}
