"""Records every update's signals of R runs: what a detector could have listened to, and what a rule had to predict.

    before each step of the optimizer: gradients, E → surprise, ln ‖g‖², cosine, a sample of g²
    after it: β, alarm
    after the iteration's last one: gradient before clipping, return of the episodes that ended, what truly changed
    at the end: signals.npz in every run's folder, a row an optimizer update

What belongs to the rollout rather than to an update stands in the row of the iteration's first update: the episodes' return and
whether the environment has changed. An iteration of PPO has many rows, with the same step.

`replay` (see rl_rmsprop/study/replay.py) runs detectors and rules over these files without training again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.networks import ActorCritic
from agents.training import Update, onsets_of
from envs import EnvBatch
from rl_rmsprop import signals
from rl_rmsprop.kernels import equations
from rl_rmsprop.optimizer.adaptive_rmsprop import AdaptiveRMSprop
from rl_rmsprop.storage import atomic
from rl_rmsprop.storage.snapshot import Snapshottable
from rl_rmsprop.study.spec.run_files import SIGNALS

SAMPLE = 32
"""Parameters of each network whose g² is recorded, evenly spaced."""
NETWORKS = ("actor", "critic")
PARTS = {"": NETWORKS, **{f"_{name}": (name,) for name in NETWORKS}}
"""Ending of a signal's name → the networks it is computed over."""
SERIES = (*(f"{signal}{part}" for signal in ("surprise", "grad_norm", "cosine") for part in PARTS), "peak_surprise")
"""Signals recorded, of all parameters and of each network: surprise (NaN for baselines), ln ‖g‖² before clipping, cosine."""
ARRAYS: dict[str, type] = {
    **dict.fromkeys((*SERIES, "beta", "episode_return"), np.float32),
    **{"alarm": np.bool_, "shifted": np.bool_, "regime": np.int32, "step": np.int64},
}
"""Name of an array in signals.npz, a number an update and run, → its type; `squares` has SAMPLE numbers of each network."""


class NoLog(Snapshottable):
    """Records nothing."""

    def take(self, update: Update) -> None:
        """One update."""

    def save(self, folders: Mapping[int, Path]) -> None:
        """The end of the training."""


class SignalLog(Snapshottable):
    """Records the signals of R runs in memory until `save`: about 400 bytes a run and update."""

    STATE_ATTRIBUTES = ("_previous", "_updates", "_alarms", "_onsets")

    def __init__(self, optimizer: torch.optim.Optimizer, policy: ActorCritic, env: EnvBatch, updates: int) -> None:
        self._optimizer, self._env = optimizer, env
        self._thetas = dict(policy.named_parameters())  # [R, P] each
        runs = env.runs
        self._rows: dict[str, NDArray] = {
            name: np.full((updates, runs), np.nan if kind is np.float32 else 0, kind) for name, kind in ARRAYS.items()
        }
        self._squares = np.zeros((updates, runs, len(NETWORKS) * SAMPLE), np.float32)
        self._previous: dict[str, Tensor] = {}
        self._clipped: dict[str, list[Tensor]] = {part: [] for part in PARTS}  # ‖g‖² [R] of this iteration's updates
        self._updates = 0  # optimizer updates
        self._alarms, self._onsets = np.zeros(runs), np.zeros(runs, np.int64)
        optimizer.register_step_pre_hook(self._before_step)
        optimizer.register_step_post_hook(self._after_step)

    @torch.no_grad()
    def _before_step(self, *_: Any) -> None:
        """Called before each step: signals of the gradient before E takes it."""
        grads = {name: theta.grad for name, theta in self._thetas.items() if theta.grad is not None}
        squares = {name: g.square() for name, g in grads.items()}
        means = {name: self._expected(name) for name in grads}
        eps = self._optimizer.param_groups[0].get("eps", 0.0)
        rows, t = self._rows, self._updates
        for part, names in PARTS.items():
            g2, E = [squares[name] for name in names], [mean for name in names if (mean := means[name]) is not None]
            if E:
                rows[f"surprise{part}"][t] = signals.surprise(g2, E, eps, runs=True).cpu().numpy()
            if E and names == NETWORKS:
                rows["peak_surprise"][t] = signals.peak_surprise(g2, E, eps, runs=True).cpu().numpy()
            if self._previous:
                now, last = ([table[name] for name in names] for table in (grads, self._previous))
                rows[f"cosine{part}"][t] = signals.cosine(now, last, runs=True).cpu().numpy()
            self._clipped[part].append(signals.squared_norm(g2, runs=True))  # `take` knows by how much it was clipped
        # The gradient of a run that is left out of an update is zero.
        self._previous = {
            name: torch.where(g.any(1, keepdim=True), g, self._previous[name]) if self._previous else g.clone()
            for name, g in grads.items()
        }
        self._squares[t] = torch.cat([sample(squares[name]) for name in NETWORKS], 1).cpu().numpy()

    def _after_step(self, *_: Any) -> None:
        """Called after each step: β and alarms."""
        group: dict[str, Any] = self._optimizer.param_groups[0]
        self._rows["beta"][self._updates] = torch.as_tensor(group.get("alpha", np.nan)).cpu()
        alarms = group["rule_state"]["alarms"].cpu().numpy() if "alarms" in group.get("rule_state", {}) else self._alarms
        self._rows["alarm"][self._updates], self._alarms = alarms > self._alarms, alarms.copy()
        self._updates += 1

    def _expected(self, name: str) -> Tensor | None:
        """Ê of a network before this update [R, P]; None before the first update and of other optimizers."""
        theta = self._thetas[name]
        if not isinstance(self._optimizer, AdaptiveRMSprop) or not self._optimizer.state.get(theta):
            return None
        group = self._optimizer.param_groups[0]
        return equations.mean_square(equations.slot(theta, self._optimizer.state[theta], group), group)

    def take(self, update: Update) -> None:
        """One iteration of the training: the rest of its rows."""
        rows, first = self._rows, update.updates - len(update.grad_norms)
        norms = {part: torch.stack(clipped) for part, clipped in self._clipped.items()}  # [U, R] each
        clipped_by = update.grad_norms.double().square() / norms[""].clamp(min=signals.TINY)
        for part, clipped in self._clipped.items():
            rows[f"grad_norm{part}"][first : update.updates] = signals.log(norms[part] * clipped_by).cpu().numpy()
            clipped.clear()
        skipped = update.grad_norms.isnan().cpu().numpy()  # [U, R]
        for table in (*(rows[name] for name in SERIES), self._squares):
            table[first : update.updates][skipped] = np.nan
        onsets = onsets_of(self._env)
        rows["shifted"][first], self._onsets = onsets > self._onsets, onsets
        rows["episode_return"][first] = mean_by_run(update.episodes.run, update.episodes.episode_return, len(onsets))
        rows["regime"][first : update.updates] = getattr(self._env, "regime", 0)
        rows["step"][first : update.updates] = update.steps

    @property
    def arrays(self) -> dict[str, NDArray]:
        """Everything recorded: name → [T, R], and `squares` [T, R, K]; rows of updates to come are empty."""
        return {**self._rows, "squares": self._squares}

    def save(self, folders: Mapping[int, Path]) -> None:
        """Write the files of these runs, by their place in the batch."""
        for r, folder in folders.items():
            of_run: dict[str, Any] = {name: rows[:, r] for name, rows in self.arrays.items()}
            atomic.write_bytes(folder / SIGNALS, atomic.bytes_written(lambda file, arrays=of_run: np.savez(file, **arrays)))  # type: ignore[misc]

    def snapshot(self) -> dict[str, Any]:
        """What was recorded so far, and what the next rows need."""
        rows_so_far = {name: rows[: self._updates].copy() for name, rows in self.arrays.items()}
        return {**super().snapshot(), "rows": rows_so_far}

    def restore(self, saved: dict[str, Any]) -> None:
        super().restore(saved)
        self._previous = {name: g.to(self._thetas[name].device) for name, g in self._previous.items()}
        for name, rows in self.arrays.items():
            rows[: self._updates] = saved["rows"][name]


def sample(x: Tensor) -> Tensor:
    """SAMPLE evenly spaced columns of x [R, P]; some of them twice where there are fewer."""
    columns = torch.linspace(0, x.shape[1] - 1, SAMPLE).round().long().to(x.device)
    return x[:, columns]


def mean_by_run(run: NDArray[np.int64], values: NDArray[np.float64], runs: int) -> NDArray[np.float64]:
    """Mean of the values of each run [R], NaN for runs without any."""
    count = np.bincount(run, minlength=runs)
    return np.where(count > 0, np.bincount(run, values, runs) / np.maximum(count, 1), np.nan)
