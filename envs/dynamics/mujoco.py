"""What can change in MuJoCo's robots: gravity, friction, masses, damping and motors, as factors of what the model has.

Ant's `friction` redrawn every so many steps is SlipperyAnt (Dohare et al., Nature 2024).
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from envs.dynamics.base import DynamicsWrapper, Family
from envs.dynamics.parameter import Parameter

MOTORS = {
    "InvertedPendulum": 1, "Reacher": 2, "Hopper": 3, "HalfCheetah": 6, "Walker2d": 6, "Swimmer": 2, "Ant": 8,
}  # fmt: skip
"""The motors of each robot; the ids of Gymnasium's are these names and -v5."""


def parameters(motors: int) -> tuple[Parameter, ...]:
    """What can change in a robot with so many motors."""
    return (
        Parameter("gravity", "acceleration of gravity, m/s²; down is negative", -9.81, -100, 100, (-20, -2)),
        Parameter("friction", "factor on the sliding friction of all surfaces", 1, 0, 100, (0.02, 2)),
        Parameter("body_mass", "factor on mass and inertia of all bodies", 1, 0.01, 100, (0.3, 3)),
        Parameter("joint_damping", "factor on the damping of all joints", 1, 0, 100, (0, 5)),
        Parameter("actuator_gain", "factor on the force of all motors; its sign turns actions around", 1, -100, 100, (-1, 2)),
        Parameter(
            "failed_actuator", "motor that does nothing, from 1; 0 is none", 0, 0, motors, (0, motors), whole=True
        ),
    )  # fmt: skip


class MujocoDynamics(DynamicsWrapper):
    """A model's own numbers times the factors. What MuJoCo derives of masses is computed anew."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        model: Any = env.unwrapped.model  # type: ignore[attr-defined]
        self._own = {
            "friction": model.geom_friction[:, 0].copy(),
            "mass": model.body_mass.copy(),
            "inertia": model.body_inertia.copy(),
            "damping": model.dof_damping.copy(),
            "gain": model.actuator_gainprm[:, 0].copy(),
        }
        self._values = {"gravity": float(model.opt.gravity[2]), "friction": 1.0, "body_mass": 1.0, "joint_damping": 1.0}
        self._values |= {"actuator_gain": 1.0, "failed_actuator": 0.0}

    def get(self, name: str) -> float:
        if name not in self._values:
            return super().get(name)
        return self._values[name]

    def set(self, name: str, value: float) -> None:
        if name not in self._values:
            super().set(name, value)
        self._values[name] = value
        model: Any = self.env.unwrapped.model  # type: ignore[attr-defined]
        if name == "gravity":
            model.opt.gravity[2] = value
        elif name == "friction":
            model.geom_friction[:, 0] = self._own["friction"] * value
        elif name == "joint_damping":
            model.dof_damping[:] = self._own["damping"] * value
        elif name == "body_mass":
            import mujoco  # an extra, which an environment of this kind has imported already

            model.body_mass[:] = self._own["mass"] * value
            model.body_inertia[:] = self._own["inertia"] * value
            mujoco.mj_setConst(model, mujoco.MjData(model))  # which must not be the environment's: it is overwritten
        else:
            numbers = np.arange(1, len(self._own["gain"]) + 1)
            works = numbers != self._values["failed_actuator"]
            model.actuator_gainprm[:, 0] = self._own["gain"] * self._values["actuator_gain"] * works


FAMILIES = tuple(
    Family((f"{robot}Env",), (f"{robot}-v5",), parameters(motors), MujocoDynamics) for robot, motors in MOTORS.items()
)
