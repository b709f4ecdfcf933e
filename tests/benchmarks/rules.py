"""What a rule for E costs: a part of `python -m tests.benchmarks`.

step        of each law, beside the faster of the two loops of torch.optim.RMSprop, with the small and the large parameters of
            tests/benchmarks/optimizer.py
training    A2C on CartPole-v1, 64 runs in one process, one torch thread: time of an iteration, acting included, beside that of
            the same training with β = 0.99; no files. Arms and baselines take turns, a few iterations at a time
"""

from __future__ import annotations

import statistics
from functools import partial

import torch

import agents
import envs
from agents.training import Training
from rl_rmsprop.baselines import BASELINES
from rl_rmsprop.laws import LAWS
from rl_rmsprop.study.spec.arms import make_arm
from rl_rmsprop.study.spec.options import TrainingOptions
from rl_rmsprop.study.training.optimizers import make_optimizer
from tests.benchmarks import optimizer
from tests.benchmarks.optimizer import DESCRIPTIONS, SIZES
from tests.benchmarks.timing import Row, interleaved, spread
from tests.benchmarks.training import A2C_8X16

ADAPTIVE = (
    "linear:start=0.5,end=0.99",
    "samples:halflife=20000",
    "refresh:R=100",
    "restart:every=rollout",
    "cusum:arl=50000,max=0.99",
)
"""Schedules and detectors that are trained beside all laws and baselines."""
FIXED = "0.99"
RUNS, WARM_UP = 64, 10
SHORT = {"small": 100, "large": 1}
"""Sizes of parameters, and calls in a repetition."""


def rows(repeats: int) -> list[Row]:
    """A row for each law and size, and for each arm."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return [*(row for size, calls in SHORT.items() for row in steps(size, calls, 2 * repeats)), *trainings(repeats)]


def steps(size: str, calls: int, repeats: int) -> list[Row]:
    """A step of each law with parameters of this size."""
    rules = {name: kind.example for name, kind in LAWS.items()}
    ours = {name: optimizer.ours(SIZES[size], alpha=rule).step for name, rule in rules.items()}
    loops = {name: optimizer.optimizers(SIZES[size])[name]().step for name in ("torch, loop", "torch, foreach")}
    seconds = interleaved({**loops, **ours}, calls, repeats)
    base = min(loops, key=lambda name: statistics.median(seconds[name]))
    found = []
    for name, rule in rules.items():
        ratio = spread([a / b for a, b in zip(seconds[name], seconds[base], strict=True)])
        own = f"{statistics.median(seconds[name]) * 1e6:,.0f} µs"
        what = f"step of a law beside torch's faster loop, {DESCRIPTIONS[size]}: {rule}"
        found.append(Row(what, ratio, "×", base.replace(",", " RMSprop,"), own, "≤ 3"))
    return found


def training_of(arm: str) -> Training:
    """A training that has been warmed up."""
    agent, seeds = A2C_8X16, list(range(RUNS))
    env = envs.make("CartPole-v1", seeds, agent.n_envs)
    policy = agents.make_policy(env, agent, seeds)
    made = make_arm(arm, arm in BASELINES)
    trained = make_optimizer(
        made, policy.parameters(), agent.lr, 10**6, seeds, TrainingOptions(), agent.steps_per_update, policy.hidden_weights()
    )
    training = Training(agent, env, policy, trained, 10**6, seeds)
    for _ in range(WARM_UP):
        next(training)
    return training


def trainings(repeats: int) -> list[Row]:
    """An iteration of each arm."""
    arms = [FIXED, *ADAPTIVE, *(kind.example for kind in LAWS.values()), *BASELINES]
    seconds = interleaved({arm: partial(next, training_of(arm)) for arm in arms}, calls=3, repeats=5 * repeats)
    found = []
    for arm in arms[1:]:
        ratio = spread([a / b for a, b in zip(seconds[arm], seconds[FIXED], strict=True)])
        own = f"{1e3 * statistics.median(seconds[arm]):.1f} ms"
        peer = f"β = {FIXED}: {1e3 * statistics.median(seconds[FIXED]):.1f} ms"
        found.append(
            Row(
                f"an iteration of {RUNS} runs beside that of β = {FIXED}: {arm}",
                ratio,
                "×",
                peer,
                own,
                "" if arm in BASELINES else "≤ 1.3",
            )
        )
    return found
