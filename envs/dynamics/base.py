"""Setting the dynamics of environments: one wrapper an environment, or many environments at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.dynamics.parameter import Parameter


class Dynamics(Protocol):
    """K environments whose dynamics can be set, one value each."""

    def get(self, name: str) -> NDArray[np.float64]:
        """The values in force [K]."""
        ...

    def set(self, name: str, values: NDArray[np.float64]) -> None:
        """Put `values` [K] into force from the next step on."""
        ...


class DynamicsWrapper(gym.Wrapper, gym.utils.RecordConstructorArgs):
    """One environment whose dynamics can be set. The base class is for an environment that has no parameters."""

    def __init__(self, env: gym.Env) -> None:
        gym.utils.RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)

    def get(self, name: str) -> float:
        """The value in force, or the one that takes effect with the next step."""
        raise AttributeError(f"{self.env} has no dynamics called {name!r}")

    def set(self, name: str, value: float) -> None:
        """Put `value` into force from the next step on."""
        raise AttributeError(f"{self.env} has no dynamics called {name!r}")


class AttributeDynamics(DynamicsWrapper):
    """One environment whose parameters are plain attributes, read at every step."""

    def get(self, name: str) -> float:
        return float(getattr(self.env.unwrapped, name))

    def set(self, name: str, value: float) -> None:
        setattr(self.env.unwrapped, name, value)


class Family(NamedTuple):
    """Environments with the same equations of motion."""

    classes: tuple[str, ...]
    """Names of Gymnasium's classes."""
    env_ids: tuple[str, ...]
    """Gymnasium ids that have a shifted twin `Shifted/<id>`."""
    parameters: tuple[Parameter, ...]
    """What can shift in the dynamics."""
    wrapper: type[DynamicsWrapper]
    """What sets it in one environment."""


def layers(env: gym.Env) -> Iterator[gym.Env]:
    """The environment and all that it wraps, from the outermost."""
    while isinstance(env, gym.Wrapper):
        yield env
        env = env.env
    yield env


class PerEnvDynamics:
    """`Dynamics` of separate environments, each from `with_dynamics`."""

    def __init__(self, envs: Sequence[gym.Env]) -> None:
        self._envs = [next(layer for layer in layers(env) if isinstance(layer, DynamicsWrapper)) for env in envs]

    def of(self, i: int) -> DynamicsWrapper:
        """What sets the dynamics of the i-th environment alone."""
        return self._envs[i]

    def get(self, name: str) -> NDArray[np.float64]:
        return np.array([env.get(name) for env in self._envs])

    def set(self, name: str, values: NDArray[np.float64]) -> None:
        for env, value in zip(self._envs, values.tolist(), strict=True):
            env.set(name, value)
