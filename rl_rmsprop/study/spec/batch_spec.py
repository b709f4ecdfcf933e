"""The unit of work: the runs of one arm and environment that are trained together, as data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_rmsprop.storage.atomic import env_folder
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.names import run_folder
from rl_rmsprop.study.spec.options import TrainingOptions
from rl_rmsprop.study.spec.presets import Agent
from rl_rmsprop.study.spec.run_files import WEIGHTS


@dataclass(frozen=True)
class BatchSpec:
    """Everything that makes the results of some runs of one arm in one environment."""

    folder: Path
    """The study's folder."""
    env_id: str
    """Gymnasium id."""
    agent: Agent
    """The agent's settings, with the lr that the runs train with."""
    arm: Arm
    """The arm, which names the folder."""
    trained_arm: Arm
    """What the runs train with: the arm itself, a tuned rule, or what a control's arm has led to."""
    seeds: tuple[int, ...]
    """One run each."""
    options: TrainingOptions
    """What all runs of the study share."""
    aggregated: bool = False
    """Whether the study will aggregate over seeds, so that TensorBoard shows arms before single runs."""
    modules: tuple[str, ...] = ()
    """Modules that ids of the study name: any of them may register this environment, so they are imported before it is made."""

    @property
    def made_with(self) -> dict[str, Any]:
        """How its environments are made, see `TrainingOptions.made_with`."""
        return self.options.made_with(self.env_id)

    @property
    def iterations(self) -> int:
        """Iterations of each run: it acts, then learns, so often."""
        return -(-self.options.steps // (self.agent.n_envs * self.agent.n_steps))

    @property
    def updates(self) -> int:
        """Optimizer updates of each run."""
        return self.iterations * self.agent.updates_per_iteration

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"{self.env_id} · {self.arm.text} · seeds {', '.join(map(str, self.seeds))}"

    def run_label(self, seed: int) -> str:
        """What messages call one of its runs."""
        return f"{self.env_id} · {self.arm.text} · seed {seed}"

    @property
    def total_steps(self) -> int:
        """Environment steps of all its runs together."""
        return self.options.steps * len(self.seeds)

    @property
    def arm_folder(self) -> Path:
        """Where the arm's runs in this environment are."""
        return self.folder / env_folder(self.env_id) / self.arm.name

    def run_folder(self, seed: int) -> Path:
        """Where the run with this seed has its files, see run_files.py."""
        return run_folder(self.folder, self.env_id, self.arm.text, seed)

    @property
    def unfinished(self) -> tuple[int, ...]:
        """Seeds of the runs that are not finished."""
        return tuple(seed for seed in self.seeds if not (self.run_folder(seed) / WEIGHTS).is_file())

    @property
    def checkpoints(self) -> Path:
        """Where the batch saves its state while it is trained."""
        return self.arm_folder / f"batch_{self.seeds[0]:04d}"
