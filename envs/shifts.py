"""Shifts with known truth: a parameter of the environment that changes over the run, and what is done about it at each step.

    text → Shift (parameter, profile, clock, when applied) ─┐
    environment → parameters and dynamics ──────────────────┴→ Shifter: before(actions) → step → after(observations, rewards)

A shift is written like a β rule, `gravity:values=9.8/25,at=100000`. The clock is that of a *run*: with N environments that
train together it counts the steps of all of them, and all of them shift together. It never restarts at an episode's end, and
a change never ends an episode. Noise and random times are drawn from streams of their own, keyed by the run's seed and the
parameter: a shifted run equals the unshifted one bit for bit until the change.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.parameters import DYNAMICS, Parameter, find
from envs.physics import Dynamics
from envs.profiles import PROFILES, Profile, Still, Trace
from envs.seeding import seed_sequence
from rl_rmsprop import grammar

CLOCKS = ("steps", "episodes", "updates")
APPLY = ("now", "reset")


@dataclass(frozen=True)
class Shift:
    """One parameter's change."""

    parameter: str
    """Its name, see envs/parameters.py."""
    profile: Profile
    """Its value over time."""
    clock: str = "steps"
    """What time is counted in: environment `steps`, `episodes` that ended, or optimizer `updates`, each of the whole run."""
    apply: str = "now"
    """`now`: in all environments of the run at once; `reset`: in each environment when its next episode begins."""

    def __post_init__(self) -> None:
        for name, allowed in (("clock", CLOCKS), ("apply", APPLY)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")


def parse(text: str) -> Shift:
    """The shift that a text stands for; ValueError names what is wrong.

    >>> parse("gravity:values=9.8/25,at=1000").profile
    Abrupt(values=(9.8, 25.0), at=(1000,))
    >>> parse("tau:profile=sine,values=0.02/0.03,period=5000,apply=reset").apply
    'reset'
    """
    name, pairs = grammar.split(text)
    kind = pairs.pop("profile", "abrupt")
    if kind not in PROFILES:
        raise ValueError(f"profile must be a known one, got {kind!r} in {text!r}: {grammar.nearest(kind, PROFILES)}")
    own = {key: pairs.pop(key) for key in ("clock", "apply") if key in pairs}
    known = {f.name for f in fields(PROFILES[kind])}
    for key in pairs:
        if key not in known:
            raise ValueError(
                f"{text!r} has no key {key!r}: {grammar.nearest(key, sorted({*known, 'profile', 'clock', 'apply'}))}"
            )
    return Shift(name, grammar.build(PROFILES[kind], pairs, text), **own)


def text(shift: Shift) -> str:
    """The shortest text that `parse` turns into the same shift."""
    kind = next(name for name, profile in PROFILES.items() if type(shift.profile) is profile)
    pairs = {} if kind == "abrupt" else {"profile": kind}
    pairs |= grammar.changed(shift.profile)
    for field in fields(shift)[2:]:
        if field.default is not MISSING and getattr(shift, field.name) != field.default:
            pairs[field.name] = getattr(shift, field.name)
    return grammar.text(shift.parameter, pairs)


def parse_all(given: str | Shift | Iterable[str | Shift]) -> tuple[Shift, ...]:
    """Shifts from texts, several in one text separated by spaces or semicolons; each parameter may shift once."""
    listed = [given] if isinstance(given, (str, Shift)) else list(given)
    words = [w for item in listed for w in (item.replace(";", " ").split() if isinstance(item, str) else [item])]
    shifts = tuple(parse(word) if isinstance(word, str) else word for word in words)
    names = [shift.parameter for shift in shifts]
    twice = [name for i, name in enumerate(names) if name in names[:i]]
    if twice:
        raise ValueError(f"each parameter may shift once, got {twice[0]} twice: give one profile with all its values")
    return shifts


def check(shifts: Sequence[Shift], parameters: dict[str, Parameter], env: gym.Env | gym.vector.VectorEnv, where: str) -> None:
    """ValueError unless every shift is of one of these parameters and stays among its possible values."""
    for shift in shifts:
        parameter = find(shift.parameter, parameters, where)
        for value in shift.profile.reached():
            parameter.check(value)
            check_places(parameter, value, env)
        if shift.profile.continuous and (parameter.whole or parameter.choices):
            raise ValueError(f"{parameter.name} has no values in between, got {text(shift)!r}: use abrupt, recurring or poisson")


def check_places(parameter: Parameter, value: float, env: gym.Env | gym.vector.VectorEnv) -> None:
    """ValueError for a reordering or a sensor that this environment is too small for."""
    space = getattr(env, "single_observation_space", env.observation_space)
    sensors = math.prod(space.shape or ())
    action: Any = getattr(env, "single_action_space", env.action_space)
    most = {
        "obs_permutation": math.factorial(sensors) - 1,
        "obs_dropout": sensors,
        "action_permutation": math.factorial(int(action.n)) - 1 if isinstance(action, gym.spaces.Discrete) else math.inf,
    }
    if value > most.get(parameter.name, math.inf):
        raise ValueError(f"{parameter.name} must be at most {most[parameter.name]} here, got {value:g}: {parameter.meaning}")


def is_dynamics(name: str) -> bool:
    """Whether a parameter belongs to the equations of motion rather than to what passes between agent and environment."""
    return any(parameter.name == name for family in DYNAMICS.values() for parameter in family)


# At work --------------------------------------------------------------------------------------------------------------------


class Shifter:
    """Carries out shifts in R runs × N environments. Whoever steps the environments calls it before and after."""

    def __init__(
        self,
        shifts: Sequence[Shift],
        dynamics: Dynamics,
        spaces: tuple[gym.Space, gym.Space],
        seeds: Sequence[int],
        envs_per_run: int,
        steps_per_call: int = 1,
    ) -> None:
        """`spaces` are observation and action space of one environment, `seeds` those of the runs.

        A call counts `steps_per_call` steps for each environment that it moves: more than one where other environments, out
        of sight, train together with these.
        """
        self.shifts, self._dynamics = tuple(shifts), dynamics
        self._observation_space, self._action_space = spaces
        self._shape = (len(seeds), envs_per_run)
        self._per_call = steps_per_call
        self.counts = {clock: np.zeros(len(seeds), np.int64) for clock in CLOCKS}  # [R] each
        self._traces: list[Trace] = [
            shift.profile.start([np.random.default_rng(seed_sequence(s, "shift times", shift.parameter)) for s in seeds])
            for shift in self.shifts
        ]
        self._noise = [np.random.default_rng(seed_sequence(s, "shift noise")) for s in seeds]
        self.values = {shift.parameter: self._initial(shift) for shift in self.shifts}  # [R, N] in force
        self._due = np.full((len(self.shifts), len(seeds)), np.nan)  # [shifts, R] what the profiles say
        self._fresh = np.ones(self._shape, bool)  # [R, N] whose next call begins an episode
        self.regime = np.zeros(len(seeds), np.int64)  # [R]
        self.changed = np.zeros(len(seeds), bool)  # [R] whether the last call changed what the profiles say
        self.onsets = np.zeros(len(seeds), np.int64)  # [R] how often a change began
        self._advance()
        self.changed[:], self.onsets[:] = False, 0  # what holds from the start is no change

    def _initial(self, shift: Shift) -> NDArray[np.float64]:
        if is_dynamics(shift.parameter):
            return self._dynamics.get(shift.parameter).reshape(self._shape).astype(float)
        return np.full(self._shape, USUAL.get(shift.parameter, 0.0))

    def _advance(self) -> None:
        """Ask the profiles for the values at the clocks of now, and put them into force."""
        was_changing, self.changed = self.changed, np.zeros(self._shape[0], bool)
        regime, radix = np.zeros(self._shape[0], np.int64), 1
        for i, (shift, trace) in enumerate(zip(self.shifts, self._traces, strict=True)):
            if isinstance(shift.profile, Still):
                continue
            due, own_regime = trace.at(self.counts[shift.clock])
            self.changed |= due != self._due[i]
            self._due[i] = due
            regime, radix = regime + radix * own_regime, radix * shift.profile.regimes
            takes = np.ones(self._shape, bool) if shift.apply == "now" else self._fresh
            self._put(shift.parameter, np.where(takes, due[:, None], self.values[shift.parameter]))
        self.onsets = self.onsets + (self.changed & ~was_changing)
        self.regime = regime

    def _put(self, name: str, values: NDArray[np.float64]) -> None:
        if (values != self.values[name]).any():
            self.values[name] = values
            if is_dynamics(name):
                self._dynamics.set(name, values.ravel())

    def before(self, actions: NDArray) -> NDArray:
        """To be called before a step: puts values into force; returns the actions [R, N, …] that the environments are to get."""
        self._advance()
        return change_actions(actions, self.values, self._action_space, self._noise)

    def after(
        self, observations: NDArray, rewards: NDArray, over: NDArray[np.bool_], valid: NDArray[np.bool_]
    ) -> tuple[NDArray, NDArray]:
        """To be called after a step; returns what the agent is to see and to get.

        Observations [R, N, …], rewards [R, N], `over` whether an episode ended, `valid` whether the step was one.
        """
        self.counts["steps"] = self.counts["steps"] + valid.sum(1) * self._per_call
        self.counts["episodes"] = self.counts["episodes"] + over.sum(1)
        self._fresh = over.copy()
        if any(name.startswith("reward_") for name in self.values):
            paid = change_rewards(rewards, self.values, self._noise)
            rewards = np.where(valid, paid, rewards).astype(rewards.dtype)
        return change_observations(observations, self.values, self._noise), rewards

    def begin(self, observations: NDArray) -> NDArray:
        """What the agent is to see of first observations [R, N, …] after a reset that it asked for."""
        self._fresh[:] = False
        return change_observations(observations, self.values, self._noise)

    def renew(self) -> None:
        """To be called before a reset of all environments: every one takes the values of now."""
        self._fresh[:] = True
        self._advance()

    def count_update(self) -> None:
        """Tell the clock `updates` that the agent has made one."""
        self.counts["updates"] = self.counts["updates"] + 1

    def skip_to(self, counts: dict[str, NDArray[np.int64]]) -> None:
        """Put the clocks to these counts [R], as if the time between had passed."""
        self.counts = {name: count.copy() for name, count in counts.items()}

    def truth(self) -> dict[str, NDArray]:
        """What is in force, [R, N] each: shift/t (steps made so far), shift/regime, shift/changed, shift/<parameter>."""
        per_run = {"shift/t": self.counts["steps"], "shift/regime": self.regime, "shift/changed": self.changed}
        wide = {key: np.broadcast_to(value[:, None], self._shape) for key, value in per_run.items()}
        return wide | {f"shift/{name}": values for name, values in self.values.items()}


USUAL = {"reward_scale": 1.0, "reward_sign": 1.0, "obs_gain": 1.0, "action_sign": 1.0}
"""Values of parameters between agent and environment that change nothing, where that is not 0."""


# What passes between agent and environment ------------------------------------------------------------------------------------


def change_rewards(rewards: NDArray, values: dict[str, NDArray], noise: Sequence[np.random.Generator]) -> NDArray:
    """Rewards [R, N] scaled, turned, moved and blurred."""
    for name in ("reward_scale", "reward_sign"):
        if name in values:
            rewards = rewards * values[name]
    if "reward_offset" in values:
        rewards = rewards + values["reward_offset"]
    if "reward_noise" in values and values["reward_noise"].any():
        rewards = rewards + values["reward_noise"] * normal(noise, rewards.shape)
    return rewards


def change_observations(x: NDArray, values: dict[str, NDArray], noise: Sequence[np.random.Generator]) -> NDArray:
    """Observations [R, N, …] reordered, scaled, moved, blurred, with a sensor missing; in that order."""
    own = [name for name in values if name.startswith("obs_")]
    if not own:
        return x
    shape, dtype = x.shape, x.dtype
    x = x.reshape(*shape[:2], -1)  # [R, N, O]
    column = {name: values[name][..., None] for name in own}
    if "obs_permutation" in own:
        x = np.take_along_axis(x, reorderings(values["obs_permutation"], x.shape[-1]), -1)
    if "obs_gain" in own:
        x = x * column["obs_gain"]
    if "obs_bias" in own:
        x = x + column["obs_bias"]
    if "obs_noise" in own and column["obs_noise"].any():
        x = x + column["obs_noise"] * normal(noise, x.shape)
    if "obs_dropout" in own:
        x = np.where(np.arange(1, x.shape[-1] + 1) == column["obs_dropout"], 0.0, x)
    return x.reshape(shape).astype(dtype)


def change_actions(
    actions: NDArray, values: dict[str, NDArray], space: gym.Space, noise: Sequence[np.random.Generator]
) -> NDArray:
    """Actions reordered, reversed, made random: [R, N] from 0 for Discrete, [R, N, A] for Box."""
    if not any(name.startswith("action_") for name in values):
        return actions
    if isinstance(space, gym.spaces.Discrete):
        return change_choices(actions, values, int(space.n), noise)
    if not isinstance(space, gym.spaces.Box):
        return actions
    x, half = actions.astype(float), (space.high - space.low) / 2
    if "action_sign" in values:
        x = np.where(wide(values["action_sign"], x) < 0, space.low + space.high - x, x)
    if "action_noise" in values and values["action_noise"].any():
        x = x + wide(values["action_noise"], x) * half * normal(noise, x.shape)
    return np.clip(x, space.low, space.high).astype(actions.dtype)


def change_choices(actions: NDArray, values: dict[str, NDArray], n: int, noise: Sequence[np.random.Generator]) -> NDArray:
    """Discrete actions [R, N], numbered from 0."""
    if "action_permutation" in values:
        actions = np.take_along_axis(reorderings(values["action_permutation"], n), actions[..., None], -1)[..., 0]
    if "action_sign" in values:
        actions = np.where(values["action_sign"] < 0, n - 1 - actions, actions)
    if "action_noise" in values and values["action_noise"].any():
        drawn = np.stack([g.random((2, actions.shape[1])) for g in noise], 1)  # [2, R, N]
        actions = np.where(drawn[0] < values["action_noise"], (drawn[1] * n).astype(actions.dtype), actions)
    return actions


def wide(values: NDArray, like: NDArray) -> NDArray:
    """Values [R, N] with as many axes as `like` [R, N, …]."""
    return values.reshape(*values.shape, *[1] * (like.ndim - 2))


def normal(noise: Sequence[np.random.Generator], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Standard normal noise [R, …], drawn run by run."""
    return np.stack([g.standard_normal(shape[1:]) for g in noise])


def reorderings(which: NDArray, n: int) -> NDArray[np.int64]:
    """The reordering of n places that each entry of `which` names: [..., n]."""
    distinct, place = np.unique(which, return_inverse=True)
    table = np.array([reordering(int(k), n) for k in distinct])
    return table[place.reshape(which.shape)]


def reordering(k: int, n: int) -> list[int]:
    """The k-th ordering of 0 … n − 1, in lexicographic order from 0.

    >>> [reordering(k, 3) for k in (0, 1, 5)]
    [[0, 1, 2], [0, 2, 1], [2, 1, 0]]
    """
    left, result = list(range(n)), []
    for i in range(n - 1, -1, -1):
        place, k = divmod(k, math.factorial(i))
        result.append(left.pop(place))
    return result
