"""How a study is reported: compared by which metric, against which arm, with which return counting as solved.

Kept in the study's folder as report.json, so that the report can be made again from the files alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import gymnasium as gym

from rl_rmsprop import grammar
from rl_rmsprop.storage.atomic import write_json
from rl_rmsprop.storage.json_tables import from_table, read_json
from rl_rmsprop.study.results.metrics import metric_named
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.study import Study

FILE = "report.json"


@dataclass(frozen=True)
class ReportSettings:
    """What a report compares."""

    metric: str = "mean_return"
    """Name of the score that decides."""
    baseline: str | None = None
    """The arm compared against; None: the fixed β with the best score in each environment, or the first arm."""
    thresholds: dict[str, float] = field(default_factory=dict)
    """Environment → return that counts as solved, for those that have one."""


def make_settings(
    study: Study, metric: str = "mean_return", baseline: str | None = None, threshold: Sequence[str] = ()
) -> ReportSettings:
    """Checked settings; ValueError for an unknown metric, arm or environment, or where the metric needs what is not there.

    `threshold` are texts: `475`, or `CartPole-v1=475` for one environment of several. Others have Gymnasium's.
    """
    chosen = metric_named(metric)
    known = {env_id: x for env_id in study.env_ids if (x := registered_threshold(env_id)) is not None}
    known |= dict(parse_threshold(text, study.env_ids) for text in threshold)
    for env_id in study.env_ids:
        if chosen.needs == "threshold" and env_id not in known:
            raise ValueError(f"metric {metric} needs a return that counts as solved, and {env_id} has none: give --threshold")
    if chosen.needs == "shift" and not study.options.shift:
        raise ValueError(f"metric {metric} needs an environment that changes, and this study has no --shift")
    return ReportSettings(metric, None if baseline is None else arm_named(baseline, study), known)


def registered_threshold(env_id: str) -> float | None:
    """Gymnasium's reward_threshold of an environment, None if it has none."""
    try:
        return gym.spec(env_id).reward_threshold
    except gym.error.Error:  # registered by a module that is not imported here
        return None


def parse_threshold(text: str, env_ids: Sequence[str]) -> tuple[str, float]:
    """Environment and return of a text such as `475` or `CartPole-v1=475`."""
    env_id, equals, value = text.rpartition("=")
    if not equals and len(env_ids) > 1:
        raise ValueError(f"threshold must name its environment if there are several, got {text!r}: write {env_ids[0]}={text}")
    if equals and env_id not in env_ids:
        raise ValueError(f"threshold must be of an environment of the study, got {env_id!r}: {grammar.nearest(env_id, env_ids)}")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"threshold must be a return such as 475, got {value!r}")
    return env_id or env_ids[0], number


def arm_named(text: str, study: Study) -> str:
    """The rule of the study's arm that `text` stands for, in whichever way it is written; ValueError if it is none of them."""
    arms = {arm.text: arm for arm in study.arms}
    if text in arms:
        return text
    try:
        canonical = Arm(text).canonical
    except ValueError:
        canonical = text
    for arm in study.arms:
        if arm.canonical == canonical:
            return arm.text
    raise ValueError(f"baseline must be one of the study's arms, got {text!r}: {grammar.nearest(text, arms)}")


def save_settings(settings: ReportSettings, folder: Path) -> None:
    """Write report.json."""
    write_json(folder / FILE, asdict(settings))


def load_settings(study: Study) -> ReportSettings:
    """What report.json says, or the defaults where there is none; ValueError if it says something else than settings."""
    path = study.folder / FILE
    if not path.is_file():
        return make_settings(study)
    try:
        content = read_json(path)
        missing = [f.name for f in fields(ReportSettings) if f.name not in content]
        if missing:
            raise ValueError(f"it has no {missing[0]}")
        saved = from_table(ReportSettings, content, FILE)
        texts = [f"{env_id}={value!r}" for env_id, value in saved.thresholds.items()]
        return make_settings(study, saved.metric, saved.baseline, texts)
    except ValueError as error:
        raise ValueError(f"{path} does not say how to report a study: delete it for the defaults ({error})") from error
