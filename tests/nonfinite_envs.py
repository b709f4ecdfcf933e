"""Gymnasium environments that return numbers which are not finite, at chosen steps of chosen runs.

A process that trains `tests.nonfinite_envs:Sick-v0` finds it by that name: Gymnasium imports this module.
"""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np

from rl_rmsprop.seeding import seed_sequence

SICK_SEED = 3
"""The run that is ill in the registered environment, from step 300 of its first environment on."""

Plan = dict[int, tuple[int | str, float]]
"""Step of one environment, from 1 → what is not finite then (a sensor's place, or "reward"), and its value."""


class Sick(gym.Env[np.ndarray, Any]):
    """A walk of three sensors, towards where it is pushed; `plans` has a plan for the runs of some seeds, in environment 0.

    In all runs the reward of a step is NaN with the probability `rate`. A plan counts all steps that were made, so that an
    environment with one cannot be taken up in the middle; one with a rate can.
    """

    observation_space = gym.spaces.Box(-np.inf, np.inf, (3,), np.float32)

    def __init__(self, plans: dict[int, Plan], continuous: bool = False, rate: float = 0.0) -> None:
        self.action_space = gym.spaces.Box(-1, 1, (2,), np.float32) if continuous else gym.spaces.Discrete(2)
        self._by_seed = {int(seed_sequence(s, "env", 0).generate_state(1)[0]): plan for s, plan in plans.items()}
        self._plan: Plan = {}
        self._rate = rate
        self._made = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self._plan = self._by_seed.get(seed, {})
        self._x = self.np_random.normal(size=3).astype(np.float32)
        return self._x.copy(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        assert np.isfinite(action).all()
        self._made += 1
        self._x += (0.2 * np.resize(action, 3) - 0.1 + 0.1 * self.np_random.normal(size=3)).astype(np.float32)
        x, reward = self._x.copy(), float(1 - abs(self._x[0]))
        what, value = self._plan.get(self._made, self._plan.get(0, ("", 0.0)))  # 0: always
        if self._rate and self.np_random.random() < self._rate:
            reward = math.nan
        if what == "reward":
            reward = value
        elif what != "":
            x[what] = value
        return x, reward, bool(abs(self._x[0]) > 2), False, {}


gym.register(
    "Sick-v0",
    entry_point="tests.nonfinite_envs:Sick",
    max_episode_steps=40,
    kwargs={"plans": {SICK_SEED: {**{step: ("reward", math.nan) for step in range(300, 2000)}}}},
)
