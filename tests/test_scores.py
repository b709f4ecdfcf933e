"""Scores of one run, by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rl_rmsprop.study.results import scores
from rl_rmsprop.study.results.scores import Episodes


def episodes(earned: list[float], every: float = 10.0, length: float = 1.0) -> Episodes:
    """Episodes that end every `every` steps."""
    steps = every * np.arange(1, len(earned) + 1)
    return Episodes(steps, np.array(earned, dtype=float), np.full(len(earned), length))


@settings(derandomize=True, deadline=None)
@given(arrays(float, st.integers(1, 60), elements=st.integers(-500, 500).map(float)), st.integers(1, 30))
def test_the_running_mean_is_that_of_the_last_values(x: np.ndarray, count: int) -> None:
    """A count that is off by one moves every time to a threshold."""
    plain = [np.mean(x[max(0, k - count + 1) : k + 1]) for k in range(len(x))]
    np.testing.assert_allclose(scores.running_mean(x, count), plain, atol=1e-9)


def test_a_time_average_weighs_values_by_the_steps_for_which_they_hold() -> None:
    """Short episodes are many: a plain mean over episodes asks how good an episode was, not how good the policy was when."""
    step, value = np.array([10.0, 20.0, 80.0]), np.array([1.0, 2.0, 3.0])
    assert scores.time_average(step, value, 0.0, 100.0) == pytest.approx((20 * 1 + 60 * 2 + 20 * 3) / 100)
    assert scores.time_average(step, value, 5.0, 80.0) == pytest.approx((15 * 1 + 60 * 2) / 75)
    assert math.isnan(scores.time_average(step[:0], value[:0], 0.0, 100.0))


def test_the_mean_return_is_the_running_return_over_the_whole_training() -> None:
    """By hand: one episode of 40 at step 10 and one of 0 at step 30 are means 40 and 20, held for 30 and 70 of 100 steps."""
    two = Episodes(np.array([10.0, 30.0]), np.array([40.0, 0.0]), np.array([5.0, 5.0]))
    assert scores.mean_return(two, 100.0) == pytest.approx(0.3 * 40 + 0.7 * 20)
    assert math.isnan(scores.mean_return(episodes([]), 100.0))


def test_the_threshold_is_reached_by_a_hundred_episodes_and_not_by_a_lucky_one() -> None:
    """A mean of fewer than a hundred would call a run solved after its first good episode."""
    assert scores.steps_to(episodes([500.0] * 99), 475) == math.inf
    assert scores.steps_to(episodes([500.0] * 100), 475) == 1000.0
    # Of 100 episodes of 0 or 500, 95 must be good: the first five bad ones may stay.
    assert scores.steps_to(episodes([0.0] * 10 + [500.0] * 200), 475) == 10.0 * 105
    assert scores.steps_to(episodes([474.0] * 300), 475) == math.inf


# Collapse -----------------------------------------------------------------------------------------------------------------


def test_losing_more_than_half_of_what_was_gained_is_a_collapse() -> None:
    """The first hundred earn 20 ± 10, so that a gain counts from 40; 220 is 200 above, and half of it gone is 120."""
    start = [10.0, 30.0] * 50
    assert scores.collapsed(episodes(start + [220.0] * 100 + [119.0] * 100)) == 1.0
    assert scores.collapsed(episodes(start + [220.0] * 100 + [121.0] * 100)) == 0.0
    assert scores.collapsed(episodes(start + [220.0] * 300)) == 0.0


def test_a_bad_stretch_shorter_than_a_plateau_is_no_collapse() -> None:
    """A few episodes of bad luck happen to the best policy."""
    assert scores.collapsed(episodes([10.0, 30.0] * 50 + [220.0] * 100 + [20.0] * 40 + [220.0] * 100)) == 0.0


def test_luck_of_an_untrained_policy_is_no_gain_and_its_end_no_collapse() -> None:
    """A run that never learns anything would otherwise collapse all the time."""
    assert scores.collapsed(episodes([10.0, 30.0] * 50 + [35.0] * 100 + [20.0] * 100)) == 0.0


def test_a_collapse_is_seen_where_returns_are_negative() -> None:
    """Half of −100 is better than −100: fractions of the return itself say nothing there."""
    start = [-250.0, -150.0] * 50
    assert scores.collapsed(episodes(start + [100.0] * 100 + [-100.0] * 100)) == 1.0
    assert scores.collapsed(episodes(start + [-50.0] * 300)) == 0.0


def test_what_a_change_costs_is_no_collapse() -> None:
    """Every arm would collapse wherever the environment changes."""
    fallen = episodes([10.0, 30.0] * 50 + [220.0] * 100 + [20.0] * 150)
    assert scores.collapsed(fallen) == 1.0
    assert scores.collapsed(fallen, [2000.0]) == 0.0
    assert scores.collapsed(episodes([10.0, 30.0] * 50 + [220.0] * 300 + [20.0] * 150), [2500.0]) == 1.0


def test_too_few_episodes_say_nothing_about_collapse() -> None:
    """`did not collapse` of a run that hardly began would make long episodes look safe."""
    assert math.isnan(scores.collapsed(episodes([20.0] * 199)))


# Changes of the environment -----------------------------------------------------------------------------------------------


def test_a_drop_and_a_recovery_by_hand() -> None:
    """Before: 100. After the change at 1000: 30 episodes of 10, then 100 each, one every 10 steps.

    The first mean of twenty of at least 90 needs 18 of them: 18 · 100 + 2 · 10 = 1820. That is episode 48 after the
    change, 480 steps after it: the one that ends 10 steps after the change began with it, and counts.
    """
    run = episodes([100.0] * 100 + [10.0] * 30 + [100.0] * 70, length=10.0)
    (response,) = scores.responses(run, [1000.0], 2000.0, n_envs=1, rollout=10)
    assert (response.step, response.watched, response.before, response.drop) == (1000.0, 1000.0, 100.0, 90.0)
    assert response.recovery == 480.0
    R = np.array([np.mean(([10.0] * 30 + [100.0] * 70)[max(0, k - 19) : k + 1]) for k in range(100)])
    held = np.concatenate([[20.0], np.full(98, 10.0), [0.0]])  # steps that each value holds; the last begins at the end
    assert response.regret == pytest.approx(100 - float(R @ held) / 1000)


def test_a_run_that_never_falls_has_recovered_at_once_and_one_that_never_rises_never() -> None:
    """Twenty episodes take their time even if nothing was lost; that time is not the change's."""
    (fine,) = scores.responses(episodes([100.0] * 200), [1000.0], 2000.0, 1, 10)
    assert (fine.drop, fine.recovery, fine.regret) == (0.0, 0.0, 0.0)
    (lost,) = scores.responses(episodes([100.0] * 100 + [0.0] * 100), [1000.0], 2000.0, 1, 10)
    assert (lost.drop, lost.recovery, lost.regret) == (100.0, math.inf, 100.0)


def test_levels_below_zero_are_regained_within_a_tenth_of_their_size() -> None:
    """90 % of −100 is −90, which is better than before."""
    (response,) = scores.responses(episodes([-100.0] * 100 + [-109.0] * 100), [1000.0], 2000.0, 1, 10)
    assert response.recovery == 0.0
    (response,) = scores.responses(episodes([-100.0] * 100 + [-111.0] * 100), [1000.0], 2000.0, 1, 10)
    assert response.recovery == math.inf


def test_episodes_that_a_change_divides_count_on_neither_side() -> None:
    """Half an episode before and half after is of neither environment.

    Two environments: an episode of 30 steps that ends at 1020 began about 60 steps before, at 960. And within the rollout
    before the step of a change nobody knows on which side of it an episode ended.
    """
    step = np.array([900.0, 985.0, 1000.0, 1020.0, 1061.0])
    run = Episodes(step, np.array([1.0, 50.0, 60.0, 70.0, 5.0]), np.array([10.0, 10.0, 10.0, 30.0, 30.0]))
    (response,) = scores.responses(run, [1000.0], 1100.0, n_envs=2, rollout=16)
    assert response.before == 1.0
    assert response.drop == -4.0


def test_each_change_is_measured_in_its_own_phase() -> None:
    """A recovery after the next change is not one from this one, and the level before is not that of two phases ago."""
    run = episodes([100.0] * 50 + [10.0] * 50 + [100.0] * 50)
    first, second = scores.responses(run, [500.0, 1000.0], 1500.0, 1, 1)
    assert (first.recovery, first.watched) == (math.inf, 500.0)
    assert (second.before, second.drop) == (10.0, -90.0)
    short = episodes([100.0] * 50 + [10.0] * 5 + [100.0] * 50)
    assert scores.responses(short, [500.0, 550.0], 1050.0, 1, 1)[1].before == 10.0


def test_without_an_episode_before_or_after_nothing_is_said() -> None:
    """A mean of nothing is no level to fall from."""
    (unknown,) = scores.responses(episodes([5.0] * 10), [5.0], 100.0, 1, 1)
    assert all(math.isnan(x) for x in unknown[2:])
    (silent,) = scores.responses(episodes([5.0] * 10), [100.0], 200.0, 1, 1)
    assert math.isnan(silent.drop)
    assert silent.recovery == math.inf
