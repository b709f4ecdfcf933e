"""The unit of work: the runs of one arm and environment that are trained together, from a spec to folders of results.

    BatchSpec → environments, networks, optimizer → train() → Recorder → runs/<study>/<env>/<arm>/seed_0007/

A run's files depend on its own settings and seed alone, not on which other runs are in the batch.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Callable, Sequence
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
from agents.training import train
from envs.shifts import parse_all
from rl_rmsprop.study.optimizers import Arm, make_optimizer
from rl_rmsprop.study.presets import Agent
from rl_rmsprop.study.recorder import Progress, Recorder
from rl_rmsprop.study.signal_log import NoLog, SignalLog
from rl_rmsprop.study.writing import env_folder, write_json

EVALUATION_ENVS = 10
CLOCKS_FILE = "clocks.json"
"""In a shifted run's checkpoint: what the shifts' clocks showed at the end."""
LAST_GOOD = "before_failure.npz"
"""In a failed run's checkpoint, where others have weights.npz: the weights that it failed with, all of them finite."""


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

    def run(self, report: Callable[[Progress], None]) -> list[str]:
        """See `train_batch`."""
        return train_batch(self, report)


def train_batch(spec: BatchSpec, report: Callable[[Progress], None]) -> list[str]:
    """Train, evaluate and write down all runs of `spec`; calls `report` at every logging step.

    Returns a line for each run that has failed (see agents/health.py): its folder has the reason in `error.txt`, and in its
    checkpoint LAST_GOOD instead of the final weights. The others do not notice.
    """
    env = envs.make(spec.env_id, spec.seeds, spec.agent.n_envs, parse_all(spec.shifts))
    policy = make_policy(spec, env)
    optimizer = make_optimizer(spec.played, policy.parameters(), spec.agent.lr, spec.updates, spec.seeds)
    log = SignalLog(optimizer, policy, env, spec.updates) if spec.record_signals else NoLog()
    health, failed = Health(env.runs), np.zeros(env.runs, bool)
    folders = [spec.run_folder(seed) for seed in spec.seeds]
    for folder, seed in zip(folders, spec.seeds, strict=True):
        (folder / "checkpoint").mkdir(parents=True, exist_ok=True)
        write_json(folder / "config.json", run_config(spec, seed))
    with Recorder(folders, optimizer, env, spec.windows, hparams_group(spec), hparams(spec), spec.aggregated) as recorder:
        for update in train(spec.agent, env, policy, optimizer, spec.windows, generators(spec.seeds, "policy"), health):
            log.take(update)
            for r in np.flatnonzero(health.failed & ~failed).tolist():
                abandon(folders[r], policy, r, health)
            failed = health.failed.copy()
            if recorder.take(update):
                report(recorder.progress())
        env.close()
        clocks = env.counts if isinstance(env, envs.ShiftedBatch) else {}
        if not failed.all():
            recorder.finish(scores(evaluate_batch(spec, policy, spec.eval_episodes, clocks), policy, health))
    for r in np.flatnonzero(health.failed & ~failed).tolist():
        abandon(folders[r], policy, r, health)
    finished = {r: folders[r] for r in np.flatnonzero(~health.failed).tolist()}
    log.save(finished)
    for r, folder in finished.items():
        if clocks:
            write_json(folder / "checkpoint" / CLOCKS_FILE, {name: int(count[r]) for name, count in clocks.items()})
        save_weights(folder / "checkpoint" / "weights.npz", policy, r)
    runs = zip(spec.seeds, health.reasons.tolist(), strict=True)
    return [f"{spec.env_id} · {spec.arm.rule} · seed {seed}: {reason}" for seed, reason in runs if reason]


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


def abandon(folder: Path, policy: ActorCritic, run: int, health: Health) -> None:
    """Write down why a run has failed, and the weights that it had before, if they are good for anything."""
    (folder / "error.txt").write_text(f"{health.reasons[run]}\n", encoding="utf-8")
    if finite_weights(policy)[run]:
        save_weights(folder / "checkpoint" / LAST_GOOD, policy, run)


def finite_weights(policy: ActorCritic) -> NDArray[np.bool_]:
    """Whether all weights of each run are finite [R]."""
    return torch.stack([theta.isfinite().all(1) for theta in policy.parameters()]).all(0).numpy()


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
    np.savez(path, **arrays, **{name: array[run] for name, array in policy.normalization.arrays().items()})


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
