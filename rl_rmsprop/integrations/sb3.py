"""Stable-Baselines3: curves of the optimizers that a model has, in the model's own logger.

    model.learn ── rollout, infos ──▸ OptimizerCallback ── episode_return, shifted ──▸ optimizer.step
                                             ▲──────────── telemetry of its updates ──────┘
                                             └── logger.record ──▸ TensorBoard, CSV, W&B: wherever the model logs

Each optimizer has an `Ear`, which hears what happens in the environment between two of its updates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback
from torch.optim import Optimizer

from rl_rmsprop.optimizer.adaptive_rmsprop import AdaptiveRMSprop
from rl_rmsprop.telemetry.optimizer_telemetry import OptimizerTelemetry
from rl_rmsprop.telemetry.watch import Alarm


class OptimizerCallback(BaseCallback):
    """Logs what a model's optimizers do, and tells them what only the environment knows.

    The optimizers are those that the model saves: `policy.optimizer` of A2C, PPO and DQN, those of actor, critic and entropy
    coefficient of SAC and TD3. The tags are those of `OptimizerTelemetry`; where there are several optimizers they begin with the
    name of each, `critic/optim/E_q50`. They go to the model's logger with its own values, at its own `log_interval`, the latest
    measurement each time.

    An `AdaptiveRMSprop` and watched detectors that listen to `episode_return`, `grad_norm` or `shifted` are told: mean return of
    the episodes that have ended since the last update (by the wrapper `Monitor`, which SB3 adds), the norm before clipping,
    and whether the environment has changed (`info["shift/changed"]`, as the shifted environments of `envs` report it).

    Args:
        every: updates between two measurements; the surprise, quantiles and the size of steps cost about a millisecond.
        watch: detectors for each optimizer, such as `["cusum:arl=50000,signal=grad_norm"]`.
        on_alarm: called with the name of the optimizer and the alarm; `self.num_timesteps` says when.
        verbose: as SB3's.

    Attributes:
        telemetries: the `OptimizerTelemetry` of each optimizer by its name, from the beginning of `learn` on.

    Raises:
        ValueError: from `learn`, for a detector's text that cannot be watched, and for an `every` below 1.

    """

    def __init__(
        self, every: int = 100, watch: Sequence[str] = (), on_alarm: Callable[[str, Alarm], Any] | None = None, verbose: int = 0
    ) -> None:
        super().__init__(verbose)
        self.telemetries: dict[str, OptimizerTelemetry] = {}
        self._every, self._watch, self._on_alarm = every, tuple(watch), on_alarm
        self._ears: list[Ear] = []
        self._listening: list[Ear] = []  # those that want to hear of the environment

    def _on_training_start(self) -> None:
        self._close()
        optimizers = optimizers_of(self.model)
        for name, optimizer in optimizers.items():
            ear = Ear(optimizer, self._every)
            for text in self._watch:
                ear.telemetry.watch(text, None if self._on_alarm is None else partial(self._on_alarm, name))
            prefix = f"{name}/" if len(optimizers) > 1 else ""
            ear.write = partial(record, self.logger, prefix)
            ear.attend()
            self._ears.append(ear)
            self.telemetries[name] = ear.telemetry
        self._listening = [ear for ear in self._ears if ear.heard]

    def _on_step(self) -> bool:
        if self._listening:
            for info in self.locals["infos"]:
                for ear in self._listening:
                    ear.hear(info)
        return True

    def _on_rollout_end(self) -> None:
        for ear in self._ears:
            if ear.telemetry.measured != ear.logged:
                ear.telemetry.log(ear.write, self.num_timesteps)
                ear.logged = ear.telemetry.measured

    def _on_training_end(self) -> None:
        self._on_rollout_end()
        self._close()

    def _close(self) -> None:
        for ear in self._ears:
            ear.close()
        self._ears = []


class Ear:
    """What happens in the environment between two updates of one optimizer, told to it before the second."""

    write: Callable[[int, Mapping[str, float]], None]
    """Where its telemetry goes."""

    def __init__(self, optimizer: Optimizer, every: int) -> None:
        self.heard: set[str] = set()
        """What is heard of the environment, of what the optimizer's rule and the watched detectors listen to."""
        self._handle = optimizer.register_step_pre_hook(self._tell)  # called before the telemetry's own
        self.telemetry = OptimizerTelemetry(optimizer, every)
        self.logged = 0
        """The measurement that the model's logger has."""
        self._returns: list[float] = []
        self._shifted = False

    def attend(self) -> None:
        """Find out what is to be heard, when everything is watched that is to be."""
        optimizer = self.telemetry.optimizer
        own = optimizer.listens_to if isinstance(optimizer, AdaptiveRMSprop) else frozenset()
        self.heard = ({watch.signal for watch in self.telemetry.watches} | own) & {"episode_return", "shifted"}
        if not self.heard:
            self._handle.remove()

    def hear(self, info: Mapping[str, Any]) -> None:
        """The info of a step."""
        if "episode" in info:
            self._returns.append(float(info["episode"]["r"]))
        self._shifted = self._shifted or bool(info.get("shift/changed", False))

    def close(self) -> None:
        """Leave the optimizer alone."""
        self._handle.remove()
        self.telemetry.close()

    def _tell(self, *_: Any) -> None:
        if "episode_return" in self.heard:
            self.telemetry.observe(episode_return=sum(self._returns) / len(self._returns) if self._returns else math.nan)
        if "shifted" in self.heard:
            self.telemetry.observe(shifted=float(self._shifted))
        self._returns, self._shifted = [], False


def record(logger: Any, prefix: str, step: int, values: Mapping[str, float]) -> None:
    """Into SB3's logger, which knows the step by itself; NaN is not written."""
    for tag, value in values.items():
        if not math.isnan(value):
            logger.record(prefix + tag, value)


def optimizers_of(model: Any) -> dict[str, Optimizer]:
    """The optimizers that a model has, by name: those that SB3 saves, and `policy`'s.

    >>> from stable_baselines3 import A2C, SAC
    >>> list(optimizers_of(A2C("MlpPolicy", "CartPole-v1"))), list(optimizers_of(SAC("MlpPolicy", "Pendulum-v1")))
    (['policy'], ['actor', 'critic', 'ent_coef'])
    """
    names, _ = model._get_torch_save_params()
    found: dict[str, Optimizer] = {}
    for path in (*names, "policy.optimizer"):
        thing = model
        for part in path.split("."):
            thing = getattr(thing, part, None)
        if isinstance(thing, Optimizer) and not any(thing is other for other in found.values()):
            found[path.removesuffix("optimizer").rstrip("._") or "model"] = thing
    return found
