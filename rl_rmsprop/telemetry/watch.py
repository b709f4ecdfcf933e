"""A detector that listens to any optimizer's gradients.

    gradients, before the update → signal x (rl_rmsprop/signals.py) → detector → alarm → callback

It is the first half of an `Adaptive` rule: what follows on an alarm is the callback's matter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rl_rmsprop import rules
from rl_rmsprop.detectors import Control
from rl_rmsprop.rules import Adaptive
from rl_rmsprop.signals import SIGNALS, Inputs


class Alarm(NamedTuple):
    """An alarm of a detector."""

    update: int
    """The optimizer's update at which it was raised, from 1."""
    detector: str
    """The text that the detector was made from."""
    statistic: float
    threshold: float


@dataclass
class Watch:
    """A detector, what it has seen, and who is told of its alarms."""

    text: str
    rule: Adaptive
    callback: Callable[[Alarm], Any] | None
    state: dict[str, Tensor]
    alarms: list[Alarm]
    previous: list[Tensor]
    """The gradients of the update before, for signals that need them."""
    statistic: float = math.nan
    """After the last observation."""

    @property
    def signal(self) -> str:
        """The name of what it listens to."""
        return str(self.rule.listens_to)

    @property
    def hears_surprise(self) -> bool:
        """Whether it must know what the optimizer expects."""
        return self.signal in ("surprise", "peak_surprise")

    def take(
        self,
        update: int,
        gradients: Sequence[Tensor],
        expected: Sequence[Tensor | None],
        reported: Mapping[str, Tensor],
        eps: float,
    ) -> None:
        """One update's gradients; calls the callback if the detector alarms. ValueError for a signal that nobody reports.

        `expected` is what the optimizer expects of each g²: None before it has seen one, when nothing can be a surprise.
        """

        def known() -> list[Tensor]:
            return [g.square() if E is None else E for E, g in zip(expected, gradients, strict=True)]

        signal = SIGNALS[self.signal]
        if signal.needs_previous and [g.shape for g in self.previous] != [g.shape for g in gradients]:
            self.previous = [torch.zeros_like(g) for g in gradients]
        x = signal.measure(Inputs(gradients, known, self.previous, reported, eps, False))
        if signal.needs_previous:
            self.previous = [g.clone() for g in gradients]
        output = self.rule.detector.update(self.state, x.double().cpu())
        self.state = output.state
        if not output.statistic.isnan():
            self.statistic = float(output.statistic)
        if bool(output.alarm):
            self.alarms.append(Alarm(update, self.text, self.statistic, self.rule.detector.threshold))
            if self.callback is not None:
                self.callback(self.alarms[-1])


def make_watch(text: str, callback: Callable[[Alarm], Any] | None, remembers: bool) -> Watch:
    """The watch that a detector's text stands for; `remembers` is whether the optimizer has an E. ValueError for what cannot be.

    >>> make_watch("cusum:arl=50000,signal=grad_norm", None, remembers=False).signal
    'grad_norm'
    """
    rule = rules.parse(text)
    if not isinstance(rule, Adaptive) or not rule.detector.listens or isinstance(rule.detector, Control):
        raise ValueError(f"watch must be the text of a detector, such as cusum:arl=50000,signal=grad_norm, got {text!r}")
    watch = Watch(text, rule, callback, rule.detector.init(torch.zeros((), dtype=torch.int64)), [], [])
    if watch.hears_surprise and not remembers:
        raise ValueError(
            f"{rule.listens_to} needs an optimizer that remembers squared gradients, and this one does not: "
            f"write {text}{',' if ':' in text else ':'}signal=grad_norm"
        )
    return watch
