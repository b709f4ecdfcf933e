"""Tests the trained policies of a study in fresh episodes."""

from __future__ import annotations

import json
from itertools import groupby

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import envs
from rl_rmsprop.files import write_csv
from rl_rmsprop.study.batch import CLOCKS_FILE, BatchSpec, evaluate_batch, load_weights, make_policy
from rl_rmsprop.study.spec import Study
from rl_rmsprop.study.statistics import bootstrap, number


def evaluate_study(study: Study, episodes: int, stochastic: bool, console: Console) -> None:
    """Evaluate every finished run, print a table of arms, and write report/evaluation.csv, a row a run."""
    torch.set_num_threads(1)  # as in training: the networks are small
    rows: list[tuple[str, str, int, float, float]] = []
    for spec in study.batches():
        finished = tuple(s for s in spec.seeds if (spec.run_folder(s) / "checkpoint" / "weights.npz").is_file())
        if finished:
            returns = evaluate_saved(spec, finished, episodes, stochastic)
            rows += [
                (spec.env_id, spec.arm.rule, seed, float(x.mean()), float(x.std()))
                for seed, x in zip(finished, returns, strict=True)
            ]
    if not rows:
        raise ValueError(f"{study.folder} has no trained policy yet")
    (study.folder / "report").mkdir(exist_ok=True)
    path = study.folder / "report" / "evaluation.csv"
    write_csv(path, ("env", "arm", "seed", "mean_return", "std_over_episodes"), rows)
    table = Table("env", "arm", "runs", "IQM of mean returns, 95 % interval", title=f"{episodes} episodes per run")
    for (env_id, rule), group in groupby(rows, key=lambda row: row[:2]):
        means = np.array([row[3] for row in group])
        interval = bootstrap(means, np.random.default_rng(0))
        table.add_row(env_id, rule, str(len(means)), number(interval))
    console.print(table)
    console.print(f"every run: {path}", soft_wrap=True)


def evaluate_saved(spec: BatchSpec, seeds: tuple[int, ...], episodes: int, stochastic: bool) -> np.ndarray:
    """Returns [len(seeds), episodes] of saved policies."""
    some = BatchSpec(**{**vars(spec), "seeds": seeds})
    env = envs.make(some.env_id, seeds, 1)
    policy = make_policy(some, env)
    env.close()
    checkpoints = [some.run_folder(s) / "checkpoint" for s in seeds]
    load_weights([folder / "weights.npz" for folder in checkpoints], policy)
    shown = [json.loads((f / CLOCKS_FILE).read_text(encoding="utf-8")) for f in checkpoints] if some.shifts else []
    clocks = {name: np.array([clock[name] for clock in shown]) for name in (shown[0] if shown else {})}
    return evaluate_batch(some, policy, episodes, clocks, stochastic)
