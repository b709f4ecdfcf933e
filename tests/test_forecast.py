"""The forecast score of β rules on recorded squared gradients."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from rl_rmsprop import AdaptiveRMSprop, forecast, rules
from rl_rmsprop.forecast import best_fixed, replay
from tests import references

torch.set_num_threads(1)

T, R, K, BURN_IN = 60, 3, 5, 10


def recorded(seed: int = 0, updates: int = T) -> Tensor:
    """Squares [T, R, K] that grow a hundredfold for the middle third, each parameter on a scale of its own."""
    noise = torch.randn(updates, R, K, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).square()
    noise[updates // 3 : 2 * updates // 3] *= 100
    return noise * torch.logspace(-3, 0, K, dtype=torch.float64)


def optimized(g2: Tensor, rule: str, x: Tensor | None = None, **arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Ê before each update [T, R, K], β and alarms [T, R] of a real optimizer that is given the roots of g²."""
    p = Parameter(torch.zeros(g2.shape[1:], dtype=torch.float64))
    resolved = rules.resolve(rules.parse(rule), len(g2))
    optimizer = AdaptiveRMSprop([p], lr=0.0, alpha=resolved, bias_correction=True, runs=len(g2[0]), **arguments)
    means, betas, alarms = [], [], []
    for t, square in enumerate(g2):
        state = optimizer.state[p]
        w = state["weight"].reshape(len(g2[0]), -1) if state else None
        means.append(state["square_avg"] / w if state else square)
        p.grad = square.sqrt()
        if x is not None:
            optimizer.observe(grad_norm=x[t])
        optimizer.step()
        stats = optimizer.stats()
        betas.append(stats["beta"])
        alarms.append(stats["alarms"].nan_to_num(0.0))
    return torch.stack(means), torch.stack(betas), torch.stack(alarms).diff(dim=0, prepend=torch.zeros(1, len(g2[0]))) > 0


def expected_score(E: Tensor, g2: Tensor) -> Tensor:
    """The score [T, R] of given forecasts, one number at a time."""
    scores = [[references.qlike(E[t, r].tolist(), g2[t, r].tolist()) for r in range(g2.shape[1])] for t in range(len(g2))]
    return torch.tensor(scores, dtype=torch.float64)


def expected_forecasts(g2: Tensor, rule: Any) -> Tensor:
    """Ê [T, R, K] before each update; `rule` maps the squares [T][K] of one run to them."""
    return torch.tensor([rule(g2[:, r].tolist()) for r in range(g2.shape[1])], dtype=torch.float64).transpose(0, 1)


def test_a_score_by_hand():
    """β = 0.5 on 1, 4, 100: Ê = 1, then (.25 · 1 + .5 · 4)/.75 = 3, whose ratio of 33 counts as 20.

    Ê before g² and not after it: a rule that has seen the answer would be the best of all with β = 0.
    """
    got = replay(torch.tensor([1.0, 4.0, 100.0]).view(3, 1, 1), 0.5, burn_in=1)
    assert math.isnan(got.score[0])
    assert got.score[1:, 0].tolist() == pytest.approx([0.0 + 4.0, math.log(3) + 20.0])
    assert got.beta.flatten().tolist() == [0.5, 0.5, 0.5]
    assert got.E_quantiles[:, 0, 1].tolist() == pytest.approx([1.0, 1.0, 3.0])


def test_the_score_is_the_mean_over_parameters():
    """A sum would rank rules by how many parameters were recorded, an outlier of one would decide for all."""
    g2 = torch.tensor([[1.0, 1.0], [math.e, 50.0]]).view(2, 1, 2)
    assert replay(g2, 0.5, burn_in=1).score[1, 0].item() == pytest.approx((math.e + 20.0) / 2)


REFERENCES: dict[str, Any] = {
    "0.9": lambda rows: references.predicted(rows, [[0.9] * K] * T),
    "linear:start=0.5,end=0.99": lambda rows: references.predicted(rows, [[0.5 + 0.49 * t / (T - 1)] * K for t in range(T)]),
    "asymmetric:rise=0.5,fall=0.95": lambda rows: references.predicted(rows, lambda g2, E: 0.5 if g2 > E else 0.95),
    "mixture:betas=0.5/0.9/0.99,share=0.05,rate=2": lambda rows: [
        m.predicted for m in references.mixture(rows, (0.5, 0.9, 0.99), 0.05, 2.0, floor=1e-16)
    ],
    "periodic:every=7": lambda rows: references.predicted(
        rows, [[b] * K for b in references.restarted([n % 7 == 0 for n in range(1, T + 1)], lambda n: min(1 - 1 / n, 0.99))]
    ),
}


@pytest.mark.parametrize("rule", REFERENCES)
def test_scores_are_those_of_the_slow_reference(rule):
    """Every kind of rule, against forecasts written down one number at a time."""
    g2 = recorded()
    got = replay(g2, rule, burn_in=BURN_IN)
    E = expected_forecasts(g2, REFERENCES[rule])
    expected = expected_score(E, g2)
    torch.testing.assert_close(got.score[BURN_IN:], expected[BURN_IN:], rtol=1e-9, atol=1e-9)
    assert got.score[:BURN_IN].isnan().all()
    torch.testing.assert_close(got.E_quantiles[..., 1], E.median(-1).values, rtol=1e-9, atol=0)
    torch.testing.assert_close(got.E_quantiles[..., 0], E.min(-1).values, rtol=1e-9, atol=0)
    torch.testing.assert_close(got.E_quantiles[..., 2], E.max(-1).values, rtol=1e-9, atol=0)


RULES = [
    "0.9",
    "harmonic:max=0.95",
    "cusum:arl=20,burn_in=5,max=0.95",
    "page_hinkley:arl=20,burn_in=5,min_samples=5",
    "random:every=9",
    "periodic:every=9,reaction=reset,schedule=constant,beta=0.9",
    "asymmetric:rise=0.5,fall=0.95",
    "mixture",
]


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_does_on_a_stream_what_it_does_in_the_optimizer(rule):
    """A score of something else than what trains would choose the wrong rule: Ê, β and alarms of a real optimizer."""
    g2 = recorded()
    got = replay(g2, rule, burn_in=BURN_IN)
    E, beta, alarms = optimized(g2, rule)
    torch.testing.assert_close(got.score[BURN_IN:], expected_score(E, g2)[BURN_IN:], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(got.beta, beta, rtol=1e-9, atol=1e-12)
    assert torch.equal(got.alarms, alarms)
    assert not rule.startswith(("cusum", "page", "random")) or alarms.any()


def test_a_recorded_signal_is_what_the_detector_hears():
    """The norm before clipping cannot be had from g²: replayed without it, alarms would be those of another signal."""
    g2, x = recorded(), recorded(1).mean(-1).sqrt()
    rule = "cusum:arl=20,burn_in=5,max=0.95,signal=grad_norm"
    got = replay(g2, rule, x=x.square().log(), burn_in=BURN_IN)
    _, beta, alarms = optimized(g2, rule, x)
    assert alarms.any()
    assert torch.equal(got.alarms, alarms)
    torch.testing.assert_close(got.beta, beta)


@pytest.mark.parametrize("rule", RULES)
def test_a_run_scores_alone_as_among_others(rule):
    """With one floor, one detector or one set of weights for all runs a stream's score would depend on its company."""
    g2 = recorded() * torch.tensor([1.0, 1e6, 1e-9])[:, None]
    batched = replay(g2, rule, burn_in=BURN_IN)
    for r in range(R):
        alone = replay(g2[:, r : r + 1], rule, burn_in=BURN_IN, keys=[r])
        for a, b in zip(alone, batched, strict=True):
            assert torch.equal(a.nan_to_num(0.5), b[:, r : r + 1].nan_to_num(0.5))


@pytest.mark.parametrize("rule", RULES)
def test_a_scale_shifts_every_score_alike(rule):
    """Rules are compared by differences of scores: a unit of the gradient must cancel in them, the floor included."""
    g2 = recorded()
    g2[:, :, 0] = 0.0
    a, b = (replay(g2 * scale, rule, burn_in=BURN_IN, eps=0.0).score[BURN_IN:] for scale in (1.0, 2.0**20))
    torch.testing.assert_close(b - a, torch.full_like(a, math.log(2.0**20)), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_gradients_that_are_zero_have_finite_scores(rule):
    """ln 0 = −∞ for one dead parameter makes any rule the best there is."""
    g2 = recorded()
    g2[:, :, 1] = 0.0
    g2[30:, 0] = 0.0
    got = replay(g2, rule, burn_in=BURN_IN)
    assert got.score[BURN_IN:].isfinite().all()
    usual = g2[:, 1][g2[:, 1] > 0].median()
    floor = forecast.FLOOR * usual.item()
    assert got.E_quantiles[-1, 1, 0].item() == pytest.approx(floor)
    dead = replay(torch.zeros(30, 1, 2), rule, burn_in=BURN_IN)
    assert dead.score[BURN_IN:].unique().numel() == 1


def test_the_best_fixed_beta_is_the_best_of_the_grid():
    """Hindsight is the bar that rules are held to; a worse one is beaten easily."""
    g2, grid = recorded(), (0.3, 0.9, 0.99)
    got = best_fixed(g2, grid, burn_in=BURN_IN)
    rows = [expected_forecasts(g2, lambda squares, b=b: references.predicted(squares, [[b] * K] * T)) for b in grid]
    scores = torch.stack([expected_score(E, g2)[BURN_IN:].mean(0) for E in rows])
    torch.testing.assert_close(got.all_scores, scores, rtol=1e-6, atol=1e-6)
    assert got.beta.tolist() == [grid[i] for i in scores.argmin(0).tolist()]
    torch.testing.assert_close(got.score, scores.min(0).values, rtol=1e-6, atol=1e-6)


def test_the_best_fixed_beta_of_steady_and_of_growing_squares_differ():
    """On noise of one scale the longest memory predicts best, on squares that double at each update the shortest."""
    steady = torch.randn(800, 1, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64).square()
    growing = steady[:200] * 2 ** torch.arange(200.0, dtype=torch.float64)[:, None, None]
    assert best_fixed(steady).beta.item() >= 0.995
    assert best_fixed(growing).beta.item() == 0.3


def test_a_mixture_is_about_as_good_as_the_best_of_its_bank():
    """Fixed share loses at most (ln K)/rate and a little per change over its best memory: more would be a defect."""
    g2 = torch.randn(1500, 4, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64).square()
    g2 *= torch.tensor([1.0, 1.002, 1.05, 1.3], dtype=torch.float64)[:, None] ** torch.arange(1500.0)[:, None, None].double()
    bank = (0.5, 0.8, 0.9, 0.97, 0.99, 0.997)
    best = best_fixed(g2, bank)
    regret = replay(g2, "mixture").score[100:].mean(0) - best.score
    assert best.beta.unique().numel() > 1
    # ln K once and −ln(1 − share) an update for staying with one memory; the tenth is for the cap, which no bound covers.
    assert (regret < -math.log(0.99) + math.log(6) / 1400 + 0.1).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"g2": torch.ones(5, 3)}, [r"\[T, R, K\]", r"\(5, 3\)"]),
        ({"g2": torch.ones(5, 0, 2)}, [r"\[T, R, K\]", r"\(5, 0, 2\)"]),
        ({"g2": -recorded()}, ["at least 0"]),
        ({"g2": recorded() * math.nan}, ["finite", "leave out"]),
        ({"burn_in": 0}, [r"\[1, 60\)", "got 0"]),
        ({"burn_in": T}, [r"\[1, 60\)", "got 60"]),
        ({"rule": "cusum:signal=grad_norm"}, ["'cusum:signal=grad_norm' needs x", r"\[T, R\]"]),
        ({"rule": "cusum:signal=grad_norm", "x": torch.ones(T)}, [r"\[60, 3\]", r"\[60\]"]),
        ({"rule": "cusmu"}, ["did you mean cusum"]),
    ],
)
def test_bad_streams_are_refused(change, words):
    """Axes in another order give scores too, of nothing."""
    arguments: dict[str, Any] = {"g2": recorded(), "rule": 0.9, "burn_in": BURN_IN} | change
    for word in words:
        with pytest.raises(ValueError, match=word):
            replay(**arguments)
