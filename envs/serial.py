"""Any Gymnasium environment, R runs × N of them stepped one after another, or MuJoCo's in a few threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import OrderEnforcing
from numpy.typing import NDArray

from envs import watch
from envs.core import Step
from envs.dynamics import with_dynamics
from envs.dynamics.base import Dynamics
from envs.episode_replay import EpisodeLog, LoggedDynamics
from envs.mujoco_states import MujocoStates, is_mujoco, model_memory
from envs.registration import make_env
from envs.spaces import check_spaces, name_of, to_env_actions
from envs.threads import Parts
from envs.transitions import EnvironmentFailure, Transitions, check_step, reason, stack
from rl_rmsprop.seeding import seed_sequence

PENDING = object()
"""In place of the result of an environment's call that has not come back."""


class SerialBatch:
    """Any Gymnasium environment whose spaces the agents can use (see envs/spaces.py), stepped one after another.

    R · N separate environments, each with a generator of its own, so that a run is the same in every batch. Those of MuJoCo's are
    stepped in threads, if `envs.set_num_threads` allows any.
    Python-side cost per environment step is about 1 µs, against the 29 µs that LunarLander-v3 itself needs.
    What an environment raises is raised again as `EnvironmentFailure`, which says which environment it was and in which step.

    >>> batch = SerialBatch("Acrobot-v1", seeds=(0, 1), envs_per_run=3)
    >>> batch.reset().shape
    (2, 3, 6)
    >>> batch.step(np.zeros((2, 3), np.int64)).rewards.tolist()
    [[-1.0, -1.0, -1.0], [-1.0, -1.0, -1.0]]
    """

    def __init__(
        self,
        env_id: str,
        seeds: Sequence[int],
        envs_per_run: int,
        kwargs: Mapping[str, Any] | None = None,
        wrappers: Sequence[str] = (),
    ) -> None:
        """`kwargs` are passed on to `gymnasium.make`, `wrappers` put around each environment; see `make_env`."""
        self.runs, self.envs_per_run = len(seeds), envs_per_run
        self._envs: list[gym.Env] = [
            without_order_enforcing(make_env(env_id, kwargs, wrappers)) for _ in range(self.runs * envs_per_run)
        ]
        self._run_seeds = tuple(seeds)
        self._seeds: list[int | None] = [
            int(seed_sequence(s, "env", n).generate_state(1)[0]) for s in seeds for n in range(envs_per_run)
        ]
        first = self._envs[0]
        self.observation_space, self.action_space = check_spaces(first)
        self.max_episode_steps = first.spec.max_episode_steps if first.spec else None
        self._done = np.zeros(len(self._envs), bool)  # [R·N]  whose next call only resets
        self._log = MujocoStates(self._envs) if is_mujoco(first) else EpisodeLog(len(self._envs))
        self._parts = Parts(len(self._envs), None if is_mujoco(first) else 1)
        self._dynamics: LoggedDynamics | None = None
        self._calls = 0
        self._results: list[Any] | None = None  # of the call that is being made, PENDING where it has not come back
        watch.register(self)

    def reset(self) -> NDArray[np.float32]:
        # A seed is given once; later resets go on with the environment's own generator, as Gymnasium advises.
        self._done[:] = True
        observations = self._call([None] * len(self._envs)).observations
        self._seeds = [None] * len(self._envs)
        self._done[:] = False
        self._log.step([None] * len(self._envs), observations)
        return observations.reshape(self.runs, self.envs_per_run, -1)

    def step(self, actions: NDArray[np.int64]) -> Step:
        valid = ~self._done
        env_actions = to_env_actions(self.action_space, actions)
        self._log.before_step(self._envs)
        observations, rewards, terminated, truncated = self._call(env_actions)
        self._log.step(env_actions, observations)
        self._done = terminated | truncated
        shape = (self.runs, self.envs_per_run)
        return Step(
            observations.reshape(*shape, -1),
            rewards.reshape(shape),
            terminated.reshape(shape),
            truncated.reshape(shape),
            valid.reshape(shape),
        )

    def _call(self, actions: Sequence[Any]) -> Transitions:
        """Reset the environments whose episode has ended, and step the others."""
        results: list[Any] = [PENDING] * len(self._envs)
        done = self._done.tolist()

        def call(numbers: Sequence[int]) -> None:
            for i in numbers:
                env = self._envs[i]
                if done[i]:
                    results[i] = (self._log.begin(i, env, self._seeds[i]), 0.0, False, False, None)
                else:
                    results[i] = env.step(actions[i])

        self._calls, self._results = self._calls + 1, results
        try:
            self._parts.run(call)
            return stack(results, self.observation_space.shape)
        except (Exception, SystemExit) as error:  # SystemExit: of a simulator's own
            raise self._failure(results, error) from error
        finally:
            self._results = None

    def truncate(self, which: NDArray[np.bool_]) -> None:
        self._done = self._done | which.ravel()

    def snapshot(self) -> dict[str, Any]:
        return {"episodes": self._log.snapshot(self._envs), "done": self._done.copy()}

    def restore(self, saved: dict[str, Any]) -> None:
        of_each = None if self._dynamics is None else [self._dynamics.of(i) for i in range(len(self._envs))]
        self._log.restore(self._envs, saved["episodes"], of_each)
        self._seeds = [None] * len(self._envs)
        self._done = saved["done"].copy()

    def dynamics(self) -> Dynamics:
        self._envs = [with_dynamics(env) for env in self._envs]
        self._dynamics = self._dynamics or LoggedDynamics(self._envs, self._log)
        return self._dynamics

    def render(self) -> Any:
        """A picture of the first environment, if they were made with a `render_mode`: what its `render` returns."""
        return self._envs[0].render()

    def memory_of_each(self) -> int:
        """About how many bytes one of the environments takes: 100,000, as LunarLander, and what MuJoCo adds to it."""
        return 100_000 + model_memory(self._envs[0])

    def close(self) -> None:
        self._parts.close()
        for env in self._envs:
            env.close()

    def call_under_way(self) -> watch.Call | None:
        """Which environment is being reset or stepped; see envs/watch.py."""
        results = self._results
        if results is None:
            return None
        i = min(returned(results), len(self._envs) - 1)
        return watch.Call((self._calls, i), name_of(self._envs[i]), self._doing(i), self._place(i))

    def _failure(self, results: Sequence[Any], error: BaseException) -> BaseException:
        """The error with the environment that raised it, or the first one whose result cannot be used, and its step."""
        if isinstance(error, MemoryError):  # the machine's, not the environment's
            return error
        i = returned(results)
        if i == len(self._envs):
            i, error = next(filter(None, map(self._fault, range(i), results)), (0, error))
        when = "at a reset" if self._done[i] else f"in {self._doing(i)}"
        return EnvironmentFailure(f"{name_of(self._envs[i])} failed {when} ({self._place(i)}): {reason(error)}")

    def _doing(self, i: int) -> str:
        """What the call that is being made asks of the i-th environment."""
        return "a reset" if self._done[i] else f"step {self._log.length(i) + 1} of an episode"

    def _place(self, i: int) -> str:
        """Which one the i-th environment is."""
        run, n = divmod(i, self.envs_per_run)
        return f"environment {n} of the run with seed {self._run_seeds[run]}"

    def _fault(self, i: int, result: Any) -> tuple[int, Exception] | None:
        """The number of an environment and what is wrong with its result, None if nothing is."""
        try:
            check_step(result, self.observation_space.shape)
        except Exception as error:
            return i, error
        return None


def returned(results: Sequence[Any]) -> int:
    """How many of the calls have come back, up to the first that has not."""
    return next((i for i, result in enumerate(results) if result is PENDING), len(results))


def without_order_enforcing(env: gym.Env) -> gym.Env:
    """Without Gymnasium's check in every step that a reset has come first: 2 % of LunarLander's time, and here one always has."""
    if isinstance(env, OrderEnforcing):
        return without_order_enforcing(env.env)
    if isinstance(env, gym.Wrapper):
        env.env = without_order_enforcing(env.env)
    return env
