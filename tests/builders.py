"""Batches, studies and reports for tests, from the few things that a test is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from envs import shifted_ids
from envs.dynamics.mujoco import MOTORS
from rl_rmsprop.study.report import figures
from rl_rmsprop.study.report.analysis import Analysis
from rl_rmsprop.study.report.page import NARROW_FOLDER
from rl_rmsprop.study.results.sensitivity import Response
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.batch_spec import BatchSpec
from rl_rmsprop.study.spec.options import TrainingOptions
from rl_rmsprop.study.spec.presets import Agent
from rl_rmsprop.study.spec.study import Study

ROBOTS = tuple(f"{robot}-v5" for robot in MOTORS)
BASE_IDS = tuple(env_id for env_id in shifted_ids.BASE_IDS if env_id not in ROBOTS)
"""Environments that have a shifted twin, and need no extra package."""


def batch_of(
    folder: Path | str,
    env_id: str,
    agent_name: str,
    agent: Agent,
    arm: Arm,
    seeds: tuple[int, ...],
    steps: int,
    eval_episodes: int = 100,
    **options: Any,
) -> BatchSpec:
    """A batch whose arm trains with its own rule."""
    shared = TrainingOptions(agent=agent_name, steps=steps, eval_episodes=eval_episodes, **options)  # type: ignore[arg-type]
    return BatchSpec(Path(folder), env_id, agent, arm, arm, seeds, shared)


def study_of(
    folder: Path,
    env_ids: tuple[str, ...],
    agent_name: str,
    agents: tuple[Agent, ...],
    arms: tuple[Arm, ...],
    seeds: tuple[int, ...],
    steps: int,
    eval_episodes: int = 100,
    shift: tuple[str, ...] = (),
    **more: Any,
) -> Study:
    """A study; `more` are its fields."""
    shared = TrainingOptions(agent=agent_name, steps=steps, eval_episodes=eval_episodes, shift=shift)  # type: ignore[arg-type]
    return Study(folder, env_ids, agents, arms, seeds, shared, **more)


def with_options(batch: BatchSpec, **options: Any) -> BatchSpec:
    """The same batch with other options."""
    return replace(batch, options=replace(batch.options, **options))


PLACEHOLDER = {
    ".svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    ".png": bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010100000000376ef9240000000a49444154789c636800000082008177cd72b6"
        "0000000049454e44ae426082"
    ),
}
"""The smallest pictures: one pixel or none."""


def write_placeholders(analyses: Sequence[Analysis], tuned: Sequence[Response], folder: Path) -> None:
    """The files of `figures.draw`, without the figures."""
    (folder / NARROW_FOLDER).mkdir(exist_ok=True)
    for name, _ in (*figures.of_environments(analyses), *figures.of_tuning(tuned)):
        for place, suffix in ((folder, ".png"), (folder, ".svg"), (folder / NARROW_FOLDER, ".svg")):
            (place / f"{name}{suffix}").write_bytes(PLACEHOLDER[suffix])
