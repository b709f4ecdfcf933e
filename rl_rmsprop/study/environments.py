"""What `rl-rmsprop envs` prints."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from rich.console import Console
from rich.table import Table

import envs
from rl_rmsprop.study.presets import PRESETS


def show(console: Console) -> None:
    """Environments with tuned settings first, then every registered one that the agents can use."""
    tuned = sorted({env_id for _, env_id in PRESETS})
    table = Table("environment", "observation", "actions", "longest episode", "solved at", "tuned for", title_justify="left")
    for env_id in [*tuned, *(e for e in usable() if e not in tuned)]:
        spec = gym.spec(env_id)
        env = gym.make(env_id, disable_env_checker=True)
        observation, action = envs.check_spaces(env)
        env.close()
        agents = ", ".join(agent for agent, tuned_id in PRESETS if tuned_id == env_id)
        limit, solved = spec.max_episode_steps, spec.reward_threshold
        cells = (env_id, str(observation.shape[0]), str(action.n), str(limit or "–"), str(solved or "–"), agents or "–")
        table.add_row(*cells)
    console.print(table)
    console.print("Any other registered id with a flat Box observation and Discrete actions works too.", soft_wrap=True)


def usable() -> list[str]:
    """Newest versions of Gymnasium's own control and Box2D environments whose spaces the agents can use."""
    newest: dict[str, Any] = {}
    for spec in gym.registry.values():
        if str(spec.entry_point).startswith(("gymnasium.envs.classic_control", "gymnasium.envs.box2d")):
            newest[spec.name] = max(spec, newest.get(spec.name, spec), key=lambda s: s.version or 0)
    return [spec.id for spec in newest.values() if fits(spec.id)]


def fits(env_id: str) -> bool:
    """Whether the agents can use this environment here."""
    try:
        envs.check_env_id(env_id)
    except ValueError:
        return False
    return True
