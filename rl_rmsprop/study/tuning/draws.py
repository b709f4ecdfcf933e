"""Equal tuning: every arm gets the same number of random draws, on seeds that the evaluation never sees.

    K draws of lr and the arm's open keys → trials on the tuning seeds → the best mean return wins → evaluation on fresh seeds

Choosing a setting and reporting its score from the same seeds would favour arms with more settings to choose from
(Eimer et al. 2023; Patterson et al. 2024). lr is always among what is drawn: a β that needs another step size is not judged at
that of β = 0.99. Draw k is the same for all arms and environments (common random numbers): the same factor on the lr of the
environment's preset, the same value of a key that two rules share. Each quantity's draws are stratified: one in each K-th of
its range.

rl_rmsprop/study/spec/search_space.py has the whole search space.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import envs
from rl_rmsprop.storage.atomic import env_folder
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.search_space import LR, LR_SCALE, Range, extended, open_keys
from rl_rmsprop.study.spec.study import LARGEST_BATCH, ChosenSetting, Study
from rl_rmsprop.study.statistics.intervals import iqm
from rl_rmsprop.study.tuning.trials import Outcome, Setting, TrialBatch

FILE = "tuning.csv"


def lr_range(study: Study, env_id: str, arm: Arm) -> Range:
    """What an arm's lr is drawn from in an environment."""
    centre = study.agent_in(env_id).lr * LR_SCALE.get(arm.text.partition(":")[0], 1.0)
    return Range(LR.low * centre, LR.high * centre, LR.space)


def search_space(study: Study) -> list[dict[str, Any]]:
    """All ranges of a study in plain words, as study.json has them and a report can state them."""
    rows = []
    for env_id in study.env_ids:
        for arm in tunable(study):
            spans = {"lr": lr_range(study, env_id, arm), **open_keys(arm.text)}
            rows += [{"env": env_id, "arm": arm.text, "key": key, **span._asdict()} for key, span in spans.items()]
    return rows


def tunable(study: Study) -> list[Arm]:
    """The arms that are tuned: all but controls, which take what their arm has."""
    return [arm for arm in study.arms if not arm.control_of]


# Draws ---------------------------------------------------------------------------------------------------------------------


def places(draws: int, key: str) -> NDArray[np.float64]:
    """Where the draws of a key lie in its range: [K] in [0, 1), one in each K-th, in random order."""
    rng = np.random.default_rng(envs.seed_sequence(draws, f"tuning {key}"))
    return (rng.permutation(draws) + rng.random(draws)) / draws


def settings(study: Study, env_id: str, arm: Arm) -> list[Setting]:
    """The draws of one arm in one environment."""
    samples = {key: span.at(places(study.tune, key)) for key, span in open_keys(arm.text).items()}
    lrs = lr_range(study, env_id, arm).at(places(study.tune, "lr"))
    return [Setting(k, lr, extended(arm.text, {key: values[k] for key, values in samples.items()})) for k, lr in enumerate(lrs)]


def batches(study: Study, arms: Sequence[Arm]) -> list[TrialBatch]:
    """The trials of some arms in all environments, cut into as many batches for each arm as its runs are, or more."""
    pieces = -(-len(study.seeds) // study.batch_size)
    per_batch = max(1, min(LARGEST_BATCH // len(study.tune_seeds), -(-study.tune // pieces)))
    cut = []
    for env_id in study.env_ids:
        for arm in arms:
            tried = settings(study, env_id, arm)
            for first in range(0, len(tried), per_batch):
                file = part_file(study, env_id, arm, f"draws_{first:04d}")
                cut.append(TrialBatch(study.batch(env_id, arm, study.tune_seeds), tuple(tried[first : first + per_batch]), file))
    return cut


def part_file(study: Study, env_id: str, arm: Arm, name: str) -> str:
    """Where a batch of trials puts its outcomes, until all are gathered."""
    return str(study.folder / PARTS / env_folder(env_id) / arm.name / f"{name}.csv")


PARTS = "trials"

# The winner ----------------------------------------------------------------------------------------------------------------


def winners(outcomes: Sequence[Outcome]) -> list[ChosenSetting]:
    """For each arm in each environment the setting with the largest IQM of the mean return; none where no draw has one.

    A setting with a run that has no mean return (it diverged, or no episode ended) is no candidate.
    """
    best: dict[tuple[str, str], tuple[float, ChosenSetting]] = {}
    for (env, arm, _), runs in by_setting(outcomes).items():
        score = float(iqm(np.array([run.mean_return for run in runs])))
        if score > best.get((env, arm), (-math.inf,))[0]:
            best[env, arm] = (score, ChosenSetting(env, arm, runs[0].rule, runs[0].lr))
    return [choice for _, choice in best.values()]


def by_setting(outcomes: Sequence[Outcome]) -> dict[tuple[str, str, int], list[Outcome]]:
    """The runs of each setting of each arm in each environment."""
    groups: dict[tuple[str, str, int], list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault((outcome.env, outcome.arm, outcome.number), []).append(outcome)
    return groups


def at_the_edge(study: Study, choice: ChosenSetting) -> bool:
    """Whether the chosen lr lies in the lowest or highest K-th of its range, or twentieth: a better one may lie beyond."""
    span = lr_range(study, choice.env_id, next(arm for arm in study.arms if arm.text == choice.arm))
    place = math.log(choice.lr / span.low) / math.log(span.high / span.low)
    margin = max(1 / study.tune, 0.05)
    return study.tune > 2 and not margin < place < 1 - margin
