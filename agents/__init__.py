"""Policy-gradient agents for R runs at once. They know neither environments nor optimizers: both are passed in.

>>> import envs, torch
>>> from agents import A2C, Training, make_policy
>>> seeds, agent = [0, 1], A2C(n_envs=4)
>>> env = envs.make("CartPole-v1", seeds, envs_per_run=agent.n_envs)
>>> policy = make_policy(env, agent, seeds, device="cpu")
>>> optimizer = torch.optim.Adam(policy.parameters(), lr=1e-3)  # or any other, such as AdaptiveRMSprop(..., runs=len(seeds))
>>> for update in Training(agent, env, policy, optimizer, iterations=3, seeds=seeds):
...     print(update.iteration, update.grad_norm.isfinite().tolist(), update.metrics()["train/entropy"].round(decimals=2))
1 [True, True] tensor([0.6900, 0.6900])
2 [True, True] tensor([0.6900, 0.6900])
3 [True, True] tensor([0.6900, 0.6900])

`PPO` and `Reinforce` take the place of `A2C`. A run computes the same bits alone and beside any others: agents/reproducible.py.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents.config import A2C, PPO, Reinforce, Settings
    from agents.distributions import Categorical, Gaussian, MultiCategorical
    from agents.evaluation import episode_returns
    from agents.networks import ActorCritic, make_policy
    from agents.per_run import PerRun
    from agents.reproducible import one_thread, reproducible_products
    from agents.training import Training, Update

__all__ = [
    "A2C", "PPO", "ActorCritic", "Categorical", "Gaussian", "MultiCategorical", "PerRun", "Reinforce", "Settings", "Training",
    "Update", "episode_returns", "make_policy", "one_thread", "reproducible_products",
]  # fmt: skip

__distribution__ = "rl-rmsprop"
"""Whose package this is: others have this name too, see rl_rmsprop/companions.py."""

MODULES = {
    "config": ("A2C", "PPO", "Reinforce", "Settings"),
    "distributions": ("Categorical", "Gaussian", "MultiCategorical"),
    "evaluation": ("episode_returns",),
    "networks": ("ActorCritic", "make_policy"),
    "per_run": ("PerRun",),
    "reproducible": ("one_thread", "reproducible_products"),
    "training": ("Training", "Update"),
}


def __getattr__(name: str) -> Any:
    # Loaded at first use: settings can be listed and checked without waiting two seconds for torch.
    from importlib import import_module

    for module, names in MODULES.items():
        if name in names:
            return getattr(import_module(f"agents.{module}"), name)
    raise AttributeError(f"module 'agents' has no attribute {name!r}")
