"""β rules: what sets β at each update, and their text form.

    number                                0.99
    schedule of the clock                 linear:start=0.5,end=0.99
    detector that restarts a schedule     cusum:arl=50000,max=0.99
    law, by which E decides itself        asymmetric:rise=0.9,fall=0.999

An `Adaptive` rule is a chain of four parts, each of which knows nothing of the others:

    signal x [R] → detector → alarm, statistic [R] → reaction (clock n, bend of β) → schedule → β [R]

A schedule alone is the same chain with a detector that never alarms. Rules are frozen data; what changes over time is a dict
of tensors that `init` makes and `advance` maps to the next one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rl_rmsprop import grammar
from rl_rmsprop.detectors import DETECTORS, OFFLINE, Control, Cusum, Detector, Never, State
from rl_rmsprop.kernels.backends import Array, dispatch, where
from rl_rmsprop.laws import LAWS, Law
from rl_rmsprop.reactions import REACTIONS, Reaction, Usual
from rl_rmsprop.schedules import SCHEDULES, Constant, Harmonic, Join, Schedule
from rl_rmsprop.signals import SIGNALS

REMEDY = "river's detectors only replay recorded signals; page_hinkley is river's test for training"

# Rules ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Adaptive:
    """β from a schedule whose clock a detector can restart, or whose value it can bend."""

    detector: Detector = Cusum()
    """What raises alarms."""
    schedule: Schedule = Harmonic()
    """β as a function of the clock."""
    reaction: Reaction = Usual()
    """What an alarm does."""
    signal: str = "surprise"
    """What the detector listens to: the name of a signal."""

    def __post_init__(self) -> None:
        if self.signal not in SIGNALS:
            raise ValueError(f"signal must be one of {', '.join(SIGNALS)}, got {self.signal!r}")
        if not self.detector.online:
            raise ValueError(f"detector must have a state of tensors, got {type(self.detector).__name__}: {REMEDY}")
        if isinstance(self.reaction, Usual):
            object.__setattr__(self, "reaction", self.detector.usual_reaction())

    @property
    def listens_to(self) -> str | None:
        """The signal that has to be computed, if any: the user's choice, or the detector's own."""
        return self.detector.own_signal or (self.signal if self.detector.listens else None)

    @property
    def needs_previous_gradient(self) -> bool:
        """Whether the signal is computed from the gradient of the update before, too."""
        name = self.listens_to
        return name in SIGNALS and SIGNALS[name].needs_previous


Rule = Constant | Adaptive | Law
"""What an optimizer runs on; `as_rule` makes one of whatever a user gave."""


def as_rule(alpha: float | str | Schedule | Rule) -> Rule:
    """The rule that a number, a text, a schedule or a rule stands for; TypeError for anything else.

    >>> import torch
    >>> as_rule(torch.tensor(0.5)), as_rule("0.5")
    (Constant(beta=0.5), Constant(beta=0.5))
    """
    if isinstance(alpha, str):
        return parse(alpha)
    if isinstance(alpha, (Constant, Adaptive, Law)):
        return alpha
    if isinstance(alpha, Schedule):
        return Adaptive(Never(), alpha)
    number = grammar.plain(alpha)
    if isinstance(number, (int, float)) and not isinstance(number, bool):
        return Constant(float(number))
    raise TypeError(f"alpha must be a number in [0, 1), a rule or its text, got {type(alpha).__name__}: see rl_rmsprop.rules")


def resolve(rule: Rule, horizon: int, steps_per_update: float | None = None) -> Rule:
    """The same rule with what its schedule leaves open filled in, from the training that it is for.

    Args:
        rule: any rule.
        horizon: optimizer updates of the whole training.
        steps_per_update: environment steps of one run for each update.
    """
    if not isinstance(rule, Adaptive):
        return rule
    return replace(rule, schedule=rule.schedule.resolve(horizon, steps_per_update))


def check(rule: Rule) -> None:
    """ValueError if the rule needs files, as `yoked` does, that cannot be read: else that would end a training at its start."""
    if isinstance(rule, Adaptive):
        rule.detector.check_files()


# A rule over time -----------------------------------------------------------------------------------------------------


class RuleOutput(NamedTuple):
    """What a rule says at one update."""

    state: State
    beta: Tensor  # [R] float64
    alarm: Tensor  # [R] bool


def init(rule: Adaptive, keys: Tensor) -> State:
    """The state before the first update; `keys` (int64, [] or [R]) names the runs for random controls."""
    zero = torch.zeros(keys.shape, dtype=torch.float64, device=keys.device)
    clocks = {"clock": zero, "since": zero + torch.inf, "alarms": zero, "statistic": zero, "notified": zero}
    return clocks | prefixed(rule.detector.init(keys))


def prefixed(state: State) -> State:
    """A detector's state inside the rule's: the run is the first axis here, the last one there, where rows are contiguous."""
    return {f"detector.{k}": v.movedim(-1, 0) if v.dim() > 1 else v for k, v in state.items()}


def advance(rule: Adaptive, state: State, x: Tensor) -> RuleOutput:
    """One update: the signal x [R] in, β [R] out. A run whose `notified` is 1 reacts as if the detector had alarmed."""
    of_detector = {k.removeprefix("detector."): v for k, v in state.items() if k.startswith("detector.")}
    output = rule.detector.update({k: v.movedim(0, -1) if v.dim() > 1 else v for k, v in of_detector.items()}, x)
    clocks = {name: state[name] for name in ("clock", "since", "alarms", "statistic", "notified")}
    new, alarm, nearness = dispatch(partial(count, rule), clocks, output.alarm, output.statistic)
    beta = rule.reaction.beta(rule.schedule(new["clock"]), new["since"], nearness)
    return RuleOutput(new | prefixed(output.state), beta, alarm)


def count(rule: Adaptive, clocks: State, alarm: Array, statistic: Array) -> tuple[dict[str, Array], Array, Array]:
    """The new clocks, whether the rule reacts, and the statistic in units of its threshold.

    Where there was no observation the statistic is the last one.
    """
    reacts = alarm | (clocks["notified"] > 0.0)
    statistic = where(statistic == statistic, statistic, clocks["statistic"])
    n = clocks["clock"] + 1.0
    new = {
        "clock": where(reacts, 1.0, n) if rule.reaction.restarts else n,
        "since": where(reacts, 0.0, clocks["since"] + 1.0),
        "alarms": clocks["alarms"] + alarm,
        "statistic": statistic,
        "notified": 0.0 * n,
    }
    return new, reacts, statistic / rule.detector.threshold if rule.detector.listens else statistic


# Text form ------------------------------------------------------------------------------------------------------------

JOINT = re.compile(r"(?<![0-9][eE])\+")  # a + between schedules, not the one in 1e+3


def parse(spec: str) -> Rule:
    """The rule that a text stands for; ValueError names what is wrong and what is allowed.

    >>> parse("0.99")
    Constant(beta=0.99)
    >>> parse("cusum:arl=1000,max=0.999").schedule
    Harmonic(max=0.999)
    """
    spec = spec.strip()
    if grammar.number(spec) is None and not JOINT.search(spec):
        name, pairs = grammar.split(spec)
        if name in LAWS:
            return grammar.build(LAWS[name], pairs, spec)
        if name in DETECTORS:
            return parse_adaptive(name, pairs, spec)
        if name in OFFLINE:
            raise ValueError(f"detector must be one that can train, got {name!r}: {REMEDY}")
    schedule = parse_schedule(spec)
    return schedule if isinstance(schedule, Constant) else Adaptive(Never(), schedule)


def parse_schedule(spec: str) -> Schedule:
    """A schedule's text; `+` joins schedules, a bare number is a constant."""
    if grammar.number(spec) is not None:
        return parse_one_schedule(spec)
    parts = tuple(parse_one_schedule(part) for part in JOINT.split(spec))
    return parts[0] if len(parts) == 1 else Join(parts)


def parse_one_schedule(spec: str) -> Schedule:
    """One part of a joined schedule."""
    beta = grammar.number(spec)
    if beta is not None:
        return Constant(beta)
    name, pairs = grammar.split(spec)
    if name in DETECTORS or name in LAWS:
        raise ValueError(f"only schedules can be joined with +, got {name!r}: known are {', '.join(SCHEDULES)}")
    if name not in SCHEDULES:
        known = [*SCHEDULES, *DETECTORS, *LAWS]
        raise ValueError(f"β rule must be a number in [0, 1) or a known rule, got {name!r}: {grammar.nearest(name, known)}")
    return grammar.build(SCHEDULES[name], pairs, spec)


def parse_adaptive(name: str, pairs: dict[str, str], spec: str) -> Adaptive:
    """A detector's text: its own keys, `signal`, `reaction` and its keys, `schedule` and its keys, in one flat list."""
    pairs = dict(pairs)
    detector, usual = DETECTORS[name], DETECTORS[name].usual_reaction
    reaction = lookup(REACTIONS, pairs.pop("reaction"), "reaction") if "reaction" in pairs else usual
    schedule = lookup(SCHEDULES, pairs.pop("schedule", "harmonic"), "schedule")
    signal = pairs.pop("signal", "surprise")
    owners: tuple[type[Any], ...] = (detector, reaction, schedule)
    places = flat_keys(owners)
    pairs_of: list[dict[str, str]] = [{} for _ in owners]
    for key, value in pairs.items():
        if key not in places:
            known = sorted({"signal", "reaction", "schedule", *places})
            raise ValueError(f"{spec!r} has no key {key!r}: {grammar.nearest(key, known)}")
        owner, field = places[key]
        pairs_of[owner][field] = value
    parts = [grammar.build(owner, of_owner, spec) for owner, of_owner in zip(owners, pairs_of, strict=True)]
    return Adaptive(parts[0], parts[2], parts[1], signal)


def flat_keys(owners: Sequence[type[Any]]) -> dict[str, tuple[int, str]]:
    """Key in a detector's text → (owner's place, field), for the types of its detector, reaction and schedule.

    A key that an earlier part has too is written with the name of its part: `oracle:at=5,schedule=piecewise,schedule.at=7`.
    """
    places: dict[str, tuple[int, str]] = {}
    for i, (part, owner) in enumerate(zip(("detector", "reaction", "schedule"), owners, strict=True)):
        for field in fields(owner):
            places[f"{part}.{field.name}" if field.name in places else field.name] = (i, field.name)
    return places


def lookup(table: dict[str, type[Any]], name: str, what: str) -> type[Any]:
    """The entry of a table of variants; ValueError with the nearest name if there is none."""
    if name not in table:
        raise ValueError(f"{what} must be a known one, got {name!r}: {grammar.nearest(name, table)}")
    return table[name]


def text(rule: Rule | Schedule) -> str:
    """The shortest text that `parse` turns into the same rule."""
    if isinstance(rule, Constant):
        return grammar.value_text(rule.beta)
    if isinstance(rule, Join):
        return "+".join(text(part) for part in rule.parts)
    if isinstance(rule, Schedule):
        return grammar.text(name_of(SCHEDULES, rule), grammar.non_defaults(rule))
    if isinstance(rule, Law):
        return grammar.text(name_of(LAWS, rule), grammar.non_defaults(rule))
    if rule == Adaptive(Never(), rule.schedule) and not isinstance(rule.schedule, Constant):
        return text(rule.schedule)
    parts = (rule.detector, rule.reaction, rule.schedule)
    values = [grammar.non_defaults(part) for part in parts]
    places = flat_keys([type(part) for part in parts])
    pairs = {key: values[part][field] for key, (part, field) in places.items() if field in values[part]}
    if type(rule.reaction) is not rule.detector.usual_reaction:
        pairs["reaction"] = name_of(REACTIONS, rule.reaction)
    if not isinstance(rule.schedule, Harmonic):
        pairs["schedule"] = name_of(SCHEDULES, rule.schedule)
    if rule.signal != "surprise":
        pairs["signal"] = rule.signal
    return grammar.text(name_of(DETECTORS, rule.detector), pairs)


def text_or_none(rule: Rule) -> str | None:
    """The rule's text, or None if one of its parts is not a known one (a user's own schedule, say)."""
    try:
        return text(rule)
    except ValueError:
        return None


def name_of(table: dict[str, type[Any]], part: object) -> str:
    """The name under which a table knows the type of `part`; ValueError if it does not know it."""
    names = [name for name, kind in table.items() if type(part) is kind]
    if not names:
        raise ValueError(f"{type(part).__name__} has no text form: known are {', '.join(table)}")
    return names[0]


def is_control(rule: Rule) -> bool:
    """Whether the rule's alarms ignore the gradients (a control arm), as against a detector's."""
    return isinstance(rule, Adaptive) and isinstance(rule.detector, Control) and not isinstance(rule.detector, Never)
