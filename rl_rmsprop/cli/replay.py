"""`rl-rmsprop replay`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from rl_rmsprop.cli.output import console


@dataclass(frozen=True)
class Replay:
    """Run detectors and β rules over the signals that a study recorded (--record-signals), without training."""

    dir: Annotated[Path, Positional, arg(metavar="DIR")]
    """The study's folder."""
    twins: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: the updates before the first change)")] = None
    """The same study without --shift."""
    detectors: Annotated[tuple[str, ...], arg(metavar="NAME [NAME ...]", help_behavior_hint="(default: this package's)")] = ()
    """Detectors, such as cusum ewma adwin."""
    betas: Annotated[tuple[str, ...], arg(metavar="RULE [RULE ...]", help_behavior_hint="(default: one of each kind)")] = ()
    """β rules whose forecasts of g² are scored."""
    signal: str = "surprise"
    """What the detectors listen to: surprise, grad_norm or cosine, of all parameters or with _actor, _critic; peak_surprise;
    episode_return."""
    rate: float = 1.0
    """Alarms per 1000 updates on the twins that every detector is tuned to."""

    def __call__(self) -> int:
        from rl_rmsprop.study import replay
        from rl_rmsprop.study.spec.study import load_study

        if not 0 < self.rate < 1000:
            raise ValueError(f"rate must be between 0 and 1000 alarms per 1000 updates, got {self.rate}")
        twins = load_study(self.twins) if self.twins is not None else None
        replay.replay(load_study(self.dir), twins, self.detectors, self.betas, self.signal, self.rate, console())
        return 0
