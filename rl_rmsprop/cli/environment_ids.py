"""Ids of environments that are worth naming: tuned ones, and Gymnasium's own."""

from __future__ import annotations

from typing import Any

from rl_rmsprop.study.spec.presets import PRESETS


def tuned_ids() -> list[str]:
    """Environments with tuned settings of an agent."""
    return sorted({env_id for _, env_id in PRESETS})


def gymnasium_ids() -> list[str]:
    """Newest versions of Gymnasium's own control and Box2D environments."""
    import gymnasium as gym

    newest: dict[str, Any] = {}
    for spec in gym.registry.values():
        if str(spec.entry_point).startswith(("gymnasium.envs.classic_control", "gymnasium.envs.box2d")):
            newest[spec.name] = max(spec, newest.get(spec.name, spec), key=lambda s: s.version or 0)
    return [spec.id for spec in newest.values()]
