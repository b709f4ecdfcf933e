"""The laws written down a second time: one number at a time, in Python's float64, from the papers and the authors' code.

A law is a function that takes a list of gradients g (of the entries of one tensor), the parameters θ before the step, and the
number of the call, and returns what divides each g. What it remembers are its own variables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

Divide = Callable[[Sequence[float], Sequence[float], int], list[float]]


class Options(NamedTuple):
    """Of the optimizer."""

    lr: float = 1e-3
    eps: float = 1e-8
    bias_correction: bool = False
    kl: float = math.nan
    """What the training loop reports, NaN for nothing."""


def descend(divide: Divide, gradients: Sequence[Sequence[float]], theta: Sequence[float], lr: float) -> list[list[float]]:
    """θ after each update, [T][N]."""
    path, theta = [], list(theta)
    for n, g in enumerate(gradients, start=1):
        divisors = divide(g, theta, n)
        theta = [x - lr * gradient / divisor for x, gradient, divisor in zip(theta, g, divisors, strict=True)]
        path.append(theta)
    return path


def sign(x: float) -> float:
    return math.copysign(1.0, x) if x else 0.0


def asymmetric(options: Options, rise: float, fall: float) -> Divide:
    v: dict[int, float] = {}
    w: dict[int, float] = {}

    def divide(g: Sequence[float], theta: Sequence[float], n: int) -> list[float]:
        out = []
        for i, x in enumerate(g):
            mean = v[i] / w[i] if i in v else x * x
            beta = rise if x * x > mean else fall
            v[i] = beta * v.get(i, 0.0) + (1 - beta) * x * x
            w[i] = beta * w.get(i, 0.0) + 1 - beta
            out.append(math.sqrt(v[i] / (w[i] if options.bias_correction else 1)) + options.eps)
        return out

    return divide


def ano(options: Options, beta: float) -> Divide:
    """Adrienkgz/ano-experiments, optimizers/ano.py, with ε outside the root."""
    v: dict[int, float] = {}

    def divide(g: Sequence[float], theta: Sequence[float], n: int) -> list[float]:
        for i, x in enumerate(g):
            old = v.get(i, 0.0)
            v[i] = beta * old + (1 - beta) * sign(x * x - old) * x * x
        return roots(v, 1 - beta**n, options)

    return divide


def yogi(options: Options, beta: float) -> Divide:
    """Zaheer et al. 2018, algorithm 2."""
    v: dict[int, float] = {}

    def divide(g: Sequence[float], theta: Sequence[float], n: int) -> list[float]:
        for i, x in enumerate(g):
            old = v.get(i, 0.0)
            v[i] = old - (1 - beta) * sign(old - x * x) * x * x
        return roots(v, 1 - beta**n, options)

    return divide


def amsgrad(options: Options, beta: float) -> Divide:
    """torch.optim.Adam(amsgrad=True) with β₁ = 0."""
    v: dict[int, float] = {}
    largest: dict[int, float] = {}

    def divide(g: Sequence[float], theta: Sequence[float], n: int) -> list[float]:
        for i, x in enumerate(g):
            v[i] = beta * v.get(i, 0.0) + (1 - beta) * x * x
            largest[i] = max(largest.get(i, 0.0), v[i])
        return roots(largest, 1 - beta**n, options)

    return divide


def roots(v: dict[int, float], w: float, options: Options) -> list[float]:
    """√v̂ + ε of every entry."""
    return [math.sqrt(v[i] / (w if options.bias_correction else 1)) + options.eps for i in range(len(v))]


def adamax(options: Options, beta: float) -> Divide:
    """Kingma & Ba 2015, algorithm 2; ε as this optimizer has it."""
    u: dict[int, float] = {}

    def divide(g: Sequence[float], theta: Sequence[float], n: int) -> list[float]:
        for i, x in enumerate(g):
            u[i] = max(beta * u.get(i, 0.0), abs(x))
        return [u[i] + options.eps for i in range(len(u))]

    return divide


def lagged(options: Options, beta: float, clip: bool = False) -> Divide:
    """iShohei220/adopt, adopt.py, _single_tensor_adopt with β₁ = 0 and clip_lambda = step ** 0.25."""
    v: dict[int, float] = {}

    def divide(g: Sequence[float], theta: Sequence[float], n: int) -> list[float]:
        if n == 1:
            v.update({i: x * x for i, x in enumerate(g)})
            return [math.inf] * len(g)
        out = []
        for i, x in enumerate(g):
            divisor = max(math.sqrt(v[i]), options.eps)
            largest = (n - 1) ** 0.25
            out.append(max(divisor, abs(x) / largest) if clip else divisor)
            v[i] = beta * v[i] + (1 - beta) * x * x
        return out

    return divide


def adams(options: Options, beta: float, momentum: float = 0.9) -> Divide:
    """arXiv:2505.16363, algorithm 1."""
    m: dict[int, float] = {}

    def divide(g: Sequence[float], theta: Sequence[float], n: int) -> list[float]:
        out = []
        for i, x in enumerate(g):
            out.append(math.sqrt(beta * m.get(i, 0.0) ** 2 + (1 - beta) * x * x) + options.eps)
            m[i] = momentum * m.get(i, 0.0) + (1 - momentum) * x
        return out

    return divide


def bcos(options: Options, beta: float, exact: bool = False) -> Divide:
    """facebookresearch/bcos, mode c, both estimators."""
    m: dict[int, float] = {}

    def divide(g: Sequence[float], theta: Sequence[float], n: int) -> list[float]:
        out = []
        for i, x in enumerate(g):
            m.setdefault(i, x)
            if exact:
                v = (3 * beta**2 - 2 * beta**3) * m[i] ** 2 + (1 - beta) ** 2 * x * x + 2 * beta * (1 - beta) ** 2 * m[i] * x
            else:
                v = (1 - (1 - beta) ** 2) * m[i] ** 2 + (1 - beta) ** 2 * x * x
            out.append(math.sqrt(v) + options.eps)
            m[i] = beta * m[i] + (1 - beta) * x
        return out

    return divide


def smorms3(options: Options) -> Divide:
    """Funk 2015, the five lines of the blog."""
    w: dict[int, float] = {}
    mem: dict[int, float] = {}
    m: dict[int, float] = {}
    v: dict[int, float] = {}

    def divide(g: Sequence[float], theta: Sequence[float], n: int) -> list[float]:
        out = []
        for i, x in enumerate(g):
            r = 1 / (mem.get(i, 1.0) + 1)
            m[i] = (1 - r) * m.get(i, 0.0) + r * x
            v[i] = (1 - r) * v.get(i, 0.0) + r * x * x
            w[i] = (1 - r) * w.get(i, 0.0) + r
            agreement = m[i] ** 2 / (v[i] + 1e-16)
            rate = min(options.lr, agreement)
            root = math.sqrt(v[i] / (w[i] if options.bias_correction else 1)) + options.eps
            out.append(options.lr * root / rate if rate else math.inf)
            mem[i] = 1 + mem.get(i, 1.0) * (1 - agreement)
        return out

    return divide


def maxva(options: Options, low: float = 0.5, high: float = 0.999) -> Divide:
    """zhuchen03/MaxVA, image_classification/optim_adam.py."""
    u: dict[int, float] = {}
    v: dict[int, float] = {}
    w: dict[int, float] = {}

    def divide(g: Sequence[float], theta: Sequence[float], n: int) -> list[float]:
        out = []
        for i, x in enumerate(g):
            beta = high
            if n > 1:
                mean, square = u[i] / w[i], v[i] / w[i]
                variance, difference = square - mean**2, (x - mean) ** 2
                total = difference + variance
                beta = min(max(total / ((difference - variance) * w[i] + total + 1e-16), low), high)
            u[i] = beta * u.get(i, 0.0) + (1 - beta) * x
            v[i] = beta * v.get(i, 0.0) + (1 - beta) * x * x
            w[i] = beta * w.get(i, 0.0) + 1 - beta
            out.append(math.sqrt(v[i] / (w[i] if options.bias_correction else 1)) + options.eps)
        return out

    return divide


def adasmooth(options: Options, short: float = 0.5, long: float = 0.99, updates: int = 100) -> Divide:
    """arXiv:2204.00825, with sums over the last full `updates` steps and those since."""
    steps: list[list[float]] = []
    full: list[list[float]] = []
    before: list[list[float]] = []
    v: dict[int, float] = {}
    w: dict[int, float] = {}

    def divide(g: Sequence[float], theta: Sequence[float], n: int) -> list[float]:
        if before:
            if len(steps) == updates:
                full[:] = steps
                steps.clear()
            steps.append([new - old for new, old in zip(theta, before[-1], strict=True)])
        before.append(list(theta))
        out = []
        for i, x in enumerate(g):
            length = sum(abs(step[i]) for step in (*full, *steps))
            ratio = abs(sum(step[i] for step in (*full, *steps))) / length if length else 1.0
            c = (long - short) * ratio + 1 - long
            beta = 1 - c * c
            v[i] = beta * v.get(i, 0.0) + (1 - beta) * x * x
            w[i] = beta * w.get(i, 0.0) + 1 - beta
            out.append(math.sqrt(v[i] / (w[i] if options.bias_correction else 1)) + options.eps)
        return out

    return divide


def kourkoutas(options: Options, low: float = 0.9, high: float = 0.999, alpha: float = 0.9) -> Divide:
    """sck-at-ucy/kbeta, kbeta_softmax.py, one tensor; bias_correction="exact" where the optimizer's is on."""
    memory = {"usual": 0.0, "product": 1.0}
    v: dict[int, float] = {}

    def divide(g: Sequence[float], theta: Sequence[float], n: int) -> list[float]:
        norm = math.sqrt(sum(x * x for x in g))
        memory["usual"] = alpha * memory["usual"] + (1 - alpha) * norm
        raw = norm / (memory["usual"] + 1e-8)
        beta = high - (high - low) * raw / (1 + raw)
        memory["product"] *= beta
        for i, x in enumerate(g):
            v[i] = beta * v.get(i, 0.0) + (1 - beta) * x * x
        return roots(v, 1 - memory["product"], options)

    return divide


def policy_clock(options: Options, kl: float = 0.02, high: float = 0.999, low: float = 0.0) -> Divide:
    """β = exp(−KL/κ), KL as reported, else ½ Σ Δθ²·Ê."""
    before: list[list[float]] = []
    v: dict[int, float] = {}
    w = [0.0]

    def divide(g: Sequence[float], theta: Sequence[float], n: int) -> list[float]:
        moved = options.kl
        if math.isnan(moved):
            old = before[-1] if before else theta
            moved = 0.5 * sum((a - b) ** 2 * v[i] / w[0] for i, (a, b) in enumerate(zip(theta, old, strict=True))) if v else 0.0
        before.append(list(theta))
        beta = min(max(math.exp(-moved / kl), low), high)
        w[0] = beta * w[0] + 1 - beta
        for i, x in enumerate(g):
            v[i] = beta * v.get(i, 0.0) + (1 - beta) * x * x
        return roots(v, w[0], options)

    return divide


def hypergradient(options: Options, start: float = 0.99, rate: float = 0.01, high: float = 0.9995, low: float = 0.5) -> Divide:
    """u = ln 1/(1 − β) descends the cosine of g with ∂θ/∂u; the derivative by a central difference of the last step in u."""
    v: dict[int, float] = {}
    w = [0.0]
    u = [math.log(1 / (1 - start))]
    derivative: list[float] = []

    def step(x: float, E: float, weight: float, log_window: float) -> float:
        beta = 1 - math.exp(-log_window)
        E, weight = beta * E + (1 - beta) * x * x, beta * weight + 1 - beta
        return -options.lr * x / (math.sqrt(E / (weight if options.bias_correction else 1)) + options.eps)

    def divide(g: Sequence[float], theta: Sequence[float], n: int) -> list[float]:
        if derivative:
            lengths = math.sqrt(sum(x * x for x in g)) * math.sqrt(sum(d * d for d in derivative))
            cosine = sum(x * d for x, d in zip(g, derivative, strict=True)) / lengths if lengths else 0.0
            u[0] = min(max(u[0] - rate * cosine, -math.log(1 - low)), -math.log(1 - high))
        h = 0.0 if options.bias_correction and n == 1 else 1e-5  # where Ê = g² whatever β is
        derivative[:] = [
            (step(x, v.get(i, 0.0), w[0], u[0] + h) - step(x, v.get(i, 0.0), w[0], u[0] - h)) / 2e-5 for i, x in enumerate(g)
        ]
        beta = 1 - math.exp(-u[0])
        w[0] = beta * w[0] + 1 - beta
        for i, x in enumerate(g):
            v[i] = beta * v.get(i, 0.0) + (1 - beta) * x * x
        return roots(v, w[0], options)

    return divide
