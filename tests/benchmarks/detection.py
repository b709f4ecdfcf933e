"""Which detectors find true shifts in the gradients of a learning agent, all at the same rate of alarms where nothing shifts.

    python -m tests.benchmarks.detection record      trains and records (an hour on two cores)
    python -m tests.benchmarks.detection score       runs the detectors over it (minutes) → tests/benchmarks/detection.csv

A2C with its tuned preset, β = 0.99, 20 seeds, learns for half a training; there each process forks into children, one a shift,
which go on with the shift for AFTER updates, while the parent goes on without. So every shifted run has an exact twin, and is
bit for bit what `rl-rmsprop compare --shift …,clock=updates --record-signals` records. The shifts are the medium and severe ones
of envs/severity.csv, and those of rewards below, which do not change what a frozen policy does and are chosen by hand.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import envs
from agents import train
from envs.make import make_one
from envs.parameters import parameters_of
from envs.severity import load
from envs.shifted import ShiftedBatch
from envs.shifts import parse_all
from rl_rmsprop.study.batch import BatchSpec, generators, make_policy
from rl_rmsprop.study.optimizers import Arm, make_optimizer
from rl_rmsprop.study.presets import make_agent
from rl_rmsprop.study.signal_log import SignalLog
from rl_rmsprop.study.streams import Streams

SEEDS = tuple(range(20))
STEPS = {"CartPole-v1": 300_000, "LunarLander-v3": 600_000}
"""Length of a training, environment steps; the shift is in its middle."""
AFTER = {"CartPole-v1": 300, "LunarLander-v3": 50}
"""Updates recorded after a shift."""
REWARDS = {
    "CartPole-v1": {
        "reward_scale up": (3.0, 10.0), "reward_scale down": (0.3, 0.1), "reward_sign to": (None, -1.0),
        "reward_offset up": (1.0, 5.0), "reward_offset down": (-1.0, -5.0), "reward_noise up": (1.0, 5.0),
    },
    "LunarLander-v3": {
        "reward_scale up": (3.0, 10.0), "reward_scale down": (0.3, 0.1), "reward_sign to": (None, -1.0),
        "reward_offset up": (1.0, 5.0), "reward_offset down": (-1.0, -5.0), "reward_noise up": (3.0, 10.0),
    },
}  # fmt: skip
"""Environment → parameter and direction → medium and severe value."""
TWIN = "unshifted"
ARM = Arm("0.99")

# Recording --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recording:
    """Some seeds in one environment, and every way in which their training goes on."""

    spec: BatchSpec
    before: int
    """Updates before the shift."""
    after: int
    """Updates recorded after it."""
    shifts: dict[str, str]
    """Name → shift, as text."""


class Later:
    """Environments that are exchanged for others while an agent acts in them: `now` is the `EnvBatch` of the moment."""

    def __init__(self, batch: Any) -> None:
        self.now = batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self.now, name)


def shifts_of(env_id: str) -> dict[str, str]:
    """All shifts of the benchmark by name: parameter, direction, severity."""
    chosen = {f"{row.parameter} {row.direction} {row.level}": row.value for row in load(env_id) if row.level != "mild"}
    for kind, values in REWARDS[env_id].items():
        chosen |= {f"{kind} {level}": v for level, v in zip(("medium", "severe"), values, strict=True) if v is not None}
    env = make_one(env_id)
    known = parameters_of(env)
    env.close()
    usual = {name: known[name.split()[0]].default for name in chosen}
    return {name: f"{name.split()[0]}:values={usual[name]!r}/{value!r},at=1,clock=updates" for name, value in chosen.items()}


def recordings(env_ids: Sequence[str], workers: int) -> list[Recording]:
    """The benchmark, a piece for each worker."""
    pieces = []
    for env_id in env_ids:
        agent = make_agent("a2c", env_id, {})
        for seeds in np.array_split(SEEDS, workers):
            spec = BatchSpec("", env_id, "a2c", agent, ARM, tuple(seeds.tolist()), STEPS[env_id])
            pieces.append(Recording(spec, spec.updates // 2, AFTER[env_id], shifts_of(env_id)))
    return pieces


def record(recording: Recording, folder: Path) -> None:
    """Train, fork at the shift, and write the signals of every branch: folder/<env>/<name>/<first seed>.npz."""
    spec, me = recording.spec, os.getpid()
    torch.set_num_threads(1)
    env = Later(envs.make(spec.env_id, spec.seeds, spec.agent.n_envs))
    policy = make_policy(spec, env)  # type: ignore[arg-type]
    optimizer = make_optimizer(spec.arm, policy.parameters(), spec.agent.lr, spec.updates, spec.seeds)
    log = SignalLog(optimizer, policy, env, spec.updates)  # type: ignore[arg-type]
    name, last = TWIN, spec.updates
    try:
        for made in train(spec.agent, env, policy, optimizer, spec.updates, generators(spec.seeds, "policy")):
            log.take(made)
            if made.number == last:
                break
            if made.number == recording.before and (branch := forked(tuple(recording.shifts))):
                name, last = branch, recording.before + recording.after
                env.now = shifted(env.now, recording.shifts[branch], spec.seeds)
        path = folder / spec.env_id / name / f"{spec.seeds[0]}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {key: rows[:last] for key, rows in log.arrays.items() if key != "squares"}
        np.savez(path, seeds=spec.seeds, **arrays)
        print(f"{time.strftime('%H:%M:%S')} {spec.env_id} seeds {spec.seeds[0]}–{spec.seeds[-1]}: {name}", flush=True)
    except BaseException:
        if os.getpid() != me:
            traceback.print_exc()
            os._exit(1)
        raise
    if os.getpid() != me:
        os._exit(0)


def forked(names: Sequence[str]) -> str | None:
    """A child process for each name, one after another: the name in the child, None in the parent when all are done."""
    for name in names:
        child = os.fork()
        if child == 0:
            return name
        if os.waitpid(child, 0)[1]:
            raise RuntimeError(f"the branch {name!r} failed: see above")
    return None


def shifted(batch: envs.EnvBatch, text: str, seeds: Sequence[int]) -> ShiftedBatch:
    """The running environments with a shift that begins at their next step."""
    result = ShiftedBatch(batch, parse_all(text), seeds)
    result.count_update()
    return result


def load_signals(folder: Path, env_id: str, name: str) -> Streams:
    """What `record` wrote about one branch, all seeds side by side."""
    files = sorted((folder / env_id / name).glob("*.npz"), key=lambda path: int(path.stem))
    loaded = []
    for path in files:
        with np.load(path, allow_pickle=False) as arrays:
            loaded.append({key: arrays[key] for key in arrays.files})
    seeds = tuple(int(seed) for part in loaded for seed in part.pop("seeds"))
    return Streams(env_id, ARM.rule, seeds, {key: np.concatenate([part[key] for part in loaded], 1) for key in loaded[0]})


def main() -> None:
    """Record or score."""
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    options.add_argument("what", choices=("record", "score"))
    options.add_argument("env", nargs="*", default=list(STEPS), help="environments, of " + ", ".join(STEPS))
    options.add_argument("--signals", default="runs/benchmarks/detection", type=Path, help="where recorded signals are kept")
    given = options.parse_args()
    if given.what == "record":
        workers = os.cpu_count() or 1
        with multiprocessing.get_context("fork").Pool(workers) as pool:
            pool.starmap(record, [(piece, given.signals) for piece in recordings(given.env, workers)], chunksize=1)


if __name__ == "__main__":
    main()
