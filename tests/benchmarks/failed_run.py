"""What one failed run costs the 31 others of its batch: a part of `python -m tests.benchmarks`.

Two trainings of A2C on CartPole-v1 take turns, iteration by iteration: in one of them a run has failed, since its rewards are NaN
from the start. Rows are ratios of the median time of an iteration, acting included.
"""

from __future__ import annotations

import statistics
from functools import partial
from typing import Any

import numpy as np
import torch

import agents
import envs
from agents.training import Training
from rl_rmsprop.baselines import BASELINES
from rl_rmsprop.study.spec.arms import make_arm
from rl_rmsprop.study.spec.options import TrainingOptions
from rl_rmsprop.study.training.optimizers import make_optimizer
from tests.benchmarks.timing import Row, interleaved, spread

RUNS = 32
RULES = ("0.99", "cusum:arl=50000,max=0.99", "adam")
WARM_UP = 20
"""Iterations before the measurement: the ill run fails in the tenth."""


def training_of(rule: str, ill: bool) -> Training:
    """A training of which run 0 has failed, or in which all are well."""
    agent, seeds = agents.A2C(n_envs=8, n_steps=16), range(RUNS)
    env = envs.make("CartPole-v1", seeds, agent.n_envs)
    step = env.step

    def unpaid(actions: Any) -> Any:
        result = step(actions)
        result.rewards[0] = np.nan
        return result

    if ill:
        env.step = unpaid  # type: ignore[method-assign]
    policy = agents.make_policy(env, agent, seeds)
    arm = make_arm(rule, rule in BASELINES)
    optimizer = make_optimizer(arm, policy.parameters(), agent.lr, 10**6, seeds, TrainingOptions())
    training = Training(agent, env, policy, optimizer, 10**6, seeds)
    for _ in range(WARM_UP):
        next(training)
    assert training.guard.failed.tolist() == [ill] + [False] * (RUNS - 1)
    return training


def rows(repeats: int) -> list[Row]:
    """A row for each rule."""
    torch.set_num_threads(1)
    found = []
    for rule in RULES:
        ill, well = (training_of(rule, ill) for ill in (True, False))
        times = interleaved({"ill": partial(next, ill), "well": partial(next, well)}, calls=1, repeats=60 * repeats)
        parts = [times["ill"][k::repeats] for k in range(repeats)], [times["well"][k::repeats] for k in range(repeats)]
        ratios = [statistics.median(a) / statistics.median(b) for a, b in zip(*parts, strict=True)]
        own = f"{1e3 * statistics.median(times['ill']):.2f} ms"
        peer = f"all well: {1e3 * statistics.median(times['well']):.2f} ms"
        found.append(Row(f"an iteration of {RUNS} runs, one of them failed, {rule}", spread(ratios), "×", peer, own, "≤ 1.05"))
    return found
