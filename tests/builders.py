"""Batches and studies for tests, from the few things that a test is about."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.batch_spec import BatchSpec
from rl_rmsprop.study.spec.options import TrainingOptions
from rl_rmsprop.study.spec.presets import Agent
from rl_rmsprop.study.spec.study import Study


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
