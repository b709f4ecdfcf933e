"""Statistics over runs, against scipy and by hand."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rl_rmsprop.study.statistics.intervals import (
    Interval,
    bootstrap,
    bootstrap_time,
    draw_counts,
    half,
    iqm,
    median_time,
    none,
    number,
    quarter,
    resampled,
    share,
    trimmed_mean,
)

runs = arrays(float, st.integers(1, 40), elements=st.floats(-1e3, 1e3))
TRIMS = (none, quarter, half)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@settings(derandomize=True, deadline=None)
@given(runs)
def test_trimmed_means_are_scipys_and_numpys(x: np.ndarray) -> None:
    """An IQM that drops a run too many makes every table wrong without anybody noticing."""
    assert iqm(x) == pytest.approx(scipy.stats.trim_mean(x, 0.25), abs=1e-9)
    assert trimmed_mean(x, half) == pytest.approx(np.median(x), abs=1e-9)
    assert trimmed_mean(x, none) == pytest.approx(np.mean(x), abs=1e-9)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(arrays(float, st.tuples(st.integers(2, 40), st.integers(1, 3)), elements=st.floats(-1e3, 1e3)), st.integers(0, 9))
def test_resampling_without_sorting_is_sorting_every_resample(x: np.ndarray, seed: int) -> None:
    """The formula that makes ten thousand resamples affordable must be the statistic, ties and repeated runs included."""
    counts = draw_counts([len(x)], rng(seed), 20)
    for trim in TRIMS:
        fast = resampled(x, counts, trim)
        for b in range(20):
            plain = trimmed_mean(x[np.repeat(np.arange(len(x)), counts[:, b])], trim)
            np.testing.assert_allclose(fast[b], plain, atol=1e-9, rtol=1e-9)


def test_resampling_many_runs_does_not_overflow() -> None:
    """Counts are kept in single bytes where they fit: 200 runs summed up are more than a byte holds."""
    x = rng().normal(size=(200, 1))
    counts = draw_counts([200], rng(1), 50)
    plain = [trimmed_mean(x[np.repeat(np.arange(200), c)]) for c in counts.T]
    np.testing.assert_allclose(resampled(x, counts, quarter), plain, atol=1e-12)


@pytest.mark.parametrize(("trim", "cut"), [(quarter, 0.25), (none, 0.0)])
def test_the_interval_agrees_with_scipys_percentile_bootstrap(trim, cut: float) -> None:  # type: ignore[no-untyped-def]
    """An interval of the wrong width turns noise into findings."""
    x = rng(3).normal(100, 15, 20)
    ours = bootstrap(x, rng(), 20_000, trim)
    theirs = scipy.stats.bootstrap(
        (x,), lambda y, axis: scipy.stats.trim_mean(y, cut, axis=axis), method="percentile", n_resamples=20_000, rng=1
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.03 * width)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Whatever the algebra, 95 % must be near 95 % (with 20 runs a percentile interval is a little short)."""
    x = rng(5).normal(size=(20, 2000))
    interval = bootstrap(x, rng(6), 1000, none)
    assert 0.90 < ((interval.low <= 0) & (interval.high >= 0)).mean() < 0.96


def test_strata_keep_their_size_in_every_resample() -> None:
    """Pooled, a resample could hold runs of one environment alone, and the spread between environments would count as noise."""
    counts = draw_counts([3, 7], rng(), 100)
    assert (counts[:3].sum(0) == 3).all()
    assert (counts[3:].sum(0) == 7).all()
    x = np.array([0.0, 0.0, 0.0, 10.0, 10.0, 10.0])
    assert bootstrap(x, rng(), trim=none, strata=[3, 3]) == (5.0, 5.0, 5.0)
    assert bootstrap(x, rng(), trim=none).low < 5.0


def test_a_missing_value_is_not_the_best_one() -> None:
    """Sorting puts NaN on top, and the upper quarter is dropped: a run without a result would lower the mean unseen."""
    assert np.isnan(iqm(np.array([1.0, 2.0, 3.0, np.nan])))
    columns = bootstrap(np.array([[1.0, np.nan], [2.0, 2.0], [3.0, 3.0], [4.0, 4.0]]), rng())
    assert columns.value[0] == 2.5
    assert [bool(np.isnan(part[1])) for part in columns] == [True, True, True]
    assert not any(np.isnan(part[0]) for part in columns)


def test_one_run_has_no_interval() -> None:
    """`500.0 [500.0, 500.0]` from one run claims a certainty that nobody has."""
    alone = bootstrap(np.array([500.0]), rng())
    assert (alone.value, np.isnan(alone.low), np.isnan(alone.high)) == (500.0, True, True)
    assert number(alone) == "500.0"
    assert number(Interval(*np.full(3, np.nan))) == "–"
    assert number(bootstrap(np.full(10, 500.0), rng()), sign=True) == "+500.0 [+500.0, +500.0]"


@pytest.mark.parametrize("trim", TRIMS)
def test_constant_samples_have_a_finite_interval(trim) -> None:  # type: ignore[no-untyped-def]
    """Ten perfect scores of 500 are common on CartPole; BCa gives NaN there."""
    assert bootstrap(np.full(10, 500.0), rng(), trim=trim) == (500.0, 500.0, 500.0)


def test_the_same_generator_gives_the_same_interval_and_another_one_another() -> None:
    """A report made again must not differ; a seed that is not used (as in rliable) is found out when it is too late."""
    x = rng(1).normal(size=(12, 5))
    first, second, other = (bootstrap(x, rng(seed)) for seed in (7, 7, 8))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first.low, other.low)


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (3, 10), (10, 10), (1, 2), (17, 30)])
def test_the_interval_of_a_share_is_scipys_wilson_interval(successes: int, n: int) -> None:
    """`0 of 10 collapsed, [0, 0]` would say that the eleventh never does."""
    theirs = scipy.stats.binomtest(successes, n).proportion_ci(method="wilson")
    ours = share(successes, n)
    assert ours == pytest.approx((successes / n, theirs.low, theirs.high), abs=1e-12)
    assert all(math.isnan(x) for x in share(0, 0))


# Times that may never come ------------------------------------------------------------------------------------------------


def test_a_run_that_never_gets_there_is_later_than_all_others() -> None:
    """Left out, the median of one success among nine failures would be that success."""
    watched = np.full(5, 100.0)
    assert median_time(np.array([10.0, 20.0, 30.0, math.inf, math.inf]), watched) == 30.0
    assert median_time(np.array([10.0, 20.0, math.inf, math.inf, math.inf]), watched) == math.inf


def test_the_median_time_is_kaplan_meiers_by_hand() -> None:
    """A run that was watched for a shorter time is not one that failed.

    Times 1, 2+, 3, 4+, 5 (+: not there when last seen). S falls to 4/5 at 1, to 4/5 · 2/3 = 8/15 at 3, to 0 at 5.
    """
    times, watched = np.array([1.0, math.inf, 3.0, math.inf, 5.0]), np.array([9.0, 2.0, 9.0, 4.0, 9.0])
    assert median_time(times, watched) == 5.0
    # With 4+ arriving at 4 instead, S is 8/15 · 1/2 = 4/15 there.
    assert median_time(np.array([1.0, math.inf, 3.0, 4.0, 5.0]), watched) == 4.0


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=25))
def test_the_median_time_is_scipys(runs: list[tuple[int, bool]]) -> None:
    """Ties of arrivals and losses are where product-limit estimators go wrong."""
    seen, arrived = np.array([t for t, _ in runs], float), np.array([a for _, a in runs])
    data = scipy.stats.CensoredData(uncensored=seen[arrived], right=seen[~arrived])
    survival = scipy.stats.ecdf(data).sf
    below = survival.quantiles[survival.probabilities <= 0.5 + 1e-9]
    expected = below[0] if len(below) else math.inf
    assert median_time(np.where(arrived, seen, math.inf), seen) == expected


def test_runs_that_were_never_seen_count_for_nothing() -> None:
    """Runs with fewer changes than others are filled up, and the filling must not look like failures."""
    times, watched = np.array([1.0, 2.0, 3.0, math.inf, math.inf]), np.array([9.0, 9.0, 9.0, -1.0, -1.0])
    assert median_time(times, watched) == 2.0
    assert np.isnan(median_time(times[3:], watched[3:]))
    assert np.isnan(median_time(np.empty(0), np.empty(0)))


def test_the_interval_of_a_time_may_end_nowhere() -> None:
    """The mean of a time and of infinity is no end of an interval, and ∞ − ∞ is none either."""
    times = np.array([10.0, 11.0, 12.0, 13.0, 14.0, 15.0, math.inf, math.inf, math.inf, math.inf])
    interval = bootstrap_time(times, np.full(10, 100.0), rng())
    assert (interval.value, interval.high) == (14.0, math.inf)
    assert 10.0 <= interval.low <= 13.0
    never = bootstrap_time(np.full(10, math.inf), np.full(10, 100.0), rng())
    assert never == (math.inf, math.inf, math.inf)
