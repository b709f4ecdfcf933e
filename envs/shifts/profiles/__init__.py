"""When a parameter changes and to what: its value as a function of the clock of a run.

    profile: t [R] → value [R], regime [R]

t counts the units of the shift's clock (environment steps, episodes or updates of the run) from 0 at the start of training; it
never restarts at an episode's end. A regime is a number for the value in force: recurring values have the same number. A profile
that passes through values in between has regimes before, during and after instead.
Random profiles draw from a separate generator of each run, so that the times of the changes depend neither
on the environment's randomness nor on the policy's. A new profile is a class and its row in PROFILES.
"""

from envs.shifts.profiles.base import NEVER, Profile
from envs.shifts.profiles.deterministic import Abrupt, NoChange, Pulse, Ramp, Recurring, Sine, Square
from envs.shifts.profiles.random import Poisson, Redrawn, Walk

__all__ = [
    "NEVER",
    "PROFILES",
    "Abrupt",
    "NoChange",
    "Poisson",
    "Profile",
    "Pulse",
    "Ramp",
    "Recurring",
    "Redrawn",
    "Sine",
    "Square",
    "Walk",
]

PROFILES: dict[str, type[Profile]] = {
    "abrupt": Abrupt,
    "ramp": Ramp,
    "square": Square,
    "sine": Sine,
    "walk": Walk,
    "poisson": Poisson,
    "recurring": Recurring,
    "redrawn": Redrawn,
    "pulse": Pulse,
    "none": NoChange,
}
"""Name in texts → profile."""
