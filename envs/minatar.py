"""MinAtar's five games (Young and Tian 2019), as Gymnasium environments that can be repeated.

MinAtar's own Gymnasium classes have to be registered by hand, show their 10 × 10 pixels as a box of three axes, and begin a game
with the last action of the game before, so that two resets with the same seed need not be alike. Here a game is registered when
`envs` is imported, under MinAtar's ids (`MinAtar/Breakout-v1` with the actions that matter, -v0 with all six), its pixels are a
row of zeros and ones, and it begins with no action before it. MinAtar is an extra, `minatar`; its licence is the GPL.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

GAMES = {
    "Asterix": "asterix", "Breakout": "breakout", "Freeway": "freeway", "Seaquest": "seaquest", "SpaceInvaders": "space_invaders",
}  # fmt: skip
"""Name in the ids → MinAtar's module."""
RAMPING = ("Asterix", "Seaquest", "SpaceInvaders")
"""Games that become harder with time."""
PALETTE = np.array(
    [(0, 0, 0), (230, 85, 60), (250, 190, 60), (90, 170, 220), (110, 190, 110), (180, 120, 200), (240, 150, 180), (150, 110, 80),
     (120, 210, 200), (200, 200, 200), (250, 240, 150)], np.uint8,
)  # fmt: skip
"""Colours of a picture: of nothing, and of each channel."""
SCALE = 24
"""Pixels of a picture for one of the game's."""


class MinAtarEnv(gym.Env[NDArray[np.float32], Any]):
    """One game: 100 · channels zeros and ones, and a choice of actions.

    Args:
        game: MinAtar's name of it.
        use_minimal_action_set: whether to leave out actions that do nothing in it.
        render_mode: `rgb_array` for pictures.
        sticky_action_prob: chance that the last action is taken once more, in [0, 1].

    Raises:
        gymnasium.error.DependencyNotInstalled: without MinAtar.

    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012  (as in Gymnasium)

    def __init__(
        self,
        game: str,
        use_minimal_action_set: bool = True,
        render_mode: str | None = None,
        sticky_action_prob: float = 0.1,
    ) -> None:
        try:
            from minatar import Environment
        except ImportError as error:
            raise gym.error.DependencyNotInstalled(f"{error}; pip install 'rl-rmsprop[minatar]'") from error
        self.game = Environment(game, sticky_action_prob)
        self.render_mode = render_mode
        self._actions = self.game.minimal_action_set() if use_minimal_action_set else list(range(self.game.num_actions()))
        self.action_space = gym.spaces.Discrete(len(self._actions))
        self.observation_space = gym.spaces.Box(0.0, 1.0, (int(np.prod(self.game.state_shape())),), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        self.game.random = self.game.env.random = np.random.RandomState(self.np_random.bit_generator)  # and draws from np_random
        self.game.last_action = 0
        self.game.reset()
        return self._observation(), {}

    def step(self, action: int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        reward, done = self.game.act(self._actions[action])
        return self._observation(), float(reward), bool(done), False, {}

    def _observation(self) -> NDArray[np.float32]:
        return self.game.state().astype(np.float32).ravel()

    def render(self) -> NDArray[np.uint8] | None:
        if self.render_mode != "rgb_array":
            return None
        state = self.game.state()
        picture = PALETTE[(state * np.arange(1, state.shape[2] + 1)).max(2)]
        return picture.repeat(SCALE, 0).repeat(SCALE, 1)


class RampingMinAtarEnv(MinAtarEnv):
    """A game that becomes harder with time, unless `difficulty_ramping` is false; see `MinAtarEnv`."""

    def __init__(self, game: str, *, difficulty_ramping: bool = True, **kwargs: Any) -> None:
        super().__init__(game, **kwargs)
        self.game.env.ramping = difficulty_ramping


def register() -> None:
    """Register the games with Gymnasium, as MinAtar does; importing `envs` does it.

    >>> register()
    >>> sorted(env_id for env_id in gym.registry if env_id.startswith("MinAtar/"))[:3]
    ['MinAtar/Asterix-v0', 'MinAtar/Asterix-v1', 'MinAtar/Breakout-v0']
    """
    for name, game in GAMES.items():
        kind = RampingMinAtarEnv if name in RAMPING else MinAtarEnv
        for version, minimal in (("v0", False), ("v1", True)):
            if f"MinAtar/{name}-{version}" not in gym.registry:
                kwargs = {"game": game, "use_minimal_action_set": minimal}
                gym.register(f"MinAtar/{name}-{version}", entry_point=f"envs.minatar:{kind.__name__}", kwargs=kwargs)
