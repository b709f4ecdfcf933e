"""How the dynamics of Gymnasium's environments take new values, at once and in the middle of an episode.

Setting an attribute is not enough: CartPole keeps products of its masses, LunarLander builds its world at reset and has its
engines' power in the module, wind must not draw from the episode's random numbers. One class a family knows this; each is a
Gymnasium wrapper with two methods, `get(name)` and `set(name, value)`, that changes nothing by itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from numpy.typing import NDArray

from envs.parameters import family_of
from rl_rmsprop.state import taken

if TYPE_CHECKING:
    from envs.cartpole import Poles


class Dynamics(Protocol):
    """K environments whose dynamics can be set, one value each."""

    def get(self, name: str) -> NDArray[np.float64]:
        """The values in force [K]."""
        ...

    def set(self, name: str, values: NDArray[np.float64]) -> None:
        """Make `values` [K] the ones in force from the next step on."""
        ...


class Physics(gym.Wrapper, gym.utils.RecordConstructorArgs):
    """One environment whose dynamics can be set. The base class is for an environment that has nothing to set."""

    def __init__(self, env: gym.Env) -> None:
        gym.utils.RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)

    def get(self, name: str) -> float:
        """The value in force, or the one to come into force at the next step."""
        raise AttributeError(f"{self.env} has no dynamics called {name!r}")

    def set(self, name: str, value: float) -> None:
        """Make `value` the one in force from the next step on."""
        raise AttributeError(f"{self.env} has no dynamics called {name!r}")


class CartPolePhysics(Physics):
    """CartPole: products of masses and lengths follow; a constant push is added to the force of either action."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self._set = {"push": 0.0}

    def get(self, name: str) -> float:
        return self._set[name] if name in self._set else float(getattr(self.env.unwrapped, name))

    def set(self, name: str, value: float) -> None:
        set_cartpole(self.env.unwrapped, self._set, name, value)

    def step(self, action: Any) -> Any:
        if self._set["push"]:
            self.env.unwrapped.force_mag = pushed(self._set, np.asarray(action))  # type: ignore[attr-defined]
        return self.env.step(action)


CARTPOLE = ("gravity", "masscart", "masspole", "total_mass", "length", "polemass_length", "force_mag", "tau")
"""Attributes of Gymnasium's CartPole that its equations use."""


class CartPoleArrays:
    """`Dynamics` of all poles of Gymnasium's CartPoleVectorEnv or of `Poles`: their equations take arrays as well as numbers."""

    def __init__(self, poles: CartPoleVectorEnv | Poles) -> None:
        self._poles = poles
        self._set: dict[str, Any] = {"push": np.zeros(poles.num_envs)}
        self._pushes = False

    def get(self, name: str) -> NDArray[np.float64]:
        value = self._set[name] if name in self._set else getattr(self._poles, name)
        return np.broadcast_to(np.asarray(value, float), self._poles.num_envs)

    def set(self, name: str, values: NDArray[np.float64]) -> None:
        set_cartpole(self._poles, self._set, name, values.astype(float))
        self._pushes = bool(self._set["push"].any())

    def snapshot(self) -> dict[str, Any]:
        """Everything that can be set, as it is."""
        return {"own": taken(self._set), "poles": {name: taken(getattr(self._poles, name)) for name in CARTPOLE}}

    def restore(self, saved: dict[str, Any]) -> None:
        """Put it back."""
        self._set, self._pushes = taken(saved["own"]), bool(saved["own"]["push"].any())
        for name, value in saved["poles"].items():
            setattr(self._poles, name, taken(value))

    def before_step(self, actions: NDArray[np.int64]) -> None:
        """To be called with the actions of every step: the push needs them."""
        if self._pushes:
            self._poles.force_mag = pushed(self._set, actions)


def set_cartpole(env: Any, own: dict[str, Any], name: str, value: Any) -> None:
    """Set a number or an array of CartPole; `own` keeps push and force_mag, which meet only when the action is known."""
    if name in ("push", "force_mag"):
        own.setdefault("force_mag", env.force_mag)
        own[name] = value
        env.force_mag = own["force_mag"]
        return
    setattr(env, name, value)
    env.total_mass = env.masspole + env.masscart
    env.polemass_length = env.masspole * env.length


def pushed(own: dict[str, Any], actions: NDArray) -> Any:
    """The force_mag that makes the force of action 1 F + push, and that of action 0 −F + push."""
    return own["force_mag"] + np.where(actions == 1, 1.0, -1.0) * own["push"]


class LunarLanderPhysics(Physics):
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


class AcrobotPhysics(Physics):
    """Acrobot: a link's centre of mass stays in its middle; both links share one moment of inertia in Gymnasium, which stays."""

    def get(self, name: str) -> float:
        env: Any = self.env.unwrapped
        return float(env.AVAIL_TORQUE[2] if name == "torque" else getattr(env, name.upper()))

    def set(self, name: str, value: float) -> None:
        env: Any = self.env.unwrapped
        if name == "torque":
            env.AVAIL_TORQUE = [-value, 0.0, value]
            return
        setattr(env, name.upper(), value)
        if name.startswith("link_length"):
            setattr(env, name.upper().replace("LENGTH", "COM_POS"), value / 2)


class PendulumPhysics(Physics):
    """Pendulum: plain attributes, read at every step. The action space stays as it was when the environment was made."""

    def get(self, name: str) -> float:
        return float(getattr(self.env.unwrapped, name))

    def set(self, name: str, value: float) -> None:
        setattr(self.env.unwrapped, name, value)


FAMILIES: dict[str, type[Physics]] = {
    "CartPoleEnv": CartPolePhysics,
    "LunarLander": LunarLanderPhysics,
    "AcrobotEnv": AcrobotPhysics,
    "PendulumEnv": PendulumPhysics,
}
"""Class of Gymnasium's environment → how its dynamics are set."""


def with_physics(env: gym.Env) -> gym.Env:
    """The environment with a `Physics` among its wrappers: as it is, if it has one already."""
    return (
        env if any(isinstance(layer, Physics) for layer in layers(env)) else (family_of(env.unwrapped, FAMILIES) or Physics)(env)
    )


def layers(env: gym.Env) -> Iterator[gym.Env]:
    """The environment and what it wraps, from the outermost."""
    while isinstance(env, gym.Wrapper):
        yield env
        env = env.env
    yield env


class Each:
    """`Dynamics` of separate environments, each from `with_physics`."""

    def __init__(self, envs: Sequence[gym.Env]) -> None:
        self._envs = [next(layer for layer in layers(env) if isinstance(layer, Physics)) for env in envs]

    def of(self, i: int) -> Physics:
        """What sets the dynamics of the i-th environment alone."""
        return self._envs[i]

    def get(self, name: str) -> NDArray[np.float64]:
        return np.array([env.get(name) for env in self._envs])

    def set(self, name: str, values: NDArray[np.float64]) -> None:
        for env, value in zip(self._envs, values.tolist(), strict=True):
            env.set(name, value)
