"""The unit of work: the runs of one arm and environment that are trained together, as data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from rl_rmsprop.storage.atomic import env_folder
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.presets import Agent
from rl_rmsprop.study.spec.run_files import WEIGHTS


@dataclass(frozen=True)
class BatchSpec:
    """Everything that makes the results of some runs of one arm in one environment."""

    folder: str
    """The study's folder."""
    env_id: str
    """Gymnasium id."""
    agent_name: str
    """Name of the agent on the command line."""
    agent: Agent
    """The agent's settings."""
    arm: Arm
    """The β rule or baseline."""
    seeds: tuple[int, ...]
    """One run each."""
    steps: int
    """Environment steps per run, rounded up to whole windows of n_envs · n_steps."""
    eval_episodes: int = 100
    """Episodes of the final evaluation with the greedy policy."""
    aggregated: bool = False
    """Whether the study will aggregate over seeds, so that TensorBoard shows arms before single runs."""
    shifts: tuple[str, ...] = ()
    """What changes in the environment, and when, as text (see envs/shifts/shift.py)."""
    record_signals: bool = False
    """Keep the signals of every update in signals.npz."""
    rule: str = ""
    """What the arm trains with here, if that is not its own text: a tuned rule, or that of a control."""
    backend: str = "gymnasium"
    """Whose environments it trains in; evaluations are in Gymnasium's."""
    device: str = "cpu"
    """Where networks and optimizer are, in torch's words; no bit is promised elsewhere than on the CPU."""

    @property
    def windows(self) -> int:
        """Windows of each run: it acts, then learns, so often."""
        return -(-self.steps // (self.agent.n_envs * self.agent.n_steps))

    @property
    def updates(self) -> int:
        """Optimizer updates of each run."""
        return self.windows * self.agent.updates_per_iteration

    @property
    def label(self) -> str:
        """What it is, for whoever reads of its failure."""
        return f"{self.env_id} · {self.arm.rule} · seeds {', '.join(map(str, self.seeds))}"

    def name_of(self, seed: int) -> str:
        """What one of its runs is called, likewise."""
        return f"{self.env_id} · {self.arm.rule} · seed {seed}"

    @property
    def total_steps(self) -> int:
        """Environment steps of all its runs together."""
        return self.steps * len(self.seeds)

    @property
    def played(self) -> Arm:
        """The arm with the rule that it trains with."""
        return replace(self.arm, rule=self.rule or self.arm.rule, of="")

    def run_folder(self, seed: int) -> Path:
        """Where the run with this seed keeps its files."""
        return Path(self.folder) / env_folder(self.env_id) / self.arm.name / f"seed_{seed:04d}"

    @property
    def study_folder(self) -> Path:
        """The folder of the study that it belongs to."""
        return Path(self.folder)

    @property
    def unfinished(self) -> tuple[int, ...]:
        """Seeds of the runs that are not finished."""
        return tuple(seed for seed in self.seeds if not (self.run_folder(seed) / WEIGHTS).is_file())

    @property
    def checkpoints(self) -> Path:
        """Where the batch keeps its state while it is under way."""
        first = self.run_folder(self.seeds[0])
        return first.with_name(first.name.replace("seed", "batch"))
