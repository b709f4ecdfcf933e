"""Options that several verbs share."""

from __future__ import annotations

import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields, make_dataclass
from pathlib import Path
from typing import Any

from rl_rmsprop.cli.fields import field_docs, option, shown_default
from rl_rmsprop.machine import cores
from rl_rmsprop.study.spec import env_kwargs, sbatch
from rl_rmsprop.study.spec.names import EngineName, MetricName
from rl_rmsprop.study.spec.options import TrainingOptions
from rl_rmsprop.study.spec.presets import AGENTS


@dataclass(frozen=True)
class RunOptions(TrainingOptions):
    """What is trained, and where its results go."""

    env_kwargs: tuple[str, ...] = option((), metavar="[ID:]KEY=VALUE", is_table=True)
    """Arguments that every environment is made with, such as continuous=true; LunarLander-v3:continuous=true is for that one
    alone."""
    wrapper: tuple[str, ...] = option((), metavar="MODULE:CLASS")
    """Gymnasium wrappers around every environment; the first one is innermost."""
    shift: tuple[str, ...] = option((), metavar="SHIFT", commas_inside=True)
    """What changes in the environment, such as gravity:values=9.8/25,at=100000; `rl-rmsprop envs ID` lists what can."""
    lr_rule: str = option("none", metavar="RULE", commas_inside=True, instead="all arms of a study have the same")
    """What decides how long steps are, beside lr: none, trac, or intentional:eta=0.05, where lr is a factor, by default 1."""
    seeds: tuple[str, ...] = ("0-9",)
    """One run per seed: 0-9, or 0,2,5-7; 10 is the one seed 10."""
    out: Path | None = option(None, metavar="DIR", note="default: runs/ and a name made of the settings")
    """The study's folder."""
    overwrite: bool = option(False, in_study_file=False)
    """Replace the study that the folder holds."""

    def training(self) -> TrainingOptions:
        """What all runs share; ValueError for a value out of its range."""
        values = {field.name: getattr(self, field.name) for field in fields(TrainingOptions)}
        options = TrainingOptions(**values | {"env_kwargs": env_kwargs.canonical(self.env_kwargs)})
        options.check()
        return options


MOST_WORKERS = 4
"""For each core; more of them only wait for one another."""


@dataclass(frozen=True)
class WorkerOptions:
    """How the work is done; results do not depend on it."""

    workers: int | None = option(None, metavar="INT", note="default: one per core", in_study_file=False)
    """Worker processes."""
    checkpoint_every: float = option(60.0, metavar="SECONDS", in_study_file=False)
    """Time between checkpoints of runs under way."""
    engine: EngineName = "local"
    """Where it runs: local, processes of this machine; ray, the nodes of a cluster; slurm, jobs of a cluster."""
    address: str | None = option(None, metavar="HOST:PORT", note="default: a private cluster on this machine")
    """The cluster of --engine ray, or auto for the one that this machine is part of."""
    slurm: tuple[str, ...] = option((), metavar="KEY=VALUE", note="default: time=60 array=16")
    """Options of sbatch for --engine slurm, such as partition=cpu time=2:00:00; array=16 is the number of jobs at a time."""
    dry_run: bool = option(False, in_study_file=False)
    """Print the batches, and what Slurm would be given, instead of training."""

    def check(self) -> None:
        """ValueError for what makes no sense."""
        if self.address is not None and self.engine != "ray":
            raise ValueError(f"an address is Ray's, got --address {self.address} with --engine {self.engine}: give --engine ray")
        if self.slurm and self.engine != "slurm":
            raise ValueError(f"options of sbatch are Slurm's, got --slurm with --engine {self.engine}: give --engine slurm")
        if self.engine == "slurm":
            if self.workers is not None:
                raise ValueError(f"the number of jobs at a time is --slurm array={self.workers}, got --workers {self.workers}")
            sbatch.parsed(self.slurm)
        most = MOST_WORKERS * cores() if self.address is None else math.inf
        if self.workers is not None and not 1 <= self.workers <= most:
            at_most = "" if self.address else f" and at most {most}, four for each of {cores()} cores"
            raise ValueError(f"workers must be at least 1{at_most}, got {self.workers}")
        if not self.checkpoint_every > 0:
            raise ValueError(f"checkpoint_every must be greater than 0 seconds, got {self.checkpoint_every}")


# The agent's settings ---------------------------------------------------------------------------------------------------------


def setting(name: str) -> tuple[str, Any, Any]:
    """An agent's setting as an option that may be left out: name, type, field with the first sentence of its explanation."""
    owners = {agent: kind for agent, kind in AGENTS.items() if name in DOCS[agent]}
    agent, kind = next(iter(owners.items()))
    doc = DOCS[agent][name].partition(". ")[0].rstrip(".")
    only = f" ({', '.join(owners)})" if len(owners) < len(AGENTS) else ""
    hint = typing.get_type_hints(kind)[name]
    return name, hint | None, option(None, doc=f"{doc}{only}.", note=note_on_default(name, owners))


def note_on_default(name: str, owners: Mapping[str, type[Any]]) -> str:
    """The agents' defaults of a setting: the first agent's, and whatever differs from it."""
    defaults = {agent: next(field.default for field in fields(kind) if field.name == name) for agent, kind in owners.items()}
    usual = next(iter(defaults.values()))
    others = [f"{agent} {shown_default(value)}" for agent, value in defaults.items() if value != usual]
    return f"default: {'; '.join([shown_default(usual), *others])}" if usual != () else ""


DOCS = {agent: field_docs(kind) for agent, kind in AGENTS.items()}
SETTING_NAMES = tuple(dict.fromkeys(field.name for kind in AGENTS.values() for field in fields(kind)))

Settings: Any = make_dataclass("Settings", [setting(name) for name in SETTING_NAMES], frozen=True)
Settings.__doc__ = (
    "The agent's settings; one left out has the value of the environment's tuned preset, or else the default stated here."
)


# Reports ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReportOptions:
    """How arms are compared."""

    metric: MetricName = option("mean_return", metavar="NAME")
    """Score that decides: mean_return over training, final, steps_to_threshold, or after shifts drop, recovery or regret."""
    baseline: str | None = option(None, metavar="ARM", note="default: the fixed β with the best score")
    """Arm that the others are compared with."""
    threshold: tuple[str, ...] = option((), metavar="[ID=]RETURN", note="default: Gymnasium's")
    """Return that counts as solved."""
