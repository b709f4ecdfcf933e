"""Slow and obvious truth: one scalar at a time, in Python's float64, written from the equations and not from the code.

Tables are copied from their sources; each says which.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Update(NamedTuple):
    """One parameter after one update."""

    theta: float
    E: float
    w: float
    step: float = 0.0  # g/(√Ê + ε), without momentum
    share: float = 1.0  # of E that the variance is, with centered


def rmsprop(
    gradients: Sequence[float],
    betas: Sequence[float],
    lr: float,
    eps: float,
    theta: float = 0.0,
    *,
    bias_correction: bool = False,
    eps_in_sqrt: bool = False,
    momentum: float = 0.0,
    centered: bool = False,
    weight_decay: float = 0.0,
    E0: float = 0.0,
    resets: Sequence[int] = (),
) -> list[Update]:
    """RMSProp of one parameter with a β of its own at every update; `resets` (from 1) forget everything before the update.

    E ← βE + (1 − β)g²,  w ← βw + (1 − β),  θ ← θ − lr · g/(√Ê + ε),  Ê = E or E/w;  centered: E less the squared mean of g,
    but E's rounding error where that is negative, and at least E/k where E is the mean of the k gradients since β was 0.
    """
    E, w, mean, velocity, k, updates = E0, 0.0, 0.0, 0.0, math.inf, []
    for n, (gradient, beta) in enumerate(zip(gradients, betas, strict=True), start=1):
        if n in resets:
            E = w = mean = 0.0
        g = gradient + weight_decay * theta
        E = beta * E + (1 - beta) * g * g
        w = beta * w + (1 - beta)
        mean = beta * mean + (1 - beta) * g
        k = 1 if beta == 0 else k + 1
        centred = max(E - mean**2 if mean**2 <= E else E * 2**-52, E / k)
        variance = (centred if centered else E) / (w if bias_correction else 1.0)
        step = g / (math.sqrt(variance + eps) if eps_in_sqrt else math.sqrt(variance) + eps)
        velocity = momentum * velocity + step
        theta -= lr * (velocity if momentum else step)
        updates.append(Update(theta, E, w, step, centred / E if centered and E else 1.0))
    return updates


def weights(betas: Sequence[float], resets: Sequence[int] = ()) -> list[float]:
    """The weight w that E has received, by its meaning: 1 − Π β over all updates since the start or the last reset."""
    received = []
    for n in range(1, len(betas) + 1):
        start = max((r for r in resets if r <= n), default=1)
        received.append(1 - math.prod(betas[start - 1 : n]))
    return received


class Cusum(NamedTuple):
    """A two-sided CUSUM's answer to one observation."""

    statistic: float
    alarm: bool


def cusum(stream: Sequence[float], k: float, h: float) -> list[Cusum]:
    """Page (1954), two sides, from zero again after each alarm."""
    up = down = 0.0
    answers = []
    for x in stream:
        up, down = max(0.0, up + x - k), max(0.0, down - x - k)
        statistic = max(up, down)
        answers.append(Cusum(statistic, statistic > h))
        if statistic > h:
            up = down = 0.0
    return answers


def ewma(stream: Sequence[float], gain: float) -> list[float]:
    """|Z| of a moving average in its own standard deviations, without alarms."""
    return [
        abs(sum(gain * (1 - gain) ** j * x for j, x in enumerate(reversed(stream[: n + 1])))) / math.sqrt(gain / (2 - gain))
        for n in range(len(stream))
    ]


def tracking_signal(stream: Sequence[float], gain: float) -> list[float]:
    """Trigg and Leach (1967): |smoothed error| / smoothed |error|, the latter from the mean of |N(0, 1)|, without alarms."""
    answers = []
    for n in range(1, len(stream) + 1):
        shares = [gain * (1 - gain) ** (n - 1 - j) for j in range(n)]
        error = sum(w * x for w, x in zip(shares, stream, strict=False))
        size = sum(w * abs(x) for w, x in zip(shares, stream, strict=False)) + (1 - gain) ** n * math.sqrt(2 / math.pi)
        answers.append(abs(error) / size)
    return answers


def shiryaev_roberts(stream: Sequence[float], bets: Sequence[float]) -> list[float]:
    """The mean over bets of the sum over all starts of the products of e-values since that start, without alarms."""
    answers = []
    for n in range(len(stream)):
        factors = [[(1 + b * x) ** 2 / (1 + b * b) for x in stream[: n + 1]] for b in bets]
        answers.append(sum(math.prod(f[start:]) for f in factors for start in range(n + 1)) / len(bets))
    return answers


EWMA_THRESHOLDS = {(0.05, 500): 2.615, (0.1, 500): 2.814, (0.25, 500): 2.998, (0.4, 500): 3.054, (1.0, 370.4): 3.0}
"""(gain, mean updates between false alarms) → limit in standard deviations: Lucas and Saccucci (1990); gain 1 is Shewhart's."""


CUSUM_THRESHOLDS = {
    (0.5, 1_000): 5.758,
    (0.5, 10_000): 8.055,
    (0.5, 50_000): 9.666,
    (0.25, 1_000): 9.935,
    (0.25, 10_000): 14.505,
    (0.25, 50_000): 17.732,
}
"""(k, mean updates between false alarms) → h, by Brook and Evans (1972) with 120 states, independent N(0, 1)."""

CUSUM_DELAYS = {
    1_000: {0.5: 47.9, 1.0: 11.9, 2.0: 4.5, 3.0: 2.9},
    10_000: {0.5: 85.0, 1.0: 16.5, 2.0: 6.0, 3.0: 3.8},
    50_000: {0.5: 117.0, 1.0: 19.7, 2.0: 7.1, 3.0: 4.4},
}
"""Mean updates between false alarms → shift in standard deviations → mean updates until the alarm for k = 0.5, same method."""


def clocks(alarms: Sequence[bool]) -> list[int]:
    """The clock at every update when each alarm sets it to 1."""
    n, all_n = 0, []
    for alarm in alarms:
        n = 1 if alarm else n + 1
        all_n.append(n)
    return all_n


def restarted(alarms: Sequence[bool], schedule: Callable[[int], float]) -> list[float]:
    """β of a schedule whose clock every alarm restarts."""
    return [schedule(n) for n in clocks(alarms)]


def dropped(alarms: Sequence[bool], schedule: Callable[[int], float], low: float, recover: float) -> list[float]:
    """β that falls to `low` at an alarm; its window grows back geometrically to the schedule's within `recover` updates."""
    since, betas = math.inf, []
    for n, alarm in enumerate(alarms, start=1):
        since = 0 if alarm else since + 1
        beta = schedule(n)
        share = min(since / recover, 1.0)
        window, lowest = 1 / (1 - beta), 1 / (1 - min(beta, low))
        betas.append(1 - 1 / (lowest ** (1 - share) * window**share))
    return betas


class Mixed(NamedTuple):
    """A mixture of memories of N parameters after one update."""

    predicted: list[float]  # [N]  Ê before the update; g² at the first
    E: list[float]  # [N]
    w: float
    weights: list[float]  # [K]  of the memories
    beta: float  # Σ W β


def mixture(
    squares: Sequence[Sequence[float]], betas: Sequence[float], share: float, rate: float, floor: float = 0.0, E0: float = 0.0
) -> list[Mixed]:
    """The law `mixture` on g² [T][N], written with uncorrected means E_k and Herbster and Warmuth's two steps.

    E_k ← β_k E_k + (1 − β_k)g², v_k = E_k/w_k (with E0 > 0: E_k from E0, v_k = E_k).
    """
    K, N = len(betas), len(squares[0])
    means, weights = [[E0] * N for _ in range(K)], [1 / K] * K
    received = [1.0 if E0 else 0.0] * K
    updates: list[Mixed] = []
    for t, row in enumerate(squares):
        if t or E0:
            v = [[E / w for E in mean] for mean, w in zip(means, received, strict=True)]
            predicted = [geometric([v_k[i] for v_k in v], weights, floor) for i in range(N)]
            losses = [
                sum(math.log(x + floor) + min(g2 / (x + floor), 20) for x, g2 in zip(v_k, row, strict=True)) / N for v_k in v
            ]
            won = [W * math.exp(-rate * (loss - min(losses))) for W, loss in zip(weights, losses, strict=True)]
            weights = [(1 - share) * W / sum(won) + share / K for W in won]
        else:
            predicted = list(row)
        means = [[b * E + (1 - b) * g2 for E, g2 in zip(mean, row, strict=True)] for b, mean in zip(betas, means, strict=True)]
        received = [b * w + (1 - b) for b, w in zip(betas, received, strict=True)]
        v = [[E / w for E in mean] for mean, w in zip(means, received, strict=True)]
        w = geometric(received, weights, 0.0)
        E = [w * geometric([v_k[i] for v_k in v], weights, floor) for i in range(N)]
        updates.append(Mixed(predicted, E, w, weights, sum(W * b for W, b in zip(weights, betas, strict=True))))
    return updates


def geometric(values: Sequence[float], weights: Sequence[float], floor: float) -> float:
    """Π (x + floor)^W − floor."""
    return math.exp(sum(W * math.log(x + floor) for W, x in zip(weights, values, strict=True))) - floor


def predicted(squares: Sequence[Sequence[float]], betas: Sequence[Sequence[float]] | Callable[..., float]) -> list[list[float]]:
    """Ê = E/w before each update, [T][N] (g² at the first); β [T][N] is given, or a function of g² and Ê."""
    E, w = [0.0] * len(squares[0]), [0.0] * len(squares[0])
    forecasts = []
    for t, row in enumerate(squares):
        before = [E[i] / w[i] if t else g2 for i, g2 in enumerate(row)]
        for i, g2 in enumerate(row):
            beta = betas(g2, before[i]) if callable(betas) else betas[t][i]
            E[i], w[i] = beta * E[i] + (1 - beta) * g2, beta * w[i] + (1 - beta)
        forecasts.append(before)
    return forecasts


def qlike(forecast: Sequence[float], squares: Sequence[float]) -> float:
    """The mean of ln Ê + min(g²/Ê, 20)."""
    return sum(math.log(E) + min(g2 / E, 20.0) for E, g2 in zip(forecast, squares, strict=True)) / len(squares)
