"""Equal tuning: every arm gets the same number of random draws, on seeds that the evaluation never sees.

    K draws of lr and the arm's open keys → trials on the tuning seeds → the best mean return wins → evaluation on fresh seeds

Choosing a setting and reporting its score from the same seeds would favour arms with more settings to choose from
(Eimer et al. 2023; Patterson et al. 2024). lr is always among what is drawn: a β that needs another step size is not judged at
that of β = 0.99. Draw k is the same for all arms and environments (common random numbers): the same factor on the lr of the
environment's preset, the same value of a key that two rules share. Each quantity's draws are stratified: one in each K-th of
its range.

What is written in an arm's text is not touched: `cusum:max=0.99` has arl tuned, `cusum` arl and max, `adam` β₁ and β₂, `0.99`
only lr. `KEYS` and `LR_SCALE` below are the whole search space.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import envs
from rl_rmsprop import grammar
from rl_rmsprop.storage.atomic import env_folder
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.study import LARGEST_BATCH, ChosenSetting, Study
from rl_rmsprop.study.statistics.intervals import iqm
from rl_rmsprop.study.tuning.trials import Outcome, Setting, TrialBatch

FILE = "tuning.csv"

# The search space ----------------------------------------------------------------------------------------------------------


class Range(NamedTuple):
    """What a quantity is drawn from."""

    low: float
    high: float
    space: str
    """`log`: uniform in the logarithm; `window`: β, uniform in the logarithm of the window 1/(1 − β)."""

    def at(self, u: NDArray[np.float64]) -> list[float]:
        """The values at the places u in [0, 1) of the range, to three digits (of 1 − β for a β)."""
        if self.space == "window":
            return [float(f"{1 - value:.6g}") for value in Range(1 - self.low, 1 - self.high, "log").at(u)]
        values = self.low * np.exp(u * math.log(self.high / self.low))
        return [float(f"{value:.3g}") for value in values.tolist()]


LR = Range(0.1, 30.0, "log")
"""Factor on the environment's lr: wide above, since rules that remember large gradients take larger steps than RMSProp."""

LR_SCALE = {"sgd": 300.0, "momentum": 50.0, "adagrad": 5.0}
"""Baseline → factor on top, by which its updates are about as large as those of β = 0.99 (measured on CartPole-v1): its lr is not
the length of a step, or its steps shrink."""

ADAM = {"beta1": Range(0.0, 0.99, "window"), "beta2": Range(0.9, 0.9995, "window")}
ARL, CAP = Range(1e3, 1e6, "log"), Range(0.9, 0.9995, "window")
KEYS: dict[str, dict[str, Range]] = {
    **{name: {"arl": ARL, "max": CAP} for name in ("cusum", "page_hinkley", "ewma", "e_sr", "tracking_signal")},
    **{name: {"max": CAP} for name in ("oracle", "harmonic", "power", "sc_rmsprop")},
    "restart": {"max": CAP},
    "refresh": {"R": Range(10, 1000, "log")},
    "samples": {"halflife": Range(1e3, 3e5, "log")},
    **{name: {"beta": CAP} for name in ("ano", "yogi", "amsgrad", "adamax", "lagged")},
    **{name: {"beta": Range(0.5, 0.99, "window")} for name in ("adams", "bcos")},
    "maxva": {"max": CAP},
    "adasmooth": {"long": Range(0.9, 0.999, "window")},
    "kourkoutas": {"min": Range(0.5, 0.95, "window"), "max": CAP},
    "coupled": {"start": Range(0.5, 0.99, "window"), "max": Range(0.99, 0.9995, "window")},
    "policy_clock": {"kl": Range(1e-3, 1.0, "log"), "max": CAP},
    "hypergradient": {"rate": Range(1e-3, 0.1, "log"), "start": CAP},
    **{name: ADAM for name in ("adam", "adam_rel", "adam_amsgrad", "adamax_momentum")},
    "adam_balanced": {"beta": Range(0.5, 0.999, "window")},
    "muon": {"momentum": ADAM["beta1"]},
    "asymmetric": {"rise": Range(0.1, 0.99, "window"), "fall": Range(0.97, 0.9998, "window")},
    "mixture": {"share": Range(1e-4, 0.1, "log"), "rate": Range(0.05, 2.0, "log")},
}
"""Rule or baseline → keys worth tuning and their ranges."""


def open_keys(text: str) -> dict[str, Range]:
    """The keys that are tuned in the rule or baseline of this text: those that it leaves out and could have."""
    name, fixed = grammar.split(text) if "+" not in text else (text, {})
    return {key: span for key, span in KEYS.get(name, {}).items() if key not in fixed and accepts(text, key, span)}


def accepts(text: str, key: str, span: Range) -> bool:
    """Whether the rule or baseline can have this key: max is the harmonic schedule's, and the text may have named another one."""
    try:
        _ = Arm(extended(text, {key: span.low})).canonical
    except ValueError:
        return False
    return True


def extended(text: str, pairs: dict[str, float]) -> str:
    """The rule's text with more keys behind those that it has."""
    more = ",".join(f"{key}={grammar.value_text(value)}" for key, value in pairs.items())
    return f"{text}{',' if ':' in text else ':'}{more}" if more else text


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
