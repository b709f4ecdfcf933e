"""Detectors: has the level of a signal shifted? One answer per run and update, in constant time and memory.

    (state, x [R]) → (state, alarm [R], statistic [R])           state: a dict of float64 tensors [R] or [K, R]

A detector is a frozen dataclass; its state is a dict of tensors whose last axis is the run (none for one stream), so that it
is saved with the optimizer and runs never mix. An alarm is raised when `statistic > threshold`.

Three kinds. *Sequential tests* work on standardised input, and their threshold is set by `arl`, the mean number of updates
between false alarms on a stationary stream. *Controls* ignore the gradients. *Offline* detectors are river's. An observation
that is not finite is skipped: the run's state stays as it is.

>>> import math, torch
>>> detector = DETECTORS["cusum"](arl=1000)
>>> state = detector.init(torch.arange(2))  # two runs
>>> for t in range(300):
...     noise = math.sin(t * t)
...     x = torch.tensor([noise, noise + 3.0 * (t > 280)], dtype=torch.float64)
...     state, alarm, statistic = detector.update(state, x)
...     if alarm.any():
...         print(t, alarm.tolist())
283 [False, True]
"""

from rl_rmsprop import grammar
from rl_rmsprop.detectors.base import Detector, DetectorOutput, State
from rl_rmsprop.detectors.controls import Control, Never, Oracle, Periodic, PerRollout, Random
from rl_rmsprop.detectors.cusum import Cusum
from rl_rmsprop.detectors.ewma import Ewma
from rl_rmsprop.detectors.page_hinkley import PageHinkley
from rl_rmsprop.detectors.river import Adwin, Kswin, River, RiverPageHinkley
from rl_rmsprop.detectors.sequential import SequentialTest
from rl_rmsprop.detectors.shiryaev_roberts import ShiryaevRoberts
from rl_rmsprop.detectors.tracking_signal import TrackingSignal
from rl_rmsprop.detectors.yoked import Yoked

__all__ = [
    "DETECTORS", "OFFLINE", "Adwin", "Control", "Cusum", "Detector", "DetectorOutput", "Ewma", "Kswin", "Never", "Oracle",
    "PageHinkley", "PerRollout", "Periodic", "Random", "River", "RiverPageHinkley", "SequentialTest", "ShiryaevRoberts", "State",
    "TrackingSignal", "Yoked", "parse",
]  # fmt: skip

DETECTORS: dict[str, type[Detector]] = {
    "cusum": Cusum,
    "page_hinkley": PageHinkley,
    "ewma": Ewma,
    "e_sr": ShiryaevRoberts,
    "tracking_signal": TrackingSignal,
    "never": Never,
    "periodic": Periodic,
    "restart": PerRollout,
    "oracle": Oracle,
    "random": Random,
    "yoked": Yoked,
}
"""Name in texts → detector that a rule can run on."""

OFFLINE: dict[str, type[Detector]] = {"adwin": Adwin, "kswin": Kswin, "river_page_hinkley": RiverPageHinkley}
"""Name in texts → detector that can only replay recorded signals."""


def parse(spec: str) -> Detector:
    """The detector that a text stands for, online or offline; ValueError names what is wrong and what is allowed.

    >>> parse("cusum:arl=1000").arl, parse("adwin:delta=0.01").delta
    (1000.0, 0.01)
    """
    name, pairs = grammar.split(spec)
    known = {**DETECTORS, **OFFLINE}
    if name not in known:
        raise ValueError(f"detector must be a known one, got {name!r}: {grammar.nearest(name, known)}")
    return grammar.build(known[name], pairs, spec)
