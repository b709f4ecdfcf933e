"""What can change in both mountain cars: the engine, and gravity where Gymnasium has a name for it."""

from __future__ import annotations

from envs.dynamics.base import AttributeDynamics, Family
from envs.dynamics.parameter import Parameter

PARAMETERS = (
    Parameter("force", "change of speed by the engine in a step; its sign swaps the actions", 0.001, -1, 1, (-0.003, 0.005)),
    Parameter("gravity", "change of speed by gravity in a step on the steepest slope", 0.0025, -1, 1, (0.001, 0.005)),
)
CONTINUOUS_PARAMETERS = (
    Parameter(
        "power", "change of speed in a step by an action of 1; its sign turns actions around", 0.0015, -1, 1, (-0.003, 0.005)
    ),
)

FAMILY = Family(("MountainCarEnv",), ("MountainCar-v0",), PARAMETERS, AttributeDynamics)
CONTINUOUS_FAMILY = Family(
    ("Continuous_MountainCarEnv",), ("MountainCarContinuous-v0",), CONTINUOUS_PARAMETERS, AttributeDynamics
)
