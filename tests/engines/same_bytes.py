"""A study of two environments on every engine: the same files."""

from __future__ import annotations

import shutil
import sys

from tests.engines.ray_nodes import RayNodes
from tests.engines.slurm_daemons import Slurm
from tests.engines.studies import SMALL, WHOLE, differences, truth
from tests.faults.table import Row


def rows(quick: bool) -> list[Row]:
    """On Ray with and without the shared folder, and on Slurm; a quick check leaves out LunarLander."""
    line = SMALL if quick else WHOLE
    here = truth(line)
    found = []
    for name, sharing in (
        ("Ray, all nodes see the folder", (True, True)),
        ("Ray, no node but the driver's does", (False, False)),
    ):
        with RayNodes(sharing, head_cores=1) as cluster:
            done = cluster.study(line)
            found.append(row(name, done.returncode, done.stderr, differences(cluster.home / "study", here.files), here.files))
            shutil.rmtree(cluster.home)
    with Slurm() as slurm:
        done = slurm.study(f"{line} --slurm array=2")
        found.append(row("Slurm", done.returncode, done.stderr, differences(slurm.home / "study", here.files), here.files))
        shutil.rmtree(slurm.home)
    return found


def row(name: str, code: int, said: str, different: list[str], files: dict[str, str]) -> Row:
    """What came of an engine."""
    if code or different:
        print(f"{name}: exit code {code}: {said}; different: {different[:5]}", file=sys.stderr)
    same = len(files) - len(different)
    return Row(f"{name}: files", "byte-identical with --engine local", f"{same}/{len(files)}", not different and code == 0)
