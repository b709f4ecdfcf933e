"""`rl-rmsprop replay`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rl_rmsprop.cli.fields import option
from rl_rmsprop.cli.output import console
from rl_rmsprop.study.spec.names import check_holds_study


@dataclass(frozen=True)
class Replay:
    """Run detectors and β rules over the signals that a study recorded (--record-signals), without training."""

    EXAMPLES: ClassVar = (
        ("rl-rmsprop replay runs/flip", "this package's detectors and rules over the recorded signals of a study"),
        (
            "rl-rmsprop replay runs/flip --detectors cusum adwin --signal grad_norm",
            "two detectors, on the gradient's length",
        ),
    )

    dir: Path = option(metavar="DIR", positional=True)
    """The study's folder."""
    twins: Path | None = option(None, metavar="DIR", note="default: the updates before the first change")
    """The same study without --shift."""
    detectors: tuple[str, ...] = option((), metavar="NAME", note="default: this package's", commas_inside=True)
    """Detectors, such as cusum ewma adwin."""
    betas: tuple[str, ...] = option((), metavar="RULE", note="default: one of each kind", commas_inside=True)
    """β rules whose forecasts of g² are scored."""
    signal: str = "surprise"
    """What the detectors listen to: surprise, grad_norm or cosine, of all parameters or with _actor, _critic; peak_surprise;
    episode_return."""
    rate: float = 1.0
    """Alarms per 1000 updates on the twins that every detector is tuned to."""

    def __call__(self) -> int:
        if not 0 < self.rate < 1000:
            raise ValueError(f"rate must be between 0 and 1000 alarms per 1000 updates, got {self.rate}")
        for folder in (self.dir, *([self.twins] if self.twins is not None else [])):
            check_holds_study(folder)
        from rl_rmsprop.study import replay
        from rl_rmsprop.study.spec.study import load_study

        twins = load_study(self.twins) if self.twins is not None else None
        replay.replay(load_study(self.dir), twins, self.detectors, self.betas, self.signal, self.rate, console())
        return 0
