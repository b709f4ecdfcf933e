"""How much each shift hurts a trained policy that does not go on learning: `python -m tests.benchmarks.severity`.

    train SEEDS policies with the tuned preset of A2C → freeze → the value of each parameter at which the mean return has lost
    10, 50, 90 % of the lead over acting at random → envs/severity.csv

Policies act greedily; every value is tried on the same episodes. Continuous parameters are followed from the usual value to
both ends of their tested range: the first crossing on a grid, then bisection, then two significant digits, where the loss is
measured again. Parameters whose values have no order are tried at every value. A level is left out where no value comes near
it. Rewards are left out: they change what is counted and not what the policy does. Half an hour on two cores.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import envs
from agents.evaluation import episode_returns
from envs.dynamics.parameter import Parameter
from envs.parameters import parameters_of
from envs.registration import make_env
from envs.severity import LEVELS, Severity
from envs.shifts.shift import check_places
from rl_rmsprop.cli import main as command
from rl_rmsprop.seeding import generators
from rl_rmsprop.study.spec.batch_spec import BatchSpec
from rl_rmsprop.study.spec.study import load_study
from rl_rmsprop.study.training.policies import evaluate_batch, load_weights, make_policy
from tests.builders import with_options

STEPS = {"CartPole-v1": 300_000, "LunarLander-v3": 1_000_000}
SEEDS = "0-9"
EPISODES = 20
"""Episodes of each policy at each value."""
BANDS = {"mild": (0.05, 0.25), "medium": (0.3, 0.7), "severe": (0.75, math.inf)}
"""Losses that may stand for a level."""
GRID, BISECTIONS = 12, 6


def trained(env_id: str, folder: Path) -> BatchSpec:
    """The policies to freeze, trained now unless they are there already."""
    out = folder / env_id
    if not (out / "report").is_dir():
        flags = ["--env", env_id, "--seeds", SEEDS, "--steps", str(STEPS[env_id]), "--out", str(out), "--overwrite"]
        if command(["train", *flags]) != 0:
            raise SystemExit(f"training in {env_id} failed")
    (spec,) = load_study(out).batches()
    return spec


def mean_return(spec: BatchSpec, *shifts: str, at_random: bool = False) -> float:
    """Mean return of the frozen policies, or of uniformly random actions, in an environment shifted so from the start."""
    shifted = with_options(spec, shift=shifts)
    clocks = {name: np.ones(len(spec.seeds), np.int64) for name in ("steps", "episodes", "updates")} if shifts else {}
    env = envs.make(spec.env_id, spec.seeds, 1)
    policy = make_policy(spec, env)
    load_weights([spec.run_folder(seed) / "checkpoint" / "weights.npz" for seed in spec.seeds], policy)
    if not at_random:
        return float(evaluate_batch(shifted, policy, EPISODES, clocks).mean())
    for theta in policy.parameters():
        theta.data.zero_()  # equal logits
    return float(episode_returns(env, policy, EPISODES, generators(spec.seeds, "random actions")).mean())


def ways(parameter: Parameter, env: gym.Env) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Direction and values to try, from the usual one away."""
    usual, (low, high) = parameter.default, parameter.tested
    if parameter.whole or parameter.choices:
        values = parameter.choices or tuple(float(k) for k in range(int(low), int(high) + 1))
        yield "to", tuple(v for v in values if v != usual and possible(parameter, v, env))
        return
    for direction, end in (("down", low), ("up", high)):
        if end != usual:
            share = np.linspace(0, 1, GRID + 1)[1:]
            grid = usual * (end / usual) ** share if usual * end > 0 else usual + (end - usual) * share**2
            yield direction, tuple(grid.tolist())


def possible(parameter: Parameter, value: float, env: gym.Env) -> bool:
    """Whether the environment is large enough for a reordering or a sensor of this number."""
    try:
        check_places(parameter, value, env)
    except ValueError:
        return False
    return True


def severities(
    spec: BatchSpec, parameter: Parameter, direction: str, values: tuple[float, ...], ends: tuple[float, float]
) -> list[Severity]:
    """The levels that one parameter reaches in one direction; `ends` are the mean returns without a shift and at random."""
    calm, random = ends

    def loss(value: float) -> float:
        return (calm - mean_return(spec, f"{parameter.name}:values={parameter.default!r}/{value!r},at=0")) / (calm - random)

    losses = [loss(value) for value in values]
    if direction == "to":
        chosen = {level: min(zip(values, losses, strict=True), key=lambda pair: abs(pair[1] - LEVELS[level])) for level in LEVELS}
    else:
        chosen = {}
        for level, wanted in LEVELS.items():
            path = list(zip((parameter.default, *values), (0.0, *losses), strict=True))
            crossing = next(((a, b) for (a, x), (b, y) in itertools.pairwise(path) if x < wanted <= y), None)
            if crossing:
                value = rounded(bisected(loss, wanted, *crossing))
                chosen[level] = value, loss(value)
    return [
        Severity(spec.env_id, parameter.name, direction, level, value, round(lost, 3))
        for level, (value, lost) in chosen.items()
        if BANDS[level][0] <= lost <= BANDS[level][1]
    ]


def bisected(loss: Callable[[float], float], wanted: float, a: float, b: float) -> float:
    """The value between a (too little lost) and b (enough) at which the loss is as wanted."""
    for _ in range(BISECTIONS):
        middle = (a + b) / 2
        a, b = (middle, b) if loss(middle) < wanted else (a, middle)
    return b


def rounded(value: float) -> float:
    """Two significant digits."""
    return float(f"{value:.2g}")


def work(task: tuple[BatchSpec, Parameter, str, tuple[float, ...], tuple[float, float]]) -> list[Severity]:
    """`severities` in a worker process."""
    torch.set_num_threads(1)
    return severities(*task)


def measured(env_id: str, folder: Path, console: Console) -> list[Severity]:
    """All levels in one environment."""
    spec = trained(env_id, folder)
    ends = mean_return(spec), mean_return(spec, at_random=True)
    console.print(f"{env_id}: mean return {ends[0]:.1f}, of random actions {ends[1]:.1f}")
    env = make_env(env_id)
    parameters = [p for p in parameters_of(env).values() if not p.name.startswith("reward_")]
    tasks = [(spec, parameter, *way, ends) for parameter in parameters for way in ways(parameter, env)]
    env.close()
    found: list[Severity] = []
    with multiprocessing.get_context("fork").Pool() as pool:
        for (_, parameter, direction, *_), rows in zip(tasks, pool.imap(work, tasks), strict=True):
            shown = ", ".join(f"{row.level} {row.value:g} ({row.loss:.0%})" for row in rows)
            console.print(f"{parameter.name} {direction}: {shown or 'hurts too little within the tested range'}")
            found += rows
    return found


def main() -> None:
    """Measure, print and write the table."""
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    options.add_argument("env", nargs="*", default=list(STEPS), help="environments, of " + ", ".join(STEPS))
    options.add_argument("--policies", default="runs/benchmarks/severity", type=Path, help="where trained policies are kept")
    options.add_argument("--out", default="envs/severity.csv", type=Path)
    given = options.parse_args()
    torch.set_num_threads(1)
    console = Console(width=120)
    rows = [row for env_id in given.env for row in measured(env_id, given.policies, console)]
    with given.out.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [Severity._fields, *[(*row[:4], f"{row.value:g}", row.loss) for row in rows]]
        )
    table = Table(*Severity._fields)
    for row in rows:
        table.add_row(*row[:4], f"{row.value:g}", f"{row.loss:.0%}")
    console.print(table)


if __name__ == "__main__":
    main()
