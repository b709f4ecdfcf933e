"""The unit of work: the runs of one arm and environment that are trained together, from a spec to folders of results.

    BatchSpec → Batch: environments, networks, optimizer → Training → Recorder → runs/<study>/<env>/<arm>/seed_0007/
                  ↕ snapshot
                checkpoint, every so often

A run's files depend on its own settings and seed alone, not on which other runs are in the batch, and not on whether it was
trained in one go: a batch that is taken up from its checkpoint goes on bit for bit.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import envs
from agents.networks import ActorCritic
from agents.nonfinite import REMEDIES, SHARE, Health
from agents.training import Training
from rl_rmsprop.optimizer.adaptive_rmsprop import AdaptiveRMSprop
from rl_rmsprop.storage import atomic, checkpoint
from rl_rmsprop.storage.atomic import Damaged, write_json
from rl_rmsprop.study.spec.arms import Arm
from rl_rmsprop.study.spec.batch_spec import BatchSpec
from rl_rmsprop.study.spec.run_config import hparams, hparams_group, run_config
from rl_rmsprop.study.spec.run_files import CONFIG, ERROR, LAST_GOOD, SHIFT_CLOCKS, WEIGHTS
from rl_rmsprop.study.training.monitor import UNWATCHED, Monitor, Stopped
from rl_rmsprop.study.training.optimizers import make_optimizer
from rl_rmsprop.study.training.policies import evaluate_batch, generators, make_policy, save_weights
from rl_rmsprop.study.training.recorder import Recorder
from rl_rmsprop.study.training.signal_log import NoLog, SignalLog


class Batch:
    """The parts of a batch under way."""

    def __init__(self, spec: BatchSpec, kept: dict[str, Any] | None = None) -> None:
        """At the beginning, or where a batch was whose snapshot is `kept`.

        Damaged if its files are not what they were, NotReplayable if its environments cannot be brought there.
        """
        self.spec = spec
        self.folders = [spec.run_folder(seed) for seed in spec.seeds]
        self.env = envs.make(spec.env_id, spec.seeds, spec.agent.n_envs, spec.options.shifts, backend=spec.options.backend)
        self.policy = make_policy(spec, self.env)
        self.optimizer = make_optimizer(
            spec.trained_arm, self.policy.parameters(), spec.agent.lr, spec.updates, spec.seeds, spec.options
        )
        self.log = SignalLog(self.optimizer, self.policy, self.env, spec.updates) if spec.options.record_signals else NoLog()
        noise = generators(spec.seeds, "policy")
        self.training = Training(spec.agent, self.env, self.policy, self.optimizer, spec.iterations, noise)
        if kept is None:
            self._begin_folders()
        else:
            self.policy.restore(kept["policy"])
            restore_optimizer(self.optimizer, kept["optimizer"])
            self.training.restore(kept["training"])
            self.log.restore(kept["log"])
        self.recorder = Recorder(
            self.folders, self.optimizer, self.env, spec.iterations, spec.updates, hparams_group(spec), hparams(spec),
            spec.aggregated, kept and kept["recorder"],
        )  # fmt: skip
        self._abandoned = self.training.health.failed.copy()  # [R]

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
        """A folder for every run, with what it is, and without what says that it is finished or has failed."""
        for folder, seed in zip(self.folders, self.spec.seeds, strict=True):
            with atomic.naming(folder):
                atomic.disk.make_folder(folder / "checkpoint")
                for old in (folder / WEIGHTS, folder / LAST_GOOD, folder / ERROR):
                    old.unlink(missing_ok=True)
            write_json(folder / CONFIG, run_config(self.spec, seed))

    def abandon(self) -> None:
        """Write down why runs have failed lately, and the weights that they had before, if they are good for anything."""
        health = self.training.health
        for r in np.flatnonzero(health.failed & ~self._abandoned).tolist():
            atomic.write_text(self.folders[r] / ERROR, f"{health.reasons[r]}\n")
            if finite_weights(self.policy)[r]:
                save_weights(self.folders[r] / LAST_GOOD, self.policy, r)
        self._abandoned = health.failed.copy()

    def finish(self) -> list[str]:
        """Evaluate, and write down what a finished run has; its weights come last and say that it is finished.

        Returns a line for each run that has failed.
        """
        health = self.training.health
        clocks = self.env.counts if isinstance(self.env, envs.ShiftedBatch) else {}
        self.env.close()
        if not health.failed.all():
            returns = evaluate_batch(self.spec, self.policy, self.spec.options.eval_episodes, clocks)
            self.recorder.finish(scores(returns, self.policy, health))
        self.abandon()
        finished = {r: self.folders[r] for r in np.flatnonzero(~health.failed).tolist()}
        self.log.save(finished)
        for r, folder in finished.items():
            if clocks:
                write_json(folder / SHIFT_CLOCKS, {name: int(count[r]) for name, count in clocks.items()})
        self.recorder.close()
        for r, folder in finished.items():
            save_weights(folder / WEIGHTS, self.policy, r)
        of_seeds = zip(self.spec.seeds, health.reasons, strict=True)
        return [f"{self.spec.run_label(seed)}: {reason}" for seed, reason in of_seeds if reason]


def scores(returns: NDArray[np.float64], policy: ActorCritic, health: Health) -> NDArray[np.float64]:
    """Mean of the final evaluation of each run [R] from its returns [R, episodes]; NaN for those that fail by it.

    Episodes without a finite return are left out, unless they are more than SHARE of all; then the run fails.
    """
    with np.errstate(invalid="ignore"):  # infinities of both signs have no mean
        means = returns.mean(1)
    sound = finite_weights(policy)
    for r in np.flatnonzero(~health.failed & ~(np.isfinite(means) & sound)).tolist():
        known = np.isfinite(returns[r])
        means[r] = np.nan
        if not sound[r]:
            health.fail(r, f"weights are not finite at the end of the training: {REMEDIES['gradient']}")
        elif (~known).mean() > SHARE:
            lost = f"{(~known).sum()} of {len(known)} episodes of the final evaluation"
            health.fail(r, f"{lost} had an observation or a reward that was not finite: {REMEDIES['data']}")
        else:
            means[r] = returns[r, known].mean()
    return means


def finite_weights(policy: ActorCritic) -> NDArray[np.bool_]:
    """Whether all weights of each run are finite [R]."""
    return torch.stack([theta.isfinite().all(1) for theta in policy.parameters()]).all(0).cpu().numpy()


@dataclass(frozen=True)
class BatchTask:
    """A batch as something to be trained, for an executor."""

    spec: BatchSpec

    @property
    def arm(self) -> Arm:
        return self.spec.arm

    @property
    def label(self) -> str:
        return self.spec.label

    @property
    def parts(self) -> list[str]:
        return [self.spec.run_label(seed) for seed in self.spec.seeds]

    @property
    def total_steps(self) -> int:
        return self.spec.total_steps

    @property
    def error_file(self) -> Path:
        return self.spec.run_folder(self.spec.seeds[0]) / ERROR

    @property
    def study_folder(self) -> Path:
        return self.spec.folder

    def run(self, monitor: Monitor) -> list[str]:
        """See `train_batch`."""
        return train_batch(self.spec, monitor)


def train_batch(spec: BatchSpec, monitor: Monitor = UNWATCHED) -> list[str]:
    """Train, evaluate and write down all runs of `spec`, from the last checkpoint on if there is one.

    Tells `monitor` how far it is at every logging step, and saves a checkpoint when it says so. Raises `Stopped`, after a last
    checkpoint, if it says that too.

    Returns a line for each run that has failed (see agents/nonfinite.py): its folder has the reason in `error.txt`, and LAST_GOOD
    instead of the final weights. The others do not notice.
    """
    batch = taken_up(spec, monitor) or Batch(spec)
    about, saves = origin(spec), True
    with batch.recorder:
        for update in batch.training:
            batch.log.take(update)
            batch.abandon()
            if batch.recorder.take(update):
                monitor.report(batch.recorder.progress())
            if saves and monitor.is_due() and update.window < spec.iterations:
                try:
                    checkpoint.save(spec.checkpoints, update.window, {"origin": about, **batch.snapshot()})
                except envs.NotReplayable as error:
                    saves = False
                    monitor.note(f"{spec.label}: {error} if they are cut off")
            if monitor.stopping:
                raise Stopped
        failures = batch.finish()
    shutil.rmtree(spec.checkpoints, ignore_errors=True)
    return failures


def taken_up(spec: BatchSpec, monitor: Monitor) -> Batch | None:
    """The batch at its last checkpoint that is whole and of the same study; None if it has to begin anew."""
    begun = False
    for found in checkpoint.load(spec.checkpoints):
        begun = True
        try:
            if isinstance(found, Damaged):
                raise found
            if found.get("origin") != origin(spec):  # other versions may round in another way
                raise Damaged("the checkpoint is of other settings, versions or kind of processor, and would not go on exactly")
            return Batch(spec, found)
        except (Damaged, envs.NotReplayable) as error:
            monitor.note(f"{spec.label}: {error}")
    if begun:
        monitor.note(f"{spec.label}: begins anew")
        shutil.rmtree(spec.checkpoints, ignore_errors=True)
    return None


def origin(spec: BatchSpec) -> dict[str, Any]:
    """What a checkpoint must have in common with the batch that it is for: settings, versions, kind of processor."""
    made = {"runs": [run_config(spec, seed) for seed in spec.seeds], "processor": torch.backends.cpu.get_cpu_capability()}
    return json.loads(json.dumps(made))


def optimizer_snapshot(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The optimizer's state, and what its statistics remember of the last update."""
    return {"state": optimizer.state_dict(), "surprise": getattr(optimizer, "last_surprise", {})}


def restore_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Put it back."""
    optimizer.load_state_dict(saved["state"])
    if isinstance(optimizer, AdaptiveRMSprop):
        device = optimizer.param_groups[0]["params"][0].device
        optimizer.last_surprise = {index: x.to(device) for index, x in saved["surprise"].items()}
