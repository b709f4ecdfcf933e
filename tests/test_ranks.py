"""Ranks over tasks and rank correlation, against scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rl_rmsprop.study.statistics import ranks


@given(st.lists(st.one_of(st.integers(-3, 3), st.just(np.inf)), min_size=1, max_size=20))
def test_equal_values_share_the_mean_of_their_ranks(values: list[float]) -> None:
    """Silent failure: of two arms with the same score, the one that is named first ranks better."""
    x = np.array(values, dtype=float)
    assert ranks.ranks(x).tolist() == stats.rankdata(x).tolist()


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("tasks", "arms"), [(4, 3), (10, 6), (24, 25)])
def test_friedmans_test_is_that_of_scipy(tasks: int, arms: int, ties: bool) -> None:
    """Silent failure: without the correction for ties a study of solved tasks finds differences between equals."""
    scores = np.random.default_rng(arms).normal(size=(tasks, arms))
    scores = np.round(scores) if ties else scores
    ours, theirs = ranks.friedman(scores), stats.friedmanchisquare(*scores.T)
    assert ours.statistic == pytest.approx(theirs.statistic)
    assert ours.p == pytest.approx(theirs.pvalue)
    assert ours.mean_ranks == pytest.approx(stats.rankdata(-scores, axis=1).mean(0))


def test_the_best_arm_has_the_smallest_rank_and_equal_arms_no_test() -> None:
    """A sign in the wrong place would turn the diagram around."""
    assert ranks.friedman(np.array([[3.0, 1, 2], [9, 0, 5]])).mean_ranks.tolist() == [1, 3, 2]
    equal = ranks.friedman(np.ones((3, 4)))
    assert np.isnan([equal.statistic, equal.p]).all()
    assert ranks.friedman(np.ones((3, 1))).mean_ranks.tolist() == [1]


@pytest.mark.parametrize("k", [2, 3, 5, 10, 30, 60])
@pytest.mark.parametrize("probability", [0.5, 0.95, 0.99])
def test_the_range_of_normal_variables_is_the_studentized_range_with_infinite_degrees(k: int, probability: float) -> None:
    """Its quantile is integrated here, so that no page needs scipy."""
    assert ranks.range_quantile(probability, k) == pytest.approx(stats.studentized_range.ppf(probability, k, np.inf), rel=1e-6)


def test_the_critical_difference_is_that_of_the_published_table() -> None:
    """Demšar (2006), table 5: q = 2.569 for four arms; his example has CD = 1.25 over 14 tasks."""
    assert ranks.range_quantile(0.95, 4) / np.sqrt(2) == pytest.approx(2.569, abs=5e-4)
    assert ranks.critical_difference(4, 14) == pytest.approx(1.25, abs=5e-3)


@given(st.integers(1, 60), st.floats(0, 200))
def test_the_tail_of_chi_squared_is_that_of_scipy(degrees: int, x: float) -> None:
    """Odd numbers of degrees have another sum than even ones."""
    assert ranks.chi2_tail(x, degrees) == pytest.approx(stats.chi2.sf(x, degrees), rel=1e-9, abs=1e-300)


@given(st.integers(3, 15), st.integers(0, 2**32 - 1))
def test_the_rank_correlation_is_that_of_scipy(n: int, seed: int) -> None:
    """Ties and times that never came are common among delays and recoveries."""
    rng = np.random.default_rng(seed)
    x, y = (rng.choice([0.0, 1, 2, 5, np.inf], n) for _ in range(2))
    constant = len(set(x)) == 1 or len(set(y)) == 1
    theirs = np.nan if constant else stats.spearmanr(stats.rankdata(x), stats.rankdata(y)).statistic
    assert ranks.spearman(x, y) == pytest.approx(theirs, nan_ok=True)


def test_the_interval_of_a_rank_correlation_draws_whole_runs() -> None:
    """Silent failure: three changes of one run count as three runs, and the interval is too narrow."""
    rng = np.random.default_rng(0)
    sizes = np.array([8, 7, 6, 5, 2, 2, 1, 1, 1, 1, 1, 1])
    runs = np.repeat(np.arange(12), sizes)
    x = np.repeat(rng.normal(size=12), sizes) + 0.1 * rng.normal(size=36)
    y = x + np.repeat(rng.normal(size=12), sizes)
    ours = ranks.spearman_interval(x, y, runs, np.random.default_rng(0))
    slow = []
    for _ in range(1500):
        rows = np.concatenate([np.flatnonzero(runs == run) for run in rng.integers(0, 12, 12)])
        slow.append(stats.spearmanr(x[rows], y[rows]).statistic)
    assert ours.value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert np.array(ours[1:]) == pytest.approx(np.quantile(slow, (0.025, 0.975)), abs=0.04)
    one_by_one = ranks.spearman_interval(x, y, np.arange(36), np.random.default_rng(0))
    assert one_by_one.high - one_by_one.low < 0.8 * (ours.high - ours.low)


def test_too_few_values_have_no_correlation() -> None:
    """A correlation of two points is always 1 or −1."""
    assert np.isnan(ranks.spearman(np.array([1.0, 2]), np.array([1.0, 2])))
    nothing = ranks.spearman_interval(np.zeros(0), np.zeros(0), np.zeros(0), np.random.default_rng(0))
    assert np.isnan(nothing).all()
