"""A study from its first trial to its last run: what has to be trained before what.

    arms that stand alone:  tuned, or matched → trained
    controls:               lr and alarms of the arm that each is a control of → matched → trained

Every choice is written to study.json before the runs that depend on it. A study that was interrupted goes through the same steps
again: what is finished is not done again, and the choices follow from it as they did the first time.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rl_rmsprop.storage import atomic, checkpoint
from rl_rmsprop.study.execution.executor import LOCKS, Executor, Task
from rl_rmsprop.study.execution.observer import SILENT, Observer
from rl_rmsprop.study.results.runs import check_tables
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.batch_spec import BatchSpec
from rl_rmsprop.study.spec.run_files import WEIGHTS
from rl_rmsprop.study.spec.seeds import written_seeds
from rl_rmsprop.study.spec.study import ChosenSetting, Study
from rl_rmsprop.study.training import control_rules
from rl_rmsprop.study.training.tensorboard_sink import DEFAULT_SINKS
from rl_rmsprop.study.training.train import BatchTask
from rl_rmsprop.study.tuning import draws, matching, trials
from rl_rmsprop.telemetry.sinks import SinkFactory


def train_study(
    study: Study, executor: Executor, sinks: Sequence[SinkFactory] = DEFAULT_SINKS, observer: Observer = SILENT
) -> tuple[Study, list[str]]:
    """Train all runs that are not finished; returns the study with its choices, and a line for everything that failed."""
    before, study = study, replace(study, choices=())
    failures: list[str] = []
    pilots: list[trials.Outcome] = []
    discard_damaged(before, observer)
    alone = [arm for arm in study.arms if not arm.control_of]
    for arms in (alone, [arm for arm in study.arms if arm.control_of]):
        if not arms:
            continue
        choices, failed = choose_for_controls(study, arms)
        study = study.with_choices(choices)
        failures += failed
        if study.tune and arms is alone:
            study = tune_arms(study, arms, executor, observer, failures)
        if study.match_update_rms:
            study = match_arms(study, arms, executor, observer, failures, pilots)
        save(before.with_choices(study.choices))  # those of an interrupted study that come later stay
        settled = [spec for spec in study.batches(arms) if study.is_settled(spec.env_id, spec.arm)]
        left = [BatchTask(rest, tuple(sinks)) for spec in settled if (rest := unfinished(spec))]
        failures += run_tasks(left, executor, observer)
    shutil.rmtree(study.folder / LOCKS, ignore_errors=True)
    if not failures:  # another attempt needs the files of trials
        shutil.rmtree(study.folder / draws.PARTS, ignore_errors=True)
    return study, failures


def save(study: Study) -> None:
    """Write study.json, with the ranges that tuning draws from."""
    study.save(**({"search_space": draws.search_space(study)} if study.tune else {}))


def discard_damaged(study: Study, observer: Observer) -> None:
    """Let finished runs whose tables are damaged count as not finished, so that they are trained again."""
    for spec in study.batches():
        for seed in spec.seeds:
            if not (spec.run_folder(seed) / WEIGHTS).is_file():
                continue
            try:
                check_tables(spec, seed)
            except (ValueError, FileNotFoundError) as error:
                observer.message(f"{spec.run_label(seed)} is trained again: {error}")
                atomic.disk.remove(spec.run_folder(seed) / WEIGHTS)


def unfinished(spec: BatchSpec) -> BatchSpec | None:
    """What is left to train of a batch: all of it if it has a checkpoint, or its runs that are not finished, or nothing."""
    seeds = spec.unfinished
    if seeds and checkpoint.generations(spec.checkpoints):
        return spec
    return replace(spec, seeds=seeds) if seeds else None


def run_tasks(tasks: Sequence[Task], executor: Executor, observer: Observer) -> list[str]:
    """Train batches and tell the observer how they are doing; returns a line for each run that failed."""
    if not tasks:
        return []
    failures: list[str] = []
    observer.begin(tasks)
    try:
        for event in executor.run(tasks):
            if event.error is not None:
                failures += [f"failed: {part}: {event.error}" for part in tasks[event.batch].parts]
            failures += [f"failed: {line}" for line in event.failures]
            observer.event(event)
    finally:
        observer.end()
    return failures


def choose_for_controls(study: Study, arms: Sequence[Arm]) -> tuple[list[ChosenSetting], list[str]]:
    """What controls train with, and a line for each whose arm has no finished run."""
    choices, failures = [], []
    by_text = {arm.text: arm for arm in study.arms}
    for env_id in study.env_ids:
        for control in arms:
            if not control.control_of:
                continue
            arm = by_text[control.control_of]
            used = study.choice(env_id, arm)
            spec = study.batch(env_id, arm, study.seeds)
            folders = [spec.run_folder(seed) for seed in study.seeds]
            finished = [folder for folder in folders if (folder / WEIGHTS).is_file()]
            try:
                rule = control_rules.control_rule(control, used.rule, finished)
                choices.append(ChosenSetting(env_id, control.text, rule, used.lr))
            except ValueError as error:
                failures.append(f"failed: {env_id} · {error}")
    return choices, failures


def tune_arms(study: Study, arms: Sequence[Arm], executor: Executor, observer: Observer, failures: list[str]) -> Study:
    """The study with each arm's best draw; writes tuning.csv."""
    many = f"{study.tune} draws × {len(study.tune_seeds)} seeds"
    observer.message(f"tuning {len(arms)} arms, {many} each, on seeds {written_seeds(study.tune_seeds)}")
    batches = draws.batches(study, arms)
    failures += run_tasks(unfinished_trials(batches), executor, observer)
    outcomes = read_outcomes(batches)
    trials.write(study.folder / draws.FILE, outcomes)
    best = draws.winners(outcomes)
    for choice in best:
        edge = ", at the edge of what was tried" if draws.at_the_edge(study, choice) else ""
        observer.message(f"tuned: {choice.env_id} · {choice.arm} → {choice.rule}, lr {choice.lr:g}{edge}")
    chosen = {(choice.env_id, choice.arm) for choice in best}
    for env_id in study.env_ids:
        for arm in arms:
            if (env_id, arm.text) not in chosen:
                failures.append(f"failed: {env_id} · {arm.text}: no draw had a learning curve; it trains untuned")
    return study.with_choices(best)


def match_arms(
    study: Study, arms: Sequence[Arm], executor: Executor, observer: Observer, failures: list[str], outcomes: list[trials.Outcome]
) -> Study:
    """The study with each arm's lr scaled to the reference's updates; adds to `outcomes`, and writes them to matching.csv."""
    observer.message(
        f"matching {len(arms)} arms to the updates of {study.match_update_rms}, on seeds {written_seeds(study.tune_seeds)}",
    )
    for number in range(matching.ROUNDS):
        going = [arm for arm in arms if number == 0 or arm.text != study.match_update_rms]
        batches = matching.batches(study, going, number)
        failures += run_tasks(unfinished_trials(batches), executor, observer)
        outcomes += read_outcomes(batches)
        trials.write(study.folder / matching.FILE, outcomes)
        study = study.with_choices(matching.scaled(study, going, outcomes))
    for env_id in study.env_ids:
        for arm in arms:
            observer.message(f"matched: {env_id} · {arm.text} → lr {study.choice(env_id, arm).lr:g}")
    return study


def unfinished_trials(batches: Sequence[trials.TrialBatch]) -> list[trials.TrialBatch]:
    """Those that have not finished."""
    return [batch for batch in batches if not Path(batch.file).is_file()]


def read_outcomes(batches: Sequence[trials.TrialBatch]) -> list[trials.Outcome]:
    """The outcomes of all batches that came to an end."""
    return [outcome for batch in batches if Path(batch.file).is_file() for outcome in trials.read(Path(batch.file))]
