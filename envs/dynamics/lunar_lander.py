"""What can change in LunarLander: gravity, wind and engines."""

from __future__ import annotations

import sys
from typing import Any

import gymnasium as gym
import numpy as np

from envs.dynamics.base import DynamicsWrapper
from envs.dynamics.parameter import Parameter

PARAMETERS = (
    Parameter("gravity", "acceleration of gravity; down is negative", -10, -12, 0, (-11.9, -2)),
    Parameter("wind_power", "largest sideways force of the wind; it blows in gusts", 0, 0, 100, (0, 30)),
    Parameter("turbulence_power", "largest torque of the wind", 0, 0, 100, (0, 10)),
    Parameter("main_engine_power", "strength of the main engine", 13, 0, 1000, (2, 40)),
    Parameter("side_engine_power", "strength of the two side engines", 0.6, 0, 100, (0, 4)),
    Parameter("failed_engine", "engine that does not fire: 0 none, 1 left, 2 main, 3 right", 0, 0, 3, (0, 3), whole=True),
)


class LunarLanderDynamics(DynamicsWrapper):
    """LunarLander, discrete or continuous. Not for several threads: an engine's power is a global of Gymnasium's module.

    Gymnasium draws where in the gusts an episode begins at reset, from the episode's random numbers and only with wind on.
    Here an environment made without wind draws as without wind, so that it meets the same terrains and engines' scatter as its
    calm twin; the place in the gusts is a hash of its generator's state.
    """

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        lander: Any = env.unwrapped
        self._windy = bool(lander.enable_wind)  # as the environment was made
        self._own = {
            "gravity": float(lander.gravity),
            "wind_power": float(lander.wind_power) if self._windy else 0.0,
            "turbulence_power": float(lander.turbulence_power) if self._windy else 0.0,
            "main_engine_power": float(self._module.MAIN_ENGINE_POWER),
            "side_engine_power": float(self._module.SIDE_ENGINE_POWER),
            "failed_engine": 0.0,
        }

    @property
    def _module(self) -> Any:
        family = next(kind for kind in type(self.env.unwrapped).__mro__ if kind.__name__ == "LunarLander")
        return sys.modules[family.__module__]

    def get(self, name: str) -> float:
        return self._own[name]

    def set(self, name: str, value: float) -> None:
        self._own[name] = value
        self._impose()

    def reset(self, **kwargs: Any) -> Any:
        lander: Any = self.env.unwrapped
        lander.gravity, lander.enable_wind = self._own["gravity"], self._windy
        result = self.env.reset(**kwargs)
        self._impose()
        return result

    def _impose(self) -> None:
        """Give the lander the values of now; the world is there from reset to reset and has a gravity of its own."""
        lander: Any = self.env.unwrapped
        own = self._own
        lander.gravity, lander.world.gravity = own["gravity"], (0, own["gravity"])
        lander.wind_power, lander.turbulence_power = own["wind_power"], own["turbulence_power"]
        blows = self._windy or bool(own["wind_power"] or own["turbulence_power"])
        if blows and not lander.enable_wind:
            state = lander.np_random.bit_generator.state["state"]["state"]
            lander.wind_idx, lander.torque_idx = np.random.default_rng(state).integers(-9999, 9999, 2).tolist()
        lander.enable_wind = blows

    def step(self, action: Any) -> Any:
        own = self._own
        action = self._without_failed(action, int(own["failed_engine"])) if own["failed_engine"] else action
        module = self._module
        usual = module.MAIN_ENGINE_POWER, module.SIDE_ENGINE_POWER
        module.MAIN_ENGINE_POWER, module.SIDE_ENGINE_POWER = own["main_engine_power"], own["side_engine_power"]
        try:
            return self.env.step(action)
        finally:
            module.MAIN_ENGINE_POWER, module.SIDE_ENGINE_POWER = usual

    def _without_failed(self, action: Any, engine: int) -> Any:
        """The action that is left when an engine (1 left, 2 main, 3 right) does not fire."""
        if not self.env.unwrapped.continuous:  # type: ignore[attr-defined]
            return 0 if action == engine else action
        left = np.array(action, float)
        if engine == 2:
            left[0] = min(left[0], 0.0)
        elif np.sign(left[1]) == engine - 2:
            left[1] = 0.0
        return left
