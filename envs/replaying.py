"""How an environment is brought back to the middle of an episode: by living through it again.

Most simulators cannot be saved, and a pickled one may come back as another (Box2D's does, without a word). But an environment
that is a function of its random numbers and its actions can be made again from those:

    generator's state at the episode's start, values of its dynamics, actions → reset, step, step, … → checksum

The checksum is over every observation on the way. If it is another one the second time, the environment depends on something
else, and whoever wanted to go on must begin anew.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.physics import Each

REMEDY = "it cannot be taken up in the middle of an episode, and its runs begin anew"


class NotReplayable(RuntimeError):
    """An environment does not do the same again."""


class Episode:
    """What one environment has been given since its episode began."""

    __slots__ = ("actions", "changes", "checksum", "keeps_world", "start", "values")

    def __init__(self, start: dict[str, Any], values: dict[str, float]) -> None:
        """`start` is the `seed` that it is reset with, or the state of its `generator` before; `values` those set before."""
        self.start, self.values = start, values
        self.actions: list[Any] = []
        self.changes: list[tuple[int, str, float]] = []  # actions before it, what was set, to what
        self.checksum = 0
        self.keeps_world = False
        """Whether a Box2D world has outlived the reset: its solver remembers what was before, and nothing shows it."""

    def see(self, observation: NDArray) -> None:
        """Take note of what the environment showed."""
        self.checksum = zlib.crc32(observation.data, self.checksum)

    def set(self, name: str, value: float) -> None:
        """Take note of a change of the dynamics."""
        self.changes.append((len(self.actions), name, value))

    @property
    def values_now(self) -> dict[str, float]:
        """What the dynamics were last set to."""
        return self.values | {name: value for _, name, value in self.changes}

    def snapshot(self, env: gym.Env) -> dict[str, Any]:
        """Plain data, from which `live` brings an environment like `env` to where that is; NotReplayable if nothing can."""
        if self.keeps_world:
            raise NotReplayable(f"{name_of(env)} keeps its Box2D world from episode to episode: {REMEDY}")
        return {
            "start": self.start,
            "values": self.values,
            "actions": np.array(self.actions),
            "changes": list(self.changes),
            "checksum": self.checksum,
            "generator": generator_state(env),
        }


class Noted(Each):
    """`Dynamics` of separate environments whose episodes take note of what is set."""

    def __init__(self, envs: Sequence[gym.Env], episodes: list[Episode]) -> None:
        super().__init__(envs)
        self._episodes = episodes

    def set(self, name: str, values: NDArray[np.float64]) -> None:
        super().set(name, values)
        for episode, value in zip(self._episodes, values.tolist(), strict=True):
            episode.set(name, value)


def begin(env: gym.Env, seed: int | None, before: Episode | None) -> tuple[NDArray, Episode]:
    """Reset an environment, whose last episode was `before`: the first observation and the new episode."""
    start = {"generator": generator_state(env)} if seed is None else {"seed": seed}
    episode = Episode(start, before.values_now if before else {})
    world = getattr(env.unwrapped, "world", None)
    observation, _ = env.reset(seed=seed)
    episode.keeps_world = world is not None and world is getattr(env.unwrapped, "world", None)
    return observation, episode


def live(env: gym.Env, saved: dict[str, Any], dynamics: Any, observe: Any) -> Episode:
    """Bring a fresh `env` to where another one was; `observe(observation)` gets all it shows and returns them as they count.

    `dynamics` sets its values; None if nothing shifts. NotReplayable if it shows anything else than the other one did.
    """
    episode = Episode(saved["start"], saved["values"])
    for name, value in saved["values"].items():
        dynamics.set(name, value)
    if "seed" in saved["start"]:
        observation, _ = env.reset(seed=saved["start"]["seed"])
    else:
        env.unwrapped.np_random = generator_of(saved["start"]["generator"])
        observation, _ = env.reset()
    episode.see(observe(observation))
    changes = [*(tuple(change) for change in saved["changes"])]
    discrete = isinstance(env.action_space, gym.spaces.Discrete)
    for action in saved["actions"].tolist() if discrete else list(saved["actions"]):
        impose(changes, episode, dynamics)
        observation, *_ = env.step(action)
        episode.actions.append(action)
        episode.see(observe(observation))
    impose(changes, episode, dynamics)
    if episode.checksum != saved["checksum"] or str(generator_state(env)) != str(saved["generator"]):
        raise NotReplayable(f"{name_of(env)} did not do the same again with the same random numbers and actions: {REMEDY}")
    return episode


def impose(changes: list[tuple[int, str, float]], episode: Episode, dynamics: Any) -> None:
    """Make those changes that came before the episode's next action."""
    while changes and changes[0][0] == len(episode.actions):
        _, name, value = changes.pop(0)
        dynamics.set(name, value)
        episode.set(name, value)


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
