"""Acting: T steps of every environment of every run, recorded for learning.

The policy samples by the Gumbel-max trick, a = argmax(logits + Gumbel noise), and the noise is drawn per run beforehand:
randomness enters `collect` as an argument, and a run's noise does not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.networks import ActorCritic


class Rollout(NamedTuple):
    """A window of experience. Axes: T time, R runs, N environments per run, O observation."""

    observations: Tensor  # [T + 1, R, N, O]  s_0 … s_T
    actions: Tensor  # [T, R, N]  int64
    rewards: Tensor  # [T, R, N]
    terminated: Tensor  # [T, R, N]  bool
    truncated: Tensor  # [T, R, N]  bool
    valid: Tensor  # [T, R, N]  bool, False where the call only reset the environment (next-step autoreset)


class Episodes(NamedTuple):
    """Episodes that ended, in order of time; a row an episode."""

    run: NDArray[np.int64]  # [K]
    step: NDArray[np.int64]  # [K]  environment steps that the run had made when the episode ended
    episode_return: NDArray[np.float64]  # [K]
    length: NDArray[np.int64]  # [K]  steps


class Environments(Protocol):
    """What acting needs of a batch of environments; envs/batch.py says what each member means."""

    runs: int
    envs_per_run: int
    action_space: Any

    def reset(self) -> NDArray[np.float32]:
        """First observations [R, N, O]."""
        ...

    def step(self, actions: NDArray[np.int64]) -> Any:
        """Observations, rewards, terminated, truncated, valid."""
        ...


class Actor:
    """Holds what goes on from one window to the next: the environments, the last observations, running returns."""

    def __init__(self, env: Environments, policy: ActorCritic, generators: Sequence[np.random.Generator]) -> None:
        """`env` is a batch of R × N environments (see envs/batch.py), `generators` the policy noise of each run."""
        self.env, self.policy, self.generators = env, policy, generators
        self.steps = np.zeros(env.runs, np.int64)  # [R]  environment steps made so far; resets do not count
        self._observations = env.reset()
        self._returns = np.zeros((env.runs, env.envs_per_run))
        self._lengths = np.zeros((env.runs, env.envs_per_run), np.int64)

    def collect(self, steps: int) -> tuple[Rollout, Episodes]:
        """Act for `steps` calls of every environment."""
        env = self.env
        shape = (steps, env.runs, env.envs_per_run)
        observations = torch.empty(steps + 1, *shape[1:], self._observations.shape[-1])
        actions = torch.empty(shape, dtype=torch.int64)
        rewards = np.empty(shape, np.float32)
        terminated, truncated, valid = (np.empty(shape, bool) for _ in range(3))
        noise = gumbel_noise(self.generators, (steps, env.envs_per_run, int(env.action_space.n)))
        ended: list[Episodes] = []
        views = zip(observations.unbind(), noise.unbind(), actions.unbind(), strict=False)  # one observation more than actions
        with torch.no_grad():
            for t, (seen, gumbel, chosen) in enumerate(views):
                seen.copy_(torch.from_numpy(self._observations))
                torch.argmax(self.policy.logits(seen).add_(gumbel), -1, out=chosen)
                result = env.step(chosen.numpy())
                self._observations = result.observations
                rewards[t], terminated[t], truncated[t], valid[t] = result[1:]
                ended.append(self._count(result.rewards, result.terminated | result.truncated, result.valid))
        observations[steps] = torch.from_numpy(self._observations)
        arrays = (torch.from_numpy(a) for a in (rewards, terminated, truncated, valid))
        return Rollout(observations, actions, *arrays), Episodes(*map(np.concatenate, zip(*ended, strict=True)))

    def _count(self, rewards: NDArray, done: NDArray, valid: NDArray) -> Episodes:
        """Add one step to the running returns and counters; returns the episodes that it ended."""
        self.steps += valid.sum(1)
        self._returns += rewards
        self._lengths += valid
        if not done.any():
            return NO_EPISODES
        run, n = np.nonzero(done)
        ended = Episodes(run, self.steps[run], self._returns[run, n], self._lengths[run, n])
        self._returns[run, n] = 0.0
        self._lengths[run, n] = 0
        return ended


NO_EPISODES = Episodes(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))


def gumbel_noise(generators: Sequence[np.random.Generator], shape: tuple[int, int, int]) -> Tensor:
    """Standard Gumbel noise −ln(−ln u) for `shape` = (T, N, A), drawn run by run: [T, R, N, A]."""
    uniform = np.stack([g.random(shape, np.float32) for g in generators], axis=1)
    # u = 0 would give −∞ and 0 · ∞ later; the smallest step of a 24-bit uniform variate is 2⁻²⁴.
    return torch.from_numpy(uniform).clamp_(min=2.0**-25).log_().neg_().log_().neg_()
