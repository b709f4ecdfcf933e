"""Schedules: β as a function of the clock n, counted in optimizer updates from 1.

Every schedule maps a tensor of clocks (any shape, float64, n ≥ 1) to β in [0, 1) of the same shape, so that R runs with
clocks of their own are one call. A schedule is a frozen dataclass: it pickles, compares, prints, and has a text form.

>>> import torch
>>> Linear(0.5, 0.9, steps=5)(torch.tensor([1.0, 3.0, 5.0, 99.0]))
tensor([0.5000, 0.7000, 0.9000, 0.9000])
"""

from rl_rmsprop.schedules.base import LARGEST, Schedule, check_beta, check_positive, check_updates
from rl_rmsprop.schedules.constant import Constant, HalfLife
from rl_rmsprop.schedules.harmonic import Harmonic, Power, ScRmsprop
from rl_rmsprop.schedules.lengths import Refresh, Samples
from rl_rmsprop.schedules.piecewise import Join, Piecewise
from rl_rmsprop.schedules.ramps import Cosine, Cyclic, Exponential, Linear, Polynomial, Ramp, interpolate

__all__ = [
    "LARGEST", "SCHEDULES", "Constant", "Cosine", "Cyclic", "Exponential", "HalfLife", "Harmonic", "Join", "Linear", "Piecewise",
    "Polynomial", "Power", "Ramp", "Refresh", "Samples", "ScRmsprop", "Schedule", "check_beta", "check_positive",
    "check_updates", "interpolate",
]  # fmt: skip

SCHEDULES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "half_life": HalfLife,
    "refresh": Refresh,
    "samples": Samples,
    "linear": Linear,
    "cosine": Cosine,
    "exponential": Exponential,
    "polynomial": Polynomial,
    "cyclic": Cyclic,
    "piecewise": Piecewise,
    "harmonic": Harmonic,
    "power": Power,
    "sc_rmsprop": ScRmsprop,
}
"""Name in texts → schedule."""
