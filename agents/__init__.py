"""Policy-gradient agents batched over runs. They know neither environments nor optimizers: both are passed in."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents.config import A2C, PPO, Reinforce, Settings
    from agents.distributions import Categorical, Gaussian
    from agents.networks import ActorCritic
    from agents.training import Training, Update

__all__ = ["A2C", "PPO", "ActorCritic", "Categorical", "Gaussian", "Reinforce", "Settings", "Training", "Update"]

HOME = {
    **dict.fromkeys(["A2C", "PPO", "Reinforce", "Settings"], "config"),
    **dict.fromkeys(["Categorical", "Gaussian"], "distributions"),
    "ActorCritic": "networks",
    **dict.fromkeys(["Training", "Update"], "training"),
}


def __getattr__(name: str) -> Any:
    # Loaded at first use: settings can be listed and checked without waiting two seconds for torch.
    from importlib import import_module

    if name in HOME:
        return getattr(import_module(f"agents.{HOME[name]}"), name)
    raise AttributeError(f"module 'agents' has no attribute {name!r}")
