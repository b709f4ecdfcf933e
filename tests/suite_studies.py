"""Reference studies for tests: tiny real ones, trained from study files, and made-up tables whose answers are known."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rl_rmsprop.cli.study import described
from rl_rmsprop.study.execution import pipeline
from rl_rmsprop.study.suite import schema
from rl_rmsprop.study.suite.schema import FINISHED, Draw, Result, Task
from rl_rmsprop.study.suite.suite import Suite
from tests.test_run import InThisProcess

FILE = """
env = "{env}"
steps = {steps}
seeds = "0-2"
agent = "a2c"
betas = [0.9, 0.99, "cusum:signal=grad_norm,arl=20,burn_in=5,max=0.99", "asymmetric:rise=0.5,fall=0.99",
         "yoked@cusum", "random@cusum", "mean_beta@cusum"]
baselines = ["sgd"]
tune = 3
tune_seeds = "100-102"
eval_episodes = 2
{shift}

[settings]
lr = 0.003
lr_schedule = "constant"
n_envs = 4
n_steps = 8
hidden = [8]
"""
TASKS = {
    "cartpole_a2c_stationary": ("CartPole-v1", 800, ""),
    "cartpole_a2c_recurring_severe": ("CartPole-v1", 1200, 'shift = ["gravity:values=9.8/25/9.8,at=400/800"]'),
    "acrobot_a2c_abrupt_medium": ("Acrobot-v1", 4800, 'shift = ["link_mass_1:values=1/3,at=2400"]'),
}
"""Name → environment, steps, and how it shifts."""
SCALES = """
["CartPole-v1"]
low = 5
high = 40
source = "made up, so that runs of a few hundred steps learn something"

["Acrobot-v1"]
low = -600.0
high = -80.0
source = "made up"
"""


def train(folder: Path) -> None:
    """Study files in `folder`/reference, and their trained studies in `folder`/runs."""
    (folder / "reference").mkdir()
    (folder / "reference" / "scales.toml").write_text(SCALES, encoding="utf-8")
    for name, (env, steps, shift) in TASKS.items():
        (folder / "reference" / f"{name}.toml").write_text(FILE.format(env=env, steps=steps, shift=shift), encoding="utf-8")
        study = replace(described(name, folder / "reference"), folder=folder / "runs" / name)
        study.save()
        _, failures = pipeline.train_study(study, InThisProcess(), sinks=())
        assert not failures


# Made-up tables ---------------------------------------------------------------------------------------------------------

Score = Callable[[str, str, int], float]
"""Task, arm and seed → score on the scale of the task."""
DrawScore = Callable[[str, str, int, int], float]
"""Task, arm, draw and seed → score."""
KINDS = ("stationary", "abrupt", "ramp", "recurring")


def task_row(name: str, arms: Sequence[str], seeds: int = 8, draws: int = 4) -> Task:
    """A task whose name begins with its kind, on a scale from 100 to 300."""
    kind = next(kind for kind in KINDS if name.startswith(kind))
    shift = "" if kind == "stationary" else "gravity:values=9.8/25,at=500"
    return Task(
        name, "a2c", "CartPole-v1", shift, kind, "", "", 1000, 50, f"0-{seeds - 1}", draws, "100-102", 100.0, 300.0,
        " ".join(arms), "native", "abc", "AVX2", "torch 2",
    )  # fmt: skip


def result(task: str, arm: str, seed: int, score: float, survived: float = math.nan, **more: object) -> Result:
    """A finished run."""
    row = Result(
        task, arm, schema.setting_text(arm, 0.003), seed, FINISHED, 100 + 200 * score, 250.0, math.nan, math.nan, math.nan,
        survived, math.nan, 0.9, "", "", "", f"{seed:064x}",
    )  # fmt: skip
    return row._replace(**more)  # type: ignore[arg-type]


def made_up(
    names: Sequence[str],
    arms: Sequence[str],
    score: Score = lambda task, arm, seed: 0.0,
    draw_score: DrawScore = lambda task, arm, draw, seed: 0.0,
    survived: Score = lambda task, arm, seed: math.nan,
    seeds: int = 8,
    draws: int = 4,
) -> Suite:
    """A study whose scores are given; draw k has lr 10^(k − 4). Controls are not tuned."""
    tasks = [task_row(name, arms, seeds, draws) for name in names]
    results = [result(t, a, s, score(t, a, s), survived(t, a, s)) for t in names for a in arms for s in range(seeds)]
    tuned = [
        Draw(t, a, k, 10.0 ** (k - 4), a, s, 100 + 200 * draw_score(t, a, k, s), 0.01)
        for t in names
        for a in arms
        if "@" not in a
        for k in range(draws)
        for s in (100, 101, 102)
    ]
    return Suite(tuple(tasks), tuple(results), tuple(tuned))


def noise(*key: object, scale: float = 0.01) -> float:
    """A small number that depends on the key alone."""
    return float(np.random.default_rng(zlib.crc32(repr(key).encode())).normal(0, scale))
