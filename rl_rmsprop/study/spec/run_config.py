"""What made a run, as data: for config.json, checkpoints, and TensorBoard's HParams tab."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import asdict
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rl_rmsprop.study.spec.batch_spec import BatchSpec


def run_config(spec: BatchSpec, seed: int) -> dict[str, Any]:
    """Enough to make a run again."""
    arm = {"text": spec.arm.text, "name": spec.arm.name, "canonical": spec.arm.canonical, "control_of": spec.arm.control_of}
    return {
        "env": spec.env_id,
        **asdict(spec.options),
        "kernel": spec.options.kernel if spec.options.device == "cpu" else "torch",
        "settings": asdict(spec.agent),
        "arm": {**arm, "trained_as": spec.trained_arm.text},
        "seed": seed,
        "updates": spec.updates,
        "versions": versions(),
        "commit": commit(),
    }


@lru_cache
def versions() -> dict[str, str]:
    """Versions of everything that can change a number."""
    names = ("rl-rmsprop", "torch", "numpy", "gymnasium")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


@lru_cache
def commit() -> str | None:
    """The git commit of this package's source, with `+` if files differ from it; None outside a repository."""
    folder = Path(__file__).parent
    try:
        process = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"],
            cwd=folder, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return process.stdout.strip()


def hparams(spec: BatchSpec) -> dict[str, str | float]:
    """The columns of TensorBoard's HParams tab; the seed is left out so that an arm's runs are averaged."""
    settings = {k: v if isinstance(v, (int, float)) else str(v) for k, v in asdict(spec.agent).items()}
    options, shift = spec.options, " ".join(spec.options.shift) or "none"
    of_study: dict[str, str | float] = {"shift": shift, "agent": options.agent, "eps": options.eps, "lr_rule": options.lr_rule}
    return {"arm": spec.arm.text, "env": spec.env_id, **of_study, **settings}


def hparams_group(spec: BatchSpec) -> str:
    """What the HParams tab averages over: the seeds of one arm in one environment of one study."""
    return f"{spec.folder.name}/{spec.env_id}/{spec.arm.name}"
