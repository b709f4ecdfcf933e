"""From folders of studies, finished or not, to the tables of a reference study; rows of other tasks stay as they are."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from envs.shifts.profiles import Abrupt, Profile, Ramp, Walk
from rl_rmsprop import rules
from rl_rmsprop.detectors import Yoked
from rl_rmsprop.rules import Adaptive
from rl_rmsprop.storage.atomic import disk
from rl_rmsprop.study.results import detection, runs
from rl_rmsprop.study.results.metrics import METRICS
from rl_rmsprop.study.results.runs import Run
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.batch_spec import BatchSpec
from rl_rmsprop.study.spec.run_files import ALARMS, CONFIG, ERROR
from rl_rmsprop.study.spec.run_files import METRICS as METRICS_FILE
from rl_rmsprop.study.spec.seeds import written_seeds
from rl_rmsprop.study.spec.study import ChosenSetting, Study, load_study
from rl_rmsprop.study.suite import scales, schema, survival
from rl_rmsprop.study.suite.scales import Scale
from rl_rmsprop.study.suite.schema import FAILED, FINISHED, UNTUNED, Draw, Result, Task
from rl_rmsprop.study.tuning import draws, trials

SEVERITIES = ("mild", "medium", "severe")


class Collected(NamedTuple):
    """The rows of one study."""

    task: Task
    results: list[Result]
    draws: list[Draw]


def collect(folders: Sequence[Path], out: Path, scale_file: Path) -> list[Collected]:
    """Put the rows of these studies into the tables of the folder `out`, in place of those that their tasks had.

    ValueError for a folder without a study, for a study of several environments, for two of the same name, and for an
    environment without a scale; the tables are as they were then.
    """
    names = [folder.resolve().name for folder in folders]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"a task is named after its study's folder, got two folders {twice}: rename one")
    known = scales.read(scale_file)
    studies = [load_study(folder) for folder in folders]
    for study in studies:
        if len(study.env_ids) != 1:
            raise ValueError(f"{study.folder} must be a study of one environment, got {len(study.env_ids)}: one task, one study")
    gathered = [
        rows_of(study, name, scales.find(study.env_ids[0], known, scale_file)) for study, name in zip(studies, names, strict=True)
    ]
    tables: dict[type[Any], list[Any]] = {
        Task: [rows.task for rows in gathered],
        Result: [row for rows in gathered for row in rows.results],
        Draw: [row for rows in gathered for row in rows.draws],
    }
    merged = {kind: merge(out / schema.FILES[kind], kind, rows, names) for kind, rows in tables.items()}
    disk.make_folder(out)
    for kind, rows in merged.items():
        schema.write(out / schema.FILES[kind], kind, rows)
    return gathered


def merge(path: Path, kind: type[Any], rows: Iterable[Any], tasks: Sequence[str]) -> list[Any]:
    """These rows, and those of a table that are of other tasks, sorted."""
    others = [row for row in schema.read(path, kind) if row.task not in tasks] if path.is_file() else []
    keys = [name for name in ("task", "arm", "draw", "seed") if name in kind._fields]
    return sorted([*others, *rows], key=lambda row: [getattr(row, key) for key in keys])


def rows_of(study: Study, name: str, scale: Scale) -> Collected:
    """Everything that the tables say of one study."""
    results = [row for arm in study.arms for row in arm_rows(study, arm, name, scale)]
    file = study.folder / draws.FILE
    tried = trials.read(file) if file.is_file() else []
    trial_rows = [Draw(name, t.arm, t.number, t.lr, t.rule, t.seed, t.mean_return, t.update_rms) for t in tried]
    return Collected(task_of(study, name, scale), results, trial_rows)


# Tasks --------------------------------------------------------------------------------------------------------------------


def task_of(study: Study, name: str, scale: Scale) -> Task:
    """The row of a study."""
    options, spec = study.options, study.batches()[0]
    severity = next((word for word in name.split("_") if word in SEVERITIES), "")
    origin = origins(study)
    return Task(
        name, options.agent, study.env_ids[0], " ".join(options.shift), kind_of([shift.profile for shift in options.shifts]),
        severity, variant_of(study), options.steps, spec.updates, written_seeds(study.seeds), study.tune,
        written_seeds(study.tune_seeds), scale.low, scale.high, " ".join(arm.text for arm in study.arms),
        options.used_kernel, *origin,
    )  # fmt: skip


def kind_of(profiles: Sequence[Profile]) -> str:
    """What a task's environment does: stationary, abrupt (one change), ramp (it drifts), recurring (it changes again and again).

    >>> kind_of([]), kind_of([Abrupt((1.0, 2.0), (9,))]), kind_of([Abrupt((1.0, 2.0, 1.0), (9, 20))])
    ('stationary', 'abrupt', 'recurring')
    """
    if not profiles:
        return "stationary"
    if all(isinstance(profile, Abrupt) and len(profile.at) == 1 for profile in profiles):
        return "abrupt"
    return "ramp" if all(isinstance(profile, (Ramp, Walk)) for profile in profiles) else "recurring"


def variant_of(study: Study) -> str:
    """How the steps of all arms differ from those of a constant lr that is tuned."""
    schedule = study.agents[0].lr_schedule
    parts = [] if study.options.lr_rule == "none" else [f"lr_rule={study.options.lr_rule}"]
    parts += [] if schedule == "constant" else [f"lr_schedule={schedule}"]
    return " ".join([*parts, *([] if study.tune else [UNTUNED])])


def origins(study: Study) -> tuple[str, str, str]:
    """Commit, processor and versions of the runs that there are, all of them where they differ."""
    seen: dict[str, dict[str, None]] = {"commit": {}, "processor": {}, "versions": {}}
    for spec in study.batches():
        for path in (spec.run_folder(seed) / CONFIG for seed in spec.seeds):
            if path.is_file():
                config = runs.read_config(path)
                versions = config.get("versions")
                known = versions_text(versions) if isinstance(versions, dict) else None
                texts = {"commit": config.get("commit"), "processor": config.get("processor"), "versions": known}
                for key, text in texts.items():
                    seen[key][str(text or "unknown")] = None
    commit, processor, versions = (" and ".join(texts) for texts in seen.values())
    return commit, processor, versions


def versions_text(versions: Mapping[str, str]) -> str:
    """Versions in one cell.

    >>> versions_text({"torch": "2.13.0", "numpy": "2.4.6"})
    'numpy 2.4.6 torch 2.13.0'
    """
    return " ".join(f"{package} {version}" for package, version in sorted(versions.items()))


# Runs ---------------------------------------------------------------------------------------------------------------------


def arm_rows(study: Study, arm: Arm, name: str, scale: Scale) -> list[Result]:
    """The runs of one arm that have finished or failed; read one by one, since a study's episodes may not fit in memory."""
    spec = study.batch(study.env_ids[0], arm, study.seeds)
    setting = setting_of(study.choice(study.env_ids[0], arm))
    rows = []
    for seed in study.seeds:
        run = runs.load_run(spec, seed)
        if run is not None:
            rows.append(result_of(run, spec, name, setting, scale))
        elif (spec.run_folder(seed) / ERROR).is_file():
            rows.append(Result(name, arm.text, setting, seed, FAILED, *(math.nan,) * 8, "", "", "", ""))
    return rows


def setting_of(choice: ChosenSetting) -> str:
    """What an arm's runs train with; a yoked arm's without the place of the runs whose alarms it repeats."""
    rule = choice.rule
    if rule.startswith("yoked:"):
        parsed = rules.parse(rule)
        assert isinstance(parsed, Adaptive)
        assert isinstance(parsed.detector, Yoked)
        rule = rules.text(replace(parsed, detector=replace(parsed.detector, runs=Path(parsed.detector.runs).name)))
    return schema.setting_text(rule, choice.lr)


def result_of(run: Run, spec: BatchSpec, name: str, setting: str, scale: Scale) -> Result:
    """The row of a finished run."""
    folder = spec.run_folder(run.seed)
    befores = [response.before for response in run.responses]
    afters = survival.last_levels(run.episodes, run.changes, run.end, run.n_envs)
    lived = [survival.survived(b, a, scale.low, scale.high) for b, a in zip(befores, afters, strict=True)]
    return Result(
        name, spec.arm.text, setting, run.seed, FINISHED,
        run.mean_return,
        run.final_return,
        survival.mean_of_known(befores),
        METRICS["drop"].of(run, math.nan),
        METRICS["recovery"].of(run, math.nan),
        survival.mean_of_known(lived),
        run.alarms,
        survival.mean_of_known(run.metrics["optim/beta"].tolist()),
        schema.joined(math.nan if math.isnan(r.before) else r.recovery for r in run.responses),
        schema.joined(response.watched for response in run.responses),
        schema.joined(delays(run, spec, folder)),
        hashlib.sha256((folder / METRICS_FILE).read_bytes()).hexdigest(),
    )  # fmt: skip


def delays(run: Run, spec: BatchSpec, folder: Path) -> list[float]:
    """Updates from the first one after each change to the first alarm before the next change, infinite without one.

    None for runs without a detector. shifts.csv has the last update of the iteration in which the environment changed; the
    alarm may come in the first one.
    """
    if math.isnan(run.alarms) or not run.changes:
        return []
    alarmed, changed = np.zeros(spec.updates + 1, bool), np.zeros(spec.updates + 1, bool)
    alarmed[runs.columns(folder / ALARMS, ("update", "step"))["update"].astype(int)] = True
    changed[run.shifts["update"].astype(int) - spec.agent.updates_per_iteration + 1] = True
    return detection.delays_of(alarmed, changed)
