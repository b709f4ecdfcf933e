"""A trained policy that acts, and plays in a window.

policy = rl_rmsprop.load("runs/demo").policy("0.99", seed=0)
policy.act(observation)      an action for the environment
policy.play()                an episode in a window; returns what it earned
"""

from __future__ import annotations

import os
import sys
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces.utils import flatten
from gymnasium.wrappers import FlattenObservation
from numpy.typing import ArrayLike, NDArray

import envs
from agents.evaluation import MAX_EPISODE_STEPS
from agents.mlp import ActingNetwork
from agents.reproducible import one_thread
from envs.registration import make_env
from envs.rendering import do_without_a_screen
from envs.spaces import to_env_actions
from rl_rmsprop.seeding import generators
from rl_rmsprop.study.evaluation import load_runs
from rl_rmsprop.study.spec.batch_spec import BatchSpec


class Policy:
    """The policy that one run has trained, as it is in the final evaluation."""

    def __init__(self, spec: BatchSpec) -> None:
        """`spec` is of the one run, finished; ValueError for a file of weights that is broken."""
        envs.import_modules(spec.modules)
        self.env, self.arm, self.seed = spec.env_id, spec.arm.text, spec.seeds[0]
        self._saved = load_runs(spec, spec.seeds)
        self._spec, self._policy = self._saved.spec, self._saved.policy
        self._networks: dict[int, ActingNetwork] = {}  # by the number of observations at a time
        self._generators = generators(spec.seeds, "policy from Python")
        env = self.environment()
        self.observation_space, self.action_space = env.observation_space, env.action_space
        self._own_space = flattened_space(env)
        env.close()

    def __repr__(self) -> str:
        return f"Policy({self.env!r}, arm={self.arm!r}, seed={self.seed})"

    def act(self, observation: Any, deterministic: bool = True) -> Any:
        """The action for an observation, as the environment takes it: a whole number, or an array.

        Observations are those of `environment()`, a vector each, or those of the Gymnasium environment itself where they are no
        vectors. Those of several environments, [n, O], give a list of n actions. Where the agent normalises observations, they
        are normalised as its training has left it. `deterministic` takes the most likely action, as the final evaluation does;
        otherwise it is drawn from the policy.
        """
        x = np.asarray(observation, np.float32) if self._is_vector(observation) else self._flattened(observation)
        actions = self._actions(np.atleast_2d(x), deterministic)
        return actions if x.ndim == 2 else actions[0]

    def environment(self, render_mode: str | None = None) -> gym.Env:
        """The environment that it was trained in, as Gymnasium has it; one that shifts is as it was at the end of the training.

        `render_mode` is `human` for a window, `rgb_array` for pictures from `render()`. ValueError if there is no screen.
        """
        if render_mode == "human":
            check_screen()
        elif render_mode is not None:
            do_without_a_screen()
        made_with = self._spec.made_with
        mode = {} if render_mode is None else {"render_mode": render_mode}
        env = make_env(self.env, made_with["kwargs"] | mode, made_with["wrappers"])
        if not self._spec.options.shift:
            return env
        clocks = {name: int(counts[0]) for name, counts in self._saved.clocks.items()}
        return envs.ShiftWrapper(env, self._spec.options.shift, shift_seed=self.seed, frozen_at=clocks)

    def play(
        self, episodes: int = 1, render_mode: str | None = "human", seed: int | None = None, deterministic: bool = True
    ) -> list[float]:
        """Play some episodes, in a window; returns what each earned. `seed` makes them the same every time.

        Episodes end after 10,000 steps in environments without a time limit.
        """
        env = self.environment(render_mode)
        try:
            return [self._episode(env, seed if number == 0 else None, deterministic) for number in range(episodes)]
        finally:
            env.close()

    def _episode(self, env: gym.Env, seed: int | None, deterministic: bool) -> float:
        observation, _ = env.reset(seed=seed)
        earned = 0.0
        for _ in range(MAX_EPISODE_STEPS if env.spec is None or env.spec.max_episode_steps is None else sys.maxsize):
            observation, reward, terminated, truncated, _ = env.step(self.act(observation, deterministic))
            earned += float(reward)
            if terminated or truncated:
                break
        return earned

    def _is_vector(self, observation: Any) -> bool:
        """Whether an observation is a vector as the networks take it, or a row of them."""
        if isinstance(observation, (dict, tuple)):
            return False
        shape = np.shape(observation)
        return 1 <= len(shape) <= 2 and shape[-1:] == self.observation_space.shape

    def _flattened(self, observation: ArrayLike) -> NDArray[np.float32]:
        """An observation of the environment before it is flattened; ValueError for one of another kind."""
        if self._own_space is None or not self._own_space.contains(observation):
            shape = self.observation_space.shape
            raise ValueError(f"observation must be one of {self.env}, a vector of shape {shape}, got {shape_of(observation)}")
        return np.asarray(flatten(self._own_space, observation), np.float32)

    @one_thread()
    def _actions(self, x: NDArray[np.float32], deterministic: bool) -> list[Any]:
        """Actions for observations [n, O], as in `agents.episode_returns`."""
        pi, policy, n = self._policy.distribution, self._policy, len(x)
        if n not in self._networks:
            self._networks[n] = policy.acting_network(n)
        y = self._networks[n](policy.normalization.observations.apply(x[None]))
        if not deterministic:
            y = y + pi.noise(self._generators, 1, n, policy.actor.constants)[0]
        space = self.action_space
        return to_env_actions(space, pi.to_env_action(pi.choose(y)))  # type: ignore[arg-type]  # agents can act in it


def flattened_space(env: gym.Env) -> gym.Space | None:
    """The observations of an environment before it flattens them; None if it does not."""
    while isinstance(env, gym.Wrapper):
        if isinstance(env, FlattenObservation):
            return env.env.observation_space
        env = env.env
    return None


def shape_of(observation: Any) -> str:
    """What an observation is, in short."""
    return f"{type(observation).__name__} of shape {np.shape(observation)}" if np.ndim(observation) else repr(observation)


def check_screen() -> None:
    """ValueError where there is no screen to open a window on."""
    screens = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    if sys.platform == "linux" and not any(os.environ.get(name) for name in screens):
        raise ValueError(
            "a window needs a screen, and here is none: take render_mode='rgb_array' for pictures, or film it with "
            "rl-rmsprop evaluate --video"
        )
