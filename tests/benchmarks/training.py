"""How fast training is beside others, as ratios measured in one run: a part of `python -m tests.benchmarks`.

All cases of a comparison take turns, repetition by repetition, so that whatever else the machine does falls on all of them. What
uses both cores is two processes with one torch thread each, which begin together; their time is that of the slower one, from the
first environment made to the last file written: curves, tables, checkpoint and a final evaluation of one episode are in it, the
start of the processes is not, and each has trained a little before.

    Stable-Baselines3    A2C and PPO with the same sizes, one run in one process, one torch thread, after 1,000 steps
    JAX                  the whole training compiled, half of the seeds in each of two processes (tests/benchmarks/jax_peer.py)

SB3 trains one run at a time, whatever the machine; two processes of it would halve the ratios.
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.synchronize import Barrier
from typing import Any, NamedTuple

import numpy as np
import torch

from agents import A2C, PPO
from rl_rmsprop.study.execution.local_pool import process_context
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.batch_spec import BatchSpec
from rl_rmsprop.study.spec.presets import Agent
from rl_rmsprop.study.training.batch import Batch
from rl_rmsprop.study.training.train import train_batch
from tests.benchmarks import jax_peer
from tests.benchmarks.timing import Row, in_turn, spread
from tests.builders import batch_of

A2C_8X16 = A2C(n_envs=8, n_steps=16)
"""64-64 tanh, eight environments, sixteen steps."""
PPO_8X256 = PPO(n_envs=8, n_steps=256, batch_size=64, n_epochs=10)
"""What Stable-Baselines3's PPO does by itself, with its 2,048 steps a window in eight environments."""


def spec(env_id: str, agent: Agent, seeds: Sequence[int], steps: int, folder: str = "", backend: str = "gymnasium") -> BatchSpec:
    """A batch of runs."""
    name = "ppo" if isinstance(agent, PPO) else "a2c"
    return batch_of(folder, env_id, name, agent, Arm("0.99"), tuple(seeds), steps, eval_episodes=1, backend=backend)


# Rates: environment steps per second -------------------------------------------------------------------------------------


def ours(env_id: str, agent: Agent, runs: int, steps: int) -> float:
    """Of training `runs` runs of `steps` steps in this process, files and curves included."""
    with tempfile.TemporaryDirectory() as folder:
        batch = spec(env_id, agent, range(runs), steps, folder)
        start = time.perf_counter()
        train_batch(batch)
        return runs * steps / (time.perf_counter() - start)


def ours_on_all_cores(env_id: str, agent: Agent, runs: int, steps: int, backend: str = "gymnasium") -> float:
    """Of `runs` runs, in batches of as many runs on each core."""
    each = runs // CORES
    with tempfile.TemporaryDirectory() as folder:
        batches = [spec(env_id, agent, range(k * each, (k + 1) * each), steps, folder, backend) for k in range(CORES)]
        return runs * steps / slowest(training_of, [(batch,) for batch in batches])


def training_of(batch: BatchSpec) -> Callable[[], object]:
    """What trains a batch, after a little training."""
    ours("CartPole-v1", A2C_8X16, 2, 2_048)  # whatever is loaded and built at first use
    return partial(train_batch, batch)


def jax_on_all_cores(runs: int, steps: int) -> float:
    """Of as many runs compiled by JAX, an equal part of them on each core."""
    each = runs // CORES
    return runs * steps / slowest(jax_peer.prepared, [(each, steps, core) for core in range(CORES)])


def theirs(env_id: str, agent: Agent, steps: int) -> float:
    """Of Stable-Baselines3's agent with the same sizes."""
    import stable_baselines3
    from stable_baselines3.common.env_util import make_vec_env

    env = make_vec_env(env_id, n_envs=agent.n_envs, seed=0)
    if isinstance(agent, PPO):
        sizes: Any = {"n_steps": agent.n_steps, "batch_size": agent.batch_size, "n_epochs": agent.n_epochs}
        model: Any = stable_baselines3.PPO("MlpPolicy", env, **sizes, device="cpu", seed=0)
    else:
        model = stable_baselines3.A2C("MlpPolicy", env, n_steps=agent.n_steps, device="cpu", seed=0)
    model.learn(1000)
    start = time.perf_counter()
    model.learn(steps)
    elapsed = time.perf_counter() - start
    env.close()
    return steps / elapsed


# On all cores -------------------------------------------------------------------------------------------------------------

CORES = 2


def slowest(prepare: Callable[..., Callable[[], object]], arguments: Sequence[tuple[Any, ...]]) -> float:
    """Seconds in which all work is done, each in a process of its own, from a common start; `prepare` returns the work."""
    return max(at_once(partial(timed, prepare), arguments))


def timed(prepare: Callable[..., Callable[[], object]], *arguments: Any) -> Callable[[], float]:
    """What does the work and returns how long it took."""
    work = prepare(*arguments)

    def seconds() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return seconds


def at_once(prepare: Callable[..., Callable[[], float]], arguments: Sequence[tuple[Any, ...]]) -> list[float]:
    """What each work returns, in a process of its own, from a common start; RuntimeError if one of the processes dies."""
    context = process_context()
    barrier, results = context.Barrier(len(arguments)), context.Queue()
    processes = [context.Process(target=in_process, args=(prepare, given, barrier, results)) for given in arguments]
    for process in processes:
        process.start()
    for process in processes:
        while process.is_alive():
            process.join(0.2)
            if any(other.exitcode for other in processes):
                for other in processes:
                    other.terminate()
                raise RuntimeError("a process of the benchmark ended by itself, see above")
    return [results.get() for _ in processes]


def in_process(prepare: Callable[..., Callable[[], float]], arguments: tuple[Any, ...], barrier: Barrier, results: Any) -> None:
    """Get ready, wait for the others, work, tell what came out."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    work = prepare(*arguments)
    barrier.wait()
    results.put(work())


# What files and curves cost -----------------------------------------------------------------------------------------------


def logging_cost(runs: int, steps: int) -> float:
    """Time that all files and curves take, as a share of the training time without; both are of the same run."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        batch = Batch(spec("CartPole-v1", A2C_8X16, range(runs), steps, folder))
        writing = time.perf_counter() - begin
        for update in batch.training:
            start = time.perf_counter()
            if batch.recorder.take(update):
                batch.recorder.progress()
            writing += time.perf_counter() - start
        start = time.perf_counter()
        batch.recorder.finish(np.zeros(runs))
        batch.recorder.close()
        end = time.perf_counter()
        writing += end - start
        return writing / (end - begin - writing)


# The arithmetic that cannot be saved --------------------------------------------------------------------------------------


def products(agent: A2C, runs: int, windows: int) -> float:
    """Environment steps per second if an A2C on CartPole consisted of its networks' matrix products alone, in this process."""
    observations, hidden, steps = 4, agent.hidden[0], agent.n_envs * agent.n_steps
    shapes = [(observations, hidden), (hidden, hidden), (hidden, 2)]
    weights = [torch.randn(runs, i, h) for i, h in shapes]
    acting = [(torch.randn(runs, agent.n_envs, i), w) for (i, _), w in zip(shapes, weights, strict=True)]
    forwards = [(torch.randn(runs, steps, i), w) for (i, _), w in zip(shapes, weights, strict=True)]
    deltas = [torch.randn(runs, steps, h) for _, h in shapes]
    start = time.perf_counter()
    for _ in range(windows):
        for _ in range(agent.n_steps):
            for x, w in acting:
                torch.bmm(x, w)
        for _ in ("actor", "critic"):
            for (x, w), delta in zip(forwards, deltas, strict=True):
                torch.bmm(x, w)
                torch.bmm(delta.transpose(1, 2), x)  # the gradient of the weights
                if w is not weights[0]:
                    torch.bmm(delta, w.transpose(1, 2))  # and of the inputs
    return windows * runs * steps / (time.perf_counter() - start)


# The rows of the table ----------------------------------------------------------------------------------------------------


class Case(NamedTuple):
    """Something of ours that is compared."""

    name: str
    rate: Callable[[], float]
    bar: str = ""


class Comparison(NamedTuple):
    """What it is compared with, in the same repetition."""

    peer: str
    rate: Callable[[], float]
    cases: list[Case]


def comparisons() -> list[Comparison]:
    """All of them. A training is logged 160 times however long it is; only those of A2C on CartPole are as long as a preset's."""
    cart, lander, a2c, ppo, both = "CartPole-v1", "LunarLander-v3", A2C_8X16, PPO_8X256, f"{CORES} cores"
    if importlib.util.find_spec("jax") is not None:
        compiled = Case(f"A2C, {cart}, 64 runs, {both}, beside JAX", partial(ours_on_all_cores, cart, a2c, 64, 500_000), "≥ 1.2")
        peers = [Comparison(f"A2C compiled by JAX, 64 runs, {both}", partial(jax_on_all_cores, 64, 500_000), [compiled])]
    else:
        print("without JAX (pip install jax), which ours is not compared with")
        peers = []
    return [
        *peers,
        Comparison("SB3 A2C, one run", partial(theirs, cart, a2c, 20_000), [
            Case(f"A2C, {cart}, 64 runs, {both}", partial(ours_on_all_cores, cart, a2c, 64, 500_000), "≥ 110"),
            Case(f"A2C, {cart}, one run, one core", partial(ours, cart, a2c, 1, 500_000), "≥ 12"),
        ]),
        *[
            Comparison("SB3 A2C, one run", partial(theirs, classic, a2c, 10_000), [
                Case(f"A2C, {classic}, 64 runs, {both}", partial(ours_on_all_cores, classic, a2c, 64, 100_000), "≥ 40"),
            ])
            for classic in ("Acrobot-v1", "Pendulum-v1")
        ],
        Comparison("SB3 A2C, one run", partial(theirs, lander, a2c, 10_000), [
            Case(f"A2C, {lander}, one run, one core", partial(ours, lander, a2c, 1, 40_000)),
        ]),
        Comparison("SB3 PPO, one run", partial(theirs, cart, ppo, 8_192), [
            Case(f"PPO, {cart}, 64 runs, {both}", partial(ours_on_all_cores, cart, ppo, 64, 20_480), "≥ 30"),
            Case(f"PPO, {cart}, one run, one core", partial(ours, cart, ppo, 1, 20_480)),
        ]),
        Comparison("its matrix products alone", partial(products, a2c, 32, 100), [
            Case(f"A2C, {cart}, 32 runs, one core", partial(ours, cart, a2c, 32, 100_000)),
        ]),
    ]  # fmt: skip


def rows(repeats: int) -> list[Row]:
    """A row for each case, and what files and curves cost."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    found = [row for comparison in comparisons() for row in compared(comparison, repeats)]
    share = spread([100 * logging_cost(32, 500_000) for _ in range(repeats)])
    found.append(Row("files and curves, 32 runs of CartPole-v1, 500,000 steps", share, "%", "training without", bar="≤ 3"))
    return found


def compared(comparison: Comparison, repeats: int) -> list[Row]:
    """A row for each case; ratios are to the peer's rate in the same repetition."""
    rates = in_turn({"": comparison.rate, **{case.name: case.rate for case in comparison.cases}}, repeats)
    peer = f"{comparison.peer}: {spread(rates['']).median:,.0f}"
    found = []
    for case in comparison.cases:
        ratio = spread([a / b for a, b in zip(rates[case.name], rates[""], strict=True)])
        found.append(Row(case.name, ratio, "×", peer, f"{spread(rates[case.name]).median:,.0f} steps/s", case.bar))
    return found
