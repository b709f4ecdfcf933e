"""The unit of work: the runs of one arm and environment that are trained together, from a spec to folders of results.

    BatchSpec → Batch: environments, networks, optimizer → Training → Recorder → runs/<study>/<env>/<arm>/seed_0007/
                  ↕ snapshot
                checkpoint, every so often

A run's files depend on its own settings and seed alone, not on which other runs are in the batch, and not on whether it was
trained in one go: a batch that is taken up from its checkpoint goes on bit for bit.
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

import envs
from agents.evaluation import episode_returns
from agents.heads import Categorical, Gaussian, Head
from agents.health import REMEDIES, SHARE, Health
from agents.networks import ActorCritic
from agents.normalization import Normalization, ScaledByReturn, Standardized, Unchanged
from agents.training import Training
from envs.shifts import parse_all
from rl_rmsprop import files
from rl_rmsprop.files import Damaged, env_folder, write_json
from rl_rmsprop.optimizer import AdaptiveRMSprop
from rl_rmsprop.study import checkpoint
from rl_rmsprop.study.monitor import UNWATCHED, Monitor, Stopped
from rl_rmsprop.study.optimizers import Arm, make_optimizer
from rl_rmsprop.study.presets import Agent
from rl_rmsprop.study.recorder import Recorder
from rl_rmsprop.study.signal_log import NoLog, SignalLog

EVALUATION_ENVS = 10
WEIGHTS = "checkpoint/weights.npz"
"""In a run's folder: its final weights, which only a finished run has."""
CLOCKS_FILE = "clocks.json"
"""In a shifted run's checkpoint: what the shifts' clocks showed at the end."""
LAST_GOOD = "checkpoint/before_failure.npz"
"""In a failed run's folder, where others have their final weights: those that it failed with, all of them finite."""


@dataclass(frozen=True)
class BatchSpec:
    """Everything that makes the results of some runs of one arm in one environment."""

    folder: str
    """The study's folder."""
    env_id: str
    """Gymnasium id."""
    agent_name: str
    """Name of the agent on the command line."""
    agent: Agent
    """The agent's settings."""
    arm: Arm
    """The β rule or baseline."""
    seeds: tuple[int, ...]
    """One run each."""
    steps: int
    """Environment steps per run, rounded up to whole windows of n_envs · n_steps."""
    eval_episodes: int = 100
    """Episodes of the final evaluation with the greedy policy."""
    aggregated: bool = False
    """Whether the study will aggregate over seeds, so that TensorBoard shows arms before single runs."""
    shifts: tuple[str, ...] = ()
    """What changes in the environment, and when, as text (see envs/shifts.py)."""
    record_signals: bool = False
    """Keep the signals of every update in signals.npz."""
    rule: str = ""
    """What the arm trains with here, if that is not its own text: a tuned rule, or that of a control."""

    @property
    def windows(self) -> int:
        """Windows of each run: it acts, then learns, so often."""
        return -(-self.steps // (self.agent.n_envs * self.agent.n_steps))

    @property
    def updates(self) -> int:
        """Optimizer updates of each run."""
        return self.windows * self.agent.updates_per_window

    @property
    def label(self) -> str:
        """What it is, for whoever reads of its failure."""
        return f"{self.env_id} · {self.arm.rule} · seeds {', '.join(map(str, self.seeds))}"

    def name_of(self, seed: int) -> str:
        """What one of its runs is called, likewise."""
        return f"{self.env_id} · {self.arm.rule} · seed {seed}"

    @property
    def parts(self) -> list[str]:
        """What fails with it."""
        return [self.name_of(seed) for seed in self.seeds]

    @property
    def total_steps(self) -> int:
        """Environment steps of all its runs together."""
        return self.steps * len(self.seeds)

    @property
    def error_file(self) -> Path:
        """Where the reason of a failure goes."""
        return self.run_folder(self.seeds[0]) / "error.txt"

    @property
    def played(self) -> Arm:
        """The arm with the rule that it trains with."""
        return replace(self.arm, rule=self.rule or self.arm.rule, of="")

    def run_folder(self, seed: int) -> Path:
        """Where the run with this seed keeps its files."""
        return Path(self.folder) / env_folder(self.env_id) / self.arm.name / f"seed_{seed:04d}"

    @property
    def study_folder(self) -> Path:
        """The folder of the study that it belongs to."""
        return Path(self.folder)

    @property
    def unfinished(self) -> tuple[int, ...]:
        """Seeds of the runs that are not finished."""
        return tuple(seed for seed in self.seeds if not (self.run_folder(seed) / WEIGHTS).is_file())

    @property
    def checkpoints(self) -> Path:
        """Where the batch keeps its state while it is under way."""
        first = self.run_folder(self.seeds[0])
        return first.with_name(first.name.replace("seed", "batch"))

    def run(self, monitor: Monitor) -> list[str]:
        """See `train_batch`."""
        return train_batch(self, monitor)


class Batch:
    """The parts of a batch under way."""

    def __init__(self, spec: BatchSpec, kept: dict[str, Any] | None = None) -> None:
        """At the beginning, or where a batch was whose snapshot is `kept`.

        Damaged if its files are not what they were, NotReplayable if its environments cannot be brought there.
        """
        self.spec = spec
        self.folders = [spec.run_folder(seed) for seed in spec.seeds]
        self.env = envs.make(spec.env_id, spec.seeds, spec.agent.n_envs, parse_all(spec.shifts))
        self.policy = make_policy(spec, self.env)
        self.optimizer = make_optimizer(spec.played, self.policy.parameters(), spec.agent.lr, spec.updates, spec.seeds)
        self.log = SignalLog(self.optimizer, self.policy, self.env, spec.updates) if spec.record_signals else NoLog()
        noise = generators(spec.seeds, "policy")
        self.training = Training(spec.agent, self.env, self.policy, self.optimizer, spec.windows, noise)
        if kept is None:
            self._begin_folders()
        else:
            self.policy.restore(kept["policy"])
            restore_optimizer(self.optimizer, kept["optimizer"])
            self.training.restore(kept["training"])
            self.log.restore(kept["log"])
        self.recorder = Recorder(
            self.folders, self.optimizer, self.env, spec.windows, hparams_group(spec), hparams(spec), spec.aggregated,
            kept and kept["recorder"],
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
            with files.naming(folder):
                files.disk.make_folder(folder / "checkpoint")
                for old in (folder / WEIGHTS, folder / LAST_GOOD, folder / "error.txt"):
                    old.unlink(missing_ok=True)
            write_json(folder / "config.json", run_config(self.spec, seed))

    def abandon(self) -> None:
        """Write down why runs have failed lately, and the weights that they had before, if they are good for anything."""
        health = self.training.health
        for r in np.flatnonzero(health.failed & ~self._abandoned).tolist():
            files.write_text(self.folders[r] / "error.txt", f"{health.reasons[r]}\n")
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
            returns = evaluate_batch(self.spec, self.policy, self.spec.eval_episodes, clocks)
            self.recorder.finish(scores(returns, self.policy, health))
        self.abandon()
        finished = {r: self.folders[r] for r in np.flatnonzero(~health.failed).tolist()}
        self.log.save(finished)
        for r, folder in finished.items():
            if clocks:
                write_json(folder / "checkpoint" / CLOCKS_FILE, {name: int(count[r]) for name, count in clocks.items()})
        self.recorder.close()
        for r, folder in finished.items():
            save_weights(folder / WEIGHTS, self.policy, r)
        of_seeds = zip(self.spec.seeds, health.reasons, strict=True)
        return [f"{self.spec.name_of(seed)}: {reason}" for seed, reason in of_seeds if reason]


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
    return torch.stack([theta.isfinite().all(1) for theta in policy.parameters()]).all(0).numpy()


def train_batch(spec: BatchSpec, monitor: Monitor = UNWATCHED) -> list[str]:
    """Train, evaluate and write down all runs of `spec`, from the last checkpoint on if there is one.

    Tells `monitor` how far it is at every logging step, and saves a checkpoint when it says so. Raises `Stopped`, after a last
    checkpoint, if it says that too.

    Returns a line for each run that has failed (see agents/health.py): its folder has the reason in `error.txt`, and LAST_GOOD
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
            if saves and monitor.is_due() and update.window < spec.windows:
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
        optimizer.last_surprise = dict(saved["surprise"])


def evaluate_batch(
    spec: BatchSpec, policy: ActorCritic, episodes: int, clocks: dict[str, NDArray[np.int64]], stochastic: bool = False
) -> NDArray[np.float64]:
    """Returns [R, episodes] in fresh environments whose seeds differ from those of training.

    If the environment shifts, it stands still where `clocks`, counts [R] of every clock, say: at the training's end.
    """
    seeds, count = [evaluation_seed(s) for s in spec.seeds], min(EVALUATION_ENVS, episodes)
    env = envs.make(spec.env_id, seeds, count, parse_all(spec.shifts), held_at=clocks, shift_seeds=spec.seeds)
    noise = generators(spec.seeds, "evaluation") if stochastic else None
    try:
        return episode_returns(env, policy, episodes, noise)
    finally:
        env.close()


def make_policy(spec: BatchSpec, env: envs.EnvBatch) -> ActorCritic:
    """Freshly initialised networks of all runs, and statistics of nothing yet."""
    agent, size = spec.agent, env.observation_space.shape[0]
    normalization = Normalization(
        Standardized(env.runs, size) if agent.normalize_observations else Unchanged(),
        ScaledByReturn(env.runs, env.envs_per_run, agent.gamma) if agent.normalize_rewards else Unchanged(),
    )
    head = head_of(env.action_space, agent.log_std_init)
    return ActorCritic(size, head, agent.hidden, generators(spec.seeds, "init"), agent.observation_scale, normalization)


def head_of(space: gym.Space, log_std: float) -> Head:
    """The kind of policy that acts in an action space, a continuous one with this ln σ at first."""
    if isinstance(space, gym.spaces.Discrete):
        return Categorical(int(space.n))
    assert isinstance(space, gym.spaces.Box)
    return Gaussian(space.low, space.high, log_std)


def generators(seeds: Sequence[int], purpose: str) -> list[np.random.Generator]:
    """A random stream of this purpose for each run."""
    return [np.random.default_rng(envs.seed_sequence(seed, purpose)) for seed in seeds]


def evaluation_seed(seed: int) -> int:
    """The seed of the environments in which the run with `seed` is evaluated."""
    return int(envs.seed_sequence(seed, "evaluation environments").generate_state(1)[0])


# Files --------------------------------------------------------------------------------------------------------------------


def run_config(spec: BatchSpec, seed: int) -> dict[str, Any]:
    """What made a run: enough to make it again."""
    return {
        "env": spec.env_id,
        "agent": spec.agent_name,
        "settings": asdict(spec.agent),
        "arm": {**asdict(spec.arm), "name": spec.arm.name, "canonical": spec.arm.canonical, "trained_with": spec.played.rule},
        "seed": seed,
        "steps": spec.steps,
        "updates": spec.updates,
        "shifts": list(spec.shifts),
        "eval_episodes": spec.eval_episodes,
        "versions": versions(),
        "commit": commit(),
    }


@lru_cache
def versions() -> dict[str, str]:
    """Versions of everything that can change a number."""
    names = ("rl-rmsprop", "torch", "numpy", "gymnasium")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


@lru_cache
def commit() -> str | None:
    """The git commit of this package's source, with `+` if files differ from it; None outside a repository."""
    here = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"],
            cwd=here, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def hparams(spec: BatchSpec) -> dict[str, str | float]:
    """The columns of TensorBoard's HParams tab; the seed is left out so that an arm's runs are averaged."""
    settings = {k: v if isinstance(v, (int, float)) else str(v) for k, v in asdict(spec.agent).items()}
    shift = " ".join(spec.shifts) or "none"
    return {"arm": spec.arm.rule, "env": spec.env_id, "shift": shift, "agent": spec.agent_name, "eps": spec.arm.eps, **settings}


def hparams_group(spec: BatchSpec) -> str:
    """What the HParams tab averages over: the seeds of one arm in one environment of one study."""
    return f"{Path(spec.folder).name}/{spec.env_id}/{spec.arm.name}"


def save_weights(path: Path, policy: ActorCritic, run: int) -> None:
    """The weights and running statistics of one run as plain arrays (numpy's format, no pickle)."""
    arrays: dict[str, Any] = {name: theta.detach()[run].numpy() for name, theta in policy.named_parameters()}
    arrays |= {name: array[run] for name, array in policy.normalization.arrays().items()}
    files.write_bytes(path, files.written(lambda file: np.savez(file, **arrays)))


def load_weights(paths: Sequence[Path], policy: ActorCritic) -> None:
    """Put saved weights and running statistics back, one file a run."""
    statistics = policy.normalization.arrays()
    for r, path in enumerate(paths):
        with np.load(path, allow_pickle=False) as arrays:
            for name, theta in policy.named_parameters():
                if arrays[name].shape != theta.shape[1:]:
                    raise ValueError(f"{path}: {name} has {arrays[name].shape[0]} weights, the network {theta.shape[1]}")
                theta.data[r] = torch.from_numpy(arrays[name])
            for name, array in statistics.items():
                array[r] = arrays[name]
