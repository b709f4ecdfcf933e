"""Two arms on the same seeds: against scipy and by hand."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rl_rmsprop.study.statistics.comparison import (
    compare,
    difference_of_iqms,
    holm,
    pairs_needed,
    probability_of_improvement,
    sign_flip,
    smallest_p,
)
from rl_rmsprop.study.statistics.intervals import draw_counts, iqm

scores = arrays(float, st.integers(2, 12), elements=st.integers(-20, 20).map(float))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(scores)
def test_the_exact_sign_flip_test_is_scipys(d: np.ndarray) -> None:
    """A choice of signs that equals the one seen up to rounding and is not counted makes p too small."""
    theirs = scipy.stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip(d, rng()) == pytest.approx(theirs.pvalue)


def test_differences_of_one_sign_are_as_rare_as_coin_throws() -> None:
    """Two-sided: 2 · 2⁻ⁿ, and 1 if nothing differs."""
    assert sign_flip(np.arange(1.0, 7.0), rng()) == 2 / 64
    assert sign_flip(np.full(10, 3.0), rng()) == 2 / 1024
    assert sign_flip(np.zeros(10), rng()) == 1.0
    assert math.isnan(sign_flip(np.array([1.0, np.nan]), rng()))


def test_the_drawn_test_agrees_with_the_exact_one_and_is_never_zero() -> None:
    """A p of 0 from drawing is a claim that no number of drawings can make."""
    d = rng(1).normal(0.25, 1, 30)
    theirs = scipy.stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=100_000, rng=2)
    assert sign_flip(d, rng()) == pytest.approx(theirs.pvalue, abs=0.015)
    assert sign_flip(np.arange(1.0, 41.0), rng()) == 1 / 20_001


def test_p_is_uniform_where_nothing_differs() -> None:
    """A test that finds something in noise more often than it says makes findings of noise."""
    p = np.array([sign_flip(rng(seed).normal(size=10), rng()) for seed in range(400)])
    assert 0.02 <= (p <= 0.05).mean() <= 0.08


def test_the_probability_of_improvement_is_mann_whitneys_u() -> None:
    """Ties count half: two arms that always score 500 are equally good."""
    x, y = rng(2).integers(0, 9, 15).astype(float), rng(3).integers(0, 9, 15).astype(float)
    u = scipy.stats.mannwhitneyu(x, y).statistic
    interval = probability_of_improvement(x, y, rng())
    assert interval.value == pytest.approx(u / 225)
    assert interval.low < interval.value < interval.high
    assert probability_of_improvement(np.full(10, 500.0), np.full(10, 500.0), rng()) == (0.5, 0.5, 0.5)
    assert probability_of_improvement(np.arange(10.0) + 50, np.arange(10.0), rng()) == (1.0, 1.0, 1.0)
    assert np.isnan(probability_of_improvement(np.array([1.0, np.nan]), np.array([0.0, 1.0]), rng()).value)


def test_both_arms_runs_of_a_seed_are_drawn_together() -> None:
    """Resampled apart, the interval would hold the spread between seeds that pairing takes out.

    By hand: the resamples of two seeds are (0,0), (0,1), (1,0), (1,1); with x = (1, 3), y = (0, 2) the values of cᵀGc/4 are
    G₀₀ = 1, (G₀₀ + G₀₁ + G₁₀ + G₁₁)/4 = 3/4 twice and G₁₁ = 1.
    """
    interval = probability_of_improvement(np.array([1.0, 3.0]), np.array([0.0, 2.0]), rng())
    assert interval == (0.75, 0.75, 1.0)


def test_holms_correction_by_hand() -> None:
    """Holm (1979): .005 · 4 = .02, .01 · 3 = .03, .03 · 2 = .06, and .04 · 1, but no less than .06."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    untested = holm([0.02, math.nan, 0.01])
    assert untested[0] == pytest.approx(0.02)
    assert math.isnan(untested[1])
    assert untested[2] == pytest.approx(0.02)
    assert holm([]) == []


@settings(derandomize=True, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_lies_between_no_correction_and_bonferroni_and_keeps_the_order(p: list[float]) -> None:
    """A correction that reorders arms would call a worse one better."""
    q = holm(p)
    assert all(a <= b <= min(1.0, len(p) * a) + 1e-12 for a, b in zip(p, q, strict=True))
    assert all((p[i] < p[j]) <= (q[i] <= q[j]) for i in range(len(p)) for j in range(len(p)))


def test_a_comparison_pairs_seeds_and_knows_which_way_is_better() -> None:
    """Fewer steps to a goal are better, and a difference of −100 steps is then an improvement."""
    x, y = ({seed: 100.0 * seed + more for seed in range(10)} for more in (0.0, 5.0))
    fewer = compare(x, dict(reversed(y.items())), rng(), better=-1)
    assert (fewer.pairs, fewer.mean, fewer.p) == (10, -5.0, 2 / 1024)
    assert fewer.difference == pytest.approx((-5.0, -5.0, -5.0))
    assert fewer.improvement.value > 0.5
    assert fewer.improvement.value == pytest.approx(1 - compare(x, y, rng()).improvement.value)
    assert math.isnan(compare(x, {seed: y[seed] for seed in range(5)}, rng()).p)
    assert compare(x, {99: 1.0}, rng()).pairs == 0


def test_the_difference_is_that_of_the_two_iqms_and_not_the_iqm_of_the_differences() -> None:
    """Otherwise the arm that ranks first can have a lead below zero.

    By hand: the IQMs of (29, 9, 19, 28) and (0, 10, 20, 30) are 23.5 and 15; of the differences 29, −1, −1, −2 the IQM is −1.
    """
    x, y = (dict(enumerate(values)) for values in ([29.0, 9.0, 19.0, 28.0], [0.0, 10.0, 20.0, 30.0]))
    assert compare(x, y, rng()).difference.value == 8.5
    assert iqm(np.array([x[seed] - y[seed] for seed in x])) == -1.0


@settings(derandomize=True, deadline=None, max_examples=30)
@given(arrays(float, st.tuples(st.integers(2, 9), st.just(2)), elements=st.integers(-20, 20).map(float)), st.integers(0, 9))
def test_the_interval_of_the_difference_resamples_seeds_for_both_arms_together(scores: np.ndarray, seed: int) -> None:
    """Resampled apart, the interval would hold the spread between seeds that pairing takes out."""
    n = len(scores)
    counts = draw_counts([n], rng(seed), 300)
    plain = [iqm(scores[np.repeat(np.arange(n), c), 0]) - iqm(scores[np.repeat(np.arange(n), c), 1]) for c in counts.T]
    interval = difference_of_iqms(scores[:, 0], scores[:, 1], n, rng(seed), 300)
    assert interval[1:] == pytest.approx(tuple(np.quantile(plain, (0.025, 0.975))))


def test_runs_whose_partner_failed_count_for_their_own_arm() -> None:
    """Left out, the difference would not be that of the scores in the table; paired by place, other seeds would be compared."""
    x, y = {0: 1.0, 1: 2.0, 2: 3.0}, {1: 2.0, 2: 3.0, 7: 40.0, 8: 50.0}
    compared = compare(x, y, rng())
    assert (compared.pairs, compared.mean) == (2, 0.0)
    assert compared.difference.value == 2.0 - 21.5  # IQM of (2, 3, 40, 50): 21.5
    assert compared.difference.low < compared.difference.high
    assert np.isnan(compare({1: 3.0}, y, rng()).difference.low)  # a single run has no interval


def test_the_smallest_p_is_that_of_differences_of_one_sign() -> None:
    """A study is told how many seeds would do: with one less the test could not find what is there."""
    for comparisons in (1, 3, 7):
        n = pairs_needed(comparisons)
        ps = [holm([sign_flip(np.arange(1.0, m + 1), rng())] * comparisons)[0] for m in (n - 1, n)]
        assert ps == [smallest_p(n - 1, comparisons), smallest_p(n, comparisons)]
        assert ps[0] >= 0.05 > ps[1] or n == 6
