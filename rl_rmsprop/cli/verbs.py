"""All verbs, in the order in which they are listed. To import them needs the packages `agents` and `envs`."""

from __future__ import annotations

from typing import Any

from rl_rmsprop.cli.compare import Compare
from rl_rmsprop.cli.completion import Completion
from rl_rmsprop.cli.doctor import Doctor
from rl_rmsprop.cli.envs import Envs
from rl_rmsprop.cli.evaluate import Evaluate
from rl_rmsprop.cli.plan import Plan
from rl_rmsprop.cli.presets import Presets
from rl_rmsprop.cli.replay import Replay
from rl_rmsprop.cli.report import Report
from rl_rmsprop.cli.resume import Resume
from rl_rmsprop.cli.rules import Rules
from rl_rmsprop.cli.study import Study
from rl_rmsprop.cli.tensorboard import Tensorboard
from rl_rmsprop.cli.train import Train
from rl_rmsprop.cli.walkthrough import Walkthrough

VERBS: dict[str, type[Any]] = {
    "train": Train,
    "compare": Compare,
    "resume": Resume,
    "plan": Plan,
    "report": Report,
    "evaluate": Evaluate,
    "tensorboard": Tensorboard,
    "walkthrough": Walkthrough,
    "rules": Rules,
    "presets": Presets,
    "envs": Envs,
    "replay": Replay,
    "study": Study,
    "doctor": Doctor,
    "completion": Completion,
}
Completion.VERBS = VERBS
