"""What can change in Pendulum: gravity, mass, length and the largest torque."""

from __future__ import annotations

from envs.dynamics.base import AttributeDynamics, Family
from envs.dynamics.parameter import Parameter

PARAMETERS = (
    Parameter("g", "acceleration of gravity, m/s²", 10, -100, 1000, (1, 30)),
    Parameter("m", "mass of the pendulum, kg", 1, 0.01, 1000, (0.3, 3)),
    Parameter("l", "length of the pendulum, m", 1, 0.01, 100, (0.3, 3)),
    Parameter("max_torque", "largest torque, Nm; the action space stays", 2, 0, 1000, (0.2, 2)),
)

FAMILY = Family(("PendulumEnv",), ("Pendulum-v1",), PARAMETERS, AttributeDynamics)
