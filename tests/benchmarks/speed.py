"""How fast training is beside Stable-Baselines3, as ratios measured in one run: `python -m tests.benchmarks.speed`.

One torch thread, one process. Every case is repeated; medians with the range over repetitions. The logging cost is the same
training with and without files and curves. Peak memory is that of a fresh process which trains and writes nothing else.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

import envs
from agents import A2C, train
from rl_rmsprop.study.batch import BatchSpec, generators, make_policy, train_batch
from rl_rmsprop.study.optimizers import Arm, make_optimizer

REPEATS = 5
AGENT = A2C(n_envs=8, n_steps=16)
BAR = {"CartPole-v1, 32 runs": 12.0, "CartPole-v1, 1 run": 2.5, "LunarLander-v3, 32 runs": 3.5}


def spec(env_id: str, runs: int, steps: int, folder: str = "", rule: str = "0.99") -> BatchSpec:
    """A batch with the settings of the comparison: 64-64 tanh, 8 environments, 16 steps."""
    return BatchSpec(folder, env_id, "a2c", AGENT, Arm(rule), tuple(range(runs)), steps, eval_episodes=1)


def ours(env_id: str, runs: int, steps: int) -> float:
    """Environment steps per second of training without files."""
    batch = spec(env_id, runs, steps)
    env = envs.make(env_id, batch.seeds, AGENT.n_envs)
    policy = make_policy(batch, env)
    optimizer = make_optimizer(batch.arm, policy.parameters(), AGENT.lr, batch.updates, batch.seeds)
    start = time.perf_counter()
    for update in train(AGENT, env, policy, optimizer, batch.updates, generators(batch.seeds, "policy")):
        made = update.steps.sum()
    elapsed = time.perf_counter() - start
    env.close()
    return float(made / elapsed)


def theirs(env_id: str, steps: int) -> float:
    """Environment steps per second of Stable-Baselines3's A2C with the same sizes."""
    from stable_baselines3 import A2C as TheirA2C
    from stable_baselines3.common.env_util import make_vec_env

    env = make_vec_env(env_id, n_envs=AGENT.n_envs, seed=0)
    model = TheirA2C("MlpPolicy", env, n_steps=AGENT.n_steps, device="cpu", seed=0)
    model.learn(1000)
    start = time.perf_counter()
    model.learn(steps)
    elapsed = time.perf_counter() - start
    env.close()
    return steps / elapsed


def logging_cost(runs: int, steps: int) -> tuple[float, float]:
    """Seconds of training with all files and curves, and without, for the same batch."""
    with tempfile.TemporaryDirectory() as folder:
        batch = spec("CartPole-v1", runs, steps, folder)
        start = time.perf_counter()
        train_batch(batch, lambda progress: None)
        logged = time.perf_counter() - start
    return logged, steps * runs / ours("CartPole-v1", runs, steps)


def peak_memory(runs: int) -> float:
    """MiB that a fresh process needs to train this many CartPole runs with all files."""
    code = f"from tests.benchmarks.speed import memory_of; print(memory_of({runs}))"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def memory_of(runs: int) -> float:
    """Train here and return the peak resident size in MiB."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        train_batch(spec("CartPole-v1", runs, 20_000, folder), lambda progress: None)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def import_seconds(code: str) -> float:
    """Median time of a fresh interpreter running `code`."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure(function: Callable[[], float]) -> list[float]:
    """The function's result, REPEATS times."""
    return sorted(function() for _ in range(REPEATS))


def spread(values: Sequence[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):,.0f} ({values[0]:,.0f} – {values[-1]:,.0f})"


def main() -> None:
    """Measure everything, print a table, write runs/benchmarks/speed.json."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    cases = {
        "CartPole-v1, 32 runs": ("CartPole-v1", 32, 12_800, 15_000),
        "CartPole-v1, 1 run": ("CartPole-v1", 1, 60_000, 15_000),
        "LunarLander-v3, 32 runs": ("LunarLander-v3", 32, 2_560, 8_000),
        "LunarLander-v3, 1 run": ("LunarLander-v3", 1, 12_800, 8_000),
    }
    result: dict[str, object] = {}
    table = Table("A2C 64-64 tanh, 8 environments × 16 steps", "ours, steps/s", "Stable-Baselines3", "ratio", "bar")
    for name, (env_id, runs, steps, their_steps) in cases.items():
        ours(env_id, runs, steps // 4)  # warm up
        mine = measure(lambda e=env_id, r=runs, s=steps: ours(e, r, s))  # type: ignore[misc]
        peer = measure(lambda e=env_id, s=their_steps: theirs(e, s))  # type: ignore[misc]
        ratio = statistics.median(mine) / statistics.median(peer)
        table.add_row(name, spread(mine), spread(peer), f"{ratio:.1f} ×", f"≥ {BAR[name]} ×" if name in BAR else "–")
        result[name] = {"ours": mine, "stable_baselines3": peer, "ratio": ratio}
    costs = [logged / plain - 1 for logged, plain in (logging_cost(32, 100_000) for _ in range(3))]
    result["logging and final evaluation, share of training time"] = costs
    memory = {runs: peak_memory(runs) for runs in (1, 32)}
    result["peak memory, MiB"] = memory
    torch_alone, package = import_seconds("import torch"), import_seconds("import torch; from rl_rmsprop import AdaptiveRMSprop")
    result["from rl_rmsprop import AdaptiveRMSprop beyond import torch, s"] = package - torch_alone
    result["rl-rmsprop --help, s"] = import_seconds("from rl_rmsprop.cli import main; main(['--help'])")
    console = Console(width=120)
    console.print(table)
    for name, value in list(result.items())[len(cases) :]:
        console.print(f"{name}: {value}")
    out = Path("runs/benchmarks")
    out.mkdir(parents=True, exist_ok=True)
    (out / "speed.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
