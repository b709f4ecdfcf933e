"""What threads do for environments: a part of `python -m tests.benchmarks`.

Two threads step sixteen environments of Gymnasium's, half of them each, against one thread that steps all of them; then a whole
training of one PPO run, whose eight environments are stepped in two threads or in one. Wall-clock, on two cores.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial

import gymnasium as gym
import torch

import envs
from envs.mujoco_states import redirect_messages
from envs.threads import Parts
from rl_rmsprop.study.training.train import train_batch
from tests.benchmarks.timing import Row, spread
from tests.benchmarks.training import PPO_8X256, spec

ENVIRONMENTS = 16
STEPS = {"LunarLander-v3": 400, "HalfCheetah-v5": 300, "Ant-v5": 150}
TRAININGS = {"HalfCheetah-v5": 16_384, "Ant-v5": 8_192}


def stepping(env_id: str, threads: int) -> Callable[[], None]:
    """Steps of all environments, with one action each that stays the same."""
    redirect_messages(env_id)
    all_envs = [gym.make(env_id, disable_env_checker=True) for _ in range(ENVIRONMENTS)]
    for seed, env in enumerate(all_envs):
        env.reset(seed=seed)
        env.action_space.seed(seed)
    actions, parts = [env.action_space.sample() for env in all_envs], Parts(ENVIRONMENTS, threads)

    def step(numbers: Sequence[int]) -> None:
        for _ in range(STEPS[env_id]):
            for i in numbers:
                _, _, terminated, truncated, _ = all_envs[i].step(actions[i])
                if terminated or truncated:
                    all_envs[i].reset()

    return partial(parts.run, step)


def training(env_id: str, threads: int) -> Callable[[], None]:
    """A run from its first step to its last file."""

    def train() -> None:
        envs.set_num_threads(threads)
        with tempfile.TemporaryDirectory() as folder:
            train_batch(spec(env_id, PPO_8X256, (0,), TRAININGS[env_id], folder))
        envs.set_num_threads(1)

    return train


def ratio(what: str, make: Callable[[int], Callable[[], None]], repeats: int) -> Row:
    """How many times as fast two threads are as one; both take turns."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    calls = {threads: make(threads) for threads in seconds}
    for _ in range(repeats + 1):
        for threads, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[threads].append(time.perf_counter() - start)
    one, two = (times[1:] for times in seconds.values())  # what is built at first use is in the first
    own, peer = (f"{statistics.median(times):.2f} s" for times in (two, one))
    return Row(what, spread([a / b for a, b in zip(one, two, strict=True)]), "×", f"one thread: {peer}", own)


def rows(repeats: int) -> list[Row]:
    """A row for each environment that is stepped, and for each that is trained in."""
    torch.set_num_threads(1)
    found = [ratio(f"stepping {env_id} in two threads", partial(stepping, env_id), repeats) for env_id in STEPS]
    return found + [ratio(f"PPO, one run of {env_id}, two threads", partial(training, env_id), repeats) for env_id in TRAININGS]
