"""Gymnasium environments for batched training, stationary or shifting: R runs × N environments, a random stream per run."""

from envs import minatar
from envs.checks import check_env_id
from envs.classic_control import ClassicControlBatch
from envs.core import EnvBatch, Step
from envs.episode_replay import NotReplayable
from envs.gymnasium_wrappers import ShiftWrapper, VectorShiftWrapper
from envs.make import make
from envs.registration import import_modules, modules_of, newest_version
from envs.serial import SerialBatch
from envs.shifted import ShiftedBatch
from envs.shifted_ids import register
from envs.shifts.shift import Shift
from envs.spaces import check_spaces
from envs.threads import set_num_threads
from envs.transitions import EnvironmentFailure
from envs.watch import watching
from rl_rmsprop.seeding import seed_sequence

__all__ = [
    "ClassicControlBatch",
    "EnvBatch",
    "EnvironmentFailure",
    "NotReplayable",
    "SerialBatch",
    "Shift",
    "ShiftWrapper",
    "ShiftedBatch",
    "Step",
    "VectorShiftWrapper",
    "check_env_id",
    "check_spaces",
    "import_modules",
    "make",
    "modules_of",
    "newest_version",
    "register",
    "seed_sequence",
    "set_num_threads",
    "watching",
]

__distribution__ = "rl-rmsprop"
"""Whose package this is: others have this name too, see rl_rmsprop/companions.py."""

register()
minatar.register()
