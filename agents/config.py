"""Settings of the agents, validated once: those that all of them share, then one class an agent.

Nothing here imports torch, so that options can be listed and checked at once. How an agent learns from a rollout is in a file of
its own, see agents/learning.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

# Beyond these limits a typing error is likely: an update's memory, or one layer's, would be gigabytes for every run.
MOST_STEPS = 10_000_000
WIDEST = 16_384
WIDEST_LOG_STD = 20


@dataclass(frozen=True)
class Settings:
    """Settings that all agents share; each agent adds its own.

    >>> Settings(gamma=1.5)
    Traceback (most recent call last):
    ValueError: gamma must be in [0, 1], got 1.5
    """

    n_envs: int = 8
    """Environments per run (N)."""
    n_steps: int = 16
    """Steps of each environment per rollout (T)."""
    gamma: float = 0.99
    """Discount per environment step, in [0, 1]."""
    lr: float = 7e-4
    """Step size of the optimizer, > 0."""
    lr_schedule: Literal["constant", "linear"] = "constant"
    """`constant`, or `linear`: falls to 0 over the training."""
    vf_coef: float = 0.5
    """Weight of the value loss, ≥ 0."""
    ent_coef: float = 0.0
    """Weight of the entropy bonus, ≥ 0."""
    max_grad_norm: float = 0.5
    """Each run's gradient is scaled down to this norm if it is longer, > 0; inf never clips."""
    clip: Literal["gradient", "numerator"] = "gradient"
    """What max_grad_norm shortens: the `gradient` that the optimizer gets, or only its step, `numerator`. E then sees how large
    gradients are; needs an optimizer whose `observe` takes `step_scale`, as AdaptiveRMSprop's."""
    reward_scale: float = 1.0
    """Rewards are multiplied by this for learning, > 0; reported returns are not. Brings values near 1, where a critic of
    small initial weights can reach them and its gradient does not drown the policy's when both are clipped together."""
    observation_scale: tuple[float, ...] = ()
    """Observations are divided by these typical sizes, one a sensor, each > 0, before the networks see them; empty: by 1.
    Small differences that matter (a lander's speed close to the ground) are then seen by units with weights of usual size."""
    normalize_observations: bool = False
    """Shift and scale observations by the run's running mean and standard deviation. See agents/normalization.py."""
    normalize_rewards: bool = False
    """Divide rewards, for learning, by the running standard deviation of the run's discounted return; before reward_scale."""
    normalize_advantage: bool = False
    """Scale advantages to mean 0, standard deviation 1 within each run's batch of an update."""
    log_std_init: float = 0.0
    """With continuous actions, the initial ln σ of each of them."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers, of the actor and of the critic."""

    @property
    def updates_per_iteration(self) -> int:
        """Optimizer updates on each rollout."""
        return 1

    @property
    def steps_per_update(self) -> float:
        """Environment steps of one run for each optimizer update."""
        return self.n_envs * self.n_steps / self.updates_per_iteration

    def __post_init__(self) -> None:
        for name in ("n_envs", "n_steps"):
            require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        steps = self.n_envs * self.n_steps
        require(steps <= MOST_STEPS, "n_envs · n_steps", f"at most {MOST_STEPS}, the steps of one rollout", steps)
        for name in ("gamma", "gae_lambda"):
            if hasattr(self, name):
                require(0 <= getattr(self, name) <= 1, name, "in [0, 1]", getattr(self, name))
        for name in ("lr", "max_grad_norm", "reward_scale"):
            require(getattr(self, name) > 0, name, "greater than 0", getattr(self, name))
        for name in ("lr", "reward_scale"):
            require(getattr(self, name) < float("inf"), name, "finite", getattr(self, name))
        for name in ("vf_coef", "ent_coef"):
            require(0 <= getattr(self, name) < float("inf"), name, "at least 0 and finite", getattr(self, name))
        require(self.lr_schedule in ("constant", "linear"), "lr_schedule", "constant or linear", self.lr_schedule)
        require(self.clip in ("gradient", "numerator"), "clip", "gradient or numerator", self.clip)
        sizes = self.observation_scale
        require(all(0 < size < float("inf") for size in sizes), "observation_scale", "sizes greater than 0 and finite", sizes)
        one_scale = not (sizes and self.normalize_observations)
        require(one_scale, "observation_scale", "empty with normalize_observations, which estimates the scale itself", sizes)
        rule = f"from −{WIDEST_LOG_STD} to {WIDEST_LOG_STD}"
        require(abs(self.log_std_init) <= WIDEST_LOG_STD, "log_std_init", rule, self.log_std_init)
        require(all(1 <= w <= WIDEST for w in self.hidden), "hidden", f"layer widths from 1 to {WIDEST}", self.hidden)


@dataclass(frozen=True)
class A2C(Settings):
    """Settings of A2C. The defaults suit small control tasks; tuned ones are in rl_rmsprop/study/spec/presets.py.

    >>> A2C(n_steps=32, hidden=(32,)).updates_per_iteration
    1
    """

    n_steps: int = 16
    """Steps of each environment per rollout (T)."""
    gae_lambda: float = 0.95
    """λ of the advantage estimate, in [0, 1]; 1 gives n-step returns."""


@dataclass(frozen=True)
class Reinforce(Settings):
    """Settings of REINFORCE; an advantage here is G − b(s).

    >>> Reinforce(n_envs=4, n_steps=200).updates_per_iteration
    1
    """

    n_steps: int = 500
    """Steps of each environment per rollout (T); the longest episode, or more."""


@dataclass(frozen=True)
class PPO(Settings):
    """Settings of PPO. The defaults are those of Stable-Baselines3, but for 8 environments instead of one.

    >>> PPO(n_envs=8, n_steps=256, batch_size=64, n_epochs=10).updates_per_iteration
    320
    """

    n_steps: int = 256
    """Steps of each environment per rollout (T)."""
    lr: float = 3e-4
    """Step size of the optimizer, > 0."""
    gae_lambda: float = 0.95
    """λ of the advantage estimate, in [0, 1]; 1 gives n-step returns."""
    n_epochs: int = 10
    """Passes over a rollout."""
    batch_size: int = 64
    """Steps per optimizer update, from 2 to those of a rollout; the last minibatch of an epoch may be smaller."""
    clip_range: float = 0.2
    """c: how far the probability of an action may move, as a ratio, before it gains nothing more; > 0."""
    normalize_advantage: bool = True
    """Scale advantages to mean 0, standard deviation 1 within each minibatch."""

    @property
    def updates_per_iteration(self) -> int:
        """One for every minibatch of every epoch."""
        return self.n_epochs * -(-self.n_envs * self.n_steps // self.batch_size)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.n_epochs >= 1, "n_epochs", "at least 1", self.n_epochs)
        require(0 < self.clip_range < float("inf"), "clip_range", "greater than 0 and finite", self.clip_range)
        steps = self.n_envs * self.n_steps
        require(2 <= self.batch_size <= steps, "batch_size", f"from 2 to n_envs · n_steps, {steps}", self.batch_size)


def require(condition: bool, name: str, rule: str, value: object) -> None:
    """Raise ValueError naming the setting, its rule and the value, unless the condition holds (NaN holds nowhere)."""
    if not condition:
        raise ValueError(f"{name} must be {rule}, got {value}")


def check_scale(observation_scale: Sequence[float], observation_size: int) -> None:
    """ValueError unless there is one number a sensor, or none at all."""
    if observation_scale and len(observation_scale) != observation_size:
        raise ValueError(
            f"observation_scale must have one number a sensor, {observation_size}, got {len(observation_scale)}: "
            "give all of them, or none"
        )
