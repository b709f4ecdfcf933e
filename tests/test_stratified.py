"""Arms over several tasks: rliable's numbers, and slow plain forms of what it does not have."""

from collections.abc import Callable, Sequence

import arch
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rliable import library, metrics
from scipy import stats

from rl_rmsprop.study.statistics import stratified
from rl_rmsprop.study.statistics.comparison import sign_flip
from rl_rmsprop.study.statistics.intervals import none, quarter

RUNS, TASKS = 12, 5


@pytest.fixture
def scores() -> dict[str, np.ndarray]:
    """Two arms, [runs, tasks]; with ties, as returns of a solved environment have."""
    rng = np.random.default_rng(3)
    return {name: np.round(rng.normal(mean, 1, (RUNS, TASKS)), 1) for name, mean in (("x", 0.3), ("y", 0.0))}


def groups(table: np.ndarray) -> list[np.ndarray]:
    """A table [runs, tasks] as groups."""
    return list(table.T)


def slow_interval(statistic: Callable[..., float], tables: Sequence[np.ndarray], reps: int = 3000) -> np.ndarray:
    """The stratified bootstrap as it is written down: every task of every table resampled by itself."""
    rng = np.random.default_rng(7)
    values = []
    for _ in range(reps):
        drawn = [np.stack([rng.choice(task, len(task)) for task in table.T], 1) for table in tables]
        values.append(statistic(*drawn))
    return np.quantile(values, (0.025, 0.975))


def test_averages_over_runs_and_tasks_are_those_of_rliable(scores: dict[str, np.ndarray]) -> None:
    """Silent failure: the page's main number is another statistic than the one it is called after."""
    table = scores["x"]
    for trim, theirs in ((quarter, metrics.aggregate_iqm), (none, metrics.aggregate_mean)):
        ours = stratified.over_runs(groups(table), np.random.default_rng(0), trim, 20_000)
        assert ours.value == pytest.approx(theirs(table), abs=1e-12)
        assert np.array(ours[1:]) == pytest.approx(slow_interval(theirs, [table]), abs=0.03)


def test_the_probability_of_improvement_is_that_of_rliable(scores: dict[str, np.ndarray]) -> None:
    """Silent failure: ties count as losses, or large tasks weigh more."""
    x, y = scores["x"], scores["y"]
    ours = stratified.improvement(groups(x), groups(y), np.random.default_rng(0), 20_000)
    assert ours.value == pytest.approx(metrics.probability_of_improvement(x, y), abs=1e-12)
    assert np.array(ours[1:]) == pytest.approx(slow_interval(metrics.probability_of_improvement, [x, y], 1000), abs=0.02)


def test_profiles_count_scores_above_each_level(scores: dict[str, np.ndarray]) -> None:
    """Silent failure: a profile counts scores that reach a level, and rliable's only those above it."""
    levels = np.linspace(-2, 2, 9)  # ties with scores among them
    ours = stratified.profile(groups(scores["x"]), levels, np.random.default_rng(0))
    np.testing.assert_allclose(ours.value, [np.mean(scores["x"] > level) for level in levels], atol=1e-12)
    slow = slow_interval(lambda x: np.mean(x > levels[5]), [scores["x"]])
    assert np.array([ours.low[5], ours.high[5]]) == pytest.approx(slow, abs=0.035)


@pytest.mark.skipif(int(arch.__version__.split(".")[0]) >= 8, reason="rliable 1.2 cannot resample with arch 8")
def test_intervals_are_those_of_rliable(scores: dict[str, np.ndarray]) -> None:
    """The whole way that its users go, from scores to intervals and profiles."""
    x, y = groups(scores["x"]), groups(scores["y"])
    _, ends = library.get_interval_estimates(
        {"x": scores["x"]}, lambda table: np.array([metrics.aggregate_iqm(table)]), reps=4000
    )
    ours = stratified.over_runs(x, np.random.default_rng(0), resamples=20_000)
    assert np.array(ours[1:]) == pytest.approx(ends["x"].ravel(), abs=0.025)
    pair = {"x,y": (scores["x"], scores["y"])}
    _, ends = library.get_interval_estimates(pair, metrics.probability_of_improvement, reps=2000)
    improvement = stratified.improvement(x, y, np.random.default_rng(0))
    assert np.array(improvement[1:]) == pytest.approx(ends["x,y"].ravel(), abs=0.015)
    levels = np.linspace(-2, 2, 9)
    points, ends = library.create_performance_profile({"x": scores["x"]}, levels, reps=1000)
    profile = stratified.profile(x, levels, np.random.default_rng(0))
    np.testing.assert_allclose(profile.value, points["x"], atol=1e-12)
    np.testing.assert_allclose(np.array(profile[1:]), ends["x"], atol=0.035)


def test_the_mean_of_tasks_weighs_tasks_and_not_runs() -> None:
    """Silent failure: thirty seeds of CartPole drown ten of Ant."""
    large, small = np.full(30, 1.0), np.full(10, 0.0)
    assert stratified.mean_of_tasks([large, small], np.random.default_rng(0)).value == 0.5
    assert stratified.over_runs([large, small], np.random.default_rng(0)).value == 1.0
    rng = np.random.default_rng(1)
    some = [rng.normal(size=n) for n in (8, 12)]
    ours = stratified.mean_of_tasks(some, np.random.default_rng(0), 20_000)
    assert ours.value == pytest.approx(np.mean([stats.trim_mean(x, 0.25) for x in some]))
    slow = [np.mean([stats.trim_mean(rng.choice(x, len(x)), 0.25) for x in some]) for _ in range(4000)]
    assert np.array(ours[1:]) == pytest.approx(np.quantile(slow, (0.025, 0.975)), abs=0.05)


def test_a_task_keeps_its_share_in_every_resample() -> None:
    """Silent failure: resamples with more of the easy task widen the interval by what is no chance."""
    rng = np.random.default_rng(0)
    tasks = [np.full(8, 1.0), np.full(8, 5.0)]
    assert [float(x) for x in stratified.over_runs(tasks, rng, none)] == [3.0, 3.0, 3.0]
    share = stratified.profile(tasks, np.array([2.0]), rng)
    assert np.array(share).ravel().tolist() == [0.5, 0.5, 0.5]


def test_a_difference_resamples_the_runs_of_a_seed_together() -> None:
    """Silent failure: the spread between seeds, which is in both arms, hides a difference that every seed has."""
    rng = np.random.default_rng(0)
    y = [rng.normal(size=20) * 10 for _ in range(3)]
    x = [group + 1.0 for group in y]
    ours = stratified.difference(x, y, np.random.default_rng(0))
    assert [float(end) for end in ours] == pytest.approx([1.0, 1.0, 1.0])
    apart = stratified.difference(x, [rng.permutation(group) for group in y], np.random.default_rng(0))
    assert apart.low < 0 < apart.high


def test_shares_differ_by_their_means() -> None:
    """Silent failure: the IQM of survivors is 0 or 1 where three of four survive."""
    x, y = [np.array([1.0, 1, 1, 0])], [np.array([1.0, 0, 0, 0])]
    assert stratified.difference_of_means(x, y, np.random.default_rng(0)).value == 0.5


def test_the_test_is_over_the_pairs_of_all_tasks() -> None:
    """Silent failure: only the first task is tested."""
    x, y = [np.array([1.0, 2, 3]), np.array([4.0, 5, 7])], [np.zeros(3), np.zeros(3)]
    p = stratified.paired_p(x, y, np.random.default_rng(0))
    assert p == sign_flip(np.array([1.0, 2, 3, 4, 5, 7]), np.random.default_rng(0)) == 2 / 2**6
    assert np.isnan(stratified.paired_p(x[:1], y[:1], np.random.default_rng(0)))  # three pairs


@given(st.integers(0, 2**32 - 1))
def test_the_probability_of_improvement_is_turned_around_with_its_arms(seed: int) -> None:
    """P(X > Y) and P(Y > X) are one another's rest, whatever the tasks and ties."""
    rng = np.random.default_rng(seed)
    xs = [rng.integers(0, 4, rng.integers(1, 6)).astype(float) for _ in range(3)]
    ys = [rng.integers(0, 4, rng.integers(1, 6)).astype(float) for _ in range(3)]
    forth = stratified.improvement(xs, ys, np.random.default_rng(0), 10).value
    back = stratified.improvement(ys, xs, np.random.default_rng(0), 10).value
    assert forth + back == pytest.approx(1.0)
    pairs = [np.mean([(a > b) + (a == b) / 2 for a in x for b in y]) for x, y in zip(xs, ys, strict=True)]
    assert forth == pytest.approx(np.mean(pairs))


def test_nothing_has_no_average_and_one_run_no_interval() -> None:
    """A page of a study that has only begun must not fail, nor claim what one run cannot show."""
    rng = np.random.default_rng(0)
    for function in (stratified.over_runs, stratified.mean_of_tasks):
        assert np.isnan(function([], rng)).all()
        value, low, _ = function([np.array([2.0])], rng)
        assert value == 2.0
        assert np.isnan(low)
    for function in (stratified.improvement, stratified.difference):
        assert np.isnan(function([], [], rng)).all()
        value, low, _ = function([np.array([2.0])], [np.array([1.0])], rng)
        assert value == 1.0
        assert np.isnan(low)
