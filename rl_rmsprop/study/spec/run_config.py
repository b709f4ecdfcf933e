"""What made a run, as data: for config.json, checkpoints, and TensorBoard's HParams tab."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from dataclasses import asdict, fields
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rl_rmsprop.study.spec import env_kwargs
from rl_rmsprop.study.spec.batch_spec import BatchSpec
from rl_rmsprop.version import __version__


def run_config(spec: BatchSpec, seed: int) -> dict[str, Any]:
    """Enough to make a run again."""
    arm = {"text": spec.arm.text, "name": spec.arm.name, "canonical": spec.arm.canonical, "control_of": spec.arm.control_of}
    return {
        "env": spec.env_id,
        **asdict(spec.options),
        "kernel": spec.options.used_kernel,
        "settings": asdict(spec.agent),
        "arm": {**arm, "trained_as": spec.trained_arm.text},
        "seed": seed,
        "updates": spec.updates,
        "versions": versions(),
        "commit": commit(),
        "processor": processor(),
    }


def processor() -> str:
    """The vector instructions that torch uses here, on which last bits depend, such as AVX2."""
    import torch

    return torch.backends.cpu.get_cpu_capability()


@lru_cache
def versions() -> dict[str, str]:
    """Versions of everything that can change a number."""
    others = {name: version(name) for name in ("torch", "numpy", "gymnasium")}
    return {"python": platform.python_version(), "rl-rmsprop": __version__, **others}


@lru_cache
def source_hash() -> str:
    """A hash of this package's source, which says whether two machines run the same."""
    digest, home = hashlib.sha256(), Path(__file__).parents[3]
    for package in ("rl_rmsprop", "agents", "envs"):
        for path in sorted((home / package).rglob("*")):
            if path.suffix in (".py", ".h", ".cpp"):
                digest.update(path.relative_to(home).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


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


ALWAYS_SHOWN, NEVER_SHOWN = ("agent", "shift", "eps", "lr_rule"), ("eval_episodes", "record_signals")
"""Options in the HParams tab whatever their value, and those that do not change a training."""


def hparams(spec: BatchSpec) -> dict[str, str | float]:
    """The columns of TensorBoard's HParams tab: settings, and options of the study where it departs from their defaults.

    The seed is left out so that an arm's runs are averaged. All runs of a study have the same columns.
    """
    options = {field.name: (getattr(spec.options, field.name), field.default) for field in fields(spec.options)}
    shown = [
        name
        for name, (value, default) in options.items()
        if name in ALWAYS_SHOWN or (value != default and name not in NEVER_SHOWN)
    ]
    values = asdict(spec.options) | {"env_kwargs": env_kwargs.of_environment(spec.options.env_kwargs, spec.env_id)}
    of_study = {name: hparam(values[name]) for name in shown}
    of_agent = {name: hparam(value) for name, value in asdict(spec.agent).items()}
    return {"arm": spec.arm.text, "env": spec.env_id, **of_study, **of_agent}


def hparam(value: Any) -> str | float:
    """A setting as the HParams tab takes it: a number, or a text.

    >>> hparam(0.5), hparam(("gravity=-5", "continuous=true")), hparam(()), hparam("trac")
    (0.5, 'gravity=-5 continuous=true', 'none', 'trac')
    """
    if isinstance(value, (int, float)):
        return value
    return (" ".join(map(str, value)) or "none") if isinstance(value, tuple) else str(value)


def hparams_group(spec: BatchSpec) -> str:
    """What the HParams tab averages over: the seeds of one arm in one environment of one study."""
    return f"{spec.folder.name}/{spec.env_id}/{spec.arm.name}"
