"""Trials: one arm in one environment with several settings, each over the same seeds, for tuning and matching.

    settings K × seeds S → K·S runs of one batch → mean return and size of the updates of every run

All runs share environments and networks' arithmetic; each setting has an optimizer of its own for the rows of its S runs, so
that any optimizer can be tried, and a trial is bit for bit what `train` makes of the same setting and seed. A trial leaves no
run folder behind: a study would drown in them.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

import envs
from agents.training import Training, Update
from rl_rmsprop.storage.atomic import write_csv
from rl_rmsprop.study.results import scores
from rl_rmsprop.study.results.scores import Episodes
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.batch_spec import BatchSpec
from rl_rmsprop.study.training.episode_record import MEAN_EPISODES
from rl_rmsprop.study.training.monitor import Monitor, Progress, Stopped
from rl_rmsprop.study.training.optimizers import make_optimizer
from rl_rmsprop.study.training.policies import make_policy
from rl_rmsprop.telemetry import tags


class Setting(NamedTuple):
    """What is tried."""

    number: int
    """Its place among all settings tried for this arm."""
    lr: float
    rule: str
    """Text of the β rule or of the baseline."""


class Outcome(NamedTuple):
    """What one run with one setting came to: a row of tuning.csv or matching.csv."""

    env: str
    arm: str
    number: int
    lr: float
    rule: str
    seed: int
    mean_return: float
    """Mean training return over the training's steps, as in the report; NaN if no episode ended or the run failed."""
    update_rms: float
    """Root mean square of all changes of all weights over the training; NaN if the run failed."""


@dataclass(frozen=True)
class TrialBatch:
    """Some settings of one arm in one environment, trained together."""

    spec: BatchSpec
    """The arm and its environment, with the trials' seeds."""
    settings: tuple[Setting, ...]
    file: str
    """Where the outcomes go, a row a run."""

    @property
    def label(self) -> str:
        """Its name in messages about a failure."""
        return f"{self.spec.env_id} · {self.spec.arm.text} · trials {self.settings[0].number}–{self.settings[-1].number}"

    @property
    def parts(self) -> list[str]:
        """The names of its failures: trials are reported as one."""
        return [self.label]

    @property
    def arm(self) -> Arm:
        """The arm that is tried."""
        return self.spec.arm

    @property
    def total_steps(self) -> int:
        """Environment steps of all its runs together."""
        return self.spec.total_steps * len(self.settings)

    @property
    def error_file(self) -> Path:
        """Where the reason of a failure goes."""
        return Path(self.file).with_suffix(".error.txt")

    @property
    def study_folder(self) -> Path:
        """The folder of the study that it belongs to."""
        return self.spec.folder

    @property
    def outputs(self) -> list[Path]:
        """Its outcomes, or why there are none."""
        return [Path(self.file), self.error_file]

    @property
    def reads_other_runs(self) -> bool:
        """Whether it replays what other runs have recorded."""
        return any(Arm(setting.rule).reads_other_runs for setting in self.settings)

    def moved(self, folder: Path) -> TrialBatch:
        """The same trials in another study folder."""
        file = folder / Path(self.file).relative_to(self.spec.folder)
        return replace(self, spec=replace(self.spec, folder=folder), file=str(file))

    def run(self, monitor: Monitor) -> Sequence[str]:
        """Train all runs and write their outcomes; reports to `monitor` at every logging step; interrupted, it starts again.

        A run that fails is an outcome as well: a step size may be too large.
        """
        spec, count = self.spec, len(self.settings)
        envs.import_modules(spec.modules)
        wide = replace(spec, seeds=spec.seeds * count)  # setting by setting, so that each has the same randomness
        shifts, backend = spec.options.shifts, spec.options.backend
        env = envs.make(spec.env_id, wide.seeds, spec.agent.n_envs, shifts, backend=backend, **spec.made_with)
        policy = make_policy(wide, env)
        thetas = list(policy.parameters())
        rows = [rows_of(thetas, k, len(spec.seeds)) for k in range(count)]
        optimizer = OptimizerGroup(
            thetas,
            [
                make_optimizer(
                    Arm(setting.rule),
                    part,
                    setting.lr,
                    spec.updates,
                    spec.seeds,
                    spec.options,
                    spec.agent.steps_per_update,
                    policy.hidden_weights(),
                )
                for setting, part in zip(self.settings, rows, strict=True)
            ],
        )
        curves = LearningCurves(env.runs, spec.iterations)
        training = Training(spec.agent, env, policy, optimizer, spec.iterations, wide.seeds)
        for update in training:
            if curves.take(update):
                monitor.report(curves.progress())
            if monitor.stopping:
                raise Stopped
        env.close()
        known = np.where(training.guard.failed, math.nan, np.array([curves.mean_returns(), optimizer.update_rms().tolist()]))
        measured = zip(*known.tolist(), strict=True)
        outcomes = [
            Outcome(spec.env_id, spec.arm.text, *setting, seed, *next(measured))
            for setting in self.settings
            for seed in spec.seeds
        ]
        write(Path(self.file), outcomes)
        return ()


class OptimizerGroup(torch.optim.Optimizer):
    """Several optimizers as one, each with the rows of its own runs; measures how far they move."""

    def __init__(self, thetas: Sequence[Tensor], parts: Sequence[torch.optim.Optimizer]) -> None:
        """`parts` in the order of their rows of the parameters `thetas` [R, P]."""
        super().__init__([p for part in parts for group in part.param_groups for p in group["params"]], {})
        self._parts: Sequence[Any] = parts  # whose `step` takes a mask
        self.param_groups = [group for part in parts for group in part.param_groups]  # who sets lr there sets it for the part
        self._thetas = [theta.detach() for theta in thetas]
        self._runs = [len(part.param_groups[0]["params"][0]) for part in parts]
        self._squares = torch.zeros(len(thetas[0]), dtype=torch.float64, device=thetas[0].device)  # [R]
        self._count = 0  # changes of one run's weights so far

    def begin_rollout(self) -> None:
        """Pass on that a rollout begins."""
        for part in self._parts:
            if hasattr(part, "begin_rollout"):
                part.begin_rollout()

    @property
    def listens_to(self) -> frozenset[str]:
        """The signals that any of the parts listens to."""
        return frozenset().union(*(getattr(part, "listens_to", ()) for part in self._parts))

    def observe(self, **signals: Tensor) -> None:
        """Pass what only the training loop knows, [R] each, to the parts that have an `observe`."""
        start = 0
        for part, runs in zip(self._parts, self._runs, strict=True):
            stop = start + runs
            if hasattr(part, "observe"):
                part.observe(**{name: value[start:stop] for name, value in signals.items()})
            start = stop

    @torch.no_grad()
    def step(self, closure: Any = None, *, mask: Tensor | None = None) -> Any:
        """One update of every part, of the runs in `mask` [R]."""
        before, start = [theta.clone() for theta in self._thetas], 0
        for part, runs in zip(self._parts, self._runs, strict=True):
            stop = start + runs
            some = None if mask is None or mask[start:stop].all() else mask[start:stop]
            part.step(mask=some)
            start = stop
        for theta, old in zip(self._thetas, before, strict=True):
            self._squares += old.sub_(theta).square_().sum(1).double()
            self._count += theta.shape[1]

    def update_rms(self) -> Tensor:
        """Root mean square over all entries and updates so far of each run's changes, [R] float64."""
        return (self._squares / max(self._count, 1)).sqrt()


def rows_of(thetas: Sequence[nn.Parameter], part: int, runs: int) -> list[nn.Parameter]:
    """The rows of the part-th `runs` runs of θ [R, P] as parameters [runs, P] that share memory with it, gradients too."""
    rows = []
    for theta in thetas:
        some = nn.Parameter(theta.detach()[part * runs : (part + 1) * runs])
        assert theta.grad is not None  # networks have theirs from the start
        some.grad = theta.grad[part * runs : (part + 1) * runs]
        rows.append(some)
    return rows


class LearningCurves:
    """The episodes of R runs, as a study keeps them, and how far the runs are at the steps at which a study would log."""

    def __init__(self, runs: int, iterations: int) -> None:
        self._iterations = iterations
        self._ended: list[list[tuple[int, float, int]]] = [[] for _ in range(runs)]  # step, return, length of each episode
        self._steps = np.zeros(runs, np.int64)

    def take(self, update: Update) -> bool:
        """One record; returns whether this was a logging step."""
        for run, *episode in zip(*(column.tolist() for column in update.episodes), strict=True):
            self._ended[run].append(tuple(episode))
        self._steps = update.steps
        return tags.is_logged(update.iteration, self._iterations)

    def mean_returns(self) -> list[float]:
        """The mean return of each run over its training."""
        tables = [np.array(ended, dtype=float).reshape(-1, 3).T for ended in self._ended]
        return [scores.mean_return(Episodes(*table), float(end)) for table, end in zip(tables, self._steps, strict=True)]

    def progress(self) -> Progress:
        """How far the batch is."""
        recent = [earned for ended in self._ended for _, earned, _ in ended[-MEAN_EPISODES:]]
        return Progress(int(self._steps.sum()), sum(recent) / len(recent) if recent else math.nan, math.nan, 0.0)


# Files -------------------------------------------------------------------------------------------------------------------


def write(path: Path, outcomes: Sequence[Outcome]) -> None:
    """A CSV of outcomes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_csv(path, Outcome._fields, outcomes)


def read(path: Path) -> list[Outcome]:
    """Outcomes written by `write`; ValueError for a file that holds something else."""
    types = (str, str, int, float, str, int, float, float)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [Outcome(*(kind(x) for kind, x in zip(types, line, strict=True))) for line in list(csv.reader(file))[1:]]
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path} must hold the outcomes of trials, got something else ({error})") from error
