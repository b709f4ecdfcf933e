"""What a study will take: steps, time, memory and disk, from rates that are measured here.

    t(R)      = start(R) + iterations · iteration(R) + R · episodes · length · e          a batch of R runs
    T(cores)  = Σ over phases of the time at which the last batch ends, each core taking the next one as soon as it is free

start (environments and networks made, files begun) and iteration are lines through what one run and several take here, in each
environment with the study's first arm. In trials of tuning each setting has an optimizer of its own, and is taken to cost all of
what an iteration costs apart from its runs. e, the time of a step of the final evaluation, is that of a training step, and its
episodes are as long as the environment allows: both are too much. A phase is what can be trained at once: trials, then runs, then
the controls that follow from them. Cores are taken to be as fast as one is here.
"""

from __future__ import annotations

import heapq
import math
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from agents.evaluation import MAX_EPISODE_STEPS
from rl_rmsprop.study.execution import memory_estimate
from rl_rmsprop.study.spec.batch_spec import BatchSpec
from rl_rmsprop.study.spec.study import Study
from rl_rmsprop.study.training.batch import Batch
from rl_rmsprop.study.tuning import draws, matching

MEASURED = 2.0
"""Seconds for which a rate is measured in each of two sizes; at least LEAST iterations."""
LEAST = 3
SEVERAL = 8
"""Runs in the larger of the two."""
OF_RUN, OF_WEIGHT, OF_EPISODE = 250_000, 8, 16
"""Bytes on disk: a run's curves and tables, whose rows are at most 160, a weight with what checkpoints add, an episode's row."""


class Line(NamedTuple):
    """Seconds for R runs together: a part that is always there, and one for each run."""

    fixed: float
    per_run: float

    def at(self, runs: int, fixed_parts: int = 1) -> float:
        """Seconds for so many runs, with the fixed part so many times."""
        return fixed_parts * self.fixed + runs * self.per_run


def line_through(one: float, several: float) -> Line:
    """The line through the times of one run and of SEVERAL; neither part is negative."""
    per_run = min(max((several - one) / (SEVERAL - 1), 0.0), one)
    return Line(one - per_run, per_run)


class Rate(NamedTuple):
    """How fast the runs of an environment are in one process."""

    start: Line
    """From nothing to the first iteration."""
    iteration: Line
    episode: float
    """Mean length of the first episodes, in steps."""
    longest: int
    """Steps at which an episode of the evaluation ends at the latest."""


class Work(NamedTuple):
    """A batch of runs, or of trials."""

    spec: BatchSpec
    settings: int
    """Optimizers of its own that it has: one, or as many as a trial has settings."""
    evaluates: bool
    """Whether it ends with an evaluation."""

    @property
    def runs(self) -> int:
        """Runs trained together."""
        return self.settings * len(self.spec.seeds)

    def seconds(self, rate: Rate) -> float:
        """t(R) above."""
        spec, agent = self.spec, self.spec.agent
        step = rate.iteration.per_run / (agent.n_envs * agent.n_steps)
        evaluation = self.runs * spec.options.eval_episodes * rate.longest * step if self.evaluates else 0.0
        return rate.start.at(self.runs) + spec.iterations * rate.iteration.at(self.runs, self.settings) + evaluation


class Plan(NamedTuple):
    """What a study will take on so many cores."""

    cores: int
    steps: int
    """Environment steps of all trials and runs, without evaluations."""
    seconds: float
    """T(cores)."""
    busy: float
    """Share of the cores' time in which they work."""
    longest: float
    """Seconds of the longest batch."""
    memory: int
    """Bytes that all workers need at once."""
    disk: int
    """Bytes of the study's folder."""


def predict(study: Study, rates: Mapping[str, Rate], cores: int) -> Plan:
    """What the study will take on so many cores, cut and ordered as it would be there; `rates` are by environment."""
    study = study.cut_for(cores)
    seconds = work = longest = 0.0
    steps = 0
    for works in phases(study):
        durations = [each.seconds(rates[each.spec.env_id]) for each in works]
        seconds += finished_at(durations, cores)
        work += sum(durations)
        longest = max(longest, *durations)
        steps += sum(each.spec.options.steps * each.runs for each in works)
    memory = memory_estimate.needed_memory(study, cores)
    return Plan(cores, steps, seconds, work / (seconds * cores), longest, memory, disk(study, rates))


def phases(study: Study) -> Iterator[list[Work]]:
    """What is trained before what, each in the order in which it is begun; see execution/pipeline.py."""
    alone = [arm for arm in study.arms if not arm.control_of]
    for arms in filter(None, (alone, [arm for arm in study.arms if arm.control_of])):
        if study.tune and arms is alone:
            yield [Work(trials.spec, len(trials.settings), False) for trials in draws.batches(study, arms)]
        for number in range(matching.ROUNDS if study.match_update_rms else 0):
            going = [arm for arm in arms if number == 0 or arm.text != study.match_update_rms]
            pilots = [study.batch(env_id, arm, study.tune_seeds) for env_id in study.env_ids for arm in going]
            yield [Work(spec, 1, False) for spec in pilots]
        yield [Work(spec, 1, True) for spec in study.batches(arms)]


def finished_at(durations: Sequence[float], cores: int) -> float:
    """When the last of some batches ends, if each core takes the next one as soon as it is free.

    >>> finished_at([3.0, 1.0, 1.0, 1.0], cores=2), finished_at([1.0, 1.0, 3.0], cores=2)
    (3.0, 4.0)
    """
    free = [0.0] * max(1, min(cores, len(durations)))
    for duration in durations:
        heapq.heapreplace(free, free[0] + duration)
    return max(free)


def disk(study: Study, rates: Mapping[str, Rate]) -> int:
    """About how many bytes the study's folder will have."""
    bytes_of_run = 0.0
    for env_id in study.env_ids:
        weights, episodes = memory_estimate.sizes_in(study, env_id).weights, study.options.steps / rates[env_id].episode
        bytes_of_run += OF_RUN + OF_WEIGHT * weights + OF_EPISODE * episodes
    return int(len(study.arms) * len(study.seeds) * bytes_of_run)


# Measured -------------------------------------------------------------------------------------------------------------------


def measure(study: Study, env_id: str, seconds: float = MEASURED) -> Rate:
    """The rate in one of the study's environments, with its first arm; writes in a folder that is then removed."""
    torch.set_num_threads(1)
    measured(study, env_id, 1, 0.0)  # whatever is loaded and built at first use
    one, several = (measured(study, env_id, runs, seconds) for runs in (1, SEVERAL))
    start, iteration = line_through(one.start, several.start), line_through(one.iteration, several.iteration)
    return Rate(start, iteration, several.episode, several.longest)


class Measured(NamedTuple):
    """What a few iterations took."""

    start: float
    iteration: float
    episode: float
    longest: int


def measured(study: Study, env_id: str, runs: int, seconds: float) -> Measured:
    """So many runs trained for so many seconds, and the first iteration, which does not count."""
    arm = next(arm for arm in study.arms if not arm.control_of)
    with tempfile.TemporaryDirectory() as folder:
        spec = replace(study, folder=Path(folder), seeds=tuple(range(runs))).batch(env_id, arm, tuple(range(runs)))
        begin = time.perf_counter()
        batch = Batch(spec)
        start = time.perf_counter() - begin
        lengths: list[int] = []
        begin, iterations = math.nan, -1
        for update in batch.training:
            batch.recorder.take(update)
            lengths += update.episodes.length.tolist()
            iterations += 1
            if not iterations:
                begin = time.perf_counter()
            if iterations >= LEAST and time.perf_counter() - begin > seconds:
                break
        took = (time.perf_counter() - begin) / max(iterations, 1)
        longest = batch.env.max_episode_steps or MAX_EPISODE_STEPS
        batch.recorder.close()
        batch.env.close()
    return Measured(start, took, sum(lengths) / len(lengths) if lengths else float(longest), longest)
