"""Names of options and files that are checked before torch is imported."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from rl_rmsprop.grammar import nearest
from rl_rmsprop.storage.atomic import env_folder

STUDY_FILE = "study.json"
"""In a study's folder: what it is."""

BASELINE_NAMES = (
    "sgd", "momentum", "adagrad", "rmsprop", "adam", "adam_balanced", "adam_rel", "adam_amsgrad", "adamax_momentum", "muon"
)  # fmt: skip
"""Optimizers to compare with, see rl_rmsprop/baselines/."""

SCHEDULE_NAMES = (
    "constant", "half_life", "refresh", "samples", "linear", "cosine", "exponential", "polynomial", "cyclic", "piecewise",
    "harmonic", "power", "sc_rmsprop",
)  # fmt: skip
DETECTOR_NAMES = (
    "cusum", "page_hinkley", "ewma", "e_sr", "tracking_signal", "never", "periodic", "restart", "oracle", "random", "yoked"
)  # fmt: skip
LAW_NAMES = (
    "asymmetric", "mixture", "ano", "yogi", "amsgrad", "adamax", "lagged", "adams", "bcos", "smorms3", "maxva", "adasmooth",
    "kourkoutas", "coupled", "policy_clock", "hypergradient",
)  # fmt: skip
RULE_NAMES = (*SCHEDULE_NAMES, *DETECTOR_NAMES, *LAW_NAMES)
"""What a β rule's text begins with, see rl_rmsprop/rules.py."""

STEP_SIZE_NAMES = ("none", "intentional", "trac")
"""Values of lr_rule without their keys, see rl_rmsprop/step_sizes/."""

MetricName = Literal["mean_return", "final", "steps_to_threshold", "drop", "recovery", "regret"]
"""Scores that arms can be compared by, see study/results/metrics.py."""

EngineName = Literal["local", "ray", "slurm"]
"""Where studies are trained, see study/execution/engines.py."""


def arm_folder(text: str) -> str:
    """The name of the folder of the arm with this text: letters, digits, dots, dashes, underscores, @.

    >>> arm_folder("linear:start=0.5,end=0.99")
    'linear_start0.5_end0.99'
    """
    return text.replace("/", "-").replace("+", "_then_").replace(":", "_").replace(",", "_").replace("=", "")


def run_folder(study: Path, env_id: str, arm: str, seed: int) -> Path:
    """Where a run of a study has its files, see run_files.py; `arm` is the arm's text.

    >>> run_folder(Path("runs/demo"), "CartPole-v1", "0.99", 7).as_posix()
    'runs/demo/CartPole-v1/0.99/seed_0007'
    """
    return study / env_folder(env_id) / arm_folder(arm) / f"seed_{seed:04d}"


def check_baseline(text: str) -> None:
    """ValueError unless a text begins with the name of a baseline; its keys are checked where torch is at hand."""
    name = text.partition(":")[0].strip()
    if name not in BASELINE_NAMES:
        raise ValueError(f"baseline must be a known optimizer, got {name!r}: {nearest(name, BASELINE_NAMES)}")


def check_holds_study(folder: Path) -> None:
    """ValueError unless a study is in the folder."""
    if not (folder / STUDY_FILE).is_file():
        raise ValueError(f"{folder} holds no study: there is no {STUDY_FILE} in it; rl-rmsprop train or compare makes one")
