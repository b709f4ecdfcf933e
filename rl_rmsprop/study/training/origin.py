"""What a checkpoint must have in common with the batch that it is for."""

from __future__ import annotations

import json
from typing import Any

from rl_rmsprop.storage.atomic import Damaged
from rl_rmsprop.storage.json_tables import leaves
from rl_rmsprop.study.spec.batch_spec import BatchSpec
from rl_rmsprop.study.spec.run_config import run_config


def origin(spec: BatchSpec) -> dict[str, Any]:
    """Settings, versions and kind of processor of a batch.

    The commit of the source is not among it: that a file was edited does not void a checkpoint.
    """
    config = run_config(spec, spec.seeds[0])
    del config["commit"], config["seed"]
    settings = {**config, "seeds": spec.seeds}
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    return plain


def check_origin(spec: BatchSpec, saved: Any) -> None:
    """Damaged, naming what differs, unless a checkpoint of this origin continues the batch bit for bit."""
    was, now = leaves(saved if isinstance(saved, dict) else {}), leaves(origin(spec))
    for name in sorted(was.keys() | now.keys()):
        if was.get(name) != now.get(name):
            differs = f"{name} was {was.get(name)!r} and is {now.get(name)!r}"
            raise Damaged(f"the checkpoint is rejected, since a run would not continue exactly: {differs}")
