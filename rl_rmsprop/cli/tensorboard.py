"""`rl-rmsprop tensorboard`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rl_rmsprop.cli.fields import option


@dataclass(frozen=True)
class Tensorboard:
    """Start TensorBoard on a study, on this machine only."""

    EXAMPLES: ClassVar = (
        ("rl-rmsprop tensorboard runs/demo", "prints the address to open in a browser; Ctrl-C ends it"),
        ("rl-rmsprop tensorboard runs --port 6010", "all studies below runs/"),
    )

    dir: Path = option(metavar="DIR", positional=True)
    """The study's folder, or any folder above event files."""
    port: int = 6006
    """Port on 127.0.0.1; the next free one is taken if it is in use."""

    def __call__(self) -> int:
        from rl_rmsprop.cli.views import tensorboard

        return tensorboard.serve(self.dir, self.port)
