"""What can change in LunarLander: gravity, wind and engines."""

from __future__ import annotations

import sys
from typing import Any

import gymnasium as gym
import numpy as np

from envs.dynamics.base import DynamicsWrapper, Family
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

    With wind on, Gymnasium draws the phase of the gusts at reset, from the episode's random numbers. Here an environment made
    without wind draws as without wind, so that it gets the same terrains and engines' scatter as its twin without wind; the phase
    of the gusts is drawn from a generator seeded with the state of the environment's.
    """

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        lander: Any = env.unwrapped
        self._made_with_wind = bool(lander.enable_wind)
        self._values = {
            "gravity": float(lander.gravity),
            "wind_power": float(lander.wind_power) if self._made_with_wind else 0.0,
            "turbulence_power": float(lander.turbulence_power) if self._made_with_wind else 0.0,
            "main_engine_power": float(self._module.MAIN_ENGINE_POWER),
            "side_engine_power": float(self._module.SIDE_ENGINE_POWER),
            "failed_engine": 0.0,
        }

    @property
    def _module(self) -> Any:
        family = next(kind for kind in type(self.env.unwrapped).__mro__ if kind.__name__ == "LunarLander")
        return sys.modules[family.__module__]

    def get(self, name: str) -> float:
        return self._values[name]

    def set(self, name: str, value: float) -> None:
        self._values[name] = value
        self._apply()

    def reset(self, **kwargs: Any) -> Any:
        lander: Any = self.env.unwrapped
        lander.gravity, lander.enable_wind = self._values["gravity"], self._made_with_wind
        result = self.env.reset(**kwargs)
        self._apply()
        return result

    def _apply(self) -> None:
        """Set the lander's attributes, and those of its world, which lasts from reset to reset and has a gravity of its own."""
        lander: Any = self.env.unwrapped
        values = self._values
        lander.gravity, lander.world.gravity = values["gravity"], (0, values["gravity"])
        lander.wind_power, lander.turbulence_power = values["wind_power"], values["turbulence_power"]
        windy = self._made_with_wind or bool(values["wind_power"] or values["turbulence_power"])
        if windy and not lander.enable_wind:
            state = lander.np_random.bit_generator.state["state"]["state"]
            lander.wind_idx, lander.torque_idx = np.random.default_rng(state).integers(-9999, 9999, 2).tolist()
        lander.enable_wind = windy

    def step(self, action: Any) -> Any:
        values = self._values
        if values["failed_engine"]:
            action = self._without_engine(action, int(values["failed_engine"]))
        module = self._module
        defaults = module.MAIN_ENGINE_POWER, module.SIDE_ENGINE_POWER
        module.MAIN_ENGINE_POWER, module.SIDE_ENGINE_POWER = values["main_engine_power"], values["side_engine_power"]
        try:
            return self.env.step(action)
        finally:
            module.MAIN_ENGINE_POWER, module.SIDE_ENGINE_POWER = defaults

    def _without_engine(self, action: Any, engine: int) -> Any:
        """The action without an engine (1 left, 2 main, 3 right)."""
        if not self.env.unwrapped.continuous:  # type: ignore[attr-defined]
            return 0 if action == engine else action
        main_side = np.array(action, float)
        if engine == 2:
            main_side[0] = min(main_side[0], 0.0)
        elif np.sign(main_side[1]) == engine - 2:
            main_side[1] = 0.0
        return main_side


FAMILY = Family(("LunarLander",), ("LunarLander-v3", "LunarLanderContinuous-v3"), PARAMETERS, LunarLanderDynamics)
