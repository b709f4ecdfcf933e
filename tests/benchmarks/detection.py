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
import csv
import math
import multiprocessing
import os
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import envs
from agents import Training
from envs.parameters import parameters_of
from envs.registration import make_env
from envs.severity import load
from envs.shifted import ShiftedBatch
from envs.shifts.shift import parse_all
from rl_rmsprop.detectors import Cusum, Detector, PageHinkley
from rl_rmsprop.detectors.river import Adwin
from rl_rmsprop.study.results import detection
from rl_rmsprop.study.results.recorded_signals import RecordedSignals
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.batch_spec import BatchSpec
from rl_rmsprop.study.spec.presets import make_agent
from rl_rmsprop.study.training.optimizers import make_optimizer
from rl_rmsprop.study.training.policies import make_policy
from rl_rmsprop.study.training.signal_log import SignalLog
from tests.builders import batch_of

SEEDS = tuple(range(20))
STEPS = {"CartPole-v1": 300_000, "LunarLander-v3": 600_000}
"""Length of a training, environment steps; the shift is in its middle."""
AFTER = {"CartPole-v1": 300, "LunarLander-v3": 50}
"""Updates recorded after a shift."""
REWARDS = {
    "reward_scale up": (3.0, 10.0), "reward_scale down": (0.3, 0.1), "reward_sign to": (None, -1.0),
    "reward_offset up": (1.0, 5.0), "reward_offset down": (-1.0, -5.0),
}  # fmt: skip
"""Parameter and direction → medium and severe value."""
REWARD_NOISE = {"CartPole-v1": (1.0, 5.0), "LunarLander-v3": (3.0, 10.0)}
"""Environment → medium and severe noise on rewards: a landing's are larger."""
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
    for kind, values in {**REWARDS, "reward_noise up": REWARD_NOISE[env_id]}.items():
        chosen |= {f"{kind} {level}": v for level, v in zip(("medium", "severe"), values, strict=True) if v is not None}
    env = make_env(env_id)
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
            spec = batch_of("", env_id, "a2c", agent, ARM, tuple(seeds.tolist()), STEPS[env_id])
            pieces.append(Recording(spec, spec.updates // 2, AFTER[env_id], shifts_of(env_id)))
    return pieces


def record(recording: Recording, folder: Path) -> None:
    """Train, fork at the shift, and write the signals of every branch: folder/<env>/<name>/<first seed>.npz."""
    spec, me = recording.spec, os.getpid()
    torch.set_num_threads(1)
    env = Later(envs.make(spec.env_id, spec.seeds, spec.agent.n_envs))
    policy = make_policy(spec, env)
    optimizer = make_optimizer(spec.arm, policy.parameters(), spec.agent.lr, spec.updates, spec.seeds, spec.options)
    log = SignalLog(optimizer, policy, env, spec.updates)
    name, last = TWIN, spec.updates
    try:
        for made in Training(spec.agent, env, policy, optimizer, spec.iterations, spec.seeds):
            log.take(made)
            if made.updates == last:
                break
            if made.updates == recording.before and (branch := forked(tuple(recording.shifts))):
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


def load_signals(folder: Path, env_id: str, name: str) -> RecordedSignals:
    """What `record` wrote about one branch, all seeds side by side."""
    files = sorted((folder / env_id / name).glob("*.npz"), key=lambda path: int(path.stem))
    loaded = []
    for path in files:
        with np.load(path, allow_pickle=False) as arrays:
            loaded.append({key: arrays[key] for key in arrays.files})
    seeds = tuple(int(seed) for part in loaded for seed in part.pop("seeds"))
    return RecordedSignals(env_id, ARM.text, seeds, {key: np.concatenate([part[key] for part in loaded], 1) for key in loaded[0]})


# Scoring ----------------------------------------------------------------------------------------------------------------------


class Contender(NamedTuple):
    """A detector and what it listens to."""

    name: str
    detector: Detector
    signal: str


CONTENDERS = (
    Contender("cusum, gradient", Cusum(), "surprise"),
    Contender("cusum k = 1, most surprised network", Cusum(k=1), "peak_surprise"),
    Contender("page_hinkley, gradient", PageHinkley(), "surprise"),
    Contender("cusum, return", Cusum(), "episode_return"),
    Contender("ADWIN, gradient", Adwin(), "surprise"),
    Contender("ADWIN, return", Adwin(), "episode_return"),
)
"""All are made as sensitive as the same rate of alarms on the twins allows."""
OURS = ("cusum, gradient", "cusum k = 1, most surprised network")
RIVALS = ("cusum, return", "ADWIN, gradient", "ADWIN, return")
RATE = 2.0
"""Alarms per 1000 updates of the twins."""
TOUCHED = 4.0
"""A shift touches gradients if its paired t statistic over seeds (shifted minus twin) is larger than this."""
GRADIENT = ("grad_norm", "grad_norm_actor", "grad_norm_critic", "surprise", "cosine")


class Row(NamedTuple):
    """One contender's answer to one shift."""

    env_id: str
    shift: str
    touched: float
    """Largest |t| of the gradient's signals, over the seeds: mean over WITHIN updates with the shift minus without."""
    contender: str
    alarms_per_1000: float
    """On the twins, over their whole training."""
    twin_hits: float
    """Share of twins with an alarm in the same WITHIN updates, in which nothing shifts."""
    hits_20: float
    hits_50: float
    delay_median: float


WITHIN = 50


def score(env_id: str, folder: Path, console: Console) -> list[Row]:
    """All contenders on all shifts of one environment."""
    twin = load_signals(folder, env_id, TWIN)
    branches = {name: load_signals(folder, env_id, name) for name in shifts_of(env_id)}
    start = int(np.flatnonzero(next(iter(branches.values())).shifted.all(1))[0])
    moved = {name: touched(branch, twin, start) for name, branch in branches.items()}
    rows = []
    for contender in CONTENDERS:
        x = twin.signal(contender.signal)
        unit = 5 * float(x.std()) if isinstance(contender.detector, Adwin) else 1.0  # ADWIN assumes a range of about 1
        detector = detection.tune(contender.detector, RATE, x / unit, twin.seeds).detector
        calm = detection.alarms_of(detector, x / unit, twin.seeds)
        side_by_side = torch.cat([branch.signal(contender.signal) for branch in branches.values()], 1)
        alarms = detection.alarms_of(detector, side_by_side / unit, twin.seeds * len(branches))
        for name, part in zip(branches, np.split(alarms, len(branches), 1), strict=True):
            answer = detection.quality(part, branches[name].shifted)
            chance, (hits_20, hits_50, *_) = float(calm[start : start + WITHIN].any(0).mean()), answer.hits
            row = env_id, name, moved[name], contender.name, detection.rate(calm), chance, hits_20, hits_50, answer.delay_median
            rows.append(Row(*row))
        console.print(
            f"{env_id}, {contender.name}: {detection.rate(calm):.2f} alarms per 1000 updates of the twins with {detector}"
        )
    return rows


def touched(branch: RecordedSignals, twin: RecordedSignals, start: int) -> float:
    """How clearly a shift moves any of the gradient's signals: the largest |t| over seeds of shifted minus twin."""
    sizes = []
    for name in GRADIENT:
        with_shift, without = (s.signal(name)[start : start + WITHIN].mean(0).numpy() for s in (branch, twin))  # [R]
        difference = with_shift - without
        sizes.append(abs(difference.mean()) / (difference.std(ddof=1) / math.sqrt(len(difference)) + 1e-12))
    return float(max(sizes))


def verdict(rows: Sequence[Row], ours: str, against: str) -> str:
    """On how many of the shifts that touch gradients ours has more, as many and fewer hits within 50 updates."""
    hits = {(row.shift, row.contender): row.hits_50 for row in rows if row.touched > TOUCHED}
    gains = [hits[shift, ours] - hits[shift, against] for shift, contender in hits if contender == ours]
    more, fewer = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    return f"{more} more, {len(gains) - more - fewer} as many, {fewer} fewer"


def alarms_of_the_default(env_id: str, folder: Path) -> dict[str, float]:
    """Alarms per 1000 updates of the default detector where nothing shifts: early, on the plateau, at changes of scale.

    Early is until the return, averaged over 50 updates, has come 90 % of the way from its first to its last fifth; an alarm at
    a change of the gradient's scale, found afterwards (see study/results/detection.py), is counted there and in neither.
    """
    twin = load_signals(folder, env_id, TWIN)
    alarms = detection.alarms_of(Cusum(), twin.signal("surprise"), twin.seeds)
    near = detection.near(detection.scale_changes(twin.signal("grad_norm").numpy()))
    early = ~arrived(twin.signal("episode_return").numpy())
    share = 1000 / alarms.size
    return {
        "all": float(alarms.sum() * share),
        "at a change of scale": float((alarms & near).sum() * share),
        "early, elsewhere": float((alarms & ~near & early).sum() / max(early.sum(), 1) * 1000),
        "plateau, elsewhere": float((alarms & ~near & ~early).sum() / max((~early).sum(), 1) * 1000),
        "share of updates that are early": float(early.mean()),
    }


def arrived(returns: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Updates [T, R] from the first on at which the smoothed return has come 90 % of its way."""
    fifth = len(returns) // 5
    first, last = returns[:fifth].mean(0), returns[-fifth:].mean(0)
    total = np.cumsum(np.vstack([np.zeros_like(first), returns]), 0)
    smooth = np.vstack([np.full((49, len(first)), -np.inf), (total[50:] - total[:-50]) / 50])
    return np.maximum.accumulate(smooth >= first + 0.9 * (last - first), 0)


def show(rows: Sequence[Row], console: Console) -> None:
    """Hits of every contender on every shift, and who finds more."""
    names = [contender.name for contender in CONTENDERS]
    for env_id in dict.fromkeys(row.env_id for row in rows):
        table = Table("shift", "touches", *names, title=f"{env_id}: hits within {WITHIN} updates, share of {len(SEEDS)} seeds")
        for shift in dict.fromkeys(row.shift for row in rows if row.env_id == env_id):
            found = {row.contender: row for row in rows if (row.env_id, row.shift) == (env_id, shift)}
            cells = [f"{found[name].hits_50:.0%} ({found[name].delay_median:.0f})" for name in names]
            table.add_row(shift, f"t = {found[names[0]].touched:.0f}", *cells)
        console.print(table)
        of_env = [row for row in rows if row.env_id == env_id]
        for ours in OURS:
            for against in RIVALS:
                console.print(f"{env_id}, {ours} against {against}: {verdict(of_env, ours, against)}")


def main() -> None:
    """Record or score."""
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    options.add_argument("what", choices=("record", "score"))
    options.add_argument("env", nargs="*", default=list(STEPS), help="environments, of " + ", ".join(STEPS))
    options.add_argument("--signals", default="runs/benchmarks/detection", type=Path, help="where recorded signals are kept")
    options.add_argument("--out", default="tests/benchmarks/detection.csv", type=Path)
    given = options.parse_args()
    if given.what == "record":
        workers = os.cpu_count() or 1
        with multiprocessing.get_context("fork").Pool(workers) as pool:
            pool.starmap(record, [(piece, given.signals) for piece in recordings(given.env, workers)], chunksize=1)
        return
    torch.set_num_threads(1)
    console = Console(width=160)
    rows = [row for env_id in given.env for row in score(env_id, given.signals, console)]
    show(rows, console)
    with given.out.open("w", encoding="utf-8", newline="") as file:
        cells = [[f"{x:.4g}" if isinstance(x, float) else x for x in row] for row in rows]
        csv.writer(file, lineterminator="\n").writerows([Row._fields, *cells])
    for env_id in given.env:
        counted = alarms_of_the_default(env_id, given.signals)
        console.print(f"{env_id}, default detector, nothing shifts, per 1000 updates: {counted}")


if __name__ == "__main__":
    main()
