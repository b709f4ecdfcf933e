"""Gymnasium environments for batched training, stationary or shifting: R runs × N environments, a random stream per run."""

from envs.cartpole import CartPoleBatch
from envs.core import EnvBatch, Step, check_spaces
from envs.episode_replay import NotReplayable
from envs.gymnasium_wrappers import ShiftWrapper, VectorShiftWrapper, register
from envs.make import check_env_id, make
from envs.seeding import seed_sequence
from envs.serial import SerialBatch
from envs.shifted import ShiftedBatch
from envs.shifts.shift import Shift

__all__ = [
    "CartPoleBatch",
    "EnvBatch",
    "NotReplayable",
    "SerialBatch",
    "Shift",
    "ShiftWrapper",
    "ShiftedBatch",
    "Step",
    "VectorShiftWrapper",
    "check_env_id",
    "check_spaces",
    "make",
    "register",
    "seed_sequence",
]

register()
