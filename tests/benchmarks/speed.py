"""How fast training is beside Stable-Baselines3, as ratios measured in one run: `python -m tests.benchmarks.speed`.

One torch thread, one process. Every case is repeated; medians with the range over repetitions. Logging has at most 250 points
a training, however long, so that its share is of the tuned preset's 500,000 steps a run. Peak memory is that of a fresh process
which trains and writes nothing else.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import envs
from agents import A2C, Training, Update
from rl_rmsprop.study.batch import BatchSpec, train_batch
from rl_rmsprop.study.description import hparams
from rl_rmsprop.study.optimizers import Arm, make_optimizer
from rl_rmsprop.study.policies import generators, make_policy
from rl_rmsprop.study.recorder import Recorder

REPEATS = 5
AGENT = A2C(n_envs=8, n_steps=16)
BAR = {"CartPole-v1, 32 runs": 12.0, "CartPole-v1, 1 run": 2.5, "LunarLander-v3, 32 runs": 3.5}


def spec(env_id: str, runs: int, steps: int, folder: str = "", rule: str = "0.99") -> BatchSpec:
    """A batch with the settings of the comparison: 64-64 tanh, 8 environments, 16 steps."""
    return BatchSpec(folder, env_id, "a2c", AGENT, Arm(rule), tuple(range(runs)), steps, eval_episodes=1)


def ours(env_id: str, runs: int, steps: int) -> float:
    """Environment steps per second of training."""
    made, training, _ = trained(spec(env_id, runs, steps))
    return made / training


def logging_cost(runs: int, steps: int) -> float:
    """Time that all files and curves take, as a share of the training time without; both are of the same run."""
    with tempfile.TemporaryDirectory() as folder:
        _, training, writing = trained(spec("CartPole-v1", runs, steps, folder))
    return writing / training


def trained(batch: BatchSpec) -> tuple[float, float, float]:
    """Environment steps, seconds of training, seconds of writing down what a study writes (0 without a folder)."""
    env = envs.make(batch.env_id, batch.seeds, AGENT.n_envs)
    policy = make_policy(batch, env)
    optimizer = make_optimizer(batch.arm, policy.parameters(), AGENT.lr, batch.updates, batch.seeds)
    updates = Training(AGENT, env, policy, optimizer, batch.windows, generators(batch.seeds, "policy"))
    start = time.perf_counter()
    if batch.folder:
        made, writing = recorded(batch, env, optimizer, updates)
    else:
        made, writing = max(float(update.steps.sum()) for update in updates), 0.0
    elapsed = time.perf_counter() - start
    env.close()
    return made, elapsed - writing, writing


def recorded(
    batch: BatchSpec, env: envs.EnvBatch, optimizer: torch.optim.Optimizer, updates: Iterable[Update]
) -> tuple[float, float]:
    """Environment steps of these updates, and the seconds it took to write them down as a study does."""
    folders = [batch.run_folder(seed) for seed in batch.seeds]
    for folder in folders:
        folder.mkdir(parents=True)
    made, writing, start = 0.0, 0.0, time.perf_counter()
    with Recorder(folders, optimizer, env, batch.windows, batch.arm.name, hparams(batch), batch.aggregated) as recorder:
        writing += time.perf_counter() - start
        for update in updates:
            made = float(update.steps.sum())
            start = time.perf_counter()
            if recorder.take(update):
                recorder.progress()
            writing += time.perf_counter() - start
        start = time.perf_counter()
        recorder.finish(np.zeros(len(batch.seeds)))
    return made, writing + time.perf_counter() - start


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


def peak_memory(runs: int) -> float:
    """MiB that a fresh process needs to train this many CartPole runs with all files."""
    code = f"from tests.benchmarks.speed import memory_of; print(memory_of({runs}))"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def memory_of(runs: int) -> float:
    """Train here and return the peak resident size in MiB (getrusage would include the process that forked this one)."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        train_batch(spec("CartPole-v1", runs, 20_000, folder))
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def seconds_of(code: str) -> float:
    """Time of a fresh interpreter running `code`."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return time.perf_counter() - start


def import_seconds() -> float:
    """What importing the optimizer adds to importing torch."""
    alone = seconds_of("import torch")
    return seconds_of("import torch; from rl_rmsprop import AdaptiveRMSprop") - alone


def measure(function: Callable[[], float], repeats: int = REPEATS) -> list[float]:
    """The function's results."""
    return sorted(function() for _ in range(repeats))


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
    result["logging, share of training time, 32 runs"] = measure(lambda: logging_cost(32, 500_000), 3)
    memory = {runs: peak_memory(runs) for runs in (1, 32)}
    result["peak memory, MiB"] = memory
    result["from rl_rmsprop import AdaptiveRMSprop beyond import torch, s"] = measure(import_seconds)
    result["rl-rmsprop --help, s"] = measure(lambda: seconds_of("from rl_rmsprop.cli import main; main(['--help'])"))
    console = Console(width=120)
    console.print(table)
    for name, value in list(result.items())[len(cases) :]:
        console.print(f"{name}: {value}")
    out = Path("runs/benchmarks")
    out.mkdir(parents=True, exist_ok=True)
    (out / "speed.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
