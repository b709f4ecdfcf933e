"""How well does E predict the next squared gradient? A score for β rules on recorded streams, without any training.

    score_t = mean_i[ ln Ê_i + min(g_i²/Ê_i, 20) ]            Ê before it takes g_t²; smaller is better

This is the QLIKE loss of variance forecasts (Patton 2011, Journal of Econometrics 160:246) with a cap on single outliers. Up to
a constant it is −2 × the log-likelihood of Gaussian gradients with variance Ê, so a difference of 0.02 between two rules is
0.01 nats per parameter and update; a multiple of g² shifts all scores by the same amount. It says how well a rule remembers,
not how well an agent learns with it: rules that learn best are often not those that predict best.

    g2: [T, R, K]    squared gradients of K parameters of R runs at T updates, in the order of training
    forecast(g2, rule).score: [T, R]     best_fixed(g2).score: [R], the best β in hindsight

The rule runs on the stream as it would in AdaptiveRMSprop, by the same functions, with K parameters as one group of R runs and
bias correction. Where Ê is far below what is usual in its run (a parameter whose gradient has been exactly zero, say), the
score would be −∞ and mean nothing: Ê counts as at least FLOOR × the run's median g², the same for every rule.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rl_rmsprop import memory, rules, signals, update
from rl_rmsprop.laws import CAP, Law
from rl_rmsprop.rules import Adaptive, Rule
from rl_rmsprop.schedules import Constant, Schedule, check_beta
from rl_rmsprop.update import Slot

FLOOR = 1e-8
"""Least Ê that is scored, in units of the median of the run's g² that are not zero."""

BETAS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 0.9995)
"""Grid of fixed β to compare with."""

QUANTILES = (0.05, 0.5, 0.95)
"""Levels of `Forecast.E_quantiles`."""


class Forecast(NamedTuple):
    """What a rule did on a stream, at each update."""

    score: Tensor  # [T, R]  capped QLIKE of Ê for g²; NaN during the burn-in
    beta: Tensor  # [T, R]  β that E then took g² with, a law's mean
    alarms: Tensor  # [T, R]  bool, whether the detector alarmed
    E_quantiles: Tensor  # [T, R, 3]  quantiles 5, 50 and 95 % over parameters of the Ê that was scored


class BestFixed(NamedTuple):
    """The fixed β that has predicted a run best, in hindsight."""

    beta: Tensor  # [R]
    score: Tensor  # [R]  its mean score
    all_scores: Tensor  # [B, R]  mean score of every β of the grid


def forecast(
    g2: Tensor,
    rule: float | str | Schedule | Rule,
    *,
    x: Tensor | None = None,
    burn_in: int = 100,
    eps: float = 0.0,
    keys: Sequence[int] | None = None,
) -> Forecast:
    """Run a β rule over recorded squared gradients and score its forecasts.

    Args:
        g2: squared gradients [T, R, K], finite and ≥ 0. Computed in float64 whatever their type.
        rule: anything that `AdaptiveRMSprop` takes as `alpha`. A missing length of a schedule is T.
        x: the detector's signal [T, R], for rules that listen to something else than the surprise, which is computed here.
        burn_in: updates that are not scored, in [0, T): all rules still warm up, and the first has no forecast at all.
        eps: ε of the optimizer; enters the surprise (and a mixture's losses) as ε².
        keys: the R integers that name the runs, for the control `random`; default 0 … R − 1.

    Raises:
        ValueError: for other shapes, numbers that are no squares, or a signal that is needed and not given.
    """
    rule = rules.as_rule(rule)
    T, R, K = check_stream(g2, burn_in)
    rule = rules.resolve(rule, T)
    g2 = g2.double()
    x = check_signal(x, rule, T, R)
    names = torch.arange(R) if keys is None else torch.tensor(keys)
    group: dict[str, Any] = {"alpha": rule.beta if isinstance(rule, Constant) else 0.0, "eps": eps}
    group |= {"initial_accumulator_value": 0.0, "rule_state": memory.start(rule, names)}
    kept = memory.received(rule, torch.zeros(R, K, dtype=torch.float64), 0.0, names, group)
    E = torch.zeros(R, K, dtype=torch.float64)
    listens = isinstance(rule, Adaptive) and rule.listens_to == "surprise"
    forecasts, beta, alarms = torch.empty_like(g2), torch.empty(T, R, dtype=torch.float64), torch.zeros(T + 1, R)
    for t, (square, g) in enumerate(zip(g2, g2.sqrt(), strict=True)):
        slot = Slot(g, g, E, kept["weight"], True, torch.zeros(()), None, None, kept)
        forecasts[t] = update.mean_square(slot, group)
        now = signals.surprise([square], [forecasts[t]], eps, runs=True) if listens else x[t]
        memory.remember(rule, group, [slot], [square], now, per_run=True)
        beta[t] = group["alpha"]
        if "alarms" in group["rule_state"]:
            alarms[t + 1] = group["rule_state"]["alarms"]
    floored = torch.maximum(forecasts, floor(g2))
    score = qlike(floored, g2)
    score[:burn_in] = math.nan
    return Forecast(score, beta, alarms.diff(dim=0) > 0, quantiles(floored))


def best_fixed(g2: Tensor, betas: Sequence[float] = BETAS, *, burn_in: int = 100) -> BestFixed:
    """The best fixed β of each run in hindsight: what no rule knows beforehand, and a rule worth having comes near."""
    scores = torch.stack([forecast(g2, Constant(b), burn_in=burn_in).score[burn_in:].mean(0) for b in betas])
    best = scores.min(0)
    return BestFixed(torch.tensor(betas, dtype=torch.float64)[best.indices], best.values, scores)


def qlike(E: Tensor, g2: Tensor) -> Tensor:
    """mean_i[ ln Ê_i + min(g_i²/Ê_i, 20) ] over the last axis."""
    return (E.log() + (g2 / E).clamp(max=CAP)).mean(-1)


def floor(g2: Tensor) -> Tensor:
    """Least Ê that is scored, [R, 1]: FLOOR × the median of the run's squares that are not zero (0 if all are: no scores)."""
    T, R, K = g2.shape
    rows = torch.where(g2 > 0, g2, torch.nan).transpose(0, 1).reshape(R, T * K)
    return FLOOR * rows.nanmedian(1, keepdim=True).values.nan_to_num(1.0)


def quantiles(E: Tensor) -> Tensor:
    """The QUANTILES over the last axis, which becomes them; the nearest of the values there are."""
    ordered = E.sort(-1).values
    return ordered[..., [round(level * (E.shape[-1] - 1)) for level in QUANTILES]]
