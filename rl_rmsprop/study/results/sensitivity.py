"""How much an arm depends on its settings, from the draws of its tuning.

    score against lr             is the best lr a peak or a plateau?
    score against update size    are two arms the same rule at another step size?
    Φ                            mean over environments of (its best draw − the draw that is best on average), scores scaled to
                                 [0, 1] by the 5th and 95th percentile of all arms' draws there

Φ is the sensitivity of Adkins, Bowling and White (2024): what tuning for each environment alone gains over one setting for all
of them. A draw is "one setting" as one factor on the lr of each environment's preset and one value of every other key.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.study import Study
from rl_rmsprop.study.statistics.intervals import iqm
from rl_rmsprop.study.tuning import trials
from rl_rmsprop.study.tuning.draws import FILE, by_setting, tunable


class Response(NamedTuple):
    """The draws of one arm in one environment, in the order of their lr; every array [K]."""

    env_id: str
    arm: str
    place: int
    """Place of the arm in its study: decides its colour."""
    number: NDArray[np.int64]
    """Place of each draw among the draws."""
    lr: NDArray[np.float64]
    score: NDArray[np.float64]
    """IQM over tuning seeds of the mean return over training, NaN where a run has none."""
    update_rms: NDArray[np.float64]
    """Root mean square update over the training and the seeds."""

    @property
    def label(self) -> str:
        """What figures call the arm."""
        return Arm(self.arm).label


def responses(study: Study) -> list[Response]:
    """The draws of every arm in every environment, in the study's order; none if the study was not tuned."""
    path = study.folder / FILE
    if not path.is_file():
        return []
    draws: dict[tuple[str, str], list[tuple[int, float, float, float]]] = {}
    for (env_id, text, number), runs in by_setting(trials.read(path)).items():
        score = float(iqm(np.array([run.mean_return for run in runs])))
        size = math.sqrt(float(np.mean([run.update_rms**2 for run in runs])))
        draws.setdefault((env_id, text), []).append((number, runs[0].lr, score, size))
    result = []
    for env_id in study.env_ids:
        for arm in (arm for arm in tunable(study) if (env_id, arm.text) in draws):
            rows = np.array(sorted(draws[env_id, arm.text], key=lambda row: row[1]))
            place = study.arms.index(arm)
            result.append(Response(env_id, arm.text, place, rows[:, 0].astype(np.int64), rows[:, 1], rows[:, 2], rows[:, 3]))
    return result


def normalized(draws: Sequence[Response]) -> list[Response]:
    """The same with the scores of each environment scaled by the 5th and 95th percentile over all arms' draws in it."""
    scaled = []
    for response in draws:
        all_scores = np.concatenate([other.score for other in draws if other.env_id == response.env_id])
        low, high = np.nanquantile(all_scores, (0.05, 0.95))
        scaled.append(response._replace(score=(response.score - low) / (high - low) if high > low else response.score * 0.0))
    return scaled


class Sensitivity(NamedTuple):
    """One arm over all environments, in normalised scores."""

    arm: str
    tuned_for_each: float
    """Mean over environments of the best draw's score there."""
    one_for_all: float
    """The largest mean over environments that one draw has."""

    @property
    def phi(self) -> float:
        """What tuning for each environment gains, ≥ 0."""
        return self.tuned_for_each - self.one_for_all


def sensitivities(draws: Sequence[Response]) -> list[Sensitivity]:
    """Φ of every arm; draws that failed in an environment count as its worst."""
    scaled = normalized(draws)
    result = []
    for arm in dict.fromkeys(response.arm for response in scaled):
        of_arm = [response for response in scaled if response.arm == arm]
        numbers = sorted(set.intersection(*({*response.number.tolist()} for response in of_arm)))
        table = np.array([by_number(response, numbers) for response in of_arm])  # [environments, K]
        result.append(Sensitivity(arm, float(table.max(1).mean()), float(table.mean(0).max())))
    return result


def by_number(response: Response, numbers: Sequence[int]) -> NDArray[np.float64]:
    """The scores of these draws in this order; those without one get the lowest."""
    score = dict(zip(response.number.tolist(), response.score.tolist(), strict=True))
    row = np.array([score[number] for number in numbers])
    return np.where(np.isnan(row), np.nanmin(row) if not np.isnan(row).all() else 0.0, row)
