"""Shifts with known truth: parameters of the environment that change over the run.

    text → Shift (parameter, profile, clock, when applied) ─┐
    environment → parameters and dynamics ──────────────────┴→ Shifter: before_step, action → step → after_step, observe, reward

A shift is written like a β rule, `gravity:values=9.8/25,at=100000`. The clock is that of a *run*: with N environments that
train together it counts the steps of all of them, and all of them shift together. It never restarts at an episode's end, and
a change never ends an episode. Noise and random times are drawn from streams of their own, keyed by the run's seed and the
parameter: a shifted run equals the unshifted one bit for bit until the change, and shares its random numbers afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, dataclass, fields

import gymnasium as gym
import numpy as np

from envs.dynamics.parameter import Parameter
from envs.parameters import find
from envs.shifts.profiles import PROFILES, Profile
from rl_rmsprop import grammar

CLOCKS = ("steps", "episodes", "updates")
APPLY = ("now", "reset")


@dataclass(frozen=True)
class Shift:
    """How one parameter changes over a run; see `parse` for its text.

    >>> from envs.shifts.profiles import Abrupt
    >>> text(Shift("gravity", Abrupt((9.8, 25.0), (100_000,))))
    'gravity:values=9.8/25,at=100000'
    """

    parameter: str
    """Its name, see envs/parameters.py."""
    profile: Profile
    """Its value over time."""
    clock: str = "steps"
    """The unit of time: environment `steps`, `episodes` that ended, or optimizer `updates`, each of the whole run."""
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
    options = {key: pairs.pop(key) for key in ("clock", "apply") if key in pairs}
    known = {f.name for f in fields(PROFILES[kind])}
    for key in pairs:
        if key not in known:
            raise ValueError(
                f"{text!r} has no key {key!r}: {grammar.nearest(key, sorted({*known, 'profile', 'clock', 'apply'}))}"
            )
    return Shift(name, grammar.build(PROFILES[kind], pairs, text), **options)


def text(shift: Shift) -> str:
    """The shortest text that `parse` turns into the same shift."""
    kind = next(name for name, profile in PROFILES.items() if type(shift.profile) is profile)
    pairs = {} if kind == "abrupt" else {"profile": kind}
    pairs |= grammar.non_defaults(shift.profile)
    for field in fields(shift)[2:]:
        if field.default is not MISSING and getattr(shift, field.name) != field.default:
            pairs[field.name] = getattr(shift, field.name)
    return grammar.text(shift.parameter, pairs)


def parse_all(shifts: str | Shift | Iterable[str | Shift]) -> tuple[Shift, ...]:
    """Shifts from texts, several in one text separated by spaces or semicolons; each parameter may shift once."""
    items = [shifts] if isinstance(shifts, (str, Shift)) else list(shifts)
    words = [w for item in items for w in (item.replace(";", " ").split() if isinstance(item, str) else [item])]
    parsed = tuple(parse(word) if isinstance(word, str) else word for word in words)
    names = [shift.parameter for shift in parsed]
    twice = [name for i, name in enumerate(names) if name in names[:i]]
    if twice:
        raise ValueError(f"each parameter may shift once, got {twice[0]} twice: give one profile with all its values")
    return parsed


def check(shifts: Sequence[Shift], parameters: dict[str, Parameter], env: gym.Env | gym.vector.VectorEnv, where: str) -> None:
    """ValueError unless every shift is of one of these parameters and stays among its possible values."""
    for shift in shifts:
        parameter = find(shift.parameter, parameters, where)
        for value in shift.profile.possible_values():
            parameter.check(value)
            check_places(parameter, value, env)
        if shift.profile.continuous and (parameter.whole or parameter.choices):
            raise ValueError(f"{parameter.name} has no values in between, got {text(shift)!r}: use abrupt, recurring or poisson")


def check_places(parameter: Parameter, value: float, env: gym.Env | gym.vector.VectorEnv) -> None:
    """ValueError for the number of a permutation or a sensor that this environment does not have."""
    space = getattr(env, "single_observation_space", env.observation_space)
    sensors = math.prod(space.shape or ())
    choices = getattr(env, "single_action_space", env.action_space)
    actions = int(choices.n) if isinstance(choices, gym.spaces.Discrete) else 1
    most = {
        "obs_permutation": math.factorial(min(sensors, 13)) - 1,  # 13! is beyond the parameter's own limit
        "obs_dropout": sensors,
        "action_permutation": math.factorial(min(actions, 13)) - 1,
    }
    if value > most.get(parameter.name, math.inf):
        raise ValueError(f"{parameter.name} must be at most {most[parameter.name]} here, got {value:g}: {parameter.meaning}")


def check_clocks(counts: Iterable[str]) -> None:
    """ValueError unless these are the names of all clocks."""
    if set(names := list(counts)) != set(CLOCKS):
        raise ValueError(f"frozen_at must give {', '.join(CLOCKS)}, got {', '.join(names) or 'nothing'}")


def affects(shifts: Iterable[Shift], kind: str) -> bool:
    """Whether a shift is of a parameter of this kind: reward, obs or action."""
    return any(shift.parameter.startswith(f"{kind}_") for shift in shifts)


def shifted_space(space: gym.Space, shifts: Iterable[Shift]) -> gym.Space:
    """The space of the agent's observations: without bounds if observations shift, since they may leave the original ones."""
    if not affects(shifts, "obs"):
        return space
    assert isinstance(space, gym.spaces.Box)
    return gym.spaces.Box(-np.inf, np.inf, space.shape, space.dtype.type)
