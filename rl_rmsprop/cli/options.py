"""Options that several verbs share."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import arg

from rl_rmsprop.study.spec.options import TrainingOptions


@dataclass(frozen=True)
class RunOptions(TrainingOptions):
    """What is run, and where its results go."""

    shift: Annotated[tuple[str, ...], arg(metavar="SHIFT [SHIFT ...]", help_behavior_hint="")] = ()
    """What changes in the environment, such as gravity:values=9.8/25,at=100000; `rl-rmsprop envs ID` lists what can."""
    seeds: str = "0-9"
    """One run per seed: 0-9, or 0,2,5-7."""
    out: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: runs/ and a name made of the settings)")] = None
    """The study's folder."""
    overwrite: bool = False
    """Replace the study that the folder holds."""

    def training(self) -> TrainingOptions:
        """What all runs share; ValueError for a value out of its range."""
        options = TrainingOptions(**{field.name: getattr(self, field.name) for field in fields(TrainingOptions)})
        options.check()
        return options


MOST_WORKERS = 4
"""For each core; more of them only wait for one another."""


@dataclass(frozen=True)
class WorkerOptions:
    """How the work is done; results do not depend on it."""

    workers: Annotated[int | None, arg(metavar="INT", help_behavior_hint="(default: one per core)")] = None
    """Worker processes."""
    checkpoint_every: float = 60.0
    """Seconds between checkpoints of runs under way."""

    def check(self) -> None:
        """ValueError for numbers that make no sense."""
        from rl_rmsprop.study.execution import local_pool

        cores = local_pool.default_workers()
        if self.workers is not None and not 1 <= self.workers <= MOST_WORKERS * cores:
            most = f"{MOST_WORKERS * cores}, four for each of {cores} cores"
            raise ValueError(f"workers must be at least 1 and at most {most}, got {self.workers}")
        if not self.checkpoint_every > 0:
            raise ValueError(f"checkpoint_every must be greater than 0 seconds, got {self.checkpoint_every}")


def preset(metavar: str) -> Any:
    """How --help shows an option whose default depends on agent and environment."""
    return arg(metavar=metavar, help_behavior_hint="")


@dataclass(frozen=True)
class Settings:
    """The agent's settings; one left out has the value of the environment's tuned preset, or else the agent's default."""

    lr: Annotated[float | None, preset("FLOAT")] = None
    """Step size."""
    lr_schedule: Annotated[Literal["constant", "linear"] | None, preset("{constant,linear}")] = None
    """Constant, or falling linearly to 0."""
    n_envs: Annotated[int | None, preset("INT")] = None
    """Environments per run."""
    n_steps: Annotated[int | None, preset("INT")] = None
    """Steps of each environment before the agent learns from them."""
    gamma: Annotated[float | None, preset("FLOAT")] = None
    """Discount per step."""
    gae_lambda: Annotated[float | None, preset("FLOAT")] = None
    """λ of the advantage estimate (a2c, ppo)."""
    n_epochs: Annotated[int | None, preset("INT")] = None
    """How often the steps are gone through (ppo)."""
    batch_size: Annotated[int | None, preset("INT")] = None
    """Steps per optimizer update (ppo)."""
    clip_range: Annotated[float | None, preset("FLOAT")] = None
    """How far the ratio of an action's probabilities may move (ppo)."""
    vf_coef: Annotated[float | None, preset("FLOAT")] = None
    """Weight of the value loss."""
    ent_coef: Annotated[float | None, preset("FLOAT")] = None
    """Weight of the entropy bonus."""
    max_grad_norm: Annotated[float | None, preset("FLOAT")] = None
    """Longest gradient of a run."""
    reward_scale: Annotated[float | None, preset("FLOAT")] = None
    """Factor on rewards for learning; reported returns are unscaled."""
    observation_scale: Annotated[tuple[float, ...] | None, preset("FLOAT [FLOAT ...]")] = None
    """Typical size of each sensor, by which observations are divided."""
    normalize_observations: Annotated[bool | None, preset("{True,False}")] = None
    """Shift and scale observations by their running mean and standard deviation."""
    normalize_rewards: Annotated[bool | None, preset("{True,False}")] = None
    """Divide rewards, for learning, by the running standard deviation of the discounted return."""
    normalize_advantage: Annotated[bool | None, preset("{True,False}")] = None
    """Scale advantages to mean 0 and standard deviation 1."""
    log_std_init: Annotated[float | None, preset("FLOAT")] = None
    """Initial ln σ of continuous actions."""
    hidden: Annotated[tuple[int, ...] | None, preset("INT [INT ...]")] = None
    """Widths of the hidden layers."""


@dataclass(frozen=True)
class ReportOptions:
    """How arms are compared."""

    metric: Annotated[str, arg(help_behavior_hint="(default: mean_return)")] = "mean_return"
    """Score that decides: mean_return over training, final, steps_to_threshold, or after shifts drop, recovery or regret."""
    baseline: Annotated[str | None, arg(metavar="ARM", help_behavior_hint="(default: the fixed β with the best score)")] = None
    """Arm that the others are compared with."""
    threshold: Annotated[tuple[str, ...], arg(metavar="[ID=]RETURN ...", help_behavior_hint="(default: Gymnasium's)")] = ()
    """Return that counts as solved."""
