"""What any torch optimizer is doing: β, what it remembers of g², effective learning rates, the true size of its steps.

    optimizer.step()
      before    every k-th update: parameters are copied, ‖g‖ and the surprise are taken; watched detectors hear every update
      after     the same updates: memories and effective learning rates (memories.py), and how far the parameters have moved
    telemetry.log(writer, step)      what was measured since the last call, if anything

The size of a step is that of the change which parameters have really made, whatever made it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from rl_rmsprop.kernels.equations import as_real
from rl_rmsprop.optimizer.adaptive_rmsprop import AdaptiveRMSprop
from rl_rmsprop.optimizer.stats import SAMPLE, quantile
from rl_rmsprop.signals import floor as floor_of
from rl_rmsprop.signals import log_mean
from rl_rmsprop.telemetry.gradient_norm import NormBeforeClipping
from rl_rmsprop.telemetry.memories import Memory, Reader, joined
from rl_rmsprop.telemetry.tags import DETECTOR_TAGS, OPTIMIZER_TAGS
from rl_rmsprop.telemetry.watch import Alarm, Watch, make_watch
from rl_rmsprop.telemetry.writers import Write, writing

MEASURED = (*(tag for tag in OPTIMIZER_TAGS if tag != "optim/skipped"), "optim/update_ratio")
"""The tags of what is measured, in order: those of a run's own curves, and the size of an update beside that of the weights."""


class OptimizerTelemetry:
    """Measures an optimizer while it trains; nothing in the training loop changes but a line that logs.

    Args:
        optimizer: any optimizer of torch's. β, E, effective learning rates and the surprise are known of `AdaptiveRMSprop`, of
            torch's RMSprop, Adagrad, Adam, AdamW, NAdam, RAdam and Adamax, of Stable-Baselines3's RMSpropTFLike, and of classes
            made from them; of SGD the learning rate. Of any other, and of one with `runs`, which has curves of its own, steps and
            gradients are known, and the rest is NaN.
        every: updates between two measurements, ≥ 1; the first update is one.

    Tags, each a number over all parameters, NaN where the optimizer has no such thing:

    - `optim/beta`, `beta_min`, `beta_max`: α or β₂, mean, smallest and largest over parameter groups; `optim/window` 1/(1 − β).
    - `optim/E_q05`, `q50`, `q95`: quantiles of what the square root is taken of, without its bias (memories.py), from at most 256
      evenly spaced entries of each parameter; `optim/share_below_eps`, the share of them below which ε decides.
    - `optim/effective_lr_q05`, `q50`, `q95`: of what multiplies the gradient, or its running mean.
    - `optim/update_rms`: root mean square of the change that the parameters have made in this update, weight decay and momentum
      included; `optim/update_ratio`, the change's norm over that of the parameters before it.
    - `optim/grad_norm`: ‖g‖ before clipping.
    - `optim/surprise`: ln mean(g²/(Ê + ε²)) with Ê before the update; about 0 when E is right.

    Raises:
        ValueError: for `every` below 1.

    >>> model = torch.nn.Linear(3, 1)
    >>> optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    >>> telemetry = OptimizerTelemetry(optimizer, every=10)
    >>> for step in range(20):
    ...     model(torch.ones(3)).square().sum().backward()
    ...     optimizer.step()
    ...     optimizer.zero_grad()
    >>> telemetry.log(print, step=20) is None
    20 {...}
    True
    """

    def __init__(self, optimizer: Optimizer, every: int = 100) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1 update, got {every}")
        self.optimizer, self.every = optimizer, every
        self.updates = 0
        """Calls of `step` that were seen."""
        self.measured = 0
        """Which of them was measured last; 0 before the first."""
        self.watches: list[Watch] = []
        self._own = optimizer if isinstance(optimizer, AdaptiveRMSprop) and optimizer.runs is None else None
        self._reader = Reader(Optimizer if isinstance(optimizer, AdaptiveRMSprop) else type(optimizer))
        self._norm = NormBeforeClipping(always=isinstance(optimizer, AdaptiveRMSprop) and "grad_norm" in optimizer.listens_to)
        self._reported: dict[str, Tensor] = {}
        self._values: dict[str, float] = {}
        self._logged: dict[Any, int] = {}  # the update whose values a writer has
        self._writers: dict[Any, tuple[Any, Write]] = {}
        self._before: Tensor | None = None  # all parameters before an update that is measured, flat
        self._measured_before = False  # whether an AdaptiveRMSprop of ours was told to measure its surprise already
        self._handles = [optimizer.register_step_pre_hook(self._begin), optimizer.register_step_post_hook(self._end)]
        self._norm.attend(self._params())

    def close(self) -> None:
        """Leave the optimizer alone."""
        self._norm.stop()
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def values(self) -> dict[str, float]:
        """The last measurement by tag, and the detectors' numbers; empty before the first update."""
        return {**self._values, **self._of_detectors()} if self._values else {}

    def log(self, writer: Any, step: int) -> None:
        """Write what has been measured since the last call with this writer; nothing if nothing has.

        Args:
            writer: torch's `SummaryWriter`, the path of a CSV file, a run of Weights & Biases, a sink, or a function of step and
                values.
            step: where it belongs on the axis, such as environment steps.

        Raises:
            TypeError: for a writer that takes no scalars.
            ValueError: for a CSV file that has other columns.

        """
        key = os.fspath(writer) if isinstance(writer, str | os.PathLike) else id(writer)
        if key not in self._writers:
            self._writers[key] = writer, writing(writer)  # held, so that its id remains its own
        if self._logged.get(key) == self.measured or not self._values:
            return
        self._writers[key][1](step, self.values())
        self._logged[key] = self.measured

    def watch(self, detector: str, callback: Callable[[Alarm], Any] | None = None) -> Watch:
        """Let a detector listen to every update's gradients.

        Args:
            detector: its text, such as `"cusum:arl=50000"` or `"cusum:arl=50000,signal=grad_norm"`; keys of schedules and
                reactions have no effect here. Signals that only the loop knows come through `observe`.
            callback: called with every `Alarm`, before the optimizer's update.

        Returns:
            The watch, whose `alarms` are those so far.

        Raises:
            ValueError: for a text that is no detector's, or a surprise of an optimizer that remembers no squared gradients.

        """
        self.watches.append(make_watch(detector, callback, self._own is not None or self._reader.remembers))
        self._norm.always = self._norm.always or self.watches[-1].signal == "grad_norm"
        self._norm.attend(self._params())
        return self.watches[-1]

    def observe(self, **reports: Tensor | float) -> None:
        """Report to the next update what only the training loop knows, for detectors and for an AdaptiveRMSprop.

        The names are those of `AdaptiveRMSprop.observe`; NaN is no observation.
        """
        self._reported |= {name: torch.as_tensor(value, dtype=torch.float64) for name, value in reports.items()}
        if isinstance(self.optimizer, AdaptiveRMSprop):
            self.optimizer.observe(**reports)

    # Between two updates --------------------------------------------------------------------------------------------------

    @property
    def _measures(self) -> bool:
        """Whether the next update is measured."""
        return self.updates % self.every == 0

    def _params(self) -> list[Tensor]:
        return [p for group in self.optimizer.param_groups for p in group["params"] if p.requires_grad]

    def _begin(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Before an update, or where `step` has a closure, that makes the gradients, between the closure and the update."""
        if not (self._measures or self.watches or self._norm.always):  # nearly always
            self.updates += 1
            return None
        named = "closure" in kwargs
        closure = kwargs["closure"] if named else next(iter(args[1:]), None)
        if closure is None:
            return self._before_update(optimizer)
        update = self.updates

        def listened() -> Any:
            loss = closure()
            if self.updates == update:  # whoever evaluates it several times in a step is measured once
                self._before_update(optimizer)
            return loss

        return (args, {**kwargs, "closure": listened}) if named else ((args[0], listened, *args[2:]), kwargs)

    @torch.no_grad()
    def _before_update(self, optimizer: Optimizer) -> None:
        """When the gradients are there and have not been used."""
        measures = self._measures
        self.updates += 1
        if (norm := self._norm.take()) is not None:
            self._reported.setdefault("grad_norm", norm.double().cpu())
            if isinstance(optimizer, AdaptiveRMSprop) and "grad_norm" in optimizer.listens_to:
                optimizer.observe(grad_norm=norm)
        if measures or self.watches:
            self._listen(measures)
        if measures:
            self._before = joined(self._params())
            if self._own is not None:  # which measures its surprise better than anybody else
                self._own.measure_surprise, self._measured_before = True, self._own.measure_surprise

    def _listen(self, measures: bool) -> None:
        """What is heard of an update's gradients before they are used."""
        params = [p for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]
        gradients = [as_real(p.grad) for p in params]
        eps = max((float(group.get("eps", 0.0)) for group in self.optimizer.param_groups), default=0.0)
        wanted = (measures and self._own is None) or any(watch.hears_surprise for watch in self.watches)
        known = self._expected() if wanted else None
        for watch in self.watches if gradients else ():
            watch.take(self.updates, gradients, split(known, gradients), self._reported, eps)
        if measures:
            norm = self._reported.get("grad_norm")
            flat = joined(gradients)
            self._values = dict.fromkeys(MEASURED, math.nan)
            self._values["optim/grad_norm"] = float(torch.linalg.vector_norm(flat, dtype=torch.float64) if norm is None else norm)
            if known is not None and len(known) == len(flat):
                self._values["optim/surprise"] = float(log_mean([flat.square() / (known + floor_of(eps))], False))

    def _expected(self) -> Tensor | None:
        """What the optimizer expects of each entry's g², of all parameters that have a gradient; None before there is any."""
        parts: list[Tensor | None] = []
        for group in self.optimizer.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if isinstance(self.optimizer, AdaptiveRMSprop):
                parts += [None if self._own is None else self._own.mean_square(p) for p in params]
            elif params:
                memories = self._reader.memories(group, params, self.optimizer.state)
                parts += [memory.mean_square for memory in memories] or [None]
        known = [part for part in parts if part is not None]
        return joined(known) if known and len(known) == len(parts) else None

    def _end(self, optimizer: Optimizer, *_: Any) -> None:
        """After an update."""
        if self._reported:
            self._reported = {}
        if self._before is not None or self._norm.always or self._measures:
            self._after_update()

    @torch.no_grad()
    def _after_update(self) -> None:
        """When an update was measured, or the next one is heard."""
        if self._before is not None:
            self.measured = self.updates
            self._values |= self._moved(self._before)
            if self._own is None:
                self._values |= self._of_memories()
            else:
                self._values |= self._of_adaptive(self._own)
                self._own.measure_surprise = self._measured_before
            self._before = None
        if self._norm.always or self._measures:
            self._norm.attend(self._params())

    # What is measured -----------------------------------------------------------------------------------------------------

    def _moved(self, before: Tensor) -> dict[str, float]:
        """How far the parameters have moved."""
        if not len(before):
            return {}
        moved = joined(self._params()) - before
        change, size = (float(torch.linalg.vector_norm(x, dtype=torch.float64)) for x in (moved, before))
        return {"optim/update_rms": change / math.sqrt(len(before)), "optim/update_ratio": change / size if size else math.nan}

    def _of_memories(self) -> dict[str, float]:
        """β, E and effective learning rates of an optimizer of torch's."""
        found: list[Memory] = []
        for group in self.optimizer.param_groups:
            found += self._reader.memories(group, group["params"], self.optimizer.state, SAMPLE)
        values = of_betas([memory.beta for memory in found if memory.beta is not None])
        remembered = [(memory.E, memory.eps_in_E) for memory in found if memory.E is not None]
        values |= quantiles("E", [E for E, _ in remembered])
        values |= quantiles("effective_lr", [memory.effective_lr for memory in found])
        if remembered:
            values["optim/share_below_eps"] = float(joined([eps > E for E, eps in remembered]).double().mean())
        return values

    def _of_adaptive(self, optimizer: AdaptiveRMSprop) -> dict[str, float]:
        """The same of an AdaptiveRMSprop, which knows it."""
        stats = optimizer.stats(update_rms=False)  # which is measured here
        known = ("optim/E_", "optim/effective_lr_", "optim/share_below_eps", "optim/surprise")
        names = [tag.removeprefix("optim/") for tag in MEASURED if tag.startswith(known)]
        betas = [float(torch.as_tensor(group["alpha"]).double().mean()) for group in optimizer.param_groups]
        detector = {tag: stats[tag.removeprefix("detector/")] for tag in DETECTOR_TAGS}
        return {**of_betas(betas), **{f"optim/{name}": stats[name] for name in names}, **detector}

    def _of_detectors(self) -> dict[str, float]:
        """Statistic, threshold and alarms so far of what is watched."""
        values: dict[str, float] = {}
        for watch in self.watches:
            name = watch.text.replace("/", "_")
            values |= {
                f"detector/{name}/statistic": watch.statistic,
                f"detector/{name}/threshold": watch.rule.detector.threshold,
                f"detector/{name}/alarms": float(len(watch.alarms)),
            }
        return values

    # Checkpoints ------------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """What a training that is continued needs: updates, and the state of each watch."""
        watches = [{"text": w.text, "state": w.state, "alarms": list(w.alarms), "previous": w.previous} for w in self.watches]
        return {"updates": self.updates, "watches": watches}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`, with the same detectors watched; ValueError if they are others."""
        texts = [saved["text"] for saved in state["watches"]]
        if texts != [watch.text for watch in self.watches]:
            raise ValueError(f"watches must be those that were saved, {texts}: watch them first, in this order")
        self.updates = state["updates"]
        for watch, saved in zip(self.watches, state["watches"], strict=True):
            watch.state = dict(saved["state"])
            watch.alarms = [Alarm(*alarm) for alarm in saved["alarms"]]
            watch.previous = list(saved["previous"])


def split(known: Tensor | None, gradients: Sequence[Tensor]) -> list[Tensor | None]:
    """What is expected of each gradient's entries, in its shape; None where nothing is."""
    if known is None or len(known) != sum(g.numel() for g in gradients):
        return [None] * len(gradients)
    parts = known.split([g.numel() for g in gradients])
    return [part.reshape(g.shape).to(g.device) for part, g in zip(parts, gradients, strict=True)]


def of_betas(betas: Sequence[float]) -> dict[str, float]:
    """β over parameters, and its window."""
    if not betas:
        return {}
    mean = betas[0] if min(betas) == max(betas) else sum(betas) / len(betas)
    window = 1 / (1 - mean) if mean < 1 else math.inf
    return {"optim/beta": mean, "optim/beta_min": min(betas), "optim/beta_max": max(betas), "optim/window": window}


def quantiles(name: str, entries: Sequence[Tensor]) -> dict[str, float]:
    """The 5, 50 and 95 % quantiles of all entries."""
    if not entries:
        return {}
    ordered = np.sort(joined(entries).float().cpu().numpy())[None]
    return {f"optim/{name}_q{q:02d}": float(quantile(ordered, q / 100)) for q in (5, 50, 95)}
