"""The policies of a batch's runs: made, evaluated, written to files and read back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import agents
import envs
from agents.evaluation import episode_returns
from agents.networks import ActorCritic
from rl_rmsprop.seeding import generators, seed_sequence
from rl_rmsprop.storage import atomic
from rl_rmsprop.study.spec.batch_spec import BatchSpec

EVALUATION_ENVS = 10


def make_policy(spec: BatchSpec, env: envs.EnvBatch) -> ActorCritic:
    """Freshly initialised networks of all runs, and empty running statistics."""
    return agents.make_policy(env, spec.agent, spec.seeds, spec.options.device, spec.options.kernel)


def evaluation_seed(seed: int, *variant: int) -> int:
    """The seed of the environments in which the run with `seed` is evaluated; other ones for every `variant`."""
    return int(seed_sequence(seed, "evaluation environments", *variant).generate_state(1)[0])


def evaluate_batch(
    spec: BatchSpec,
    policy: ActorCritic,
    episodes: int,
    clocks: dict[str, NDArray[np.int64]],
    stochastic: bool = False,
    progress: Callable[[int], object] = lambda finished: None,
    variant: tuple[int, ...] = (),
) -> NDArray[np.float64]:
    """Returns [R, episodes] in fresh environments whose seeds differ from those of training, and from one `variant` to the next.

    If the environment shifts, its clocks stand where `clocks`, counts [R] of every clock, say: at the training's end. `progress`
    is called with the number of finished episodes, and may raise to stop.
    """
    if not episodes:
        return np.empty((len(spec.seeds), 0))
    env = evaluation_envs(spec, episodes, clocks, variant)
    try:
        return episode_returns(env, policy, episodes, evaluation_noise(spec, stochastic, variant), progress)
    finally:
        env.close()


def evaluation_envs(
    spec: BatchSpec,
    episodes: int,
    clocks: dict[str, NDArray[np.int64]],
    variant: tuple[int, ...] = (),
    **made_with: Any,
) -> envs.EnvBatch:
    """Environments in which so many episodes are evaluated, see `evaluate_batch`; `made_with` are further arguments of each."""
    seeds, count = [evaluation_seed(s, *variant) for s in spec.seeds], min(EVALUATION_ENVS, episodes)
    own = spec.made_with
    made = {**own, "kwargs": own["kwargs"] | made_with}
    return envs.make(spec.env_id, seeds, count, spec.options.shifts, frozen_at=clocks, shift_seeds=spec.seeds, **made)


def evaluation_noise(spec: BatchSpec, stochastic: bool, variant: tuple[int, ...] = ()) -> list[np.random.Generator] | None:
    """What a stochastic policy draws its actions from in an evaluation, None for a greedy one."""
    return generators(spec.seeds, "evaluation", *variant) if stochastic else None


def save_weights(path: Path, policy: ActorCritic, run: int) -> None:
    """The weights and running statistics of one run as plain arrays (numpy's format, no pickle)."""
    arrays: dict[str, Any] = {name: theta.detach()[run].cpu().numpy() for name, theta in policy.named_parameters()}
    arrays |= {name: array[run] for name, array in policy.normalization.arrays().items()}
    atomic.write_bytes(path, atomic.bytes_written(lambda file: np.savez(file, **arrays)))


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
