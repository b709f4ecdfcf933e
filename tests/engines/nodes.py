"""A machine of a Ray cluster dies with all that runs on it, at random instants of a study."""

from __future__ import annotations

import random
import shutil
import sys
import time

from tests.engines.ray_nodes import RayNodes
from tests.engines.studies import SMALL, differences, each_run_once, truth
from tests.faults.table import Row

RUNS = 48


def rows(quick: bool) -> list[Row]:
    """30 times (a quick check: 2); every other time the machines do not see the study's folder."""
    times, chance = 2 if quick else 30, random.Random(3)
    here = truth(SMALL)
    complete = identical = met = 0
    for sharing in ((True, True), (False, False)):
        with RayNodes(sharing, head_cores=0 if all(sharing) else 1) as cluster:
            undisturbed = time.monotonic()
            cluster.study(f"{SMALL} --checkpoint-every 0.3")
            duration = time.monotonic() - undisturbed
            for _ in range(times // 2):
                shutil.rmtree(cluster.home / "study")
                study = cluster.started(f"{SMALL} --checkpoint-every 0.3")
                time.sleep(chance.uniform(0.3 * duration, duration))
                met += study.poll() is None
                victim = chance.randrange(len(cluster.machines))
                cluster.machines[victim].kill()
                _, said = study.communicate()
                different = differences(cluster.home / "study", here.files)
                complete += study.returncode == 0 and each_run_once(cluster.home / "study", RUNS)
                identical += not different
                if study.returncode or different:
                    print(f"exit code {study.returncode}: {said}; different: {different[:5]}", file=sys.stderr)
                cluster.revive(victim)
            shutil.rmtree(cluster.home)
    what = f"a machine of Ray's killed at {times} instants, {met} of them while it trained"
    return [
        Row(what, f"{RUNS} rows each, none twice", f"{complete}/{times}", complete == times),
        Row("the same, all files", "byte-identical", f"{identical}/{times}", identical == times),
    ]
