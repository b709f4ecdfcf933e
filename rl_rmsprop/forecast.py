"""How well does E predict the next squared gradient? A score for β rules on recorded g², without any training.

    score_t = mean_i[ ln Ê_i + min(g_i²/Ê_i, 20) ]            Ê before it takes g_t²; smaller is better

This is the QLIKE loss of variance forecasts (Patton 2011, Journal of Econometrics 160:246) with a cap on single outliers. Up to
a constant it is −2 × the log-likelihood of Gaussian gradients with variance Ê, so a difference of 0.02 between two rules is
0.01 nats per parameter and update; a multiple of g² shifts all scores by the same amount. It says how well a rule remembers,
not how well an agent learns with it: rules that learn best are often not those that predict best.

    g2: [T, R, K]    squared gradients of K parameters of R runs at T updates, in the order of training
    replay(g2, rule).score: [T, R]     best_fixed(g2).score: [R], the best β in hindsight

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

from rl_rmsprop import rules, signals
from rl_rmsprop.kernels import equations
from rl_rmsprop.kernels.equations import Slot
from rl_rmsprop.laws import CAP, Law
from rl_rmsprop.optimizer import second_moment
from rl_rmsprop.rules import Adaptive, Rule
from rl_rmsprop.schedules import Constant, Schedule

FLOOR = 1e-8
"""Least Ê that is scored, in units of the median of the run's g² that are not zero."""

BETAS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 0.9995)
"""Grid of fixed β to compare with."""

QUANTILES = (0.05, 0.5, 0.95)
"""Levels of `Replay.E_quantiles`."""

GROUP = {"initial_accumulator_value": 0.0}
"""A parameter group's options that bear on E."""


class Replay(NamedTuple):
    """What a rule did on a stream, at each update."""

    score: Tensor  # [T, R]  capped QLIKE of Ê for g²; NaN during the burn-in
    beta: Tensor  # [T, R]  β that E then took g² with, a law's mean
    alarms: Tensor  # [T, R]  bool, whether the detector alarmed
    E_quantiles: Tensor  # [T, R, 3]  5, 50 and 95 % quantiles over parameters of the Ê that was scored


class BestFixed(NamedTuple):
    """The fixed β that has predicted a run best, in hindsight."""

    beta: Tensor  # [R]
    score: Tensor  # [R]  its mean score
    all_scores: Tensor  # [B, R]  mean score of every β of the grid


def replay(
    g2: Tensor,
    rule: float | str | Schedule | Rule,
    *,
    x: Tensor | None = None,
    burn_in: int = 100,
    eps: float = 1e-8,
    keys: Sequence[int] | None = None,
) -> Replay:
    """Run a β rule over recorded squared gradients and score its forecasts.

    Args:
        g2: squared gradients [T, R, K], finite and ≥ 0. Computed in float64 whatever their type.
        rule: anything that `AdaptiveRMSprop` takes as `alpha`. A missing length of a schedule is T.
        x: the detector's signal [T, R], for rules that listen to something else than the surprise, which is computed here.
        burn_in: updates that are not scored, in [1, T): all rules still warm up, and the first has no forecast at all.
        eps: ε ≥ 0 of the optimizer; enters the surprise, and the losses by which a mixture weighs, as ε².
        keys: the R integers that name the runs, for the control `random`; default 0 … R − 1.

    Raises:
        ValueError: for other shapes, numbers that are no squares, or a missing signal.
    """
    T, R, K = check_stream(g2, burn_in)
    rule = rules.resolve(rules.as_rule(rule), T)
    check_rule(rule)
    signal = check_signal(x, rule, (T, R))
    names = torch.arange(R) if keys is None else torch.tensor(keys)
    alpha = rule.beta if isinstance(rule, Constant) else 0.0
    group: dict[str, Any] = {**GROUP, "alpha": alpha, "eps": eps, "rule_state": second_moment.initial_group_state(rule, names)}
    g2 = g2.double().sqrt().square()  # squares of numbers, as the optimizer has them
    E = torch.zeros(R, K, dtype=torch.float64)
    state = second_moment.initial_parameter_state(rule, E, 0.0, names, group, E)
    forecasts, beta, alarms = torch.empty_like(g2), torch.empty_like(signal), torch.zeros(T + 1, R)
    for t, square in enumerate(g2):
        slot = slot_of(square, E, state)
        forecasts[t] = equations.mean_square(slot, group)
        if isinstance(rule, Adaptive) and rule.listens_to == "surprise":
            signal[t] = signals.surprise([square], [forecasts[t]], eps, runs=True)
        second_moment.update(rule, group, [slot], signal[t], True, square=lambda _, g2=square: g2)  # type: ignore[misc]
        beta[t] = group["alpha"]
        alarms[t + 1] = group["rule_state"].get("alarms", alarms[t])
    E_hat = torch.maximum(forecasts, floor(g2))
    score = qlike(E_hat, g2)
    score[:burn_in] = math.nan
    return Replay(score, beta, alarms.diff(dim=0) > 0, quantiles(E_hat))


def best_fixed(g2: Tensor, betas: Sequence[float] = BETAS, *, burn_in: int = 100) -> BestFixed:
    """The best fixed β of each run in hindsight: what no rule knows beforehand, and a rule worth having comes near."""
    T, R, K = check_stream(g2, burn_in)
    grid = torch.tensor([Constant(beta).beta for beta in betas], dtype=torch.float64)  # [B]
    betas_of_rows, rows = grid.repeat_interleave(R), len(grid) * R
    g2 = g2.double().sqrt().square()  # squares of numbers, as the optimizer has them
    least = floor(g2)
    state = {"weight": torch.zeros(rows, dtype=torch.float64)}
    E = torch.zeros(rows, K, dtype=torch.float64)
    scores = torch.zeros(len(grid), R, dtype=torch.float64)
    for t, square in enumerate(g2):
        squares = square.repeat(len(grid), 1)  # every β is a run of its own
        slot = slot_of(squares, E, state)
        if t >= burn_in:
            E_hat = torch.maximum(equations.mean_square(slot, GROUP).view(-1, R, K), least)
            scores += qlike(E_hat, square) / (T - burn_in)
        equations.update_weights([state["weight"]], betas_of_rows)
        equations.update_mean_square(slot, betas_of_rows, squares)
    best = scores.min(0)
    return BestFixed(grid[best.indices], best.values, scores)


def slot_of(square: Tensor, E: Tensor, state: dict[str, Tensor]) -> Slot:
    """The tensors of a parameter with this g²; the square stands in for the parameter itself."""
    return Slot(square, square.sqrt(), E, state["weight"], torch.zeros(()), None, None, state)


def qlike(E: Tensor, g2: Tensor) -> Tensor:
    """mean_i[ ln Ê_i + min(g_i²/Ê_i, 20) ] over the last axis."""
    return (E.log() + (g2 / E).clamp(max=CAP)).mean(-1)


def floor(g2: Tensor) -> Tensor:
    """Least Ê that is scored, [R, 1]: FLOOR × the median of the run's squares that are not zero (FLOOR itself if all are)."""
    T, R, K = g2.shape
    rows = torch.where(g2 > 0, g2, torch.nan).transpose(0, 1).reshape(R, T * K)
    return FLOOR * rows.nanmedian(1, keepdim=True).values.nan_to_num(1.0)


def quantiles(E: Tensor) -> Tensor:
    """The QUANTILES over the last axis, which becomes them; the nearest of the values there are."""
    ordered = E.sort(-1).values
    return ordered[..., [round(level * (E.shape[-1] - 1)) for level in QUANTILES]]


# What is allowed -----------------------------------------------------------------------------------------------------------


def check_stream(g2: Tensor, burn_in: int) -> tuple[int, int, int]:
    """T, R and K; ValueError unless `g2` holds squares of more updates than the burn-in."""
    if g2.dim() != 3 or 0 in g2.shape:
        raise ValueError(f"g2 must have shape [T, R, K], got {tuple(g2.shape)}: updates, runs, parameters")
    if not (g2.isfinite().all() and (g2 >= 0).all()):
        raise ValueError("g2 must hold finite squares, at least 0, got others: leave out the updates that were skipped")
    if not 1 <= burn_in < len(g2):
        raise ValueError(
            f"burn_in must be in [1, {len(g2)}), got {burn_in}: the first update has no forecast, the last is scored"
        )
    return g2.shape[0], g2.shape[1], g2.shape[2]


def check_rule(rule: Rule) -> None:
    """ValueError for a rule that looks at parameters, of which a recorded stream has none."""
    if isinstance(rule, Law) and rule.follows_parameters:
        raise ValueError(f"{rules.text_or_none(rule)!r} follows the parameters: it cannot be replayed on recorded gradients")


def check_signal(x: Tensor | None, rule: Rule, shape: tuple[int, int]) -> Tensor:
    """The signal [T, R] in float64, zeros for rules that need none; ValueError if it is missing."""
    needed = isinstance(rule, Adaptive) and rule.listens_to not in (None, "surprise")
    if not needed:
        return torch.zeros(shape, dtype=torch.float64)
    if x is None:
        raise ValueError(f"{rules.text_or_none(rule)!r} needs x, its recorded signal [T, R]: it does not follow from g2")
    if tuple(x.shape) != shape:
        raise ValueError(f"x must have shape [T, R] = {list(shape)}, got {list(x.shape)}")
    return x.double().clone()
