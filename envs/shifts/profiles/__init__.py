"""When a parameter changes and to what: its value as a function of the clock of a run.

    profile: t [R] → value [R], regime [R]

t counts what the shift's clock counts (environment steps, episodes or updates of the run) from 0 at the start of training;
it never restarts at an episode's end. A regime is a number for the value in force: recurring values have the same number. A
profile that passes through values in between has regimes before, during and after instead.
Profiles that draw random numbers draw from a generator of each run that is used for nothing else, so that the times of the
changes depend neither on the environment's randomness nor on the policy's.
"""

from envs.shifts.profiles.base import NEVER, Profile
from envs.shifts.profiles.deterministic import Abrupt, Pulse, Ramp, Recurring, Sine, Square, Still
from envs.shifts.profiles.random import Poisson, Walk

__all__ = ["NEVER", "PROFILES", "Abrupt", "Poisson", "Profile", "Pulse", "Ramp", "Recurring", "Sine", "Square", "Still", "Walk"]

PROFILES: dict[str, type[Profile]] = {
    "abrupt": Abrupt,
    "ramp": Ramp,
    "square": Square,
    "sine": Sine,
    "walk": Walk,
    "poisson": Poisson,
    "recurring": Recurring,
    "pulse": Pulse,
    "none": Still,
}
"""Name in texts → profile."""
