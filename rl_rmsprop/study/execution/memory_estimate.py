"""How much memory a study needs at once, roughly, so that one that no machine holds is refused before it begins.

    batch = environments + copies of the networks + copies of a rollout, with the networks' activations + recorded signals
    study = the largest batch · batches at a time

Within a factor of two of what was measured (tests/test_bad_input.py names the cases): enough to tell a typing error from
a study.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import envs
from agents.distributions import for_space
from rl_rmsprop import machine
from rl_rmsprop.study.spec.study import LARGEST_BATCH, Study

IN_ARRAYS = 500
"""Bytes of one environment of classic control, which is rows of arrays; others know theirs."""
OF_PROCESS = 300_000_000
"""Bytes of a worker that has imported everything."""
OF_WEIGHTS, OF_ROLLOUTS = 4, 2
"""How often weights exist (themselves, gradient, E, what an update needs), and a rollout (forward and backward)."""
OF_SIGNALS = 400
"""Bytes recorded a run and update."""


def check(study: Study, workers: int) -> None:
    """ValueError if the study needs more memory than this machine has."""
    needed, available = needed_memory(study, workers), machine.memory()
    if needed > available:
        raise ValueError(
            f"this study needs about {gigabytes(needed)} of memory, and this machine has {gigabytes(available)}: "
            "give fewer --n-envs, --n-steps, --hidden, --seeds or --workers"
        )


def needed_memory(study: Study, workers: int) -> int:
    """Bytes that all workers need at once."""
    return largest_batch_memory(study, workers) * min(workers, len(study.cut_for(workers).batches()))


def largest_batch_memory(study: Study, workers: int) -> int:
    """Bytes of the batch that needs most, where the study is cut for so many workers."""
    batches = study.cut_for(workers).batches()
    widest = {spec.env_id: max(len(other.seeds) for other in batches if other.env_id == spec.env_id) for spec in batches}
    if study.tune:
        widest = dict.fromkeys(widest, LARGEST_BATCH)
    return max(batch_memory(study, env_id, runs) for env_id, runs in widest.items())


class Sizes(NamedTuple):
    """What the memory of a run follows from, beside the agent's settings."""

    sensors: int
    outputs: int  # of the actor
    weights: int  # of both networks
    environment: int  # bytes


def sizes_in(study: Study, env_id: str) -> Sizes:
    """The sizes in one of the study's environments."""
    env = envs.make(env_id, (0,), 1, **study.options.made_with(env_id))
    sensors, outputs = env.observation_space.shape[0], for_space(env.action_space).outputs
    env.close()
    widths = (sensors, *study.agent_in(env_id).hidden, outputs)
    weights = 2 * sum((i + 1) * h for i, h in pairwise(widths))
    return Sizes(sensors, outputs, weights, env.memory_of_each() if isinstance(env, envs.SerialBatch) else IN_ARRAYS)


def batch_memory(study: Study, env_id: str, runs: int) -> int:
    """Bytes of `runs` runs trained together in an environment."""
    agent, sizes = study.agent_in(env_id), sizes_in(study, env_id)
    steps = agent.n_envs * agent.n_steps
    activations = min(steps, getattr(agent, "batch_size", steps)) * 2 * sum(agent.hidden)  # of both networks, for autograd
    forward = steps * 2 * max(agent.hidden, default=0)  # one layer of both, for a whole rollout
    rollout = steps * (sizes.sensors + sizes.outputs + 10) + max(activations, forward)
    signals = OF_SIGNALS * study.batch(env_id, study.arms[0], study.seeds[:1]).updates if study.options.record_signals else 0
    numbers = OF_WEIGHTS * sizes.weights + OF_ROLLOUTS * rollout
    return OF_PROCESS + runs * (agent.n_envs * sizes.environment + 4 * numbers + signals)


def gigabytes(size: int) -> str:
    """A size in words."""
    return f"{size / 1e9:,.1f} GB"
