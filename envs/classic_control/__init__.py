"""Gymnasium's classic control in arrays: CartPole, Acrobot, Pendulum and both mountain cars, bit for bit.

An environment is a file with its equations and a row here.
"""

from envs.classic_control.acrobot import Acrobots
from envs.classic_control.batch import ClassicControlBatch
from envs.classic_control.cartpole import CartPoles
from envs.classic_control.equations import Equations
from envs.classic_control.mountain_car import ContinuousMountainCars, MountainCars
from envs.classic_control.pendulum import Pendulums

KINDS: dict[str, type[Equations]] = {
    "CartPole-v1": CartPoles,
    "Acrobot-v1": Acrobots,
    "Pendulum-v1": Pendulums,
    "MountainCar-v0": MountainCars,
    "MountainCarContinuous-v0": ContinuousMountainCars,
}
"""Gymnasium's id → its equations."""

__all__ = ["KINDS", "ClassicControlBatch", "Equations"]
