"""How an environment is brought back to the middle of an episode: by replaying the episode.

Most simulators cannot be saved, and a pickled one may come back as another (Box2D's does, without a word). But an environment
that is a function of its random numbers and its actions can be brought to the same place again:

    generator's state at the episode's start, values of its dynamics, actions → reset, step, step, … → SHA-256

The hash is over all observations of the episode. If the replay has another hash, the environment depends on something else, and
the run has to start over. During training the log only keeps references to actions and observations.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.dynamics.base import DynamicsWrapper, PerEnvDynamics
from envs.spaces import name_of

REMEDY = "it cannot be resumed in the middle of an episode, and its runs start again"
SPARE = 1024
"""Steps beyond those of the episodes under way that are kept before they are dropped."""


class NotReplayable(RuntimeError):
    """An environment cannot be brought back to the middle of an episode.

    >>> raise NotReplayable("Forgetful-v0 showed other observations when its episode was replayed")
    Traceback (most recent call last):
    envs.episode_replay.NotReplayable: Forgetful-v0 showed other observations when its episode was replayed
    """


@dataclass
class Episode:
    """The inputs of one environment since its episode began, except its actions."""

    start: dict[str, Any] = field(default_factory=dict)
    """The `seed` of its reset, or the state of its `generator` before."""
    values: dict[str, float] = field(default_factory=dict)
    """What its dynamics were set to before the reset."""
    changes: list[tuple[int, str, float]] = field(default_factory=list)
    """Later values: the episode's steps before the change, the parameter, its value."""
    first_step: int = 0
    """The batch's steps up to the reset, it included."""
    keeps_world: bool = False
    """Whether a Box2D world has outlived the reset: its solver has a memory that no observation shows."""

    @property
    def current_values(self) -> dict[str, float]:
        """What the dynamics were last set to."""
        return self.values | {name: value for _, name, value in self.changes}


class EpisodeLog:
    """Actions and observations of K environments since their episodes began."""

    def __init__(self, count: int) -> None:
        self._episodes = [Episode() for _ in range(count)]
        self._actions: list[Sequence[Any]] = []  # of the last steps, one for each environment
        self._observations: list[NDArray[np.float32]] = []  # [K, O] of all environments after them
        self._dropped = 0  # steps before those
        self._capacity = SPARE  # steps after which those that no episode needs are dropped

    @property
    def steps(self) -> int:
        """Steps of the batch so far."""
        return self._dropped + len(self._actions)

    def length(self, i: int) -> int:
        """Steps of the i-th environment's episode so far."""
        return max(0, self.steps - self._episodes[i].first_step)

    def begin(self, i: int, env: gym.Env, seed: int | None = None) -> NDArray:
        """Reset the i-th environment, within the batch's next step; returns its first observation."""
        start = {"generator": generator_state(env)} if seed is None else {"seed": seed}
        world = getattr(env.unwrapped, "world", None)
        observation, _ = env.reset(seed=seed)
        keeps_world = world is not None and world is getattr(env.unwrapped, "world", None)
        self._episodes[i] = Episode(start, self._episodes[i].current_values, [], self.steps + 1, keeps_world)
        return observation

    def before_step(self, envs: Sequence[gym.Env]) -> None:
        """Nothing of them is needed before the batch's next step."""

    def step(self, actions: Sequence[Any], observations: NDArray[np.float32]) -> None:
        """Log a step of the batch: actions of all environments, and observations after it [K, O]; neither may change later."""
        self._actions.append(actions)
        self._observations.append(observations)
        if len(self._actions) > self._capacity:
            first = min(episode.first_step for episode in self._episodes) - 1  # a reset's observation begins an episode
            self._actions, self._observations = (
                self._actions[first - self._dropped :],
                self._observations[first - self._dropped :],
            )
            self._dropped, self._capacity = first, len(self._actions) + SPARE

    def set(self, name: str, values: Sequence[float]) -> None:
        """Log what a parameter of the dynamics is set to in every environment."""
        for i, (episode, value) in enumerate(zip(self._episodes, values, strict=True)):
            episode.changes.append((self.length(i), name, value))

    def snapshot(self, envs: Sequence[gym.Env]) -> list[dict[str, Any]]:
        """Plain data of each environment's episode, for `replay_episode`; NotReplayable if that is known to fail."""
        saved = []
        for i, (env, episode) in enumerate(zip(envs, self._episodes, strict=True)):
            if episode.keeps_world:
                raise NotReplayable(f"{name_of(env)} keeps its Box2D world from episode to episode: {REMEDY}")
            start = episode.first_step - self._dropped
            saved.append(
                {
                    "start": episode.start,
                    "values": episode.values,
                    "actions": np.array([actions[i] for actions in self._actions[start:]]),
                    "sha256": digest([observations[i] for observations in self._observations[start - 1 :]]),
                    "changes": list(episode.changes),
                    "generator": generator_state(env),
                }
            )
        return saved

    def restore(
        self, envs: Sequence[gym.Env], saved: Sequence[dict[str, Any]], dynamics: Sequence[DynamicsWrapper] | None
    ) -> None:
        """Bring fresh environments to where they were at `snapshot`; NotReplayable if one shows something else on the way.

        `dynamics` sets their parameters, None if nothing shifts.
        """
        replays = [replay_episode(env, saved[i], dynamics[i] if dynamics else None) for i, env in enumerate(envs)]
        longest = max(len(observations) for observations in replays)
        self._dropped, self._capacity = 0, longest + SPARE
        self._actions = [[None] * len(saved) for _ in range(longest)]
        self._observations = list(np.zeros((longest, len(saved), replays[0].shape[1]), np.float32))
        for i, (episode, observations) in enumerate(zip(saved, replays, strict=True)):
            first = longest - len(observations) + 1
            changes = [(int(step), str(name), float(value)) for step, name, value in episode["changes"]]
            self._episodes[i] = Episode(episode["start"], dict(episode["values"]), changes, first)
            for step, action in enumerate(list_of(episode["actions"])):
                self._actions[first + step][i] = action  # type: ignore[index]
            for step, observation in enumerate(observations):
                self._observations[first - 1 + step][i] = observation


class SupportsLog(Protocol):
    """What keeps a log of changes."""

    def set(self, name: str, values: Sequence[float]) -> None:
        """Log what a parameter of the dynamics is set to in every environment."""
        ...


class LoggedDynamics(PerEnvDynamics):
    """`Dynamics` of separate environments whose changes are logged."""

    def __init__(self, envs: Sequence[gym.Env], log: SupportsLog) -> None:
        super().__init__(envs)
        self._log = log

    def set(self, name: str, values: NDArray[np.float64]) -> None:
        super().set(name, values)
        self._log.set(name, values.tolist())


def replay_episode(env: gym.Env, saved: dict[str, Any], dynamics: DynamicsWrapper | None) -> NDArray[np.float32]:
    """Bring a fresh `env` to the step at which `EpisodeLog.snapshot` was taken; returns the episode's observations [T + 1, O].

    `dynamics` sets its parameters, None if nothing shifts. NotReplayable if the observations or the generator's state differ.
    """
    for name, value in saved["values"].items():
        dynamics.set(name, value)  # type: ignore[union-attr]  # there are values only where something shifts
    observations = [np.asarray(begin_again(env, saved["start"]), np.float32)]
    changes = list(saved["changes"])
    for step, action in enumerate(list_of(saved["actions"])):
        while changes and changes[0][0] == step:
            dynamics.set(*changes.pop(0)[1:])  # type: ignore[union-attr]
        observation, *_ = env.step(action)
        observations.append(np.asarray(observation, np.float32))
    for _, name, value in changes:
        dynamics.set(name, value)  # type: ignore[union-attr]
    if digest(observations) != saved["sha256"] or str(generator_state(env)) != str(saved["generator"]):
        raise NotReplayable(f"{name_of(env)} did not repeat its episode with the same random numbers and actions: {REMEDY}")
    return np.array(observations)


def begin_again(env: gym.Env, start: dict[str, Any]) -> NDArray:
    """The first observation of an episode that begins as another one did."""
    if "seed" not in start:
        env.unwrapped.np_random = generator_of(start["generator"])
    return env.reset(seed=start.get("seed"))[0]


def digest(observations: Sequence[NDArray[np.float32]]) -> str:
    """SHA-256 of observations."""
    return hashlib.sha256(np.array(observations, np.float32).tobytes()).hexdigest()


def list_of(actions: NDArray) -> list[Any]:
    """Actions in the form that an environment takes: numbers of a Discrete space, or arrays."""
    return actions.tolist() if actions.ndim == 1 else list(actions)


def generator_state(env: gym.Env) -> dict[str, Any]:
    """The state of an environment's random numbers."""
    return dict(env.unwrapped.np_random.bit_generator.state)


def generator_of(state: dict[str, Any]) -> np.random.Generator:
    """A generator in this state."""
    bits = getattr(np.random, state["bit_generator"])()
    bits.state = state
    return np.random.Generator(bits)
