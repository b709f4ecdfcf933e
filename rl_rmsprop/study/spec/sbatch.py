"""Options of Slurm's sbatch that a study's jobs have, as texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

USUAL: Mapping[str, str] = {"time": "60", "array": "16", "signal": "90"}
"""Options of sbatch that a study has unless it says otherwise: minutes, jobs at a time, seconds between warning and end."""
OURS = (
    "nodes",
    "ntasks",
    "ntasks-per-node",
    "cpus-per-task",
    "job-name",
    "output",
    "error",
    "open-mode",
    "requeue",
    "wrap",
    "chdir",
)
"""Options that are not to be given: a batch is one process with one core, and its files are the study's."""


def parsed(options: Sequence[str]) -> dict[str, str]:
    """Options of sbatch by their names; ValueError for one that is not KEY=VALUE, or not to be given.

    >>> parsed(["partition=cpu", "time=2:00:00"])
    {'partition': 'cpu', 'time': '2:00:00'}
    >>> parsed(["partition=cpu", "big", "array=8"])
    {'partition': 'cpu,big', 'array': '8'}
    """
    found: dict[str, str] = {}
    for text in joined(options):
        key, equals, value = text.partition("=")
        key = key.strip().lstrip("-").replace("_", "-")
        if not (key and equals and value.strip()):
            raise ValueError(f"slurm must be KEY=VALUE, options of sbatch such as partition=cpu or time=2:00:00, got {text!r}")
        if key in OURS:
            raise ValueError(f"slurm must not have {key}, got {text}: a batch is one process with one core, and says itself")
        if key in found:
            raise ValueError(f"slurm must have {key} once, got {found[key]} and {value.strip()}")
        found[key] = value.strip()
    for key in ("array", "signal"):
        if key in found and not (found[key].isdecimal() and int(found[key]) > 0):
            meaning = "jobs at a time" if key == "array" else "seconds between Slurm's warning and its end"
            raise ValueError(f"slurm {key} must be a number of {meaning}, got {found[key]!r}")
    return found


def joined(pieces: Sequence[str]) -> list[str]:
    """Options whose values have commas, at which they were cut."""
    texts: list[str] = []
    for piece in pieces:
        if texts and "=" not in piece:
            texts[-1] += f",{piece}"
        else:
            texts.append(piece)
    return texts
