"""What tuning draws from: the ranges of lr and of the keys that rules and baselines leave open.

What is written in an arm's text is not touched: `cusum:max=0.99` has arl tuned, `cusum` arl and max, `adam` β₁ and β₂, `constant`
its β, `0.99` only lr.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rl_rmsprop import grammar
from rl_rmsprop.study.spec.arms import Arm


class Range(NamedTuple):
    """What a quantity is drawn from."""

    low: float
    high: float
    space: str
    """`log`: uniform in the logarithm; `window`: β, uniform in the logarithm of the window 1/(1 − β)."""

    def at(self, u: NDArray[np.float64]) -> list[float]:
        """The values at the places u in [0, 1) of the range, to three digits (of 1 − β for a β)."""
        if self.space == "window":
            return [float(f"{1 - value:.6g}") for value in Range(1 - self.low, 1 - self.high, "log").at(u)]
        values = self.low * np.exp(u * math.log(self.high / self.low))
        return [float(f"{value:.3g}") for value in values.tolist()]


LR = Range(0.1, 30.0, "log")
"""Factor on the environment's lr: wide above, since rules that remember large gradients take larger steps than RMSProp."""

LR_SCALE = {"sgd": 300.0, "momentum": 50.0, "adagrad": 5.0}
"""Baseline → factor on top, by which its updates are about as large as those of β = 0.99 (measured on CartPole-v1): its lr is not
the length of a step, or its steps shrink."""

ADAM = {"beta1": Range(0.0, 0.99, "window"), "beta2": Range(0.9, 0.9995, "window")}
ARL, CAP = Range(1e3, 1e6, "log"), Range(0.9, 0.9995, "window")
BETA, RAMP = Range(0.5, 0.9995, "window"), {"start": Range(0.5, 0.99, "window"), "end": Range(0.9, 0.9995, "window")}
KEYS: dict[str, dict[str, Range]] = {
    "constant": {"beta": BETA},
    **{name: RAMP for name in ("linear", "cosine", "exponential", "polynomial")},
    **{name: {"arl": ARL, "max": CAP} for name in ("cusum", "page_hinkley", "ewma", "e_sr", "tracking_signal")},
    **{name: {"max": CAP} for name in ("oracle", "harmonic", "power", "sc_rmsprop")},
    "restart": {"max": CAP},
    "refresh": {"R": Range(10, 1000, "log")},
    "samples": {"halflife": Range(1e3, 3e5, "log")},
    **{name: {"beta": CAP} for name in ("ano", "yogi", "amsgrad", "adamax", "lagged")},
    **{name: {"beta": Range(0.5, 0.99, "window")} for name in ("adams", "bcos")},
    "maxva": {"max": CAP},
    "adasmooth": {"long": Range(0.9, 0.999, "window")},
    "kourkoutas": {"min": Range(0.5, 0.95, "window"), "max": CAP},
    "coupled": {"start": Range(0.5, 0.99, "window"), "max": Range(0.99, 0.9995, "window")},
    "policy_clock": {"kl": Range(1e-3, 1.0, "log"), "max": CAP},
    "hypergradient": {"rate": Range(1e-3, 0.1, "log"), "start": CAP},
    **{name: ADAM for name in ("adam", "adam_rel", "adam_amsgrad", "adamax_momentum")},
    "adam_balanced": {"beta": Range(0.5, 0.999, "window")},
    "muon": {"momentum": ADAM["beta1"]},
    "asymmetric": {"rise": Range(0.1, 0.99, "window"), "fall": Range(0.97, 0.9998, "window")},
    "mixture": {"share": Range(1e-4, 0.1, "log"), "rate": Range(0.05, 2.0, "log")},
}
"""Rule or baseline → keys worth tuning and their ranges."""


def open_keys(text: str) -> dict[str, Range]:
    """The keys that are tuned in the rule or baseline of this text: those that it leaves out and could have."""
    name, fixed = grammar.split(text) if "+" not in text else (text, {})
    return {key: span for key, span in KEYS.get(name, {}).items() if key not in fixed and accepts(text, key, span)}


def accepts(text: str, key: str, span: Range) -> bool:
    """Whether the rule or baseline can have this key: max is the harmonic schedule's, and the text may have named another one."""
    try:
        _ = Arm(extended(text, {key: span.low})).canonical
    except ValueError:
        return False
    return True


def extended(text: str, pairs: dict[str, float]) -> str:
    """The rule's text with more keys behind those that it has."""
    more = ",".join(f"{key}={grammar.value_text(value)}" for key, value in pairs.items())
    return f"{text}{',' if ':' in text else ':'}{more}" if more else text
