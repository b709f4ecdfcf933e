"""Environments with observations and actions of any space; importing this module registers those with several choices at once."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

LENGTH = 7
"""Steps of an episode."""


class Samples(gym.Env[Any, Any]):
    """Observations are samples of a space, drawn from the episode's generator; the reward says which action arrived."""

    def __init__(self, observation: gym.Space, action: gym.Space) -> None:
        self.observation_space, self.action_space = copy.deepcopy(observation), copy.deepcopy(action)
        self.observed: list[Any] = []
        self.actions: list[Any] = []

    def draw(self) -> Any:
        self.observation_space.seed(int(self.np_random.integers(2**31)))
        self.observed.append(self.observation_space.sample())
        return self.observed[-1]

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return self.draw(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), (action, self.action_space)
        self.actions.append(action)
        self.steps += 1
        weights = np.arange(1, np.size(action) + 1)
        return self.draw(), float(np.ravel(action) @ weights), self.steps >= LENGTH, False, {}


VECTOR = Box(-1, 1, (3,), np.float32)
BUTTONS = MultiDiscrete([2, 3, 1], dtype=np.int32, start=[0, -1, 5])
SWITCHES = MultiBinary((2, 2))
MIXED = Dict(place=Discrete(3, start=2), board=Box(0, 4, (2, 2), np.int8), arms=Tuple((MultiDiscrete([2, 3]), MultiBinary(2))))
for name, observation, action in (
    ("Buttons", VECTOR, BUTTONS), ("Switches", MIXED, SWITCHES), ("Mixed", MIXED, Discrete(2)),
):  # fmt: skip
    if f"Spaces/{name}-v0" not in gym.registry:
        gym.register(f"Spaces/{name}-v0", entry_point=Samples, kwargs={"observation": observation, "action": action})
