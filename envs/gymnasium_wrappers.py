"""Shifted environments as plain Gymnasium, for Stable-Baselines3, CleanRL or a loop of one's own.

    env = gymnasium.make("envs:Shifted/CartPole-v1", shift="gravity:values=9.8/25,at=100000")
    env = ShiftWrapper(gymnasium.make("LunarLander-v3"), "main_engine_power:values=13/8,at=200000", n_envs=8)
    envs = VectorShiftWrapper(gymnasium.make_vec("CartPole-v1", num_envs=8), "length:values=0.5/2,at=100000")

Every reset and step tells the truth in `info`, as flat numbers: `shift/t` (environment steps of the run before this one),
`shift/regime` (number of the values in force), `shift/changed` (whether they are others than in this environment's last step)
and `shift/<parameter>`. After a reset they are those of the first step to come. The observation does not tell. The clock goes
on over ends of episodes; only `reset(seed=…)` starts it anew, with the profiles' first values, and with the episode's
randomness, the times of the shifts and their noise all drawn from that seed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import batch_space

from envs.dynamics import is_dynamics, with_dynamics
from envs.dynamics.base import Dynamics, PerEnvDynamics
from envs.dynamics.cartpole import CartPoleArrays
from envs.parameters import parameters_of
from envs.shifts.shift import Shift, check, parse_all, touches, widened
from envs.shifts.shifter import Shifter

Shifts = str | Shift | Iterable[str | Shift]


class ShiftWrapper(gym.Wrapper, gym.utils.RecordConstructorArgs):
    """One Gymnasium environment under shifts.

    Args:
        env: the environment; of CartPole, LunarLander, Acrobot and Pendulum the dynamics can shift; of every environment the
            reward, the observation if it is a Box of floats, the action if it is Discrete or a bounded Box of floats.
        shift: one or more shifts, as `Shift` or as text (several in one text are separated by spaces).
        n_envs: how many such environments train together, ≥ 1: the clock counts `n_envs` steps for each of this one's, so
            that a shift comes at the same environment step of the run however many there are. (With next-step autoreset,
            where an environment's reset takes a call, its clock is behind by the resets that it has had more than others.)
        shift_seed: what random times are drawn from, None: from `reset(seed=…)`. Environments that train together need the
            same one if they are to shift together.

    Raises:
        ValueError: for an unknown parameter or an impossible value; with several environments, for shifts that one of them
            cannot know the time of: by episodes, and at random without `shift_seed`.
    """

    def __init__(self, env: gym.Env, shift: Shifts, n_envs: int = 1, shift_seed: int | None = None) -> None:
        gym.utils.RecordConstructorArgs.__init__(self, shift=shift, n_envs=n_envs, shift_seed=shift_seed)
        gym.Wrapper.__init__(self, with_dynamics(env))
        self.shifts, self._n_envs, self._shift_seed = parse_all(shift), n_envs, shift_seed
        check(self.shifts, parameters_of(env), env, name_of(env))
        check_together(self.shifts, n_envs, shift_seed)
        self._dynamics: Dynamics = PerEnvDynamics([self.env])
        if touches(self.shifts, "obs"):
            self.observation_space = widened(env.observation_space, self.shifts)
        self._shifter = self._start(None)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self._shifter = self._start(seed)
        self._shifter.renew()
        observation, info = self.env.reset(seed=seed, options=options)
        return self._seen(observation), {**info, **self._truth()}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self._shifter.advance()
        truth = self._truth()
        observation, reward, terminated, truncated, info = self.env.step(self._sent(action))
        self._shifter.after(np.array([[terminated or truncated]]), STEPPED)
        return self._seen(observation), self._paid(reward), terminated, truncated, {**info, **truth}

    def _sent(self, action: Any) -> Any:
        if not touches(self.shifts, "action"):
            return action
        start = int(getattr(self.action_space, "start", 0))
        sent = self._shifter.act(np.asarray(action)[None, None] - start)[0, 0] + start
        return sent if isinstance(self.action_space, gym.spaces.Box) else np.asarray(sent).astype(self.action_space.dtype)[()]

    def _seen(self, observation: Any) -> Any:
        return self._shifter.see(observation[None, None])[0, 0] if touches(self.shifts, "obs") else observation

    def _paid(self, reward: Any) -> Any:
        return float(self._shifter.pay(np.array([[float(reward)]]), STEPPED)[0, 0]) if touches(self.shifts, "reward") else reward

    def count_update(self) -> None:
        """Tell shifts with clock=updates that the optimizer has made an update."""
        self._shifter.count_update()

    def _start(self, seed: int | None) -> Shifter:
        seed = any_seed() if seed is None else seed
        times = seed if self._shift_seed is None else self._shift_seed
        return Shifter(self.shifts, self._dynamics, self.env.action_space, [times], 1, self._n_envs, noise_seeds=[seed])

    def _truth(self) -> dict[str, Any]:
        return {key: value[0, 0].item() for key, value in self._shifter.truth().items()}


class VectorShiftWrapper(gym.vector.VectorWrapper):
    """A vector environment of Gymnasium under shifts: all sub-environments are one run, with one clock for their steps.

    The dynamics can shift in `CartPoleVectorEnv` and `SyncVectorEnv`; reward, observation and action in every vector
    environment. Give an AsyncVectorEnv sub-environments in `ShiftWrapper` with `n_envs` instead.

    Raises:
        ValueError: for an unknown parameter, an impossible value, dynamics out of reach, and unless the vector environment
            resets on the next step.
    """

    def __init__(self, env: gym.vector.VectorEnv, shift: Shifts, shift_seed: int | None = None) -> None:
        """As in `ShiftWrapper`; `shift_seed` is what random times are drawn from, None: from `reset(seed=…)`."""
        super().__init__(env)
        mode = env.metadata.get("autoreset_mode")
        if mode != AutoresetMode.NEXT_STEP:
            raise ValueError(f"autoreset must be on the next step, got {mode}: make the vector environment with NEXT_STEP")
        self.shifts, self._shift_seed = parse_all(shift), shift_seed
        self._dynamics = vector_dynamics(env, any(is_dynamics(s.parameter) for s in self.shifts))
        check(self.shifts, parameters_of(env), env, name_of(env))
        if touches(self.shifts, "obs"):
            self.single_observation_space = widened(env.single_observation_space, self.shifts)
            self.observation_space = batch_space(self.single_observation_space, env.num_envs)
        self._shifter = self._start(None)
        self._over = np.zeros(env.num_envs, bool)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        given = [seed] if isinstance(seed, int) else [s for s in seed or () if s is not None]
        if given:
            self._shifter = self._start(given[0])
        which = np.array((options or {}).get("reset_mask", np.ones(self.num_envs, bool)))
        self._shifter.renew(which[None])
        observations, infos = self.env.reset(seed=seed, options=options)
        self._over = self._over & ~which
        return self._seen(observations), {**infos, **self._truth()}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        self._shifter.advance()
        sent, truth = self._sent(actions), self._truth()
        if isinstance(self._dynamics, CartPoleArrays):
            self._dynamics.before_step(np.asarray(sent))
        observations, rewards, terminated, truncated, infos = self.env.step(sent)
        valid, self._over = ~self._over, terminated | truncated
        self._shifter.after(self._over[None], valid[None])
        paid = self._shifter.pay(rewards[None], valid[None])[0]
        return self._seen(observations), paid, terminated, truncated, {**infos, **truth}

    def _sent(self, actions: Any) -> Any:
        if not touches(self.shifts, "action"):
            return actions
        start = int(getattr(self.single_action_space, "start", 0))
        return self._shifter.act(np.asarray(actions)[None] - start)[0] + start

    def _seen(self, observations: Any) -> Any:
        return self._shifter.see(observations[None])[0] if touches(self.shifts, "obs") else observations

    def count_update(self) -> None:
        """Tell shifts with clock=updates that the optimizer has made an update."""
        self._shifter.count_update()

    def _start(self, seed: int | None) -> Shifter:
        seed = any_seed() if seed is None else seed
        times = seed if self._shift_seed is None else self._shift_seed
        return Shifter(self.shifts, self._dynamics, self.env.single_action_space, [times], self.env.num_envs, noise_seeds=[seed])

    def _truth(self) -> dict[str, Any]:
        truth = {key: value[0].copy() for key, value in self._shifter.truth().items()}
        return truth | {f"_{key}": np.ones(self.env.num_envs, bool) for key in truth}


STEPPED = np.ones((1, 1), bool)
"""One environment, whose every call is a step: a reset is a call of its own."""


def any_seed() -> int:
    """A seed from the operating system."""
    return int(np.random.SeedSequence().generate_state(1)[0])


def name_of(env: gym.Env | gym.vector.VectorEnv) -> str:
    """What an error message calls the environment."""
    spec = env.unwrapped.spec  # of a wrapper it would be kept, without the id that Gymnasium is still to give
    return spec.id if spec else type(env.unwrapped).__name__


def check_together(shifts: Iterable[Shift], n_envs: int, shift_seed: int | None) -> None:
    """ValueError for shifts whose time one of `n_envs` environments cannot know by itself."""
    if n_envs < 1:
        raise ValueError(f"n_envs must be at least 1, got {n_envs}: how many environments train together")
    for shift in shifts if n_envs > 1 else ():
        if shift.clock == "episodes":
            raise ValueError(
                f"clock=episodes of {shift.parameter} needs sight of all {n_envs} environments: use VectorShiftWrapper, or steps"
            )
        if shift.profile.random and shift_seed is None:
            raise ValueError(
                f"random times of {shift.parameter} differ between {n_envs} environments: give all of them the same shift_seed"
            )


def vector_dynamics(env: gym.vector.VectorEnv, needed: bool) -> Dynamics:
    """What sets the dynamics of all sub-environments; ValueError if they are out of reach though needed."""
    inner = env.unwrapped
    if isinstance(inner, CartPoleVectorEnv):
        return CartPoleArrays(inner)
    if isinstance(inner, SyncVectorEnv):
        inner.envs = [with_dynamics(e) for e in inner.envs]
        return PerEnvDynamics(inner.envs)
    if needed:
        raise ValueError(
            f"the dynamics of {type(inner).__name__} are out of reach: use SyncVectorEnv, or ShiftWrapper with n_envs in each "
            "sub-environment"
        )
    return PerEnvDynamics([])


# Registered ids ---------------------------------------------------------------------------------------------------------------

BASES = ("CartPole-v1", "LunarLander-v3", "LunarLanderContinuous-v3", "Acrobot-v1", "Pendulum-v1")
"""Environments of Gymnasium that have a shifted twin `Shifted/<id>`."""


def make_shifted(base: str, shift: Shifts = (), n_envs: int = 1, shift_seed: int | None = None, **kwargs: Any) -> gym.Env:
    """The entry point of `Shifted/<id>`: Gymnasium's environment without time limit (the twin has it) under shifts."""
    env = gym.make(base, disable_env_checker=True, max_episode_steps=-1, **kwargs)
    return ShiftWrapper(env, shift, n_envs, shift_seed)


def make_shifted_poles(
    base: str,
    num_envs: int = 1,
    shift: Shifts = (),
    n_envs: int | None = None,
    shift_seed: int | None = None,
    **kwargs: Any,
) -> gym.vector.VectorEnv:
    """The entry point of `make_vec("Shifted/CartPole-v1")`: all poles in array operations, which are the run's `n_envs`."""
    if n_envs not in (None, num_envs):
        raise ValueError(f"n_envs must be num_envs, {num_envs}, or left out, got {n_envs}: {base} sees all its environments")
    return VectorShiftWrapper(CartPoleVectorEnv(num_envs=num_envs, **kwargs), shift, shift_seed)


def register() -> None:
    """Register the twins with Gymnasium; importing `envs` does it."""
    for base in BASES:
        if f"Shifted/{base}" not in gym.registry:
            spec = gym.spec(base)
            gym.register(
                f"Shifted/{base}",
                entry_point="envs.gymnasium_wrappers:make_shifted",
                vector_entry_point="envs.gymnasium_wrappers:make_shifted_poles" if base == "CartPole-v1" else None,
                max_episode_steps=spec.max_episode_steps,
                reward_threshold=spec.reward_threshold,
                kwargs={"base": base},
            )
