"""Tests the trained policies of a study in fresh episodes."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import envs
from agents.kernels import kernel_here
from agents.networks import ActorCritic
from envs import EnvironmentFailure
from envs.shifts.shift import CLOCKS
from rl_rmsprop.storage.atomic import write_csv
from rl_rmsprop.storage.json_tables import convert, read_json
from rl_rmsprop.study.spec.batch_spec import BatchSpec
from rl_rmsprop.study.spec.run_files import SHIFT_CLOCKS, WEIGHTS
from rl_rmsprop.study.spec.study import Study
from rl_rmsprop.study.statistics.intervals import bootstrap, number
from rl_rmsprop.study.training.policies import evaluate_batch, load_weights, make_policy


def evaluate_study(study: Study, episodes: int, stochastic: bool, console: Console, seed: int | None = None) -> list[str]:
    """Evaluate every finished run, print a table of arms, and write report/evaluation.csv, a row a run.

    The environments are those of the final evaluation, or with a `seed` those whose seeds follow from it and the run's seed.
    Returns a line for each run whose environment failed; the others are evaluated all the same.
    """
    torch.set_num_threads(1)  # as in training: the networks are small
    envs.import_modules(envs.modules_of(study.env_ids))
    rows: list[tuple[str, str, int, float, float, str]] = []
    failures: list[str] = []
    variant = () if seed is None else (seed,)
    for spec in study.batches():
        finished = tuple(s for s in spec.seeds if (spec.run_folder(s) / WEIGHTS).is_file())
        if finished:
            returns, failed = evaluate_each(spec, finished, episodes, stochastic, variant)
            failures += failed
            rows += [
                (spec.env_id, spec.arm.text, run, float(x.mean()), float(x.std()), "".join(map(str, variant)))
                for run, x in returns.items()
            ]
    if not rows and not failures:
        raise ValueError(f"{study.folder} has no trained policy yet")
    if not rows:
        return failures
    (study.folder / "report").mkdir(exist_ok=True)
    path = study.folder / "report" / "evaluation.csv"
    write_csv(path, ("env", "arm", "seed", "mean_return", "std_over_episodes", "evaluation_seed"), rows)
    table = Table("env", "arm", "runs", "IQM of mean returns, 95 % interval", title=f"{episodes} episodes per run")
    labels = {arm.text: arm.label for arm in study.arms}
    for (env_id, text), group in groupby(rows, key=lambda row: row[:2]):
        means = np.array([row[3] for row in group])
        interval = bootstrap(means, np.random.default_rng(0))
        table.add_row(env_id, labels[text], str(len(means)), number(interval))
    console.print(table)
    console.print(f"every run: {path}", soft_wrap=True)
    return failures


def evaluate_each(
    spec: BatchSpec, seeds: tuple[int, ...], episodes: int, stochastic: bool, variant: tuple[int, ...]
) -> tuple[dict[int, np.ndarray], list[str]]:
    """The returns of every run that can be evaluated, by its seed, and a line for every other: all together, or one by one."""
    try:
        return dict(zip(seeds, evaluate_saved(spec, seeds, episodes, stochastic, variant), strict=True)), []
    except EnvironmentFailure as error:
        if len(seeds) == 1:
            return {}, [f"not evaluated: {spec.run_label(seeds[0])}: {error}"]
    alone = [evaluate_each(spec, (seed,), episodes, stochastic, variant) for seed in seeds]
    return {seed: x for returns, _ in alone for seed, x in returns.items()}, [line for _, lines in alone for line in lines]


def evaluate_saved(
    spec: BatchSpec, seeds: tuple[int, ...], episodes: int, stochastic: bool, variant: tuple[int, ...] = ()
) -> np.ndarray:
    """Returns [len(seeds), episodes] of saved policies."""
    saved = load_runs(spec, seeds)
    return evaluate_batch(saved.spec, saved.policy, episodes, saved.clocks, stochastic, variant=variant)


class SavedRuns(NamedTuple):
    """Trained runs of one arm and environment."""

    spec: BatchSpec  # theirs alone, on the CPU
    policy: ActorCritic
    clocks: dict[str, np.ndarray]  # where those of their shifts stood at the end [R]


def load_runs(spec: BatchSpec, seeds: tuple[int, ...]) -> SavedRuns:
    """The finished runs with these seeds, on the CPU wherever they were trained; ValueError for a file that is broken."""
    some = replace(spec, seeds=seeds, options=replace(spec.options, device="cpu", kernel=kernel_here(spec.options.kernel)))
    env = envs.make(some.env_id, seeds, 1, **some.made_with)
    policy = make_policy(some, env)
    env.close()
    folders = [some.run_folder(s) for s in seeds]
    for folder in folders:
        check_weights(folder / WEIGHTS, policy)
    load_weights([folder / WEIGHTS for folder in folders], policy)
    snapshots = [read_clocks(folder / SHIFT_CLOCKS) for folder in folders] if some.options.shift else []
    clocks = {name: np.array([clock[name] for clock in snapshots]) for name in (CLOCKS if snapshots else ())}
    return SavedRuns(some, policy, clocks)


def check_weights(path: Path, policy: ActorCritic) -> None:
    """ValueError unless a file holds real numbers for all networks and running statistics of the policy."""
    names = [*(name for name, _ in policy.named_parameters()), *policy.normalization.arrays()]
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            kinds = {name: (arrays[name].dtype.kind, arrays[name].ndim) for name in names}
    except Exception as error:  # a broken archive can fail in any of the ways of zipfile, zlib and numpy
        raise ValueError(f"{path} is not a whole file of weights ({error}): train this run again") from error
    wrong = [name for name, _ in policy.named_parameters() if kinds[name] != ("f", 1)]
    if wrong:
        raise ValueError(f"{path} is not a file of weights ({wrong[0]} is no row of real numbers): train this run again")


def read_clocks(path: Path) -> dict[str, int]:
    """Where the clocks of a run stood at the end of its training; ValueError for a file that does not say it."""
    clocks: dict[str, int] = convert(read_json(path), dict[str, int], str(path))
    if set(clocks) != set(CLOCKS) or min(clocks.values()) < 0:
        raise ValueError(f"{path} must say where the clocks {', '.join(CLOCKS)} stood, from 0: train this run again")
    return clocks
