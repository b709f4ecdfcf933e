"""Statistics over seeds, against scipy and by hand."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rl_rmsprop.study.statistics import area_under_curve, bootstrap, iqm, number

runs = arrays(float, st.integers(1, 40), elements=st.floats(-1e3, 1e3))


@settings(derandomize=True, deadline=None)
@given(runs)
def test_the_interquartile_mean_is_scipys_trimmed_mean(x: np.ndarray) -> None:
    """An IQM that drops a run too many makes every table wrong without anybody noticing."""
    assert iqm(x) == pytest.approx(scipy.stats.trim_mean(x, 0.25), abs=1e-9)


def test_the_interval_agrees_with_scipys_percentile_bootstrap() -> None:
    """An interval of the wrong width turns noise into findings."""
    x = np.random.default_rng(3).normal(100, 15, 20)
    ours = bootstrap(x, np.random.default_rng(0), 20_000)
    theirs = scipy.stats.bootstrap(
        (x,), lambda y, axis: scipy.stats.trim_mean(y, 0.25, axis=axis), method="percentile", n_resamples=20_000, rng=1
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.03 * width)


def test_a_missing_value_is_not_the_best_one() -> None:
    """Sorting puts NaN on top, and the upper quarter is dropped: a run without a result would lower the mean unseen."""
    assert np.isnan(iqm(np.array([1.0, 2.0, 3.0, np.nan])))
    columns = iqm(np.array([[1.0, np.nan], [2.0, 2.0], [3.0, 3.0], [4.0, 4.0]]))
    assert columns[0] == 2.5
    assert np.isnan(columns[1])


def test_one_run_has_no_interval() -> None:
    """`500.0 [500.0, 500.0]` from one run claims a certainty that nobody has."""
    alone = bootstrap(np.array([500.0]), np.random.default_rng(0))
    assert (alone.value, np.isnan(alone.low), np.isnan(alone.high)) == (500.0, True, True)
    assert number(alone) == "500.0"
    assert number(bootstrap(np.array([[1.0, np.nan]]), np.random.default_rng(0))._replace(value=np.float64("nan"))) == "–"
    assert number(bootstrap(np.full(10, 500.0), np.random.default_rng(0)), sign=True) == "+500.0 [+500.0, +500.0]"


def test_constant_samples_have_a_finite_interval() -> None:
    """Ten perfect scores of 500 are common on CartPole; BCa gives NaN there."""
    assert bootstrap(np.full(10, 500.0), np.random.default_rng(0)) == (500.0, 500.0, 500.0)


def test_the_same_generator_gives_the_same_interval() -> None:
    """A report made again must not differ."""
    x = np.random.default_rng(1).normal(size=(12, 5))
    first, second = (bootstrap(x, np.random.default_rng(7)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_area_under_a_curve_is_its_mean_height() -> None:
    """Steps are unevenly spaced, and a plain mean of the points would favour dense stretches."""
    step, value = np.array([0.0, 1.0, 2.0, 10.0]), np.array([np.nan, 0.0, 4.0, 4.0])
    assert area_under_curve(step, value) == pytest.approx((2.0 + 32.0) / 9.0)
    assert np.isnan(area_under_curve(step[:2], value[:2]))
