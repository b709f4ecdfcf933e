"""Matching: lr scaled so that every arm's updates are as large as those of a reference arm.

    u = root mean square of θ_{t+1} − θ_t over weights, updates and pilot seeds        lr ← lr · u_reference/u,  ROUNDS times

A rule that makes E larger takes smaller steps, and may win by that alone. With the steps matched, what is left is how E weighs
the weights and the moments of the training against each other.

The factor is one number for an arm in an environment, found in pilot runs on the tuning seeds, so that a matched arm is still
the optimizer that a user could have set up. A scale that follows the reference online would match every moment of the training,
and so take from an adaptive rule the very thing under test: steps that are longer or shorter at the right time. The size of the
updates is not quite proportional to lr, since another step size leads to other gradients; hence more than one round.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.study import ChosenSetting, Study
from rl_rmsprop.study.tuning.draws import part_file
from rl_rmsprop.study.tuning.trials import Outcome, Setting, TrialBatch

FILE = "matching.csv"
ROUNDS = 2


def batches(study: Study, arms: Sequence[Arm], number: int) -> list[TrialBatch]:
    """The pilot runs of these arms in all environments in the round with this number, with what they train with so far."""
    trials = []
    for env_id in study.env_ids:
        for arm in (arm for arm in arms if study.is_settled(env_id, arm)):
            choice = study.choice(env_id, arm)
            spec = study.batch(env_id, arm, study.tune_seeds)
            file = part_file(study, env_id, arm, f"round_{number}")
            trials.append(TrialBatch(spec, (Setting(number, choice.lr, choice.rule),), file))
    return trials


def update_rms(outcomes: Sequence[Outcome], env_id: str, arm: str) -> float:
    """Root mean square update of an arm in the last round that it has been through; NaN before the first."""
    of_arm = [outcome for outcome in outcomes if (outcome.env, outcome.arm) == (env_id, arm)]
    last = [outcome.update_rms for outcome in of_arm if outcome.number == max(other.number for other in of_arm)]
    return math.sqrt(sum(u * u for u in last) / len(last)) if last else math.nan


def scaled(study: Study, arms: Sequence[Arm], outcomes: Sequence[Outcome]) -> list[ChosenSetting]:
    """What the arms train with after a round: the reference as before, the others with lr scaled; nothing where u is unknown."""
    choices = []
    for env_id in study.env_ids:
        wanted = update_rms(outcomes, env_id, study.match_update_rms)
        for arm in arms:
            choice = study.choice(env_id, arm)
            factor = wanted / (update_rms(outcomes, env_id, arm.text) or math.nan)
            if math.isfinite(factor) and factor > 0 and arm.text != study.match_update_rms:
                choices.append(ChosenSetting(env_id, arm.text, choice.rule, float(f"{choice.lr * factor:.4g}")))
    return choices
