"""Running normalisation of observations and rewards, each run by what it has seen itself.

    x̂ = clip((x − μ) / √(σ² + 1e-8), ±10)                     μ, σ²: of all observations so far, sensor by sensor
    r̂ = clip(r / √(ς² + 1e-8), ±10)                           ς²: variance of the discounted return so far, R ← γR + r

Mean and variance take a batch at once by Chan, Golub and LeVeque's parallel formula (1979), from mean 0 and variance 1 that
count as 10⁻⁴ observations. This is `VecNormalize` of Stable-Baselines3, number for number. An observation counts where a step is
taken in it: the last one of an episode, after which the environment is only reset, does not; neither do the rewards and returns
of those resets. Statistics change while `Actor` acts; `apply` uses them as they are, for evaluation. What is not finite counts
nowhere, or it would be in the mean for ever, and comes out as it is.

>>> normalizer = ObservationNormalizer(runs=1, size=1)
>>> x = np.array([[[4.0], [6.0]]], np.float32)  # [R, N, O]
>>> normalizer.update(x, np.ones((1, 2), bool)).round(2).ravel()
array([-1.,  1.], dtype=float32)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.config import Settings
from rl_rmsprop.storage.snapshot import Snapshottable

INITIAL_COUNT = 1e-4
"""How many observations the initial mean 0 and variance 1 count as."""
EPS = 1e-8
CLIP = 10.0


class Moments(Snapshottable):
    """Running mean and variance of vectors in R runs: `mean` and `variance` [R, O], `count` [R], all float64."""

    STATE_ATTRIBUTES = ("mean", "variance", "count")

    def __init__(self, runs: int, size: int) -> None:
        self.mean, self.variance = np.zeros((runs, size)), np.ones((runs, size))
        self.count = np.full(runs, INITIAL_COUNT)

    def update(self, x: NDArray, counts: NDArray[np.bool_]) -> None:
        """Add those of x [R, N, O] that count [R, N] and are finite."""
        if not np.isfinite(x).all():
            finite = np.isfinite(x).all(-1)
            x, counts = np.where(finite[..., None], x, 0.0), counts & finite
        x, weight = x.astype(np.float64), counts[..., None].astype(np.float64)  # [R, N, O], [R, N, 1]
        n = counts.sum(1)[:, None]  # [R, 1]
        some = np.maximum(n, 1)
        mean = (x * weight).sum(1) / some
        variance = (np.square(x - mean[:, None]) * weight).sum(1) / some
        before, total = self.count[:, None], self.count[:, None] + n
        delta = mean - self.mean
        self.mean = self.mean + delta * n / total
        self.variance = (self.variance * before + variance * n + np.square(delta) * before * n / total) / total
        self.count = total[:, 0]

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """All statistics by name, a row a run; writing to them changes the moments."""
        return {"mean": self.mean, "variance": self.variance, "count": self.count}


class Identity(Snapshottable):
    """Returns observations and rewards as they are."""

    def update(self, x: NDArray, *_: NDArray) -> NDArray:
        return x

    def apply(self, x: NDArray) -> NDArray:
        return x

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        return {}


class ObservationNormalizer(Snapshottable):
    """Observations less their mean, over their standard deviation."""

    STATE_ATTRIBUTES = ("_moments",)

    def __init__(self, runs: int, size: int) -> None:
        self._moments = Moments(runs, size)
        self.arrays = self._moments.arrays

    def update(self, observations: NDArray[np.float32], counts: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Add those of `observations` [R, N, O] that count [R, N] to the statistics; returns all of them normalised."""
        self._moments.update(observations, counts)
        return self.apply(observations)

    def apply(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalise without changing the statistics."""
        mean, deviation = self._moments.mean[:, None], np.sqrt(self._moments.variance[:, None] + EPS)
        x = np.clip((observations - mean) / deviation, -CLIP, CLIP).astype(np.float32)
        return np.where(np.isinf(observations), observations, x)


class RewardNormalizer(Snapshottable):
    """Rewards over the standard deviation of the discounted return."""

    STATE_ATTRIBUTES = ("_moments", "_returns")

    def __init__(self, runs: int, envs_per_run: int, gamma: float) -> None:
        self._moments, self._gamma = Moments(runs, 1), gamma
        self.arrays = self._moments.arrays
        self._returns = np.zeros((runs, envs_per_run))  # [R, N]  of the current episodes

    def update(self, rewards: NDArray[np.float32], valid: NDArray[np.bool_], done: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Add the `valid` ones of `rewards` [R, N] to the statistics; returns all of them scaled. `done`: the episode ends."""
        valid = valid & np.isfinite(rewards)
        self._returns = np.where(valid, self._returns * self._gamma + rewards, self._returns)
        self._moments.update(self._returns[..., None], valid)
        self._returns[done] = 0.0
        deviation = np.sqrt(self._moments.variance + EPS)  # [R, 1]
        return np.where(np.isinf(rewards), rewards, np.clip(rewards / deviation, -CLIP, CLIP).astype(np.float32))


class Normalization(NamedTuple):
    """Of a policy's observations, before its networks see them, and of rewards, before it learns from them."""

    observations: ObservationNormalizer | Identity
    rewards: RewardNormalizer | Identity

    @property
    def is_active(self) -> bool:
        """Whether anything is normalised."""
        return any(not isinstance(part, Identity) for part in self)

    def update(self, step: tuple[NDArray, NDArray, NDArray, NDArray, NDArray]) -> tuple[NDArray, NDArray]:
        """Add a step of the environments (see envs/core.py) to the statistics; its observations and rewards, normalised."""
        observations, rewards, terminated, truncated, valid = step
        done = terminated | truncated
        return self.observations.update(observations, ~done), self.rewards.update(rewards, valid, done)

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """All statistics by name, a row a run; empty if nothing is normalised."""
        parts = {"observations": self.observations, "rewards": self.rewards}
        return {f"{part}_{name}": array for part, normalizer in parts.items() for name, array in normalizer.arrays().items()}


NO_NORMALIZATION = Normalization(Identity(), Identity())


def normalization_of(settings: Settings, runs: int, envs_per_run: int, observation_size: int) -> Normalization:
    """The normalisation that an agent's settings ask for, with no statistics yet."""
    return Normalization(
        ObservationNormalizer(runs, observation_size) if settings.normalize_observations else Identity(),
        RewardNormalizer(runs, envs_per_run, settings.gamma) if settings.normalize_rewards else Identity(),
    )
