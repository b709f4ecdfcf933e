"""How fast training is beside others, as ratios measured in one run: a part of `python -m tests.benchmarks`.

All cases of a comparison take turns, repetition by repetition, so that whatever else the machine does falls on all of them. What
uses both cores is two processes with one torch thread each, which begin together; their time is that of the slower one, from the
first environment made to the last file written: curves, tables, checkpoint and a final evaluation of one episode are in it, the
start of the processes is not, and each has trained a little before.

    Stable-Baselines3    A2C and PPO with the same sizes, one run in one process, one torch thread, after 1,000 steps
    raw stepping         gymnasium.make(…).step with random actions, one environment a process, both cores; for Gymnasium's own
                         LunarLander an iteration of training and as many raw steps take turns in each process, since their
                         ratio is near one, and a shared machine's speed swings by more than that from minute to minute
    JAX                  the whole training compiled, half of the seeds in each of two processes (tests/benchmarks/jax_peer.py)

SB3 trains one run at a time, whatever the machine; two processes of it would halve the ratios.
"""

from __future__ import annotations

import importlib.util
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.synchronize import Barrier
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch

from agents import A2C, PPO
from rl_rmsprop.study.execution.local_pool import process_context
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.batch_spec import BatchSpec
from rl_rmsprop.study.spec.presets import Agent, make_agent
from rl_rmsprop.study.training.batch import Batch
from rl_rmsprop.study.training.train import train_batch
from tests.benchmarks import jax_peer
from tests.benchmarks.timing import Row, in_turn, interleaved, spread
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


class Beside(NamedTuple):
    """A training that takes turns with raw stepping."""

    env_id: str
    agent: Agent
    runs: int  # on all cores
    iterations: int
    backend: str = "gymnasium"

    def share(self) -> float:
        """Steps on both cores, files and curves included, as a share of those that raw stepping makes in that time."""
        return statistics.mean(at_once(beside_stepping, [(self, core) for core in range(CORES)]))


def beside_stepping(case: Beside, core: int) -> Callable[[], float]:
    """What trains and steps in turn, an iteration and as many raw steps: so that both meet the same machine.

    It returns the time of the processor that raw stepping takes, as a share of the training's.
    """
    runs, agent = case.runs // CORES, case.agent
    steps = agent.n_envs * agent.n_steps
    folder = tempfile.TemporaryDirectory()
    seeds = range(core * runs, (core + 1) * runs)
    batch = Batch(spec(case.env_id, agent, seeds, (case.iterations + 2) * steps, folder.name, case.backend))
    step_raw = pool_stepping if case.backend == "envpool" else stepping
    raw = step_raw(case.env_id, runs * steps, core)

    def train() -> None:
        if batch.recorder.take(next(batch.training)):
            batch.recorder.progress()

    def share() -> float:
        seconds = interleaved({"training": train, "stepping": raw}, 1, case.iterations, time.process_time)
        folder.cleanup()
        return sum(seconds["stepping"]) / sum(seconds["training"])

    return share


def pool_stepping(env_id: str, steps: int, seed: int, count: int = 64) -> Callable[[], object]:
    """What makes so many steps with `count` environments of EnvPool in one thread."""
    import envpool

    env = envpool.make(env_id, env_type="gymnasium", num_envs=count, num_threads=1, seed=seed)
    space = gym.make(env_id, disable_env_checker=True).action_space
    space.seed(seed)
    actions = [np.array([space.sample() for _ in range(count)]) for _ in range(100)]
    env.reset()

    def step() -> None:
        for t in range(steps // count):
            env.step(actions[t % 100])

    return step


def stepping(env_id: str, steps: int, seed: int) -> Callable[[], object]:
    """What steps an environment that often; actions are drawn beforehand."""
    env = gym.make(env_id, disable_env_checker=True)
    env.action_space.seed(seed)
    actions = [env.action_space.sample() for _ in range(1000)]
    env.reset(seed=seed)

    def step() -> None:
        for t in range(steps):
            _, _, terminated, truncated, _ = env.step(actions[t % 1000])
            if terminated or truncated:
                env.reset()

    return step


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
    found += [beside(name, case, repeats, bar) for name, case, bar in steppings()]
    share = spread([100 * logging_cost(32, 500_000) for _ in range(repeats)])
    found.append(Row("files and curves, 32 runs of CartPole-v1, 500,000 steps", share, "%", "training without", bar="≤ 3"))
    return found


def steppings() -> list[tuple[str, Beside, str]]:
    """What is compared with raw stepping: name, training, bar."""
    lander, cheetah = "LunarLander-v3", "HalfCheetah-v5"
    found = [(f"A2C, {lander}, 16 runs, {CORES} cores", Beside(lander, A2C_8X16, 16, 60), "≥ 0.85")]
    if importlib.util.find_spec("envpool") is not None:
        pooled = Beside(lander, A2C_8X16, 16, 100, "envpool")
        found.append((f"A2C, {lander}, 16 runs, {CORES} cores, --backend envpool", pooled, "≥ 0.75"))
    if importlib.util.find_spec("mujoco") is not None:
        agent = make_agent("ppo", cheetah, {})
        iterations = max(2, 8_000 // (agent.n_envs * agent.n_steps))
        found.append((f"PPO, {cheetah}, 8 runs, {CORES} cores", Beside(cheetah, agent, 8, iterations), "≥ 0.8"))
    for package, env_id in (("envpool", lander), ("mujoco", cheetah)):
        if importlib.util.find_spec(package) is None:
            print(f"without {package}, whose {env_id} is not stepped")
    return found


def beside(name: str, case: Beside, repeats: int, bar: str) -> Row:
    """A row of a training beside raw stepping."""
    peer = "EnvPool's own stepping, in batches of the same size" if case.backend == "envpool" else "raw stepping at random"
    return Row(name, spread([case.share() for _ in range(repeats)]), "×", peer, bar=bar)


def compared(comparison: Comparison, repeats: int) -> list[Row]:
    """A row for each case; ratios are to the peer's rate in the same repetition."""
    rates = in_turn({"": comparison.rate, **{case.name: case.rate for case in comparison.cases}}, repeats)
    peer = f"{comparison.peer}: {spread(rates['']).median:,.0f}"
    found = []
    for case in comparison.cases:
        ratio = spread([a / b for a, b in zip(rates[case.name], rates[""], strict=True)])
        found.append(Row(case.name, ratio, "×", peer, f"{spread(rates[case.name]).median:,.0f} steps/s", case.bar))
    return found
