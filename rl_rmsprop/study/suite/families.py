"""Arms by what sets their β: the families between which a reference study decides.

    fixed      a β that never changes               schedule   β follows a clock: updates, samples, rollouts
    detector   a detector restarts or bends it      law        E decides itself
    baseline   another optimizer                    control    what an adaptive arm is compared with, see spec/controls.py

`detector` and `law` together are adaptive: their β follows from what the training does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rl_rmsprop import rules
from rl_rmsprop.detectors import Never
from rl_rmsprop.laws import Adamax, AmsGrad, Ano, Asymmetric, Law, PolicyClock
from rl_rmsprop.rules import Adaptive
from rl_rmsprop.schedules import Samples
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.controls import make_control

FIXED, SCHEDULE, DETECTOR, LAW, BASELINE, CONTROL = "fixed", "schedule", "detector", "law", "baseline", "control"
ADAPTIVE = (DETECTOR, LAW)


def parse(texts: Iterable[str]) -> dict[str, Arm]:
    """The arms of one study by their texts, in the order given; a control's arm is among them."""
    order = list(dict.fromkeys(texts))
    alone = {text: Arm(text) for text in order if "@" not in text}
    targets = [arm for arm in alone.values() if not arm.is_baseline]
    return {text: alone[text] if text in alone else make_control(text, targets, seeds=2, shifting=True) for text in order}


def family(arm: Arm) -> str:
    """The family of an arm."""
    if arm.is_baseline:
        return BASELINE
    rule = arm.rule
    if rule is None or rules.is_control(rule):
        return CONTROL
    if arm.is_fixed:
        return FIXED
    if isinstance(rule, Law):
        return LAW
    assert isinstance(rule, Adaptive)
    return SCHEDULE if isinstance(rule.detector, Never) else DETECTOR


def members(arms: dict[str, Arm], *names: str) -> list[str]:
    """The texts of the arms of these families."""
    return [text for text, arm in arms.items() if family(arm) in names]


# Directions and clocks ----------------------------------------------------------------------------------------------------


def rises_first(arm: Arm) -> bool:
    """Whether it is `asymmetric` with rise < fall: E takes large gradients sooner than it forgets them."""
    return isinstance(arm.rule, Asymmetric) and arm.rule.rise < arm.rule.fall


def falls_first(arm: Arm) -> bool:
    """Whether E falls faster than it rises: `asymmetric` with rise > fall, or `ano`."""
    return isinstance(arm.rule, Ano) or (isinstance(arm.rule, Asymmetric) and arm.rule.rise > arm.rule.fall)


def protects(arm: Arm) -> bool:
    """Whether it should survive a shift by hypothesis: E rises at once, or forgetting is by movement of the policy."""
    return rises_first(arm) or isinstance(arm.rule, (Adamax, AmsGrad, PolicyClock))


def clock(arm: Arm) -> str:
    """What an arm's forgetting is counted in, if it is not updates: `policy` or `samples`; else nothing."""
    if isinstance(arm.rule, PolicyClock):
        return "policy"
    schedule = arm.rule.schedule if isinstance(arm.rule, Adaptive) and isinstance(arm.rule.detector, Never) else None
    return "samples" if isinstance(schedule, Samples) else ""


def controls_of(arm: str, arms: dict[str, Arm], kinds: Sequence[str]) -> list[str]:
    """The controls of an arm, of these kinds and in their order."""
    of_arm = [control for control in arms.values() if control.control_of == arm]
    return [control.text for kind in kinds for control in of_arm if control.control_kind == kind]
