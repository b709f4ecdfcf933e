"""How MuJoCo's environments are brought back to the middle of an episode: by their state before the last step, and that step.

MuJoCo can save all that its next steps depend on (`mjSTATE_INTEGRATION`), but not what Gymnasium's environments read besides
(places of bodies and contact forces, which are those of the last step). Both are there again when that step is taken once more:

    state before the last step, values of the dynamics in it, its action → mj_setState, step → SHA-256 of the observation

which takes one step, where the replay of envs/episode_replay.py takes all of the episode.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit
from numpy.typing import NDArray

from envs.dynamics.base import DynamicsWrapper, layers
from envs.episode_replay import REMEDY, NotReplayable, begin_again, digest, generator_of, generator_state, list_of
from envs.spaces import name_of

KNOWN = (TimeLimit, OrderEnforcing, PassiveEnvChecker, DynamicsWrapper)
"""Wrappers whose memory is known: the time limit's count of steps."""
MODULE = "gymnasium.envs.mujoco."
LOGGER = logging.getLogger("mujoco")
OPENGL = (
    "MuJoCo draws with OpenGL; where there is no screen, install EGL or OSMesa (Debian: libegl1, libosmesa6) and set "
    "MUJOCO_GL=egl or MUJOCO_GL=osmesa, or leave it unset to train without pictures"
)
"""What to do where it cannot."""
OF_DATA = 500_000
"""Bytes of an environment of MuJoCo's beside its model."""


def is_mujoco(env: gym.Env) -> bool:
    """Whether this is one of Gymnasium's own MuJoCo environments, in wrappers whose memory is known."""
    *wrappers, inner = layers(env)
    return type(inner).__module__.startswith(MODULE) and all(isinstance(layer, KNOWN) for layer in wrappers)


def model_memory(env: gym.Env) -> int:
    """About how many bytes of an environment are MuJoCo's: 0 without a model, else the model, its data, and what belongs to them.

    Of Gymnasium's eleven robots it is what was measured, within a tenth: 0.5 to 1.1 MB, of which a floor's texture is a half.
    """
    mujoco: Any = sys.modules.get("mujoco")  # which an environment with a model has imported
    model = getattr(env.unwrapped, "model", None)
    return OF_DATA + mujoco.mj_sizeModel(model) if mujoco is not None and isinstance(model, mujoco.MjModel) else 0


def redirect_messages(env_id: str) -> None:
    """Send what MuJoCo has to say to Python's logger `mujoco`, at level INFO, if the id is one of its environments.

    Else it writes a file into the working directory, and to the terminal, for every environment and each unstable step.
    ValueError with a remedy where MuJoCo is installed, and cannot be imported because what it would draw with is not.
    """
    spec = gym.registry.get(env_id.rpartition(":")[2])
    if spec is None or not str(spec.entry_point).startswith(MODULE):
        return
    try:
        import mujoco
    except Exception as error:  # of anything in the library that draws
        if isinstance(error, ModuleNotFoundError) and error.name == "mujoco":
            return  # which `gymnasium.make` says better
        chosen = f"MUJOCO_GL={os.environ.get('MUJOCO_GL', '')}"
        raise ValueError(f"MuJoCo cannot be imported with {chosen} ({type(error).__name__}: {error}): {OPENGL}") from error
    mujoco.set_mju_user_warning(LOGGER.info)


class MujocoStates:
    """States of K environments before their last step; in place of `EpisodeLog`."""

    def __init__(self, envs: Sequence[gym.Env]) -> None:
        import mujoco

        self._mujoco, self._kind = mujoco, mujoco.mjtState.mjSTATE_INTEGRATION
        model: Any = envs[0].unwrapped.model  # type: ignore[attr-defined]
        self._states = np.zeros((len(envs), mujoco.mj_stateSize(model, self._kind)))
        self._starts: list[dict[str, Any]] = [{} for _ in envs]
        self._lengths = [0] * len(envs)  # steps of the episodes
        self._values: dict[str, Sequence[float]] = {}  # of the dynamics in the last step, one for each environment
        self._changes: dict[str, Sequence[float]] = {}  # since
        self._actions: Sequence[Any] = [None] * len(envs)
        self._observations = np.zeros((len(envs), 0), np.float32)

    def length(self, i: int) -> int:
        """Steps of the i-th environment's episode so far."""
        return self._lengths[i]

    def begin(self, i: int, env: gym.Env, seed: int | None = None) -> NDArray:
        """Reset the i-th environment, within the batch's next step; returns its first observation."""
        self._starts[i] = {"generator": generator_state(env)} if seed is None else {"seed": seed}
        self._lengths[i] = -1  # the step of the batch that this is part of counts one
        return env.reset(seed=seed)[0]

    def before_step(self, envs: Sequence[gym.Env]) -> None:
        """Look at all environments before the batch's next step."""
        for row, env in zip(self._states, envs, strict=True):
            inner: Any = env.unwrapped
            self._mujoco.mj_getState(inner.model, inner.data, row, self._kind)

    def step(self, actions: Sequence[Any], observations: NDArray[np.float32]) -> None:
        """Log a step of the batch: actions of all environments, and observations after it [K, O]; neither may change later."""
        self._actions, self._observations = actions, observations
        self._lengths = [length + 1 for length in self._lengths]
        self._values, self._changes = self._values | self._changes, {}

    def set(self, name: str, values: Sequence[float]) -> None:
        """Log what a parameter of the dynamics is set to in every environment."""
        self._changes = self._changes | {name: values}

    def snapshot(self, envs: Sequence[gym.Env]) -> list[dict[str, Any]]:
        """Plain data of each environment's state, for `restore`."""
        return [
            {
                "start": self._starts[i],
                "state": self._states[i].copy(),
                "action": np.array([] if self._actions[i] is None else [self._actions[i]]),
                "length": self._lengths[i],
                "values": {name: values[i] for name, values in self._values.items()},
                "changes": {name: values[i] for name, values in self._changes.items()},
                "sha256": digest([self._observations[i]]),
                "generator": generator_state(env),
            }
            for i, env in enumerate(envs)
        ]

    def restore(
        self, envs: Sequence[gym.Env], saved: Sequence[dict[str, Any]], dynamics: Sequence[DynamicsWrapper] | None
    ) -> None:
        """Bring fresh environments to where they were at `snapshot`; NotReplayable if one shows something else there."""
        observations = []
        for i, (env, of_env) in enumerate(zip(envs, saved, strict=True)):
            for name, value in of_env["values"].items():
                dynamics[i].set(name, value)  # type: ignore[index]  # there are values only where something shifts
            observations.append(np.asarray(self._bring_back(env, of_env), np.float32))
            for name, value in of_env["changes"].items():
                dynamics[i].set(name, value)  # type: ignore[index]
            if digest(observations[-1:]) != of_env["sha256"] or str(generator_state(env)) != str(of_env["generator"]):
                raise NotReplayable(f"{name_of(env)} did not repeat its last step: {REMEDY}")
        self._observations = np.array(observations)
        self._states = np.array([of_env["state"] for of_env in saved])
        self._starts = [of_env["start"] for of_env in saved]
        self._lengths = [int(of_env["length"]) for of_env in saved]
        self._actions = [next(iter(list_of(of_env["action"])), None) for of_env in saved]
        self._values = by_name([of_env["values"] for of_env in saved])
        self._changes = by_name([of_env["changes"] for of_env in saved])

    def _bring_back(self, env: gym.Env, saved: dict[str, Any]) -> NDArray:
        """The observation after the reset, if the episode has no step yet, or after its last step."""
        if saved["length"] == 0:
            return begin_again(env, saved["start"])
        inner: Any = env.unwrapped
        self._mujoco.mj_setState(inner.model, inner.data, np.asarray(saved["state"], float), self._kind)
        for layer in layers(env):
            if isinstance(layer, TimeLimit):
                setattr(layer, "_elapsed_steps", int(saved["length"]) - 1)  # noqa: B010  (its type says that it is None)
        inner.np_random = generator_of(saved["generator"])
        return env.step(list_of(saved["action"])[0])[0]


def by_name(rows: Sequence[dict[str, float]]) -> dict[str, Sequence[float]]:
    """The values of all rows by their names, which are the same in each.

    >>> by_name([{"gravity": 1.0}, {"gravity": 2.0}])
    {'gravity': [1.0, 2.0]}
    """
    return {name: [row[name] for row in rows] for name in rows[0]}
