"""The standardizer: makes a stream of unknown level, scale and correlation look like independent N(0, 1) noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rl_rmsprop.kernels.backends import Array, clip, rows, sqrt, where

CLIP = 3.0
"""Residuals are cut at this many standard deviations."""
FIRST = 10.0
"""Observations that are not cut, because the scale is not known before."""
BIAS = 2.0
"""An autocorrelation estimated from n observations is too small by about (1 + 4φ)/n (Kendall 1954), and a rate is about 2/n."""
MOST = 0.97
"""The largest autocorrelation that is removed."""
TINY = 1e-30  # keeps quotients of a constant stream finite


@dataclass(frozen=True)
class Standardizer:
    """Residuals of a stream from what its past predicts, in units of their own standard deviation.

        p = m + d + φz                      the prediction: level, drift, and φ times the last deviation
        e = clip((x − p)/s, ±3)             what the tests take
        x̃ = p + s·e,  z = x̃ − m − d         the observation as far as it is believed, and its deviation
        m ← mean of x̃,  d ← mean of x̃ − m,  φ ← mean of z z₋₁ / mean of z² + 2·rate,  s² ← mean of (x̃ − p)²

    All means move by rate = 2/(n + 1) at the n-th observation, so that the i-th weighs in proportion to i, and by 1/`memory`
    from n = 2·`memory` on. Why each part is there:

    - *Every prediction is made before the observation is learned*, so that the error of m, d, φ and s is part of e, as in the
      self-starting CUSUM (Hawkins 1987), and no observation explains itself.
    - *Clipping* keeps one spike from moving the level, and bounds what it adds to a test. s is the scale of the clipped
      residual, so that heavy tails leave e with unit variance.
    - φ removes the correlation of a first-order autoregression, on which a raw test alarms constantly.
    - d removes the lag m of a running mean behind a slow trend (as double exponential smoothing does), without which a drift
      of one standard deviation in 2000 updates shifts every residual.

    A shift is seen while it is new to the means: one much slower than `memory` is followed.
    """

    memory: float
    """Updates over which means are taken, once twice as many have been seen."""

    start: ClassVar[tuple[float, ...]] = (0.0,) * 6
    """The rows before the first observation."""

    def __call__(self, level: Array, x: Array, seen: Array) -> tuple[Array, Array]:
        """One observation x [R], the `seen`-th (≥ 1): new state [6, R] and residual e [R]."""
        m, d, product, square, noise, last = level
        rate = 2.0 / clip(seen + 1.0, high=2 * self.memory)
        m = where(seen == 1.0, x, m)  # the first observation is the first level
        phi = clip(product / (square + TINY) + BIAS * rate, 0.0, MOST)
        expected = phi * last
        w = x - m - d - expected
        s = sqrt(noise) + TINY
        e = clip(w / s, -CLIP, CLIP)
        w = where(seen > FIRST, s * e, w)
        z = expected + w
        new = rows(
            m + rate * (z + d),
            d + rate * z,
            product + rate * (z * last - product),
            square + rate * (z * z - square),
            noise + rate * (w * w - noise),
            z,
        )
        return new, e
