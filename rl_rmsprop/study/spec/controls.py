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

from rl_rmsprop import grammar
from rl_rmsprop.reactions import Soft
from rl_rmsprop.rules import Adaptive
from rl_rmsprop.study.spec.arms import Arm, make_arm

KINDS = ("oracle", "yoked", "random", "mean_beta")

# Which arms --------------------------------------------------------------------------------------------------------------


def make_arms(
    betas: Sequence[str], baselines: Sequence[str], seeds: int, shifting: bool, all_controls: bool = False
) -> tuple[Arm, ...]:
    """The arms of a study of this many seeds: β rules and controls in the order given, then baselines.

    With `all_controls` every control that fits an adaptive arm is added behind the β rules. ValueError for a text that stands
    for nothing, and for a control that could not do what its name says.
    """
    alone = {text: make_arm(text) for text in betas if "@" not in text}
    arms = [alone.get(text) or make_control(text.strip(), list(alone.values()), seeds, shifting) for text in betas]
    if all_controls:
        targets = [arm for arm in arms if not arm.control_of]
        controls = [control for arm in targets for control in controls_of(arm, targets, seeds, shifting)]
        known = {arm.canonical for arm in arms}
        arms += [control for control in controls if control.canonical not in known]
    return (*arms, *(make_arm(text, baseline=True) for text in baselines))


def make_control(text: str, arms: Sequence[Arm], seeds: int, shifting: bool) -> Arm:
    """The control that a text such as `yoked@cusum` stands for, of one of these arms."""
    kind, _, target = text.partition("@")
    if kind not in KINDS:
        raise ValueError(f"control must be {', '.join(KINDS)}, got {kind!r} in {text!r}: {grammar.nearest(kind, KINDS)}")
    arm = find_arm(target, arms, text)
    objection = objection_to(kind, arm, seeds, shifting)
    if objection:
        raise ValueError(f"{text}: {objection}")
    return Arm(text, control_of=arm.text)


def find_arm(target: str, arms: Sequence[Arm], text: str) -> Arm:
    """The arm with this text, or the only one that begins so; `text` is where the target stands."""
    exact = [arm for arm in arms if arm.text == target]
    matches = exact or [arm for arm in arms if target and arm.text.startswith(target)]
    if not matches:
        nearest = grammar.nearest(target, [arm.text for arm in arms])
        raise ValueError(f"{text} must name an arm of the study, got {target!r}: {nearest}")
    if len(matches) > 1:
        raise ValueError(f"{text} must name one arm, but {' and '.join(arm.text for arm in matches)} begin so: write more of it")
    return matches[0]


def objection_to(kind: str, arm: Arm, seeds: int, shifting: bool) -> str:
    """Why this arm cannot have this control; empty if it can."""
    rule = arm.rule
    if kind == "mean_beta":
        return "" if not arm.is_fixed else f"mean_beta needs a β that changes, and {arm.text} does not"
    if not (isinstance(rule, Adaptive) and rule.detector.listens):
        return f"{kind} needs an arm whose detector listens to the gradients, such as cusum, and {arm.text} has none"
    if kind == "oracle":
        return "" if shifting else "oracle needs an environment that changes: give --shift"
    if isinstance(rule.reaction, Soft):
        return f"{kind} repeats alarms, but in {arm.text} the statistic bends β without waiting for one: use mean_beta"
    if kind == "yoked" and seeds < 2:
        return "yoked takes its alarms from another seed: give at least two seeds"
    return ""


def controls_of(arm: Arm, arms: Sequence[Arm], seeds: int, shifting: bool) -> list[Arm]:
    """All controls that fit an arm, with the shortest texts that name it; none of schedules, which do not adapt."""
    if arm.is_fixed or (isinstance(arm.rule, Adaptive) and not arm.rule.detector.listens):
        return []
    name = arm.text.partition(":")[0]
    short = name if sum(other.text.startswith(name) for other in arms) == 1 else arm.text
    kinds = [kind for kind in KINDS if not objection_to(kind, arm, seeds, shifting)]
    return [make_control(f"{kind}@{short}", arms, seeds, shifting) for kind in kinds]
