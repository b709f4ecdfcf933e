"""Controls of an arm, as arms of the same study: what a β that adapts must be compared with before its adapting gets the credit.

    oracle@ARM       ARM's schedule and reaction, alarmed at the true changes of the environment
    yoked@ARM        alarmed when ARM was, in the run with the next seed
    random@ARM       alarmed at random updates, as often as ARM was on average
    mean_beta@ARM    a fixed β: that of ARM, averaged over updates and runs

ARM is the text of another arm of the study, or the beginning of it if no other arm begins so: `yoked@cusum`. A control trains
after its arm, with the lr and the keys that its arm had in the same environment, tuned or not, so that the two differ in one
thing only. Where every seed sees the same change at the same time, `yoked` keeps the calendar and takes away what the run's own
gradients said; `random` takes away the calendar too, and `mean_beta` all timing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rl_rmsprop import grammar, rules
from rl_rmsprop.reactions import Soft
from rl_rmsprop.rules import Adaptive, Constant
from rl_rmsprop.study.spec.arms import Arm, make_arm

KINDS = ("oracle", "yoked", "random", "mean_beta")

# Which arms --------------------------------------------------------------------------------------------------------------


def make_arms(
    betas: Sequence[str], baselines: Sequence[str], seeds: int, shifting: bool, all_controls: bool = False, **options: Any
) -> tuple[Arm, ...]:
    """The arms of a study of this many seeds: β rules and controls in the order given, then baselines.

    With `all_controls` every control that fits an adaptive arm is added behind the β rules. ValueError for a text that stands
    for nothing, and for a control that could not do what its name says.
    """
    alone = {text: make_arm(text, **options) for text in betas if "@" not in text}
    listed = [alone.get(text) or make_control(text.strip(), list(alone.values()), seeds, shifting) for text in betas]
    everyone = [arm for arm in listed if not arm.of]
    if all_controls:
        added = [control for arm in everyone for control in fitting(arm, everyone, seeds, shifting)]
        known = {arm.canonical for arm in listed}
        listed = [*listed, *(control for control in added if control.canonical not in known)]
    return (*listed, *(make_arm(text, baseline=True, **options) for text in baselines))


def make_control(text: str, arms: Sequence[Arm], seeds: int, shifting: bool) -> Arm:
    """The control that a text such as `yoked@cusum` stands for, of one of these arms."""
    kind, _, target = text.partition("@")
    if kind not in KINDS:
        raise ValueError(f"control must be {', '.join(KINDS)}, got {kind!r} in {text!r}: {grammar.nearest(kind, KINDS)}")
    arm = find(target, arms, text)
    objection = misfit(kind, arm, seeds, shifting)
    if objection:
        raise ValueError(f"{text}: {objection}")
    return Arm(text, arm.eps, arm.bias_correction, of=arm.rule)


def find(target: str, arms: Sequence[Arm], text: str) -> Arm:
    """The arm with this text, or the only one that begins so; `text` is where the target stands."""
    known = [arm.rule for arm in arms]
    exact = [arm for arm in arms if arm.rule == target]
    found = exact or [arm for arm in arms if target and arm.rule.startswith(target)]
    if not found:
        raise ValueError(f"{text} must name an arm of the study, got {target!r}: {grammar.nearest(target, known)}")
    if len(found) > 1:
        raise ValueError(f"{text} must name one arm, but {' and '.join(arm.rule for arm in found)} begin so: write more of it")
    return found[0]


def misfit(kind: str, arm: Arm, seeds: int, shifting: bool) -> str:
    """Why this arm cannot have this control; empty if it can."""
    rule = rules.parse(arm.rule)
    if kind == "mean_beta":
        return "" if not isinstance(rule, Constant) else f"mean_beta needs a β that changes, and {arm.rule} does not"
    if not (isinstance(rule, Adaptive) and rule.detector.listens):
        return f"{kind} needs an arm whose detector listens to the gradients, such as cusum, and {arm.rule} has none"
    if kind == "oracle":
        return "" if shifting else "oracle needs an environment that changes: give --shift"
    if isinstance(rule.reaction, Soft):
        return f"{kind} repeats alarms, but in {arm.rule} the statistic bends β without waiting for one: use mean_beta"
    if kind == "yoked" and seeds < 2:
        return "yoked takes its alarms from another seed: give at least two seeds"
    return ""


def fitting(arm: Arm, arms: Sequence[Arm], seeds: int, shifting: bool) -> list[Arm]:
    """All controls that fit an arm, with the shortest texts that name it; none of schedules, which do not adapt."""
    rule = rules.parse(arm.rule)
    if isinstance(rule, Constant) or (isinstance(rule, Adaptive) and not rule.detector.listens):
        return []
    name = arm.rule.partition(":")[0]
    short = name if sum(other.rule.startswith(name) for other in arms) == 1 else arm.rule
    return [make_control(f"{kind}@{short}", arms, seeds, shifting) for kind in KINDS if not misfit(kind, arm, seeds, shifting)]
