"""Random runs of a reference study trained anew, each alone, and compared with what the tables say.

A run alone is bit for bit the run in its batch, so that on the same kind of processor with the same versions its metrics.csv has
the recorded SHA-256. Elsewhere last bits differ, and with them all that follows: its score must then be one that a further run of
its arm could have, in the hull of the arm's scores and their 95 % prediction interval, mean ± t s √(1 + 1/n).
"""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

import envs
from agents.kernels import KernelName
from rl_rmsprop.storage.field_types import convert
from rl_rmsprop.study.results.runs import load_run
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.batch_spec import BatchSpec
from rl_rmsprop.study.spec.run_config import commit, processor, versions
from rl_rmsprop.study.spec.run_files import METRICS
from rl_rmsprop.study.spec.study import Study
from rl_rmsprop.study.suite.collecting import variant_of, versions_text
from rl_rmsprop.study.suite.schema import FINISHED, Result, Task, parse_setting
from rl_rmsprop.study.suite.suite import Suite
from rl_rmsprop.study.training.train import train_batch

EQUAL, WITHIN, DIFFERS, OUTSIDE, FAILS = "equal", "within the interval", "differs", "outside the interval", "failed"
AGREEING = (EQUAL, WITHIN)


class Checked(NamedTuple):
    """A run that was trained anew."""

    run: Result
    """As the tables have it."""
    outcome: str
    mean_return: float
    """Of the new run; NaN if it failed."""
    note: str = ""
    """Why scores were compared and not hashes, or why it failed."""

    @property
    def agrees(self) -> bool:
        """Whether the new run confirms the tables."""
        return self.outcome in AGREEING


def drawn(suite: Suite, cells: int, seed: int) -> list[Result]:
    """Random finished runs with a score, all if there are fewer; none of yoked arms, which need the runs of another one."""
    finished = [run for run in suite.results if run.status == FINISHED and not math.isnan(run.mean_return)]
    known = [run for run in finished if suite.arms[run.arm].control_kind != "yoked"]
    chosen = np.random.default_rng(seed).permutation(len(known))[:cells]
    return [known[i] for i in chosen.tolist()]


def verify(
    suite: Suite, cells: Sequence[Result], studies: Mapping[str, Study], report: Callable[[Checked], None] = lambda checked: None
) -> list[Checked]:
    """Train these runs anew, each in a folder that is removed; `studies` are those of their tasks.

    ValueError, before anything is trained, for a study that is not the one that the tables are of.
    """
    specs = [single(suite, run, studies[run.task]) for run in cells]
    checks = []
    for run, spec in zip(cells, specs, strict=True):
        with tempfile.TemporaryDirectory() as folder:
            checks.append(check(suite, run, replace(spec, folder=Path(folder))))
        report(checks[-1])
    return checks


def single(suite: Suite, run: Result, study: Study) -> BatchSpec:
    """The batch of one run, with the setting that the tables have."""
    task, (rule, lr) = suite.task[run.task], parse_setting(run.setting)
    check_same(task, study)
    arm = next((arm for arm in study.arms if arm.text == run.arm), None)
    if arm is None:
        raise ValueError(f"the study file of {run.task} has no arm {run.arm}: give the study file that the tables are of")
    study = replace(study, options=replace(study.options, kernel=kernel_of(task)))
    study.check_machine()
    spec = study.batch(study.env_ids[0], arm, (run.seed,))
    return replace(spec, agent=replace(spec.agent, lr=lr), trained_arm=arm if rule == arm.text else Arm(rule))


def kernel_of(task: Task) -> KernelName:
    """The kernel of the recorded runs."""
    kernel: KernelName = convert(task.kernel, KernelName, f"tasks.csv: kernel of {task.task}")
    return kernel


def check_same(task: Task, study: Study) -> None:
    """ValueError unless a study file describes the task of this row."""
    options = study.options
    saved = {"agent": task.agent, "env": task.env, "shift": task.shift, "steps": task.steps, "variant": task.variant}
    now = (options.agent, " ".join(study.env_ids), " ".join(options.shift), options.steps, variant_of(study))
    for (name, was), value in zip(saved.items(), now, strict=True):
        if was != value:
            raise ValueError(f"the study file of {task.task} has {name} {value!r}, the tables {was!r}: it is another study")


def check(suite: Suite, run: Result, spec: BatchSpec) -> Checked:
    """Train one run and compare it."""
    envs.import_modules(spec.modules)
    failures = train_batch(spec, sinks=())
    trained = load_run(spec, run.seed)
    if failures or trained is None:
        return Checked(run, FAILS, math.nan, "; ".join(failures))
    folder = spec.run_folder(run.seed)
    if hashlib.sha256((folder / METRICS).read_bytes()).hexdigest() == run.sha256:
        return Checked(run, EQUAL, trained.mean_return)
    why = other_machine(suite.task[run.task])
    if not why:
        return Checked(run, DIFFERS, trained.mean_return, other_source(suite.task[run.task]))
    scores = [other.mean_return for other in suite.runs[run.task, run.arm] if not math.isnan(other.mean_return)]
    low, high = one_more(np.array(scores))
    outcome = WITHIN if low <= trained.mean_return <= high else OUTSIDE
    return Checked(run, outcome, trained.mean_return, f"{why}; interval [{low:.4g}, {high:.4g}]")


def other_machine(task: Task) -> str:
    """How this machine differs from that of the recorded runs in what bits depend on; empty if it does not."""
    differing = [(task.processor, processor()), (task.versions, versions_text(versions()))]
    return "; ".join(f"recorded with {was}, here {here}" for was, here in differing if was != here)


def other_source(task: Task) -> str:
    """That the source is another one than that of the recorded runs; empty if it is not."""
    now = commit() or "unknown"
    return "" if now == task.commit else f"recorded with source {task.commit[:12]}, here {now[:12]}"


def one_more(x: np.ndarray) -> tuple[float, float]:
    """Where one more of the scores x [n] would be: the hull of x and of the 95 % prediction interval of a normal sample."""
    if len(x) < 2:
        return float(x.min()), float(x.max())
    reach = t_quantile(len(x) - 1) * float(x.std(ddof=1)) * math.sqrt(1 + 1 / len(x))
    return min(float(x.min()), float(x.mean()) - reach), max(float(x.max()), float(x.mean()) + reach)


def t_quantile(degrees: int) -> float:
    """The 97.5 % quantile of Student's distribution: exact for 1 and 2 degrees, else an expansion (Abramowitz, Stegun 26.7.5)."""
    if degrees <= 2:
        return (12.706204736, 4.3026527297)[degrees - 1]
    z, n = 1.959963984540054, degrees
    terms = (
        z,
        (z**3 + z) / 4 / n,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96 / n**2,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384 / n**3,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160 / n**4,
    )
    return sum(terms)
