"""Tuned settings of agents for environments; anything else starts from the agent's defaults."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from agents.a2c import A2C
from agents.ppo import PPO
from agents.reinforce import Reinforce
from rl_rmsprop import grammar

Agent = A2C | PPO | Reinforce

AGENTS: dict[str, type[Agent]] = {"a2c": A2C, "ppo": PPO, "reinforce": Reinforce}
"""Name on the command line → settings."""

PRESETS: dict[tuple[str, str], dict[str, Any]] = {
    ("a2c", "CartPole-v1"): {
        "lr": 1.6e-3,
        "lr_schedule": "linear",
        "vf_coef": 0.25,
        "max_grad_norm": 1.0,
        "normalize_advantage": True,
        "reward_scale": 0.05,
    },
    # Long windows: a landing pays off fifty steps after it begins, and windows of 16 steps teach only to hover.
    ("a2c", "LunarLander-v3"): {
        "lr": 3e-3,
        "lr_schedule": "linear",
        "n_envs": 8,
        "n_steps": 128,
        "gamma": 0.999,
        "gae_lambda": 0.98,
        "normalize_advantage": True,
        "reward_scale": 0.1,
        "observation_scale": (0.3, 0.5, 0.3, 0.3, 0.2, 0.15, 1.0, 1.0),
    },
    # PPO's are those of RL Baselines3 Zoo, without its falling clip range and its state-dependent exploration.
    ("ppo", "CartPole-v1"): {
        "lr": 1e-3,
        "lr_schedule": "linear",
        "n_envs": 8,
        "n_steps": 32,
        "batch_size": 256,
        "n_epochs": 20,
        "gamma": 0.98,
        "gae_lambda": 0.8,
    },
    ("ppo", "Pendulum-v1"): {
        "lr": 1e-3,
        "n_envs": 4,
        "n_steps": 1024,
        "batch_size": 64,
        "n_epochs": 10,
        "gamma": 0.9,
        "gae_lambda": 0.95,
        "reward_scale": 0.1,
    },
    ("reinforce", "CartPole-v1"): {
        "lr": 1.7e-3,
        "lr_schedule": "linear",
        "gamma": 0.99,
        "vf_coef": 0.25,
        "ent_coef": 0.0,
        "max_grad_norm": 1.0,
        "normalize_advantage": True,
        "reward_scale": 0.01,
    },
}
"""(agent, environment) → settings that differ from the agent's defaults, tuned with RMSProp, β = 0.99."""


def make_agent(agent: str, env_id: str, overrides: dict[str, Any]) -> Agent:
    """The agent's settings: its defaults, then the environment's preset, then `overrides`."""
    if agent not in AGENTS:
        raise ValueError(f"agent must be a known one, got {agent!r}: {grammar.nearest(agent, AGENTS)}")
    kind = AGENTS[agent]
    known = {f.name for f in fields(kind)}
    for name in overrides:
        if name not in known:
            raise ValueError(f"{agent} has no setting {name!r}: {grammar.nearest(name, known)}")
    return kind(**{**PRESETS.get((agent, env_id), {}), **overrides})
