"""What engines cost and bring: the driver's work for a batch, Ray against processes of this machine, two machines against one."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path

from rl_rmsprop.study.execution.engines import make_executor
from rl_rmsprop.study.spec.arms import make_arm
from rl_rmsprop.study.spec.options import TrainingOptions
from rl_rmsprop.study.spec.presets import make_agent
from rl_rmsprop.study.spec.study import Study
from rl_rmsprop.study.training.train import BatchTask
from tests.engines.ray_nodes import RayNodes
from tests.faults.kills import finished
from tests.faults.table import Row

COUNTS = (10, 100, 1000)
STUDY = "compare --env CartPole-v1 --betas 0.9 0.99 --seeds 0-31 --steps {steps} --eval-episodes 5 --out study --overwrite"
"""64 runs."""


def rows(quick: bool) -> list[Row]:
    """All of it in half an hour; a quick check takes 10 and 100 batches, and short studies whose ratios mean little."""
    return [*work_of_driver(COUNTS[:2] if quick else COUNTS), ray_beside_local(quick), two_nodes_beside_one(quick)]


def work_of_driver(counts: tuple[int, ...]) -> list[Row]:
    """CPU time of the driver's process for batches of one run of 64 steps, here and on a private cluster of Ray's."""
    found = []
    for engine in ("local", "ray"):
        with closing(make_executor(engine, 2)) as executor:
            figures, costs = [], []
            for count in (4, *counts):  # the first one loads what is loaded at first use
                with tempfile.TemporaryDirectory() as folder:
                    study = tiny(Path(folder) / "study", count)
                    executor.check(study)
                    study.save()
                    wall, cpu = time.monotonic(), time.process_time()
                    events = list(executor.run([BatchTask(spec) for spec in study.batches()]))
                    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
                    assert [event.error or event.failures for event in events if event.ended] == [()] * count, events
                if count in counts:
                    figures.append(f"{count}: {cpu / count * 1e3:.1f} ms of {wall / count * 1e3:.0f} ms")
                    costs.append(cpu / count)
        what = f"driver's CPU time for a batch of {', '.join(map(str, counts))} tiny ones, {engine}"
        grows = costs[-1] / costs[0]
        found.append(Row(what, "does not grow with their number", "; ".join(figures), grows < 1.5))
    return found


def tiny(folder: Path, count: int) -> Study:
    """A study of so many batches of one run each, of 64 steps."""
    options = TrainingOptions(agent="a2c", steps=64, eval_episodes=1)
    agent = make_agent("a2c", "CartPole-v1", {"n_envs": 4, "n_steps": 16})
    return Study(folder, ("CartPole-v1",), (agent,), (make_arm("0.99"),), tuple(range(count)), options, batch_size=1)


def ray_beside_local(quick: bool) -> Row:
    """A private cluster of Ray's against processes of this machine, the same study of 64 runs, in turn; medians."""
    line = STUDY.format(steps=50_000 if quick else 400_000)
    times: dict[str, list[float]] = {"local": [], "ray": []}
    with tempfile.TemporaryDirectory() as home:
        for _ in range(1 if quick else 3):
            for engine, seconds in times.items():
                begun = time.monotonic()
                done = finished(f"{line} --engine {engine}", Path(home))
                seconds.append(time.monotonic() - begun)
                assert done.returncode == 0, done.stderr
    local, ray = (statistics.median(seconds) for seconds in times.values())
    figure = f"local {local:.1f} s, Ray {ray:.1f} s"
    return Row("Ray against local, CartPole, 64 runs", "≤ 5 % + 10 s", figure, ray <= 1.05 * local + 10)


def two_nodes_beside_one(quick: bool) -> Row:
    """The same study on one machine of one core, and on two; times are of the whole command."""
    line = STUDY.format(steps=50_000 if quick else 5_000_000)
    seconds = []
    for machines in (1, 2):
        with RayNodes((True,) * machines) as cluster:
            begun = time.monotonic()
            done = cluster.study(line)
            seconds.append(time.monotonic() - begun)
            assert done.returncode == 0, done.stderr
            shutil.rmtree(cluster.home)
    one, two = seconds
    return Row("two nodes of one core against one", "≥ 1.9 ×", f"{one:.0f} s, {two:.0f} s: {one / two:.2f} ×", one / two >= 1.9)
