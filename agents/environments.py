"""What agents need of a batch of environments; envs/core.py says what each member means."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Environments(Protocol):
    """R runs × N environments stepped together."""

    runs: int
    envs_per_run: int

    @property
    def observation_space(self) -> Any:
        """Of one environment; its `shape` is (O,)."""
        ...

    @property
    def action_space(self) -> Any:
        """Of one environment; see `agents.distributions.for_space`."""
        ...

    def reset(self) -> NDArray[np.float32]:
        """First observations [R, N, O]."""
        ...

    def step(self, actions: NDArray) -> Any:
        """Observations, rewards, terminated, truncated, valid."""
        ...
