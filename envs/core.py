"""R runs × N environments stepped together, seen by the agent as arrays with the leading axes [R, N].

Every environment batch obeys one small contract (`EnvBatch`): `reset()` starts all episodes, `step(actions)` moves
each environment by one call. Autoreset is Gymnasium's *next-step* mode: the call after an episode's end only resets that
environment; its action is ignored, its reward is 0, and `Step.valid` is False there, so that learners can mask it and
counters can leave it out. Terminated (the state has no future) and truncated (a time limit ended the episode) stay apart.

Randomness: environment n of the run with seed s draws from its own stream, keyed by (s, "env", n) or, where a whole run
shares one generator, by (s, "env"). No stream depends on which other runs are in the batch.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.dynamics.base import Dynamics
from envs.spaces import ActionSpace


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
    observation_space: gym.spaces.Box  # of one environment, a vector: shape (O,)
    action_space: ActionSpace  # of one environment; a Box is a vector: shape (A,)
    max_episode_steps: int | None  # steps after which an episode is truncated, None if never

    def reset(self) -> NDArray[np.float32]:
        """Start a new episode everywhere; returns the observations [R, N, O]."""
        ...

    def step(self, actions: NDArray) -> Step:
        """Apply actions: [R, N] from 0 of a Discrete space, [R, N, A] within a Box, or from 0 of the A choices of a
        MultiDiscrete or MultiBinary space, in the order of its axes; see `Step`.
        """
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
