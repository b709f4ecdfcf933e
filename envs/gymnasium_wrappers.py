"""Shifted environments as plain Gymnasium, for Stable-Baselines3, CleanRL or a training loop of your own.

    env = gymnasium.make("envs:Shifted/CartPole-v1", shift="gravity:values=9.8/25,at=100000")
    env = ShiftWrapper(gymnasium.make("LunarLander-v3"), "main_engine_power:values=13/8,at=200000", n_envs=8)
    envs = VectorShiftWrapper(gymnasium.make_vec("CartPole-v1", num_envs=8), "length:values=0.5/2,at=100000")

The `info` of every reset and step has the true state of the shifts, as flat numbers: `shift/t` (environment steps of the run
before this one), `shift/regime` (number of the values in force), `shift/changed` (whether they differ from those of this
environment's last step) and `shift/<parameter>`. After a reset they are those of the next step. Observations do not contain them.
The clock runs on from episode to episode; only `reset(seed=…)` sets it to 0, with the profiles' first values, and with the
episode's randomness, the times of the shifts and their noise all drawn from that seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
from envs.shifts.shift import Shift, affects, check, check_clocks, parse_all, shifted_space
from envs.shifts.shifter import Shifter
from envs.transitions import as_bool, as_number

Shifts = str | Shift | Iterable[str | Shift]


class ShiftWrapper(gym.Wrapper, gym.utils.RecordConstructorArgs):
    """One Gymnasium environment under shifts.

    Args:
        env: the environment; of CartPole, LunarLander, Acrobot and Pendulum the dynamics can shift; of every environment the
            reward, the observation if it is a Box of floats, the action if it is Discrete or a bounded Box of floats.
        shift: one or more shifts, as `Shift` or as text (several in one text are separated by spaces).
        n_envs: how many such environments train together, ≥ 1: the clock counts `n_envs` steps for each of this one's, so
            that a shift comes at the same environment step of the run however many there are. (With next-step autoreset,
            where a reset takes a call, the clock of an environment with more resets than the others is behind theirs.)
        shift_seed: what random times are drawn from, None: from `reset(seed=…)`. Environments that train together need the
            same one if they are to shift together.
        frozen_at: the count of every clock (`steps`, `episodes`, `updates`), at which they stand still: the environment as it
            is at that time of a run, for evaluation.

    Raises:
        ValueError: for an unknown parameter or an impossible value; with several environments, for shifts whose time a single one
            cannot know: by episodes, and at random without `shift_seed`.

    >>> env = ShiftWrapper(gym.make("CartPole-v1"), "force_mag:values=10/-10,at=2")
    >>> _ = env.reset(seed=0)
    >>> [env.step(0)[-1]["shift/force_mag"] for _ in range(4)]
    [10.0, 10.0, -10.0, -10.0]
    """

    def __init__(
        self,
        env: gym.Env,
        shift: Shifts,
        n_envs: int = 1,
        shift_seed: int | None = None,
        frozen_at: Mapping[str, int] | None = None,
    ) -> None:
        gym.utils.RecordConstructorArgs.__init__(self, shift=shift, n_envs=n_envs, shift_seed=shift_seed, frozen_at=frozen_at)
        gym.Wrapper.__init__(self, with_dynamics(env))
        self.shifts, self._n_envs, self._shift_seed = parse_all(shift), n_envs, shift_seed
        self._frozen_at = frozen_at
        if frozen_at is not None:
            check_clocks(frozen_at)
        check(self.shifts, parameters_of(env), env, name_of(env))
        check_together(self.shifts, n_envs, shift_seed)
        self._dynamics: Dynamics = PerEnvDynamics([self.env])
        if affects(self.shifts, "obs"):
            self.observation_space = shifted_space(env.observation_space, self.shifts)
        self._shifter = self._start(None)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self._shifter = self._start(seed)
        self._shifter.before_reset()
        observation, info = self.env.reset(seed=seed, options=options)
        return self._observation(observation), {**info, **self._truth()}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self._shifter.before_step()
        truth = self._truth()
        observation, reward, terminated, truncated, info = self.env.step(self._action(action))
        terminated, truncated = as_bool(terminated, "terminated"), as_bool(truncated, "truncated")
        self._shifter.after_step(np.array([[terminated or truncated]]), VALID)
        return self._observation(observation), self._reward(reward), terminated, truncated, {**info, **truth}

    def _action(self, action: Any) -> Any:
        if not affects(self.shifts, "action"):
            return action
        start = int(getattr(self.action_space, "start", 0))
        shifted = self._shifter.action(np.asarray(action)[None, None] - start)[0, 0] + start
        if isinstance(self.action_space, gym.spaces.Box):
            return shifted
        return np.asarray(shifted).astype(self.action_space.dtype)[()]

    def _observation(self, observation: Any) -> Any:
        if not affects(self.shifts, "obs"):
            return observation
        return self._shifter.observe(np.asarray(observation)[None, None])[0, 0]

    def _reward(self, reward: Any) -> Any:
        if not affects(self.shifts, "reward"):
            return reward
        return float(self._shifter.reward(np.array([[as_number(reward)]]), VALID)[0, 0])

    def count_update(self) -> None:
        """Advance the clock of shifts with clock=updates; to be called after every update of the optimizer."""
        self._shifter.count_update()

    def _start(self, seed: int | None) -> Shifter:
        seed = any_seed() if seed is None else seed
        times = seed if self._shift_seed is None else self._shift_seed
        shifter = Shifter(self.shifts, self._dynamics, self.env.action_space, [times], 1, self._n_envs, noise_seeds=[seed])
        if self._frozen_at is not None:
            shifter.freeze({clock: np.array([count]) for clock, count in self._frozen_at.items()})
        return shifter

    def _truth(self) -> dict[str, Any]:
        return {key: value[0, 0].item() for key, value in self._shifter.truth().items()}


class VectorShiftWrapper(gym.vector.VectorWrapper):
    """A vector environment of Gymnasium under shifts: all sub-environments are one run, with one clock for their steps.

    The dynamics can shift in `CartPoleVectorEnv` and `SyncVectorEnv`; reward, observation and action in every vector
    environment. Give an AsyncVectorEnv sub-environments in `ShiftWrapper` with `n_envs` instead.

    Raises:
        ValueError: for an unknown parameter, an impossible value, dynamics out of reach, and unless the vector environment
            resets on the next step.

    >>> env = VectorShiftWrapper(gym.make_vec("CartPole-v1", num_envs=2), "force_mag:values=10/-10,at=4")
    >>> _ = env.reset(seed=0)
    >>> [env.step(np.array([0, 1]))[-1]["shift/force_mag"].tolist() for _ in range(3)]
    [[10.0, 10.0], [10.0, 10.0], [-10.0, -10.0]]
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
        if affects(self.shifts, "obs"):
            self.single_observation_space = shifted_space(env.single_observation_space, self.shifts)
            self.observation_space = batch_space(self.single_observation_space, env.num_envs)
        self._shifter = self._start(None)
        self._done = np.zeros(env.num_envs, bool)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        seeds = [seed] if isinstance(seed, int) else [s for s in seed or () if s is not None]
        if seeds:
            self._shifter = self._start(seeds[0])
        which = np.array((options or {}).get("reset_mask", np.ones(self.num_envs, bool)))
        self._shifter.before_reset(which[None])
        observations, infos = self.env.reset(seed=seed, options=options)
        self._done = self._done & ~which
        return self._observations(observations), {**infos, **self._truth()}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        self._shifter.before_step()
        actions, truth = self._actions(actions), self._truth()
        if isinstance(self._dynamics, CartPoleArrays):
            self._dynamics.before_step(np.asarray(actions))
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        valid, self._done = ~self._done, terminated | truncated
        self._shifter.after_step(self._done[None], valid[None])
        rewards = self._shifter.reward(rewards[None], valid[None])[0]
        return self._observations(observations), rewards, terminated, truncated, {**infos, **truth}

    def _actions(self, actions: Any) -> Any:
        if not affects(self.shifts, "action"):
            return actions
        start = int(getattr(self.single_action_space, "start", 0))
        return self._shifter.action(np.asarray(actions)[None] - start)[0] + start

    def _observations(self, observations: Any) -> Any:
        return self._shifter.observe(observations[None])[0] if affects(self.shifts, "obs") else observations

    def count_update(self) -> None:
        """Advance the clock of shifts with clock=updates; to be called after every update of the optimizer."""
        self._shifter.count_update()

    def _start(self, seed: int | None) -> Shifter:
        seed = any_seed() if seed is None else seed
        times = seed if self._shift_seed is None else self._shift_seed
        return Shifter(self.shifts, self._dynamics, self.env.single_action_space, [times], self.env.num_envs, noise_seeds=[seed])

    def _truth(self) -> dict[str, Any]:
        truth = {key: value[0].copy() for key, value in self._shifter.truth().items()}
        return truth | {f"_{key}": np.ones(self.env.num_envs, bool) for key in truth}


VALID = np.ones((1, 1), bool)
"""Of one environment, where every call is a step: a reset is a call of its own."""


def any_seed() -> int:
    """A seed from the operating system."""
    return int(np.random.SeedSequence().generate_state(1)[0])


def name_of(env: gym.Env | gym.vector.VectorEnv) -> str:
    """How an error message refers to the environment."""
    spec = env.unwrapped.spec  # a wrapper would cache it, before Gymnasium has set the id
    return spec.id if spec else type(env.unwrapped).__name__


def check_together(shifts: Iterable[Shift], n_envs: int, shift_seed: int | None) -> None:
    """ValueError for shifts whose time a single one of `n_envs` environments cannot know."""
    if n_envs < 1:
        raise ValueError(f"n_envs must be at least 1, got {n_envs}: how many environments train together")
    for shift in shifts if n_envs > 1 else ():
        if shift.clock == "episodes":
            raise ValueError(
                f"clock=episodes of {shift.parameter} depends on all {n_envs} environments: use VectorShiftWrapper, or steps"
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
