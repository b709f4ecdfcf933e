"""The runs of one arm and environment in training: everything that they are made of, and what they leave in their folders.

    BatchSpec → Batch: environments, networks, optimizer → Training → Recorder → runs/<study>/<env>/<arm>/seed_0007/
                  ↕ snapshot
                checkpoint, see train.py

A run's files depend on its own settings and seed alone, not on which other runs are in the batch, and not on whether it was
trained in one go: a batch that resumes from its checkpoint writes the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import envs
from agents.networks import ActorCritic
from agents.nonfinite import REMEDIES, SHARE, NonfiniteGuard
from agents.training import Training
from rl_rmsprop.optimizer.adaptive_rmsprop import AdaptiveRMSprop
from rl_rmsprop.storage import atomic
from rl_rmsprop.storage.atomic import write_json
from rl_rmsprop.study.spec.batch_spec import BatchSpec
from rl_rmsprop.study.spec.run_config import hparams, hparams_group, run_config
from rl_rmsprop.study.spec.run_files import CONFIG, ERROR, LAST_GOOD, SHIFT_CLOCKS, TRAINED, WEIGHTS
from rl_rmsprop.study.training.monitor import UNWATCHED, Monitor
from rl_rmsprop.study.training.optimizers import make_optimizer
from rl_rmsprop.study.training.policies import evaluate_batch, make_policy, save_weights
from rl_rmsprop.study.training.recorder import Recorder
from rl_rmsprop.study.training.signal_log import NoLog, SignalLog
from rl_rmsprop.study.training.tensorboard_sink import DEFAULT_SINKS
from rl_rmsprop.telemetry.sinks import RunInfo, SinkFactory


class Batch:
    """The parts of a batch in training."""

    def __init__(
        self, spec: BatchSpec, sinks: Sequence[SinkFactory] = DEFAULT_SINKS, saved: dict[str, Any] | None = None
    ) -> None:
        """At the beginning, or where a batch was whose snapshot is `saved`.

        Damaged if its files are not what they were, NotReplayable if its environments cannot be brought there.
        """
        self.spec = spec
        self.folders = [spec.run_folder(seed) for seed in spec.seeds]
        options = spec.options
        self.env = envs.make(
            spec.env_id, spec.seeds, spec.agent.n_envs, options.shifts, backend=options.backend, **spec.made_with
        )  # fmt: skip
        self.policy = make_policy(spec, self.env)
        theta = self.policy.parameters()
        self.optimizer = make_optimizer(
            spec.trained_arm, theta, spec.agent.lr, spec.updates, spec.seeds, options, spec.agent.steps_per_update,
            self.policy.hidden_weights(),
        )  # fmt: skip
        self.log = SignalLog(self.optimizer, self.policy, self.env, spec.updates) if options.record_signals else NoLog()
        self.training = Training(spec.agent, self.env, self.policy, self.optimizer, spec.iterations, spec.seeds)
        with atomic.named_errors(spec.folder):
            for folder in self.folders:  # empty ones are lost where a study is copied by its files
                atomic.disk.make_folder(folder / "checkpoint")
        if saved is None:
            self._begin_folders()
        else:
            self.policy.restore(saved["policy"])
            restore_optimizer(self.optimizer, saved["optimizer"])
            self.training.restore(saved["training"])
            self.log.restore(saved["log"])
        runs = [run_info(spec, seed) for seed in spec.seeds]
        recorded = saved and saved["recorder"]
        self.recorder = Recorder(runs, sinks, self.optimizer, self.env, spec.iterations, spec.updates, recorded)
        self._failed = self.training.guard.failed.copy()  # [R] whose failure is written down

    def snapshot(self) -> dict[str, Any]:
        """All that the batch's future depends on."""
        return {
            "policy": self.policy.snapshot(),
            "optimizer": optimizer_snapshot(self.optimizer),
            "training": self.training.snapshot(),
            "log": self.log.snapshot(),
            "recorder": self.recorder.snapshot(),
        }

    def _begin_folders(self) -> None:
        """In the folder of every run what it is, and nothing that says that it is finished or has failed."""
        for folder, seed in zip(self.folders, self.spec.seeds, strict=True):
            with atomic.named_errors(folder):
                for old in (WEIGHTS, TRAINED, LAST_GOOD, ERROR):
                    (folder / old).unlink(missing_ok=True)
            write_json(folder / CONFIG, run_config(self.spec, seed))

    def record_failures(self) -> None:
        """Write down why runs have failed lately, and the weights that they had before, if these are finite."""
        guard = self.training.guard
        for r in np.flatnonzero(guard.failed & ~self._failed).tolist():
            atomic.write_text(self.folders[r] / ERROR, f"{guard.reasons[r]}\n")
            if finite_weights(self.policy)[r]:
                save_weights(self.folders[r] / LAST_GOOD, self.policy, r)
        self._failed = guard.failed.copy()

    def finish(self, monitor: Monitor = UNWATCHED) -> list[str]:
        """Save the weights, evaluate, and write down what a finished run has.

        The weights are on disk before the evaluation, and get the name that says that the run is finished after everything else.
        Returns a line for each run that has failed.
        """
        guard, spec = self.training.guard, self.spec
        clocks = self.env.counts if isinstance(self.env, envs.ShiftedBatch) else {}
        self.env.close()
        for r in np.flatnonzero(~guard.failed).tolist():
            save_weights(self.folders[r] / TRAINED, self.policy, r)
        if not guard.failed.all():
            self.recorder.finish(final_scores(self._evaluate(clocks, monitor), self.policy, guard))
        self.record_failures()
        finished = {r: self.folders[r] for r in np.flatnonzero(~guard.failed).tolist()}
        self.log.save(finished)
        for r, folder in finished.items():
            if clocks:
                write_json(folder / SHIFT_CLOCKS, {name: int(count[r]) for name, count in clocks.items()})
        self.recorder.close()
        for folder in finished.values():
            with atomic.named_errors(folder / WEIGHTS):
                atomic.disk.rename(folder / TRAINED, folder / WEIGHTS)
                atomic.sync_folder((folder / WEIGHTS).parent)
        reasons = zip(spec.seeds, guard.reasons, strict=True)
        return [f"{spec.run_label(seed)}: {reason}" for seed, reason in reasons if reason]

    def _evaluate(self, clocks: dict[str, NDArray[np.int64]], monitor: Monitor) -> NDArray[np.float64]:
        """Returns of the final evaluation, [R, episodes]; tells the monitor how far it is, and stops when it says so."""
        episodes, last = self.spec.options.eval_episodes, self.recorder.progress()

        def progress(finished: int) -> None:
            monitor.check()
            monitor.report(last._replace(phase=f"final evaluation, {finished} of {episodes * len(self.folders)} episodes"))

        return evaluate_batch(self.spec, self.policy, episodes, clocks, progress=progress)


def run_info(spec: BatchSpec, seed: int) -> RunInfo:
    """What a run's sinks know about it."""
    config, shifting = run_config(spec, seed), bool(spec.options.shift)
    return RunInfo(spec.run_folder(seed), seed, config, hparams(spec), hparams_group(spec), spec.aggregated, shifting)


def final_scores(returns: NDArray[np.float64], policy: ActorCritic, guard: NonfiniteGuard) -> NDArray[np.float64]:
    """Mean of the final evaluation of each run [R] from its returns [R, episodes]; NaN without episodes, and for runs that fail.

    Episodes without a finite return are left out, unless they are more than SHARE of all; then the run fails.
    """
    finite = finite_weights(policy)
    for r in np.flatnonzero(~guard.failed & ~finite).tolist():
        guard.fail(r, f"weights are not finite at the end of the training: {REMEDIES['gradient']}")
    if not returns.shape[1]:
        return np.full(len(returns), np.nan)
    with np.errstate(invalid="ignore"):  # infinities of both signs have no mean
        means = returns.mean(1)
    for r in np.flatnonzero(~guard.failed & ~np.isfinite(means)).tolist():
        known = np.isfinite(returns[r])
        means[r] = returns[r, known].mean() if (~known).mean() <= SHARE else np.nan
        if not np.isfinite(means[r]):
            failures = f"{(~known).sum()} of {len(known)} episodes of the final evaluation"
            guard.fail(r, f"{failures} had an observation or a reward that was not finite: {REMEDIES['data']}")
    return np.where(guard.failed, np.nan, means)


def finite_weights(policy: ActorCritic) -> NDArray[np.bool_]:
    """Whether all weights of each run are finite [R]."""
    return torch.stack([theta.isfinite().all(1) for theta in policy.parameters()]).all(0).cpu().numpy()


def optimizer_snapshot(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The optimizer's state, and what its statistics remember of the last update."""
    return {"state": optimizer.state_dict(), "surprise": getattr(optimizer, "last_surprise", {})}


def restore_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Put it back."""
    optimizer.load_state_dict(saved["state"])
    if isinstance(optimizer, AdaptiveRMSprop):
        device = optimizer.param_groups[0]["params"][0].device
        optimizer.last_surprise = {index: x.to(device) for index, x in saved["surprise"].items()}
