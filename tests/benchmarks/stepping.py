"""How much of a training is stepping its environments: a part of `python -m tests.benchmarks`.

    share = seconds that the environments alone take for the steps of a training / seconds of the training, with files and curves

The environments alone are Gymnasium's own, as `gymnasium.make` makes them, or one pool of EnvPool's, that live through the
episodes of the training: from the same seeds, with the same actions, so that the simulator has the same work to do (a robot that
runs takes longer than one that twitches at random). An iteration of the training and its steps alone take turns in each of two
processes, since their ratio is near one, and a shared machine's speed swings by more than that from minute to minute. Seconds are
those of the process's processors. The training is one of a million steps, of which the first iterations are made.
"""

from __future__ import annotations

import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.envpool import EnvPoolBatch
from rl_rmsprop.seeding import seed_sequence
from rl_rmsprop.study.spec.presets import Agent, make_agent
from rl_rmsprop.study.training.batch import Batch
from tests.benchmarks.timing import Row, spread
from tests.benchmarks.training import A2C_8X16, CORES, at_once, spec

STEPS = 1_000_000
"""Environment steps of each run, if it were trained to its end; a row is logged every hundred and sixtieth of them."""


class Beside(NamedTuple):
    """A training that takes turns with its environments alone."""

    env_id: str
    agent: Agent
    runs: int  # on all cores
    iterations: int
    backend: str = "gymnasium"

    def share(self) -> float:
        """That of the environments alone, the mean of both cores."""
        return statistics.mean(at_once(measured, [(self, core) for core in range(CORES)]))


class Alone:
    """K of Gymnasium's own environments."""

    def __init__(self, env_id: str, seeds: Sequence[int], envs_per_run: int) -> None:
        self._envs = [gym.make(env_id, disable_env_checker=True) for _ in range(len(seeds) * envs_per_run)]
        self._done = [False] * len(self._envs)
        env_seeds = [int(seed_sequence(s, "env", n).generate_state(1)[0]) for s in seeds for n in range(envs_per_run)]
        self.observations: list[Any] = [env.reset(seed=seed)[0] for env, seed in zip(self._envs, env_seeds, strict=True)]

    def prepared(self, actions: NDArray) -> Sequence[Any]:
        """Actions of a step [R, N, …] as the environments take them."""
        flat = actions.reshape(len(self._envs), *actions.shape[2:])
        return flat.tolist() if flat.ndim == 1 else list(flat.astype(np.float32))

    def step(self, actions: Sequence[Any]) -> None:
        """A step of all environments; those whose episode is over are reset."""
        for i, env in enumerate(self._envs):
            if self._done[i]:
                self.observations[i], _ = env.reset()
                self._done[i] = False
            else:
                self.observations[i], _, terminated, truncated, _ = env.step(actions[i])
                self._done[i] = terminated or truncated


class PoolAlone:
    """The same in a pool of EnvPool's, in one thread."""

    def __init__(self, env_id: str, seeds: Sequence[int], envs_per_run: int) -> None:
        batch = EnvPoolBatch(env_id, seeds, envs_per_run)
        self._pool = batch._pool
        self.observations, _ = self._pool.reset()

    def prepared(self, actions: NDArray) -> NDArray:
        """Actions of a step [R, N] as the pool takes them."""
        return actions.ravel()

    def step(self, actions: NDArray) -> None:
        """A step of all environments."""
        self.observations = self._pool.step(actions)[0]


def measured(case: Beside, core: int) -> Callable[[], float]:
    """What trains and steps in turn, and returns the share of the environments alone."""
    runs, agent = case.runs // CORES, case.agent
    seeds = range(core * runs, (core + 1) * runs)
    folder = tempfile.TemporaryDirectory()
    batch = Batch(spec(case.env_id, agent, seeds, STEPS, folder.name, case.backend))
    alone: Any = (PoolAlone if case.backend == "envpool" else Alone)(case.env_id, seeds, agent.n_envs)
    taken: list[NDArray] = []  # actions since the last look
    shown: list[NDArray] = []  # the last observations
    step = batch.env.step

    def noted(actions: NDArray) -> Any:
        taken.append(actions)
        result = step(actions)
        shown[:] = [result.observations]
        return result

    batch.env.step = noted  # type: ignore[method-assign]

    def iteration() -> tuple[float, float]:
        """Seconds of training and of stepping."""
        begin = time.process_time()
        if batch.recorder.take(next(batch.training)):
            batch.recorder.progress()
        trained = time.process_time() - begin
        actions = [alone.prepared(of_step) for of_step in taken]
        taken.clear()
        begin = time.process_time()
        for of_step in actions:
            alone.step(of_step)
        return trained, time.process_time() - begin

    def share() -> float:
        iteration()  # whatever is loaded and built at first use
        training, stepping = zip(*[iteration() for _ in range(case.iterations)], strict=True)
        if not np.array_equal(np.asarray(alone.observations, np.float32).ravel(), shown[0].ravel()):
            raise RuntimeError(f"{case.env_id} alone must be in the episodes of the training, and shows other observations")
        folder.cleanup()
        return sum(stepping) / sum(training)

    return share


def cases() -> list[tuple[str, Beside, str]]:
    """Name, training, bar."""
    lander, cheetah = "LunarLander-v3", "HalfCheetah-v5"
    found = [(f"A2C, {lander}, 16 runs, {CORES} cores", Beside(lander, A2C_8X16, 16, 60), "≥ 0.85")]
    if importlib.util.find_spec("envpool") is not None:
        pooled = Beside(lander, A2C_8X16, 16, 100, "envpool")
        found.append((f"A2C, {lander}, 16 runs, {CORES} cores, --backend envpool", pooled, "≥ 0.75"))
    if importlib.util.find_spec("mujoco") is not None:
        agent = make_agent("ppo", cheetah, {})
        iterations = max(2, 8_000 // (agent.n_envs * agent.n_steps))
        found.append((f"PPO, {cheetah}, 8 runs, {CORES} cores", Beside(cheetah, agent, 8, iterations), "≥ 0.8"))
    for package, env_id in (("envpool", lander), ("mujoco", cheetah)):
        if importlib.util.find_spec(package) is None:
            print(f"without {package}, whose {env_id} is not stepped")
    return found


def rows(repeats: int) -> list[Row]:
    """A row for each case."""
    return [Row(name, spread([case.share() for _ in range(repeats)]), "×", peer(case), bar=bar) for name, case, bar in cases()]


def peer(case: Beside) -> str:
    """What the training is compared with, in words."""
    return "EnvPool alone, in the same episodes" if case.backend == "envpool" else "Gymnasium alone, in the same episodes"
