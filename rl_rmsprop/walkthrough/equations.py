"""RMSProp on the post's five gradients, and its relatives: as array operations over [T, P]."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

GRADIENTS: Array = np.array([[0.5, 0.0], [0.4, 0.3], [0.3, 0.0], [0.5, 0.2], [0.4, 0.0]])  # [T, P]
LR, BETA, EPS = 0.1, 0.9, 1e-8
STEPS = np.arange(1, len(GRADIENTS) + 1)


class Trace(NamedTuple):
    """What five updates leave behind, row by row."""

    E: Array  # [T, P] what stands under the root: E, E/w, or Adagrad's sum G
    lr: Array  # [T, P] effective learning rate lr / (√E + ε)
    theta: Array  # [T, P] parameters after the update, from 0


def trace(E: Array, lr: ArrayLike = LR) -> Trace:
    """The updates that `E` [T, P] leads to; `lr` is a number or [T, 1]. ε is outside the root, as in the post's code."""
    effective_lr = np.asarray(lr) / (np.sqrt(E) + EPS)
    return Trace(E, effective_lr, -np.cumsum(effective_lr * GRADIENTS, axis=0))


def running_mean(beta: ArrayLike) -> tuple[Array, Array]:
    """E [T, P] and the weight w [T, 1] it has received; `beta` is a number or one per update [T]."""
    E, w = np.zeros_like(GRADIENTS), np.zeros((len(GRADIENTS), 1))
    for t, b in enumerate(np.broadcast_to(beta, len(GRADIENTS))):
        E[t] = b * E[t - 1] + (1 - b) * GRADIENTS[t] ** 2  # row −1 is still zero when t = 0
        w[t] = b * w[t - 1] + (1 - b)
    return E, w


def rmsprop(beta: ArrayLike, lr: ArrayLike = LR) -> Trace:
    """RMSProp as in the post: E starts at 0 and is not corrected for it."""
    return trace(running_mean(beta)[0], lr)


def corrected_rmsprop(beta: ArrayLike) -> Trace:
    """RMSProp with Ê = E/w, the mean of the squared gradients seen so far."""
    E, w = running_mean(beta)
    return trace(E / w)


def adagrad() -> Trace:
    """Adagrad: G, the sum of all squared gradients, in place of E."""
    return trace(np.cumsum(GRADIENTS**2, axis=0))


def harmonic_rmsprop() -> Trace:
    """RMSProp with β_n = 1 − 1/n and step size lr/√n: Adagrad, since E is then the mean of g² and n·E its sum G."""
    return rmsprop(1 - 1 / STEPS, LR / np.sqrt(STEPS)[:, None])


def updates_to_recover(beta: float, fall: float = 0.1, share: float = 0.5) -> int:
    """Updates after |g| has dropped to `fall`·|g|, in the steady state, until the step is `share` of its steady size.

    With |g| = 1 before, E_n = β^n + (1 − β^n)·fall² and the step in steady steps is fall/√E_n; solved for the first n ≥ 1.
    """
    target = (fall / share) ** 2
    return max(1, math.ceil(math.log((target - fall**2) / (1 - fall**2)) / math.log(beta)))


def overshoot(beta: float, rise: float = 10.0, n: int = 1) -> float:
    """Step, in steady steps, at the n-th update after |g| has grown `rise` times; below 1/√(1 − β) whatever the rise."""
    return rise / math.sqrt(beta**n + (1 - beta**n) * rise**2)


def noise(beta: float) -> float:
    """Standard deviation of E relative to its mean for independent Gaussian gradients: √(2(1−β)/(1+β))."""
    return math.sqrt(2 * (1 - beta) / (1 + beta))


def asymmetric_level(rise: float, fall: float) -> float:
    """Where E settles, in units of mean g², when β is `rise` where g² > E and `fall` elsewhere; Gaussian gradients.

    The root of (1−rise)·mean max(g² − E, 0) = (1−fall)·mean max(E − g², 0), by bisection; E's own scatter is left out.
    """
    low, high = 1.0, 1000.0
    for _ in range(60):
        E = (low + high) / 2
        s = math.sqrt(E)
        tail = math.erfc(s / math.sqrt(2))  # P(g² > E)
        above = tail + 2 * s * math.exp(-E / 2) / math.sqrt(2 * math.pi) - E * tail  # mean max(g² − E, 0)
        rising = (1 - rise) * above > (1 - fall) * (above + E - 1)
        low, high = (E, high) if rising else (low, E)
    return low


def rare_large_gradient(beta: float | None, updates: int = 3000, lr: float = 0.5) -> float:
    """Last x of RMSProp (Adagrad where beta is None) on losses 3x, −x, −x, 3x, …, x in [−1, 1]; the best x is −1.

    Step size lr/√t for RMSProp; no ε. The example of Reddi, Kale & Kumar 2018, "On the convergence of Adam and beyond", § 3.
    """
    x, E = 0.0, 0.0
    for t in range(1, updates + 1):
        g = 3.0 if t % 3 == 1 else -1.0
        E = E + g * g if beta is None else beta * E + (1 - beta) * g * g
        x -= (lr if beta is None else lr / math.sqrt(t)) * g / math.sqrt(E)
        x = min(1.0, max(-1.0, x))
    return x
