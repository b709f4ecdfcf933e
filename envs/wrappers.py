"""Shifted environments as plain Gymnasium, for Stable-Baselines3, CleanRL or a loop of one's own.

    env = gymnasium.make("envs:Shifted/CartPole-v1", shift="gravity:values=9.8/25,at=100000")
    env = ShiftWrapper(gymnasium.make("LunarLander-v3"), "main_engine_power:values=13/8,at=200000", n_envs=8)
    envs = VectorShiftWrapper(gymnasium.make_vec("CartPole-v1", num_envs=8), "length:values=0.5/2,at=100000")

Every reset and step tells the truth in `info`, as flat numbers: `shift/t` (environment steps of the run before this one),
`shift/regime` (number of the values in force), `shift/changed` (whether this step is the first with another value) and
`shift/<parameter>`. The observation does not tell. The clock goes on over ends of episodes; only `reset(seed=…)` starts it
anew, with the episode's randomness, the times of the shifts and their noise all drawn from that seed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.parameters import parameters_of
from envs.physics import CartPoleArrays, Dynamics, Each, Physics, with_physics
from envs.shifts import Shift, Shifter, check, is_dynamics, parse_all

Shifts = str | Shift | Iterable[str | Shift]


class ShiftWrapper(gym.Wrapper, gym.utils.RecordConstructorArgs):
    """One Gymnasium environment under shifts.

    Args:
        env: the environment; of CartPole, LunarLander, Acrobot and Pendulum the dynamics can shift, of all environments with
            Box observations the reward, the observation and the action.
        shift: one or more shifts, as `Shift` or as text (several in one text are separated by spaces).
        n_envs: how many such environments train together, ≥ 1: the clock counts `n_envs` steps for each of this one's, so
            that a shift comes at the same environment step of the run however many there are.

    Raises:
        ValueError: for an unknown parameter or an impossible value.
    """

    def __init__(self, env: gym.Env, shift: Shifts, n_envs: int = 1) -> None:
        gym.utils.RecordConstructorArgs.__init__(self, shift=shift, n_envs=n_envs)
        if n_envs < 1:
            raise ValueError(f"n_envs must be at least 1, got {n_envs}: how many environments train together")
        physics = with_physics(env)
        gym.Wrapper.__init__(self, physics)
        self._dynamics: Dynamics = Each([physics])
        self.shifts, self._n_envs = parse_all(shift), n_envs
        check(self.shifts, parameters_of(env), env, str(env.spec.id if env.spec else env))
        self.observation_space = widened(env.observation_space, self.shifts)
        self._usual = usual_dynamics(self.shifts, self._dynamics)
        self._shifter = self._start(None)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self._shifter = self._start(seed)
        self._shifter.renew()
        observation, info = self.env.reset(seed=seed, options=options)
        seen = self._shifter.begin(np.asarray(observation)[None, None])[0, 0]
        return seen, {**info, **self._truth()}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        start = int(getattr(self.action_space, "start", 0))
        sent = self._shifter.before(np.asarray(action)[None, None] - start)[0, 0] + start
        sent = sent if isinstance(self.action_space, gym.spaces.Box) else self.action_space.dtype.type(sent)  # type: ignore[union-attr]
        truth = self._truth()
        observation, reward, terminated, truncated, info = self.env.step(sent)
        over = np.array([[terminated or truncated]])
        seen, paid = self._shifter.after(
            np.asarray(observation)[None, None], np.array([[float(reward)]]), over, np.ones((1, 1), bool)
        )
        return seen[0, 0], float(paid[0, 0]), terminated, truncated, {**info, **truth}

    def count_update(self) -> None:
        """Tell shifts with clock=updates that the optimizer has made an update."""
        self._shifter.count_update()

    def _start(self, seed: int | None) -> Shifter:
        for name, values in self._usual.items():
            self._dynamics.set(name, values)
        seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
        spaces = (self.env.observation_space, self.env.action_space)
        return Shifter(self.shifts, self._dynamics, spaces, [seed], 1, self._n_envs)

    def _truth(self) -> dict[str, Any]:
        return {key: value[0, 0].item() for key, value in self._shifter.truth().items()}


class VectorShiftWrapper(gym.vector.VectorWrapper):
    """A vector environment of Gymnasium under shifts: all sub-environments are one run, with one clock for their steps.

    The dynamics can shift in `CartPoleVectorEnv` and `SyncVectorEnv`; reward, observation and action in every vector
    environment that resets on the next step. Give an AsyncVectorEnv sub-environments in `ShiftWrapper` with
    `n_envs` instead.
    """

    def __init__(self, env: gym.vector.VectorEnv, shift: Shifts) -> None:
        super().__init__(env)
        mode = env.metadata.get("autoreset_mode")
        if mode != AutoresetMode.NEXT_STEP:
            raise ValueError(f"autoreset must be on the next step, got {mode}: make the vector environment with NEXT_STEP")
        self.shifts = parse_all(shift)
        where = str(env.spec.id if env.spec else env)
        check(self.shifts, parameters_of(env), env, where)
        self._dynamics = vector_dynamics(env, any(is_dynamics(s.parameter) for s in self.shifts))
        self.single_observation_space = widened(env.single_observation_space, self.shifts)
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)
        self._usual = usual_dynamics(self.shifts, self._dynamics)
        self._shifter = self._start(None)
        self._over = np.zeros(env.num_envs, bool)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self._shifter = self._start(seed if isinstance(seed, int) else next(s for s in seed if s is not None))
        self._shifter.renew()
        observations, infos = self.env.reset(seed=seed, options=options)
        self._over[:] = False
        return self._shifter.begin(observations[None])[0], {**infos, **self._truth()}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        start = int(getattr(self.single_action_space, "start", 0))
        sent = self._shifter.before(np.asarray(actions)[None] - start)[0] + start
        if isinstance(self._dynamics, CartPoleArrays):
            self._dynamics.before_step(sent)
        truth = self._truth()
        observations, rewards, terminated, truncated, infos = self.env.step(sent)
        valid, self._over = ~self._over, terminated | truncated
        seen, paid = self._shifter.after(observations[None], rewards[None], self._over[None], valid[None])
        return seen[0], paid[0], terminated, truncated, {**infos, **truth}

    def count_update(self) -> None:
        """Tell shifts with clock=updates that the optimizer has made an update."""
        self._shifter.count_update()

    def _start(self, seed: int | None) -> Shifter:
        for name, values in self._usual.items():
            self._dynamics.set(name, values)
        seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
        spaces = (self.env.single_observation_space, self.env.single_action_space)
        return Shifter(self.shifts, self._dynamics, spaces, [seed], self.env.num_envs)

    def _truth(self) -> dict[str, Any]:
        there = np.ones(self.env.num_envs, bool)
        truth = {key: value[0].copy() for key, value in self._shifter.truth().items()}
        return truth | {f"_{key}": there for key in truth}


def usual_dynamics(shifts: Iterable[Shift], dynamics: Dynamics) -> dict[str, NDArray[np.float64]]:
    """The values that the shifting dynamics have before anything shifts."""
    return {s.parameter: dynamics.get(s.parameter).copy() for s in shifts if is_dynamics(s.parameter)}


def widened(space: gym.Space, shifts: Iterable[Shift]) -> gym.Space:
    """The space of what the agent sees: without bounds if observations shift, since they may leave the usual ones."""
    if not any(shift.parameter.startswith("obs_") for shift in shifts):
        return space
    if not isinstance(space, gym.spaces.Box) or not np.issubdtype(space.dtype, np.floating):
        raise ValueError(f"observations must be a Box of floats to shift, got {space}: shift something else")
    return gym.spaces.Box(-np.inf, np.inf, space.shape, space.dtype.type)


def vector_dynamics(env: gym.vector.VectorEnv, needed: bool) -> Dynamics:
    """What sets the dynamics of all sub-environments; ValueError if they are out of reach though needed."""
    inner = env.unwrapped
    if isinstance(inner, CartPoleVectorEnv):
        return CartPoleArrays(inner)
    if isinstance(inner, SyncVectorEnv):
        settable: list[Physics] = [with_physics(e) for e in inner.envs]
        inner.envs = list(settable)
        return Each(settable)
    if needed:
        raise ValueError(
            f"the dynamics of {type(inner).__name__} are out of reach: use SyncVectorEnv, or ShiftWrapper with n_envs in each "
            "sub-environment"
        )
    return Each([])


# Registered ids ---------------------------------------------------------------------------------------------------------------

BASES = ("CartPole-v1", "LunarLander-v3", "LunarLanderContinuous-v3", "Acrobot-v1", "Pendulum-v1")
"""Environments of Gymnasium that have a shifted twin `Shifted/<id>`."""


def make_shifted(base: str, shift: Shifts = (), n_envs: int = 1, **kwargs: Any) -> gym.Env:
    """The entry point of `Shifted/<id>`: Gymnasium's environment without time limit (the twin has it) under shifts."""
    return ShiftWrapper(gym.make(base, disable_env_checker=True, max_episode_steps=-1, **kwargs), shift, n_envs)


def make_shifted_poles(num_envs: int = 1, shift: Shifts = (), **kwargs: Any) -> gym.vector.VectorEnv:
    """The entry point of `make_vec("Shifted/CartPole-v1")`: all poles in array operations."""
    kwargs.pop("base", None)
    return VectorShiftWrapper(CartPoleVectorEnv(num_envs=num_envs, **kwargs), shift)


def register() -> None:
    """Register the twins with Gymnasium; importing `envs` does it."""
    for base in BASES:
        if f"Shifted/{base}" not in gym.registry:
            spec = gym.spec(base)
            gym.register(
                f"Shifted/{base}",
                entry_point=make_shifted,  # type: ignore[arg-type]  # any callable that makes an environment will do
                vector_entry_point=make_shifted_poles if base == "CartPole-v1" else None,
                max_episode_steps=spec.max_episode_steps,
                reward_threshold=spec.reward_threshold,
                kwargs={"base": base},
            )
