"""Reads back what runs wrote: the folders of a study → runs, curves and scores per arm."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl_rmsprop import rules
from rl_rmsprop.rules import Adaptive
from rl_rmsprop.schedules import Piecewise
from rl_rmsprop.storage.json_tables import leaves, read_json
from rl_rmsprop.study.results import scores
from rl_rmsprop.study.results.scores import GRID, RETURN, Episodes, Response
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.batch_spec import BatchSpec
from rl_rmsprop.study.spec.run_config import run_config
from rl_rmsprop.study.spec.run_files import ALARMS, CONFIG, EPISODES, ERROR, METRICS, SHIFTS, TIMING, WEIGHTS
from rl_rmsprop.study.spec.seeds import written_seeds
from rl_rmsprop.study.spec.study import Study
from rl_rmsprop.study.statistics.intervals import Interval, Trim, bootstrap, quarter
from rl_rmsprop.telemetry import csv_table, tags

CURVE_RESAMPLES = 2000
COUNTS = ("detector/alarms", "env/regime")
"""Tags that count."""
MOST_CHANGES = 40
"""Changes of the environment up to which each is an event of its own; with more it changes all the time."""


@dataclass(frozen=True, eq=False)
class Run:
    """One finished run; equal to itself alone, since arrays cannot be compared as a whole."""

    seed: int
    metrics: dict[str, NDArray[np.float64]]
    shifts: dict[str, NDArray[np.float64]]
    """Changes of the environment: update, step and regime, and the values of the parameters that shift."""
    episodes: Episodes
    n_envs: int = 1
    n_steps: int = 1
    """Steps of each environment between two updates."""
    seconds: float = float("nan")
    """Wall-clock of the training of its batch."""

    @property
    def end(self) -> float:
        """Environment steps of the whole training."""
        return float(self.metrics["step"][-1])

    @property
    def final_return(self) -> float:
        """Mean return of the final evaluation."""
        return float(self.metrics["eval/mean_reward"][-1])

    @cached_property
    def mean_return(self) -> float:
        """Time average of the running return over the training."""
        return scores.mean_return(self.episodes, self.end)

    @property
    def alarms(self) -> float:
        """Alarms of the detector over the training, NaN without one."""
        return float(self.metrics["detector/alarms"][-1])

    @property
    def changes(self) -> list[float]:
        """Steps at which the environment changed; none if it does so all the time."""
        steps: list[float] = self.shifts["step"].tolist()
        return steps if len(steps) <= MOST_CHANGES else []

    @cached_property
    def collapsed(self) -> float:
        """1 if it lost more than half of what it had gained, else 0; NaN if too few episodes ended to say."""
        return scores.collapsed(self.episodes, self.changes)

    @cached_property
    def responses(self) -> list[Response]:
        """How it responded to each change."""
        return scores.responses(self.episodes, self.changes, self.end, self.n_envs, self.n_envs * self.n_steps)

    def steps_to(self, threshold: float) -> float:
        """When the mean return of 100 episodes first reached the threshold; infinite if never."""
        return scores.steps_to(self.episodes, threshold)

    def series(self, tag: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Steps and values of a curve, where it has values."""
        if tag == RETURN:
            return self.episodes.step, scores.running_mean(self.episodes.earned, scores.RUNNING)
        known = ~np.isnan(self.metrics[tag])
        return self.metrics["step"][known], self.metrics[tag][known]


@dataclass(frozen=True, eq=False)
class ArmResults:
    """The runs of one arm in one environment; equal to itself alone."""

    env_id: str
    arm: Arm
    runs: tuple[Run, ...]
    failed: tuple[int, ...] = ()
    """Seeds of runs that did not finish."""
    reason: str = ""
    """Why they did not, as far as that is known."""
    place: int = 0
    """Place of the arm in its study: decides its colour, whichever arms a figure shows."""
    updates: int = 0
    """Optimizer updates of each run."""

    @cached_property
    def final_return(self) -> Interval:
        """IQM of the final evaluation with its interval."""
        return self.average([run.final_return for run in self.runs])

    @cached_property
    def mean_return(self) -> Interval:
        """IQM of the mean return over training with its interval."""
        return self.average([run.mean_return for run in self.runs])

    @property
    def alarms(self) -> float:
        """Mean number of alarms per run, NaN without a detector."""
        return float(np.mean([run.alarms for run in self.runs]))

    def is_stepwise(self, tag: str) -> bool:
        """Whether a tag's values hold from one point to the next: counts, and a β that is constant or changes in steps."""
        rule = self.arm.rule
        steps = isinstance(rule, Adaptive) and isinstance(rule.schedule, Piecewise) and not rule.schedule.interpolate
        return tag in COUNTS or (steps and tag in ("optim/beta", "optim/window"))

    @property
    def is_control(self) -> bool:
        """Whether the arm is a control of another one, or has alarms that ignore the gradients."""
        rule = self.arm.rule
        return bool(self.arm.control_of) or (rule is not None and rules.is_control(rule))

    @property
    def seconds(self) -> float:
        """Wall-clock of all trainings of this arm, one core each; runs of a batch share theirs, to the last digit."""
        return sum({run.seconds for run in self.runs})

    def average(self, values: list[float], trim: Trim = quarter) -> Interval:
        """A trimmed mean over runs (default: IQM) with its bootstrap interval; all NaN without runs."""
        x = np.array(values, dtype=float)
        return bootstrap(x, self._rng(), trim=trim) if len(x) else Interval(*np.full(3, np.nan))

    @cached_property
    def _curves(self) -> dict[str, tuple[NDArray[np.float64], Interval] | None]:
        return {}  # figures and event files show the same ones

    def curve(self, tag: str) -> tuple[NDArray[np.float64], Interval] | None:
        """Steps [K] and the IQM over seeds of a tag with its interval [K], on a common grid; None if it was not logged."""
        if tag not in self._curves:
            self._curves[tag] = self.aggregate(tag, GRID, CURVE_RESAMPLES)
        return self._curves[tag]

    def aggregate(self, tag: str, points: int, resamples: int) -> tuple[NDArray[np.float64], Interval] | None:
        """A curve of so many points, its interval from so many resamples; None where a run has fewer than two values."""
        logged = [run.series(tag) for run in self.runs]
        if not logged or any(len(x) < 2 for x, _ in logged):
            return None
        steps = np.linspace(max(x[0] for x, _ in logged), min(x[-1] for x, _ in logged), points)
        between = last_value if self.is_stepwise(tag) else np.interp
        values = np.stack([between(steps, x, y) for x, y in logged])  # [runs, K]
        return steps, bootstrap(values, self._rng(), resamples)

    def _rng(self) -> np.random.Generator:
        return np.random.default_rng(0)  # a fixed stream: the same files give the same report


def last_value(steps: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values y, each of which holds from its place in x to the next, at `steps` ≥ x[0]."""
    return y[np.searchsorted(x, steps, side="right") - 1]


def load_results(study: Study) -> list[ArmResults]:
    """Results of every arm in every environment, in the study's order; ValueError for runs of another study."""
    results: list[ArmResults] = []
    for spec in study.batches():
        if results and (results[-1].env_id, results[-1].arm) == (spec.env_id, spec.arm):
            continue  # a further piece of the same arm
        loaded = {seed: load_run(spec, seed) for seed in study.seeds}
        runs = tuple(run for run in loaded.values() if run is not None)
        failed = tuple(seed for seed, run in loaded.items() if run is None)
        reason = reason_of([spec.run_folder(seed) for seed in failed])
        place = study.arms.index(spec.arm)
        results.append(ArmResults(spec.env_id, spec.arm, runs, failed, reason, place, spec.updates))
    return results


def load_run(spec: BatchSpec, seed: int) -> Run | None:
    """One run of a batch, or None if it has not finished: its last row then has no evaluation."""
    folder = spec.run_folder(seed)
    if not (folder / METRICS).is_file() or not (folder / WEIGHTS).is_file():
        return None
    check_origin(spec, seed)
    metrics = columns(folder / METRICS, ("step", *tags.TAGS))
    evaluated = spec.options.eval_episodes > 0
    if not len(metrics["step"]) or (evaluated and not np.isfinite(metrics["eval/mean_reward"][-1])):
        return None
    shifts = columns(folder / SHIFTS, ("update", "step", "regime"))
    episodes = columns(folder / EPISODES, ("step", "return", "length"))
    timing = columns(folder / TIMING, ("time/seconds",))
    ended = Episodes(episodes["step"], episodes["return"], episodes["length"])
    seconds = float(timing["time/seconds"][-1]) if len(timing["time/seconds"]) else float("nan")
    return Run(seed, metrics, shifts, ended, spec.agent.n_envs, spec.agent.n_steps, seconds)


def check_tables(spec: BatchSpec, seed: int) -> None:
    """ValueError unless the tables of a finished run are whole: what was cut off in between two rows is found by their number."""
    folder = spec.run_folder(seed)
    rows = tags.logged_rows(spec.iterations)
    for name, names in ((METRICS, ("step", *tags.TAGS)), (TIMING, ("step", "time/seconds"))):
        count = len(columns(folder / name, names)["step"])
        if count != rows:
            raise ValueError(f"{folder / name} must have {rows} rows, got {count}")
    columns(folder / EPISODES, ("step", "return", "length"))
    columns(folder / SHIFTS, ("update", "step", "regime"))
    columns(folder / ALARMS, ("update", "step"))
    read_config(folder / CONFIG)


def columns(path: Path, names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """A run's table; ValueError unless it has these columns, and steps that are numbers and never fall."""
    table = csv_table.read_table(path)
    missing = [name for name in names if name not in table]
    if missing:
        raise ValueError(f"{path} must have a column {missing[0]!r}, and has none: train the run again")
    steps = table.get("step", np.zeros(0))
    if not np.isfinite(steps).all() or (np.diff(steps) < 0).any() or (steps < 0).any():
        raise ValueError(f"{path} must have steps that rise from 0, and has others: train the run again")
    return table


def check_origin(spec: BatchSpec, seed: int) -> None:
    """ValueError if the run's own description is not that of this study: a folder copied here, or an older study's.

    What only one of the two states, such as an option that is younger than the run, is no difference.
    """
    path = spec.run_folder(seed) / CONFIG
    saved, wanted = leaves(read_config(path)), leaves(json.loads(json.dumps(run_config(spec, seed))))
    for name in sorted(saved.keys() & wanted.keys()):
        if saved[name] != wanted[name] and name.split(".")[0] not in ("versions", "commit", "processor", "eval_episodes"):
            raise ValueError(
                f"{path} is of another study: its {name} is {saved[name]!r}, this study's {wanted[name]!r}; "
                "keep each study in a folder of its own"
            )


def read_config(path: Path) -> dict[str, Any]:
    """A run's config.json; ValueError if it is not one."""
    try:
        return read_json(path)
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(f"{path} must describe the run in its folder, but cannot be read ({error}): train it again") from error


def reason_of(folders: list[Path]) -> str:
    """Why these runs failed: the last line of each traceback that was left; they did not finish if none was."""
    paths = [folder / ERROR for folder in folders]
    lines = [
        text.splitlines()[-1]
        for path in paths
        if path.is_file() and (text := path.read_text(encoding="utf-8", errors="replace").strip())
    ]
    return "; ".join(dict.fromkeys(lines)) or "did not finish"


def provenance(study: Study) -> list[str]:
    """Versions, commit and processor as the runs' configs have them, a line each and all of them where runs differ.

    Where processors differ, each one's line says which runs came from it. None without runs.
    """
    lines: dict[str, None] = {}
    computed: dict[str, dict[str, list[int]]] = {}  # kind of processor → arm in an environment → seeds
    for spec in study.batches():
        for seed in spec.seeds:
            path = spec.run_folder(seed) / CONFIG
            if path.is_file():
                config = read_config(path)
                saved = config.get("versions")
                versions = ", ".join(f"{k} {v}" for k, v in saved.items()) if isinstance(saved, dict) else "versions unknown"
                lines |= dict.fromkeys([versions, f"commit {config.get('commit') or 'unknown'}"])
                of_kind = computed.setdefault(str(config.get("processor") or "unknown"), {})
                of_kind.setdefault(f"{spec.env_id} · {spec.arm.text}", []).append(seed)
    for kind, arms in computed.items():
        runs = "; ".join(f"{arm} · seeds {written_seeds(seeds)}" for arm, seeds in arms.items())
        lines[f"processor {kind}" + (f": {runs}" if len(computed) > 1 else "")] = None
    return list(lines)
