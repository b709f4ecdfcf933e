"""What can change in Acrobot: masses and lengths of the links, and the torque."""

from __future__ import annotations

from typing import Any

from envs.dynamics.base import DynamicsWrapper, Family
from envs.dynamics.parameter import Parameter

PARAMETERS = (
    Parameter("link_mass_1", "mass of the inner link, kg; its moment of inertia stays", 1, 0.01, 100, (0.3, 3)),
    Parameter("link_mass_2", "mass of the outer link, kg; its moment of inertia stays", 1, 0.01, 100, (0.3, 3)),
    Parameter("link_length_1", "length of the inner link, m; its centre of mass stays in the middle", 1, 0.01, 100, (0.3, 3)),
    Parameter("link_length_2", "length of the outer link, m; its centre of mass stays in the middle", 1, 0.01, 100, (0.3, 3)),
    Parameter("torque", "torque of the two outer actions, Nm; its sign swaps them", 1, -100, 100, (-2, 3)),
)


class AcrobotDynamics(DynamicsWrapper):
    """Acrobot: a link's centre of mass stays in its middle; both links share one moment of inertia in Gymnasium, which stays."""

    def get(self, name: str) -> float:
        env: Any = self.env.unwrapped
        return float(env.AVAIL_TORQUE[2] if name == "torque" else getattr(env, name.upper()))

    def set(self, name: str, value: float) -> None:
        env: Any = self.env.unwrapped
        if name == "torque":
            env.AVAIL_TORQUE = [-value, 0.0, value]
            return
        setattr(env, name.upper(), value)
        if name.startswith("link_length"):
            setattr(env, name.upper().replace("LENGTH", "COM_POS"), value / 2)


FAMILY = Family(("AcrobotEnv",), ("Acrobot-v1",), PARAMETERS, AcrobotDynamics)
