"""What a user is told when something about a cluster is wrong: one line, the documented exit code, nothing lost."""

from __future__ import annotations

import importlib.metadata
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import NamedTuple

from tests.engines.ray_nodes import PORT, RayNodes
from tests.engines.slurm_daemons import Slurm
from tests.engines.studies import SMALL, differences, truth
from tests.faults.kills import ROOT, finished
from tests.faults.table import Row


class Case(NamedTuple):
    """Something that is wrong, and what came of it."""

    what: str
    code: int
    """The exit code that docs/reference/exit_codes.md documents for it."""
    words: str
    """What the line has to name."""
    done: CompletedProcess
    study: Path
    """Where the study would be."""


def rows(quick: bool) -> list[Row]:
    """One row for each; a quick check is the same."""
    found = []
    for case in (*without_nodes(), another_torch(), no_package(), *on_slurm()):
        found.append(row(case, not case.study.exists(), "nothing is made"))
    found += full_disk()
    return found


def row(case: Case, kept: bool, what_is_kept: str) -> Row:
    """Whether the answer is as it should be, and nothing is lost."""
    said = case.done.stderr.splitlines()
    line = said[-1] if said else ""
    good = kept and case.done.returncode == case.code and line.startswith("error: ") and case.words in line
    if case.code == 2:
        good = good and len(said) == 1
    if not good:
        print(f"{case.what}: exit code {case.done.returncode}: {case.done.stderr}", file=sys.stderr)
    return Row(case.what, f"one line, exit code {case.code}, {what_is_kept}", line.removeprefix("error: "), good)


def without_nodes() -> Iterator[Case]:
    """The driver's own mistakes."""
    with RayNodes((), head_cores=1) as cluster:
        study = cluster.home / "study"
        done = cluster.study(SMALL, RAY_AUTH_TOKEN="0" * 64)
        yield Case("wrong token", 2, "refuses this token", done, study)
        done = cluster.study(SMALL, port=PORT + 20)
        yield Case("no cluster at the address", 2, "no cluster of Ray answers", done, study)


def another_torch() -> Case:
    """A machine whose torch says that it is another version."""
    torch = importlib.metadata.distribution("torch")
    file = Path(str(torch.locate_file(f"torch-{torch.version}.dist-info/METADATA")))
    with tempfile.NamedTemporaryFile("w") as other:
        other.write(file.read_text().replace(f"\nVersion: {torch.version}\n", "\nVersion: 2.12.1\n"))
        other.flush()
        return on_nodes("a node with another torch", "torch must be the same", f"mount --bind {other.name} {file}")


def no_package() -> Case:
    """A machine where this package is not installed."""
    return on_nodes("a node without the package", "install this package there", f"mount -t tmpfs tmpfs {ROOT}/rl_rmsprop")


def on_nodes(what: str, words: str, setup: str) -> Case:
    """What is said where one of two machines has been set up like that."""
    with RayNodes((True, True), setups=("", setup)) as cluster:
        return Case(what, 2, words, cluster.study(SMALL), cluster.home / "study")


def on_slurm() -> Iterator[Case]:
    """What Slurm does not take."""
    with Slurm() as slurm:
        study = slurm.home / "study"
        for what, options, words in (
            ("Slurm has no such partition", "partition=none", "partition"),
            ("Slurm has no such machine", "mem=900000", "Slurm takes no such jobs"),
            ("no option of sbatch's", "partitoin=cpu", "partition"),
        ):
            yield Case(what, 2, words, slurm.study(f"{SMALL} --slurm {options}"), study)


def full_disk() -> list[Row]:
    """A machine that does not see the study's folder, and has no room for what it trains; `resume` finishes the study here."""
    here = truth(SMALL)
    small = "mount -t tmpfs -o size=300k tmpfs /tmp; mkdir /tmp/ray; mount -t tmpfs tmpfs /tmp/ray"
    with RayNodes((False,), setups=(small,)) as cluster:
        case = Case("a full disk on one node", 74, "No space left", cluster.study(SMALL), cluster.home / "study")
        again = finished("resume study", cluster.home)
        different = differences(cluster.home / "study", here.files)
        if again.returncode or different:
            print(f"resumed: {again.returncode} {again.stderr} {different[:5]}", file=sys.stderr)
        return [row(case, not again.returncode and not different, "resumed to the same bytes")]
