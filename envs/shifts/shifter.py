"""Shifts at work in R runs × N environments: what holds at each step, and who is told of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.dynamics import is_dynamics
from envs.dynamics.base import Dynamics
from envs.seeding import seed_sequence
from envs.shifts.profiles import Still
from envs.shifts.shift import CLOCKS, Shift
from envs.transforms import USUAL, change_actions, change_observations, change_rewards
from rl_rmsprop.storage.snapshot import Snapshottable, load_plain, to_plain

KINDS = ("reward", "obs", "action")


class Shifter(Snapshottable):
    """Carries out shifts in R runs × N environments. Whoever steps the environments calls, for each step and in this order:
    `advance`, `act` on the actions, then `after`, `see` on the observations and `pay` on the rewards.

    What the dynamics were set to is theirs to keep.
    """

    STATE_ATTRIBUTES = (
        "_noise", "counts", "values", "regime", "onsets", "_due", "_due_regime", "_moving", "_until", "_waiting", "_regimes",
        "_active", "changed", "_changed", "_fresh", "_wake", "drawn",
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

        A call counts `steps_per_call` steps for each environment that it moves: more than one where other environments, out
        of sight, train together with these.
        """
        self._shifts = [shift for shift in shifts if not isinstance(shift.profile, Still)]
        self._dynamics, self._action_space = dynamics, action_space
        self._shape = runs, _ = (len(seeds), envs_per_run)
        self._per_call, self._held = steps_per_call, False
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
        self.regime = np.zeros(runs, np.int64)  # [R] what the profiles say, whether or not an environment waits for its reset
        self.onsets = np.zeros(runs, np.int64)  # [R] how often a profile began a change
        count = len(self._shifts)
        self._due = np.full((count, runs), np.nan)  # what the profiles say
        self._due_regime = np.zeros((count, runs), np.int64)
        self._moving = np.zeros((count, runs), bool)  # whether a change was under way when the profile was last asked
        self._until = np.zeros((count, runs), np.int64)  # when the profile is to be asked again
        self._waiting = False  # whether an environment waits for its reset to take what is due
        self._regimes = np.zeros((count, *self._shape), np.int64)  # in force
        self._active: dict[str, dict[str, NDArray[np.float64]]] = {kind: {} for kind in KINDS}  # not usual everywhere
        self.changed = np.zeros(self._shape, bool)  # [R, N] whether values are others than in the environment's last step
        self._start()

    def _initial(self, shift: Shift) -> NDArray[np.float64]:
        if is_dynamics(shift.parameter):
            return self._dynamics.get(shift.parameter).reshape(self._shape).astype(float)
        return np.full(self._shape, USUAL[shift.parameter])

    def _start(self) -> None:
        """Put everywhere into force what holds now, which is no change."""
        self._fresh = np.ones(self._shape, bool)  # [R, N] whose next call begins an episode
        self._wake = {shift.clock: np.zeros(self._shape[0], np.int64) for shift in self._shifts}  # [R] each: earliest until
        self.advance()
        self.onsets = np.zeros(self._shape[0], np.int64)
        self.changed, self._changed = np.zeros(self._shape, bool), False

    def advance(self) -> None:
        """Put into force what the profiles say at the clocks of now. To be called before `act`."""
        due = any((self.counts[clock] >= wake).any() for clock, wake in self._wake.items())
        if due:
            self._ask()
        if due or (self._waiting and self._fresh.any()):
            self._take()

    def _ask(self) -> None:
        """Ask the profiles for what is due now."""
        begun = np.zeros(self._shape[0], bool)
        for i, (shift, trace) in enumerate(zip(self._shifts, self._traces, strict=True)):
            t = self.counts[shift.clock]
            due, self._due_regime[i] = trace.look(t)
            begun |= (due != self._due[i]) & ~self._moving[i]
            self._due[i], self._moving[i], self._until[i] = due, trace.moving(t), trace.until(t)
        self.onsets = self.onsets + begun
        self.regime = self._joined(self._due_regime)
        for clock in self._wake:
            self._wake[clock] = np.min([u for u, s in zip(self._until, self._shifts, strict=True) if s.clock == clock], 0)

    def _take(self) -> None:
        """Let environments take what is due: at once, or those whose next call begins an episode."""
        values, self._waiting = dict(self.values), False
        for i, shift in enumerate(self._shifts):
            name, due, regime = shift.parameter, self._due[i][:, None], self._due_regime[i][:, None]
            takes = np.ones(self._shape, bool) if shift.apply == "now" else self._fresh
            values[name] = np.where(takes, due, values[name])
            self._regimes[i] = np.where(takes, regime, self._regimes[i])
            self._waiting |= bool(((values[name] != due) | (self._regimes[i] != regime)).any())
            moved = values[name] != self.values[name]
            if moved.any():
                self.changed, self._changed = self.changed | moved, True
                if is_dynamics(name):
                    self._dynamics.set(name, values[name].ravel())
        self.values = values
        unusual = {name: value for name, value in values.items() if name in USUAL and (value != USUAL[name]).any()}
        for kind in KINDS:
            self._active[kind] = {name: value for name, value in unusual.items() if name.startswith(kind)}

    @property
    def drawn(self) -> list[Any]:
        """What the profiles that draw random times keep, in the order of the shifts; None for the others."""
        return [to_plain(trace) if isinstance(trace, Snapshottable) else None for trace in self._traces]

    @drawn.setter
    def drawn(self, saved: list[Any]) -> None:
        for trace, kept in zip(self._traces, saved, strict=True):
            if kept is not None:
                load_plain(trace, kept)

    def _joined(self, regimes: NDArray[np.int64]) -> NDArray[np.int64]:
        """One number for the regimes of all shifts [shifts, …]."""
        radix = np.cumprod([1, *(shift.profile.regimes for shift in self._shifts)])[:-1]
        return np.tensordot(radix, regimes, 1) if len(radix) else np.zeros(regimes.shape[1:], np.int64)

    def act(self, actions: NDArray) -> NDArray:
        """The actions [R, N, …] that the environments are to get; Discrete ones are numbered from 0."""
        return change_actions(actions, self._active["action"], self._action_space, self._noise)

    def after(self, over: NDArray[np.bool_], valid: NDArray[np.bool_]) -> None:
        """Count a step: `over` [R, N] whether it ended an episode, `valid` [R, N] whether it was a step and not only a reset."""
        self._fresh = over
        if self._changed:
            self.changed = self.changed & ~valid
            self._changed = bool(self.changed.any())
        if self._held:
            return
        self.counts["steps"] = self.counts["steps"] + np.add.reduce(valid, 1) * self._per_call
        if over.any():
            self.counts["episodes"] = self.counts["episodes"] + over.sum(1)

    def see(self, observations: NDArray) -> NDArray:
        """What the agent is to see of observations [R, N, …]."""
        return change_observations(observations, self._active["obs"], self._noise)

    def pay(self, rewards: NDArray, valid: NDArray[np.bool_]) -> NDArray:
        """What the agent is to get of rewards [R, N]; a call that only resets pays what the environment does."""
        paid = change_rewards(rewards, self._active["reward"], self._noise)
        return paid if paid is rewards else np.where(valid, paid, rewards)

    def renew(self, which: NDArray[np.bool_] | None = None) -> None:
        """To be called before a reset of all environments, or of `which` [R, N]: they take what is due now."""
        self._fresh = np.ones(self._shape, bool) if which is None else self._fresh | which
        self.advance()
        self._fresh = np.zeros(self._shape, bool) if which is None else self._fresh & ~which

    def count_update(self) -> None:
        """Tell the clock `updates` that the agent has made one."""
        if not self._held:
            self.counts["updates"] = self.counts["updates"] + 1

    def hold(self, counts: Mapping[str, NDArray[np.int64]]) -> None:
        """Stop all clocks at these counts [R], as if the time until then had passed."""
        self.counts = {clock: np.array(counts[clock], np.int64) for clock in CLOCKS}
        self._held = True
        self._start()

    def truth(self) -> dict[str, NDArray]:
        """What is in force in each environment, by the names of Gymnasium's infos, [R, N] each.

        shift/t (steps of the run so far), shift/regime (number of the values in force), shift/changed (whether they are others
        than in the environment's last step), shift/<parameter>.
        """
        steps = np.repeat(self.counts["steps"][:, None], self._shape[1], 1)
        known = {"shift/t": steps, "shift/regime": self._joined(self._regimes), "shift/changed": self.changed}
        return known | {f"shift/{name}": value for name, value in self.values.items()}
