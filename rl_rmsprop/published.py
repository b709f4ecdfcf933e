"""The RMSProps that reinforcement learning has been done with, and those of the libraries: their numbers, with sources.

    optimizer = AdaptiveRMSprop(policy.parameters(), **presets("a2c-tf"))

"RMSProp" is many optimizers. Some have ε inside the root, where 0.1 is as much as 0.32 outside; some start E at 1, which makes
the first steps short instead of long; one subtracts the square of the mean gradient. Every one of them has a constant β.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from rl_rmsprop import grammar


@dataclass(frozen=True)
class Published:
    """One published RMSProp."""

    what: str
    """Whose it is, and what for."""
    lr: float
    """Step size η."""
    beta: float
    """Decay rate β (torch: alpha)."""
    eps: float
    """ε."""
    source: str
    """Where its numbers are from."""
    eps_in_sqrt: bool = False
    """Whether ε is inside the root."""
    start: float = 0.0
    """E₀."""
    centered: bool = False
    """Whether the squared mean gradient is subtracted from E."""
    momentum: float = 0.0
    """Of the normalised gradient."""
    clip: str = "–"
    """What is clipped before the step; the caller does this."""
    samples: int | None = None
    """Environment steps, or samples of a minibatch, in an update; None where the library leaves it open."""

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of AdaptiveRMSprop."""
        names = {"lr": self.lr, "alpha": self.beta, "eps": self.eps, "momentum": self.momentum, "centered": self.centered}
        more = {"eps_in_sqrt": self.eps_in_sqrt, "initial_accumulator_value": self.start}
        return names | more

    @property
    def half_life(self) -> float:
        """Updates after which a squared gradient counts half."""
        return math.log(0.5) / math.log(self.beta)


PUBLISHED: dict[str, Published] = {
    "dqn-nature": Published(
        "DQN, the Lua code", 2.5e-4, 0.95, 0.01, "Mnih et al. 2015; NeuralQLearner.lua", True, 0.0, True,
        clip="TD error ±1", samples=32,
    ),
    "a3c": Published(
        "A3C, statistics shared by all threads", 7e-4, 0.99, 0.1, "Mnih et al. 2016, with their answer in muupan/async-rl", True,
        samples=5,
    ),
    "a2c-tf": Published(
        "A2C and ACER of OpenAI Baselines", 7e-4, 0.99, 1e-5, "openai/baselines, a2c.py; TensorFlow's RMSPropOptimizer", True,
        1.0, clip="norm 0.5", samples=80,
    ),
    "impala": Published(
        "IMPALA", 4.8e-4, 0.99, 0.1, "Espeholt et al. 2018; google-deepmind/scalable_agent, experiment.py", True, 1.0,
        samples=3200,
    ),
    "torchbeast": Published(
        "IMPALA in torch", 4.8e-4, 0.99, 0.01, "facebookresearch/torchbeast, monobeast.py", clip="norm 40", samples=640
    ),
    "rllib": Published(
        "IMPALA of RLlib, with torch", 5e-4, 0.99, 0.1, "ray, impala.py (opt_type rmsprop)", clip="norm 40", samples=500
    ),
    "pymarl": Published("QMIX and others", 5e-4, 0.99, 1e-5, "oxwhirl/pymarl, config/default.yaml", clip="norm 10"),
    "sb3": Published(
        "A2C of Stable-Baselines3", 7e-4, 0.99, 1e-5, "DLR-RM/stable-baselines3, a2c.py (torch.optim.RMSprop)",
        clip="norm 0.5", samples=5,
    ),
    "sb3-tf": Published(
        "A2C of RL Zoo on Atari", 7e-4, 0.99, 1e-5, "stable-baselines3, sb2_compat/rmsprop_tf_like.py", True, 1.0,
        clip="norm 0.5", samples=80,
    ),
    "torch": Published("torch.optim.RMSprop", 1e-2, 0.99, 1e-8, "torch's defaults"),
    "keras": Published("keras.optimizers.RMSprop", 1e-3, 0.9, 1e-7, "Keras 3's defaults", True),
    "optax": Published("optax.rmsprop", 1e-3, 0.9, 1e-8, "optax's defaults; lr has none there", True),
    "hinton": Published("the lecture", 1e-3, 0.9, 0.0, "Hinton, Srivastava & Swersky 2012, Coursera lecture 6e; no ε there"),
}  # fmt: skip
"""Name → RMSProp."""


def presets(name: str) -> dict[str, Any]:
    """Keyword arguments of AdaptiveRMSprop that make it a published RMSProp; ValueError with the nearest name for another one.

    Clipping (`PUBLISHED[name].clip`) is the caller's, before the step.

    >>> presets("a2c-tf")
    {'lr': 0.0007, 'alpha': 0.99, 'eps': 1e-05, 'momentum': 0.0, 'centered': False, 'eps_in_sqrt': True, \
'initial_accumulator_value': 1.0}
    """
    if name not in PUBLISHED:
        raise ValueError(f"preset must be a known one, got {name!r}: {grammar.nearest(name, PUBLISHED)}")
    return PUBLISHED[name].arguments
