"""The folder of a study: the name that a user gave, or one made from the settings."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from agents.kernels import default_kernel
from rl_rmsprop.storage.atomic import env_folder
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.options import TrainingOptions

LONGEST_NAME = 255
"""Bytes of a file's name, on every disk in use."""


def own_folder(out: Path) -> Path:
    """The folder that a user named; ValueError for a name that no folder should have. A ~ is the user's home.

    >>> own_folder(Path("runs/a b"))
    PosixPath('runs/a b')
    """
    try:
        folder = out.expanduser()
    except RuntimeError as error:
        raise ValueError(f"out must be a folder, got {str(out)!r}: {error}") from None
    if not str(folder).isprintable():
        raise ValueError(f"out must be a name without control characters, got {str(out)!r}")
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in folder.parts):
        raise ValueError(f"names of folders must have at most {LONGEST_NAME} bytes, got {str(out)!r}: choose another --out")
    return folder


def default_folder(
    env_ids: Sequence[str], arms: Sequence[Arm], seeds: Sequence[int], options: TrainingOptions, chosen_by: Sequence[str] = ()
) -> Path:
    """A folder name made from the settings: `runs/cartpole-v1_a2c_0.99_500000x10`.

    Before the numbers stands how environments are made, what shifts, how the arms' settings were chosen (`chosen_by`), and
    another backend, device, kernel or step-size rule.
    """
    arm = arms[0].name if len(arms) == 1 else f"{len(arms)}arms"
    made_with = [re.sub(r"[^\w.@-]+", "-", text) for text in (*options.env_kwargs, *options.wrapper)]
    shifting = [shift.parameter for shift in options.shifts]
    lr_rule = options.lr_rule.partition(":")[0]
    usual = ("gymnasium", "cpu", default_kernel(), "none")
    chosen = (options.backend, options.device, options.kernel, lr_rule)
    unusual = [value for value, of_all in zip(chosen, usual, strict=True) if value != of_all]
    environments = env_folder("-".join(env_ids).lower())
    size = f"{options.steps}x{len(seeds)}"
    name = "_".join([environments, options.agent, arm, *made_with, *shifting, *chosen_by, *unusual, size])
    if len(name.encode("utf-8", "replace")) > LONGEST_NAME:
        raise ValueError(f"a folder named after all settings would be longer than {LONGEST_NAME} bytes: choose one with --out")
    return Path("runs") / name
