"""What can change in MinAtar's games: how often an action sticks, and whether the game becomes harder with time."""

from __future__ import annotations

from typing import Any

from envs.dynamics.base import DynamicsWrapper, Family
from envs.dynamics.parameter import Parameter

STICKY = Parameter("sticky_action_prob", "chance that the last action is taken once more", 0.1, 0, 1, (0, 0.9))
RAMPING = Parameter(
    "difficulty_ramping", "1: the game becomes harder with time, 0: it stays as it is", 1, 0, 1, (0, 1), choices=(0, 1)
)


class MinAtarDynamics(DynamicsWrapper):
    """Attributes of the game, read at every step."""

    def get(self, name: str) -> float:
        owner, attribute = self._place(name)
        return float(getattr(owner, attribute))

    def set(self, name: str, value: float) -> None:
        owner, attribute = self._place(name)
        setattr(owner, attribute, bool(value) if name == "difficulty_ramping" else value)

    def _place(self, name: str) -> tuple[Any, str]:
        """The object that holds a parameter, and the attribute's name."""
        game: Any = self.env.unwrapped.game  # type: ignore[attr-defined]
        return (game.env, "ramping") if name == "difficulty_ramping" else (game, name)


FAMILY = Family(("MinAtarEnv",), (), (STICKY,), MinAtarDynamics)
RAMPING_FAMILY = Family(("RampingMinAtarEnv",), (), (STICKY, RAMPING), MinAtarDynamics)
