"""How an environment is brought back to the middle of an episode: by living through it again.

Most simulators cannot be saved, and a pickled one may come back as another (Box2D's does, without a word). But an environment
that is a function of its random numbers and its actions can be made again from those:

    generator's state at the episode's start, values of its dynamics, actions → reset, step, step, … → SHA-256

The hash is over every observation on the way. If it is another one the second time, the environment depends on something else,
and whoever wanted to go on must begin anew. While all goes well the diary keeps references to what passes by, and no more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.dynamics.base import DynamicsWrapper, PerEnvDynamics

REMEDY = "it cannot be taken up in the middle of an episode, and its runs begin anew"
SPARE = 1024
"""Steps that are kept beyond need before they are cut off."""


class NotReplayable(RuntimeError):
    """An environment does not do the same again."""


@dataclass
class Episode:
    """What one environment has been given since its episode began, but for its actions."""

    start: dict[str, Any] = field(default_factory=dict)
    """The `seed` that it was reset with, or the state of its `generator` before."""
    values: dict[str, float] = field(default_factory=dict)
    """What its dynamics had been set to before."""
    changes: list[tuple[int, str, float]] = field(default_factory=list)
    """Steps of the episode before it, what was set, to what."""
    begun: int = 0
    """Steps that the batch had made before."""
    keeps_world: bool = False
    """Whether a Box2D world has outlived the reset: its solver remembers what was before, and nothing shows it."""

    @property
    def values_now(self) -> dict[str, float]:
        """What the dynamics were last set to."""
        return self.values | {name: value for _, name, value in self.changes}


class EpisodeLog:
    """What K environments have been given since their episodes began, and what they showed."""

    def __init__(self, count: int) -> None:
        self._episodes = [Episode() for _ in range(count)]
        self._sent: list[Sequence[Any]] = []  # actions of the last steps, an action for each environment
        self._seen: list[NDArray[np.float32]] = []  # [K, O] what all environments showed after them
        self._cut = 0  # steps before those
        self._room = SPARE  # steps after which those that no episode needs are cut off

    @property
    def steps(self) -> int:
        """Steps of the batch so far."""
        return self._cut + len(self._sent)

    def begin(self, i: int, env: gym.Env, seed: int | None = None) -> NDArray:
        """Reset the i-th environment, within the batch's next step; returns its first observation."""
        start = {"generator": generator_state(env)} if seed is None else {"seed": seed}
        world = getattr(env.unwrapped, "world", None)
        observation, _ = env.reset(seed=seed)
        kept = world is not None and world is getattr(env.unwrapped, "world", None)
        self._episodes[i] = Episode(start, self._episodes[i].values_now, [], self.steps + 1, kept)
        return observation

    def step(self, sent: Sequence[Any], seen: NDArray[np.float32]) -> None:
        """A step of the batch: actions that it was given, and what all environments show after it [K, O]; neither may change."""
        self._sent.append(sent)
        self._seen.append(seen)
        if len(self._sent) > self._room:
            first = min(episode.begun for episode in self._episodes) - 1  # an episode's first observation is that of its reset
            self._sent, self._seen = self._sent[first - self._cut :], self._seen[first - self._cut :]
            self._cut, self._room = first, len(self._sent) + SPARE

    def set(self, name: str, values: Sequence[float]) -> None:
        """What the dynamics are set to, in every environment."""
        for episode, value in zip(self._episodes, values, strict=True):
            episode.changes.append((max(0, self.steps - episode.begun), name, value))

    def snapshot(self, envs: Sequence[gym.Env]) -> list[dict[str, Any]]:
        """Plain data of each environment, from which `live` brings another there; NotReplayable if that is known to fail."""
        saved = []
        for i, (env, episode) in enumerate(zip(envs, self._episodes, strict=True)):
            if episode.keeps_world:
                raise NotReplayable(f"{name_of(env)} keeps its Box2D world from episode to episode: {REMEDY}")
            saved.append(
                {
                    "start": episode.start,
                    "values": episode.values,
                    "actions": np.array([sent[i] for sent in self._sent[episode.begun - self._cut :]]),
                    "sha256": digest([seen[i] for seen in self._seen[episode.begun - 1 - self._cut :]]),
                    "changes": list(episode.changes),
                    "generator": generator_state(env),
                }
            )
        return saved

    def restore(self, saved: Sequence[dict[str, Any]], lives: Sequence[NDArray[np.float32]]) -> None:
        """Go on from `snapshot`, with environments that have lived through it again and seen `lives`, [T + 1, O] each."""
        longest = max(len(life) for life in lives)
        self._cut, self._room = 0, longest + SPARE
        self._sent = [[None] * len(saved) for _ in range(longest)]
        self._seen = list(np.zeros((longest, len(saved), lives[0].shape[1]), np.float32))
        for i, (was, life) in enumerate(zip(saved, lives, strict=True)):
            begun = longest - len(life) + 1
            changes = [(int(step), str(name), float(value)) for step, name, value in was["changes"]]
            self._episodes[i] = Episode(was["start"], dict(was["values"]), changes, begun)
            for step, action in enumerate(list_of(was["actions"])):
                self._sent[begun + step][i] = action  # type: ignore[index]
            for step, observation in enumerate(life):
                self._seen[begun - 1 + step][i] = observation


class LoggedDynamics(PerEnvDynamics):
    """`Dynamics` of separate environments that are noted in a diary."""

    def __init__(self, envs: Sequence[gym.Env], diary: EpisodeLog) -> None:
        super().__init__(envs)
        self._diary = diary

    def set(self, name: str, values: NDArray[np.float64]) -> None:
        super().set(name, values)
        self._diary.set(name, values.tolist())


def live(env: gym.Env, saved: dict[str, Any], physics: DynamicsWrapper | None) -> NDArray[np.float32]:
    """Bring a fresh `env` to where another one was; returns all that it showed [T + 1, O].

    `physics` sets its values, None if nothing shifts. NotReplayable if it shows anything else than the other one did.
    """
    for name, value in saved["values"].items():
        physics.set(name, value)  # type: ignore[union-attr]  # a value that was set came from there
    if "seed" in saved["start"]:
        observation, _ = env.reset(seed=saved["start"]["seed"])
    else:
        env.unwrapped.np_random = generator_of(saved["start"]["generator"])
        observation, _ = env.reset()
    seen = [np.asarray(observation, np.float32)]
    changes = list(saved["changes"])
    for step, action in enumerate(list_of(saved["actions"])):
        while changes and changes[0][0] == step:
            physics.set(*changes.pop(0)[1:])  # type: ignore[union-attr]
        observation, *_ = env.step(action)
        seen.append(np.asarray(observation, np.float32))
    for _, name, value in changes:
        physics.set(name, value)  # type: ignore[union-attr]
    if digest(seen) != saved["sha256"] or str(generator_state(env)) != str(saved["generator"]):
        raise NotReplayable(f"{name_of(env)} did not do the same again with the same random numbers and actions: {REMEDY}")
    return np.array(seen)


def digest(seen: Sequence[NDArray[np.float32]]) -> str:
    """SHA-256 of observations."""
    return hashlib.sha256(np.array(seen, np.float32).tobytes()).hexdigest()


def list_of(actions: NDArray) -> list[Any]:
    """Actions as an environment gets them: numbers of a Discrete space, or arrays."""
    return actions.tolist() if actions.ndim == 1 else list(actions)


def name_of(env: gym.Env) -> str:
    """What a message calls the environment."""
    return env.spec.id if env.spec else type(env.unwrapped).__name__


def generator_state(env: gym.Env) -> dict[str, Any]:
    """The state of an environment's random numbers."""
    return dict(env.unwrapped.np_random.bit_generator.state)


def generator_of(state: dict[str, Any]) -> np.random.Generator:
    """A generator in this state."""
    bits = getattr(np.random, state["bit_generator"])()
    bits.state = state
    return np.random.Generator(bits)
