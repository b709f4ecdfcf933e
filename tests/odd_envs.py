"""Environments as people write them, each odd in one way; importing this module registers them as Odd/NAME-v0.

All are `Plain` but for one value that a reset or a step returns.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

LENGTH = 5
"""Steps of an episode."""


class Plain(gym.Env[Any, Any]):
    """Guess the sign of the first of three numbers; five steps an episode."""

    observation_space: gym.Space = gym.spaces.Box(-1, 1, (3,), np.float32)
    action_space: gym.Space = gym.spaces.Discrete(2)

    def draw(self) -> Any:
        self.numbers = self.np_random.uniform(-1, 1, 3).astype(np.float32)
        return self.numbers.copy()

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return self.draw(), {}

    def step(self, action: Any) -> Any:
        reward = float((self.numbers[0] > 0) == action)
        self.steps += 1
        return self.draw(), reward, self.steps >= LENGTH, False, {}


class Other(Plain):
    """A second environment of this module."""


class Changed(Plain):
    """Changes a value of its steps: `position` in the tuple, `change` of the value.

    It does so from its step number `first_step` on, counted over all episodes, and only if its seed is `seed`, if one is given.
    """

    def __init__(self, position: int, change: Any, first_step: int = 1, seed: int | None = None) -> None:
        self.position, self.change, self.first_step, self.seed = position, change, first_step, seed
        self.all_steps = 0

    def step(self, action: Any) -> Any:
        result = list(super().step(action))
        self.all_steps += 1
        if self.all_steps >= self.first_step and self.seed in (None, self.np_random_seed):
            result[self.position] = self.change(result[self.position])
        return tuple(result)


def raising(error: BaseException) -> Any:
    """A change that raises an error."""

    def change(value: Any) -> Any:
        raise error

    return change


class FourValues(Plain):
    """The API of the old gym."""

    def step(self, action: Any) -> Any:
        observation, reward, terminated, _, info = super().step(action)
        return observation, reward, terminated, info


class GrowsAtReset(Plain):
    """Has another sensor from the second episode on."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        observation, info = super().reset(seed=seed)
        return (observation, info) if seed is not None else (np.zeros(4, np.float32), info)


class ObservationAlone(Plain):
    """A reset of the old gym."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(seed=seed)[0]


class Nothing(Plain):
    """Observations of no numbers."""

    observation_space = gym.spaces.Box(-1, 1, (0,), np.float32)


class NoLimit(CartPoleEnv):
    """A cart without a time limit, whose pole never falls to the right."""

    def step(self, action: Any) -> Any:
        observation, reward, _, _, info = super().step(action)
        return observation, reward, bool(observation[2] < -0.2), False, info


WRONG: dict[str, tuple[int, Any, str]] = {
    "RewardNone": (1, lambda _: None, "reward must be one number, got None"),
    "RewardText": (1, str, "reward must be one number, got '"),
    "RewardTwo": (1, lambda r: np.array([r, r]), "reward must be one number, got ndarray of shape (2,)"),
    "RewardEmpty": (1, lambda _: [], "reward must be one number, got 0 values"),
    "RewardComplex": (1, complex, "reward must be one number, got "),
    "TerminatedNone": (2, lambda _: None, "terminated must be True or False, got None"),
    "TerminatedText": (2, str, "terminated must be True or False, got 'False'"),
    "TerminatedTwo": (2, lambda t: np.array([t, t]), "terminated must be True or False, got ndarray of shape (2,)"),
    "TruncatedInfo": (3, lambda _: {}, "truncated must be True or False, got {}"),
    "ObservationTable": (0, lambda x: {"x": x}, "observation must be an array of real numbers, got {"),
    "ObservationText": (0, lambda x: list(map(str, x)), "observation must be an array of real numbers, got 3 values"),
    "ObservationJagged": (0, lambda x: [x, x[0]], "observation must be an array of real numbers, got 2 values"),
    "Error": (4, raising(ZeroDivisionError("division by zero")), "ZeroDivisionError: division by zero"),
    "Exit": (4, raising(SystemExit("no licence")), "SystemExit: no licence"),
    "ObservationLong": (0, lambda x: np.append(x, 0), "observation must have its space's shape (3,), got (4,)"),
    "ObservationMatrix": (0, lambda x: x[None], "observation must have its space's shape (3,), got (1, 3)"),
}
"""Name → position in the result of a step, the value there, and what the refusal must say."""
TAKEN: dict[str, tuple[int, Any]] = {
    "RewardArray": (1, lambda r: np.array([r])),
    "RewardScalarArray": (1, np.array),
    "RewardList": (1, lambda r: [r]),
    "RewardTensor": (1, lambda r: torch.tensor([r], requires_grad=True)),
    "RewardInt": (1, int),
    "RewardHalf": (1, np.float16),
    "TerminatedNumPy": (2, np.bool_),
    "TerminatedArray": (2, lambda t: np.array([t])),
    "TerminatedList": (2, lambda t: [t]),
    "TerminatedTensor": (2, lambda t: torch.tensor(t)),
    "TerminatedInt": (2, int),
    "TruncatedArray": (3, lambda t: np.array([[t]])),
    "TruncatedList": (3, lambda t: [np.bool_(t)]),
    "RewardFloat": (1, float),
    "ObservationList": (0, list),
    "ObservationFloats": (0, lambda x: x.tolist()),
    "ObservationTensor": (0, torch.from_numpy),
    "ObservationDouble": (0, lambda x: x.astype(float)),
}
"""The same for values that count as the plain one, as in Stable-Baselines3."""


def register() -> None:
    """Register all of them."""
    for kind in (Plain, Other, FourValues, GrowsAtReset, ObservationAlone, Nothing, NoLimit):
        gym.register(f"Odd/{kind.__name__}-v0", entry_point=kind)
    for name, (position, change, *_) in {**WRONG, **TAKEN}.items():
        gym.register(f"Odd/{name}-v0", entry_point=Changed, kwargs={"position": position, "change": change})


if "Odd/Plain-v0" not in gym.registry:
    register()
