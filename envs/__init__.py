"""Gymnasium environments for batched training, stationary or shifting: R runs × N environments, a random stream per run."""

from envs.batch import EnvBatch, SerialBatch, Step, check_spaces
from envs.cartpole import CartPoleBatch
from envs.make import check_env_id, make
from envs.replaying import NotReplayable
from envs.seeding import seed_sequence
from envs.shifted import ShiftedBatch
from envs.shifts import Shift
from envs.wrappers import ShiftWrapper, VectorShiftWrapper, register

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
