"""R runs × N environments stepped together, seen by the agent as arrays with the leading axes [R, N].

Every environment batch obeys one small contract (`EnvBatch`): `reset()` starts all episodes, `step(actions)` moves
each environment by one call. Autoreset is Gymnasium's *next-step* mode: the call after an episode's end only resets that
environment; its action is ignored, its reward is 0, and `Step.valid` is False there, so that learners can mask it and
counters can leave it out. Terminated (the state has no future) and truncated (a time limit ended the episode) stay apart.

Randomness: environment n of the run with seed s draws from its own stream, keyed by (s, "env", n) or, where a whole run
shares one generator, by (s, "env"). No stream depends on which other runs are in the batch.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeGuard

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.dynamics.base import Dynamics
from envs.parameters import is_float_box


class Step(NamedTuple):
    """The result of one call of `EnvBatch.step`.

    >>> import envs
    >>> batch = envs.make("CartPole-v1", seeds=(0, 1), envs_per_run=3)
    >>> observations = batch.reset()
    >>> {name: array.shape for name, array in batch.step(np.zeros((2, 3), np.int64))._asdict().items()}
    {'observations': (2, 3, 4), 'rewards': (2, 3), 'terminated': (2, 3), 'truncated': (2, 3), 'valid': (2, 3)}
    """

    observations: NDArray[np.float32]  # [R, N, O]
    rewards: NDArray[np.float32]  # [R, N]
    terminated: NDArray[np.bool_]  # [R, N]
    truncated: NDArray[np.bool_]  # [R, N]
    valid: NDArray[np.bool_]  # [R, N]  False where this call only reset the environment


class EnvBatch(Protocol):
    """R × N environments of one kind.

    >>> import envs
    >>> batch: EnvBatch = envs.make("CartPole-v1", seeds=(0, 1), envs_per_run=3)
    >>> batch.runs, batch.envs_per_run, batch.max_episode_steps
    (2, 3, 500)
    """

    runs: int
    envs_per_run: int
    observation_space: gym.spaces.Box  # of one environment, flat: shape (O,)
    action_space: gym.spaces.Discrete | gym.spaces.Box  # of one environment; a Box is flat: shape (A,)
    max_episode_steps: int | None  # steps after which an episode is truncated, None if never

    def reset(self) -> NDArray[np.float32]:
        """Start a new episode everywhere; returns the observations [R, N, O]."""
        ...

    def step(self, actions: NDArray) -> Step:
        """Apply actions, [R, N] from 0 of a Discrete space or [R, N, A] within a Box; see `Step`."""
        ...

    def truncate(self, which: NDArray[np.bool_]) -> None:
        """End the episodes of some environments [R, N]: their next call only resets them."""
        ...

    def dynamics(self) -> Dynamics:
        """What sets the equations of motion of the R · N environments, in the order of run and environment."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """The state of all environments, as plain data."""
        ...

    def restore(self, saved: dict[str, Any]) -> None:
        """Bring fresh environments to the state of a snapshot; NotReplayable where that cannot be done."""
        ...

    def close(self) -> None:
        """Free the environments."""
        ...


def check_spaces(env: gym.Env[Any, Any]) -> tuple[gym.spaces.Box, gym.spaces.Discrete | gym.spaces.Box]:
    """The two spaces of `env` if the agents here can learn in it; ValueError that says what they need otherwise.

    >>> check_spaces(gym.make("CartPole-v1"))[1]
    Discrete(2)
    >>> check_spaces(gym.make("FrozenLake-v1"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: observation space must be a flat Box, FrozenLake-v1 has Discrete(16): wrap it with ...FlattenObservation
    """
    name = env.spec.id if env.spec else type(env.unwrapped).__name__
    observation, action = env.observation_space, env.action_space
    if not isinstance(observation, gym.spaces.Box) or len(observation.shape) != 1:
        raise ValueError(
            f"observation space must be a flat Box, {name} has {observation}: wrap it with gymnasium.wrappers.FlattenObservation"
        )
    if observation.shape == (0,):
        raise ValueError(f"observation space must have at least one number, {name} has {observation}: an agent would act blindly")
    if isinstance(action, gym.spaces.Discrete) or is_flat_box(action):
        return observation, action
    raise ValueError(
        f"action space must be Discrete or a flat Box of floats, {name} has {action}: choose an environment with such actions, "
        "or wrap it with gymnasium.wrappers.TransformAction"
    )


def is_flat_box(space: gym.Space) -> TypeGuard[gym.spaces.Box]:
    """Whether a space is one vector of real numbers, not an empty one."""
    return is_float_box(space) and len(space.shape or ()) == 1 and space.shape != (0,)
