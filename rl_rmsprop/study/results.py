"""Reads back what runs wrote: the folders of a study → curves and scores per arm."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rl_rmsprop import telemetry
from rl_rmsprop.study.optimizers import Arm
from rl_rmsprop.study.spec import Study
from rl_rmsprop.study.statistics import Interval, area_under_curve, bootstrap

GRID = 200  # points of an aggregated curve


@dataclass(frozen=True)
class Run:
    """One finished run."""

    seed: int
    metrics: dict[str, NDArray[np.float64]]
    shifts: dict[str, NDArray[np.float64]]
    """Changes of the environment: update, step and regime, and the values of the parameters that shift."""

    @property
    def score(self) -> float:
        """Mean return of the final evaluation."""
        return float(self.metrics["eval/mean_reward"][-1])

    @property
    def area(self) -> float:
        """Mean training return over the training's steps."""
        return area_under_curve(self.metrics["step"], self.metrics["rollout/ep_rew_mean"])

    @property
    def alarms(self) -> float:
        """Alarms of the detector over the training, NaN without one."""
        return float(self.metrics["detector/alarms"][-1])


@dataclass(frozen=True)
class ArmResults:
    """The runs of one arm in one environment."""

    env_id: str
    arm: Arm
    runs: tuple[Run, ...]
    failed: tuple[int, ...]
    """Seeds of runs that did not finish."""

    @cached_property
    def score(self) -> Interval:
        """IQM of the final evaluation with its interval."""
        return bootstrap(np.array([run.score for run in self.runs]), self._rng())

    @cached_property
    def area(self) -> Interval:
        """IQM of the area under the learning curve with its interval."""
        return bootstrap(np.array([run.area for run in self.runs]), self._rng())

    @property
    def alarms(self) -> float:
        """Mean number of alarms per run, NaN without a detector."""
        return float(np.mean([run.alarms for run in self.runs]))

    def curve(self, tag: str) -> tuple[NDArray[np.float64], Interval] | None:
        """Steps [K] and the IQM over seeds of a tag with its interval [K], on a common grid; None if it was not logged."""
        logged = [(run.metrics["step"], run.metrics[tag]) for run in self.runs]
        logged = [(x[~np.isnan(y)], y[~np.isnan(y)]) for x, y in logged]
        if not logged or any(len(x) < 2 for x, _ in logged):
            return None
        steps = np.linspace(max(x[0] for x, _ in logged), min(x[-1] for x, _ in logged), GRID)
        values = np.stack([np.interp(steps, x, y) for x, y in logged])  # [runs, K]
        return steps, bootstrap(values, self._rng(), 500)

    def _rng(self) -> np.random.Generator:
        return np.random.default_rng(0)  # a fixed stream: the same files give the same report


def load_results(study: Study) -> list[ArmResults]:
    """Results of every arm in every environment, in the study's order."""
    results: list[ArmResults] = []
    for spec in study.batches(workers=1):
        if results and (results[-1].env_id, results[-1].arm) == (spec.env_id, spec.arm):
            continue  # a further piece of the same arm
        loaded = {seed: load_run(spec.run_folder(seed), seed) for seed in study.seeds}
        runs = tuple(run for run in loaded.values() if run is not None)
        failed = tuple(seed for seed, run in loaded.items() if run is None)
        results.append(ArmResults(spec.env_id, spec.arm, runs, failed))
    return results


def load_run(folder: Path, seed: int) -> Run | None:
    """A run's metrics, or None if it has not finished: its last row then has no evaluation."""
    if not (folder / "metrics.csv").is_file() or not (folder / "checkpoint" / "weights.npz").is_file():
        return None
    metrics = telemetry.read_table(folder / "metrics.csv")
    finished = len(metrics["step"]) > 0 and np.isfinite(metrics["eval/mean_reward"][-1])
    return Run(seed, metrics, telemetry.read_table(folder / "shifts.csv")) if finished else None


def provenance(study: Study) -> list[str]:
    """Versions and commit as a run's config has them, a line each; none without runs."""
    for spec in study.batches(workers=1):
        for seed in spec.seeds:
            path = spec.run_folder(seed) / "config.json"
            if path.is_file():
                config = json.loads(path.read_text(encoding="utf-8"))
                versions = ", ".join(f"{name} {number}" for name, number in config["versions"].items())
                return [versions, f"commit {config['commit'] or 'unknown'}"]
    return []
