"""The driver of a study dies at random instants, and another one goes on, on the same engine or on another."""

from __future__ import annotations

import random
import shutil
import signal
import sys
import time

from tests.engines.ray_nodes import RayNodes
from tests.engines.slurm_daemons import Slurm
from tests.engines.studies import SMALL, differences, truth
from tests.faults.kills import finished, kin
from tests.faults.table import Row

LINE = f"{SMALL} --checkpoint-every 0.3"


def rows(quick: bool) -> list[Row]:
    """Ten times on Ray and ten on Slurm (a quick check: 2 and 2); every other study goes on with processes of this machine."""
    times, chance = 4 if quick else 20, random.Random(4)
    here = truth(SMALL)
    results = on_ray(times // 2, chance, here.files) + on_slurm(times // 2, chance, here.files)
    identical, left = sum(same for same, _ in results), sum(count for _, count in results)
    return [
        Row(f"driver killed at {times} instants, resumed on Ray, Slurm or here", "byte-identical", f"{identical}/{times}",
            identical == times),
        Row("the same, processes and jobs left afterwards", "none", str(left), left == 0),
    ]  # fmt: skip


def on_ray(times: int, chance: random.Random, files: dict[str, str]) -> list[tuple[bool, int]]:
    """Whether each study is what it should be, and how many processes of training are left."""
    results = []
    with RayNodes((True, False), head_cores=1) as cluster:
        for number in range(times):
            study = cluster.started(LINE)
            time.sleep(chance.uniform(3.0, 12.0))
            cluster.head.run(f"pkill -KILL -f 'rl_rmsprop {SMALL[:30]}'", check=False)
            study.communicate()
            begun = (cluster.home / "study" / "study.json").is_file()
            again = "resume study" if begun else LINE
            done = cluster.study(again) if number % 2 else finished(again, cluster.home)
            same = done.returncode == 0 and not differences(cluster.home / "study", files)
            if not same:
                print(f"{again}: {done.returncode} {done.stderr}", file=sys.stderr)
            training = sum(machine.run("pgrep -fc ray::train_on_node", check=False).stdout.strip() != "0"
                           for machine in (cluster.head, *cluster.machines))  # fmt: skip
            results.append((same, training))
            shutil.rmtree(cluster.home / "study")
        shutil.rmtree(cluster.home)
    return results


def on_slurm(times: int, chance: random.Random, files: dict[str, str]) -> list[tuple[bool, int]]:
    """Whether each study is what it should be, and how many processes or jobs are left."""
    results = []
    with Slurm() as slurm:
        for number in range(times):
            study = slurm.started(f"{LINE} --slurm array=2")
            time.sleep(chance.uniform(2.0, 20.0))
            study.send_signal(signal.SIGKILL)
            study.communicate()
            begun = (slurm.home / "study" / "study.json").is_file()
            again = "resume study" if begun else LINE
            engine = "slurm" if number % 2 else "local"
            done = slurm.study(again + (" --slurm array=2" if engine == "slurm" else ""), engine)
            same = done.returncode == 0 and not differences(slurm.home / "study", files)
            if not same:
                print(f"{again} --engine {engine}: {done.returncode} {done.stderr}", file=sys.stderr)
            results.append((same, len(slurm.jobs()) + len(kin(study.pid))))
            shutil.rmtree(slurm.home / "study")
        shutil.rmtree(slurm.home, ignore_errors=True)
    return results
