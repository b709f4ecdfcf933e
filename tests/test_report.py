"""What the report says in words: only what the runs can carry."""

import numpy as np

from rl_rmsprop.study.optimizers import make_arm
from rl_rmsprop.study.report import finding, paired_difference, row
from rl_rmsprop.study.results import ArmResults, Run

STEPS = np.array([100.0, 200.0, 300.0])


def arm(rule: str, heights: list[float], baseline: bool = False) -> ArmResults:
    """An arm whose run with seed s earns heights[s] all the time; NaN is a run in which no episode ended."""
    runs = tuple(Run(seed, table(height), {}) for seed, height in enumerate(heights))
    return ArmResults("CartPole-v1", make_arm(rule, baseline), runs, ())


def table(height: float) -> dict[str, np.ndarray]:
    """The columns of metrics.csv that the report reads."""
    return {
        "step": STEPS,
        "rollout/ep_rew_mean": np.full(3, height),
        "eval/mean_reward": np.array([np.nan, np.nan, 7.0]),
        "detector/alarms": np.full(3, np.nan),
    }


def test_a_clear_lead_is_called_one_only_with_enough_seeds() -> None:
    """Five differences of one sign happen by chance in 2 · 2⁻⁵ = 6 % of comparisons."""
    better, worse = [2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert "chance hardly explains" in finding("CartPole-v1", [arm("0.9", worse), arm("cusum", better)])
    few = finding("CartPole-v1", [arm("0.9", worse[:5]), arm("cusum", better[:5])])
    assert "too few seeds in common" in few
    assert "chance" not in few


def test_differences_are_between_runs_of_the_same_seed() -> None:
    """Unpaired, the spread between seeds would hide a lead that every seed shows."""
    a, b = arm("0.9", [11.0, 21.0, 31.0, 41.0, 51.0, 61.0]), arm("0.99", [10.0, 20.0, 30.0, 40.0, 50.0, 60.0])
    difference = paired_difference(a, b)
    assert difference is not None
    assert (difference.value, difference.low, difference.high) == (1.0, 1.0, 1.0)


def test_a_detector_is_held_against_the_best_fixed_beta_not_the_runner_up() -> None:
    """The question of a study is whether β should change at all."""
    arms = [arm("0.9", [1.0] * 6), arm("0.99", [2.0] * 6), arm("linear:start=0.5,end=0.9", [3.0] * 6), arm("cusum", [4.0] * 6)]
    assert "its lead over the best fixed β, 0.99, is +2.0 [+2.0, +2.0]" in finding("CartPole-v1", arms)


def test_a_baseline_is_no_fixed_beta() -> None:
    """Beating Adam says nothing about whether β should change."""
    arms = [arm("0.9", [1.0] * 6), arm("adam", [2.0] * 6, baseline=True), arm("cusum", [3.0] * 6)]
    assert "its lead over the best fixed β, 0.9, is +2.0" in finding("CartPole-v1", arms)


def test_curves_of_runs_that_begin_at_different_steps_meet_where_all_have_values() -> None:
    """Beyond its own ends a run would be drawn with a value it never had."""
    early, late = Run(0, table(1.0), {}), Run(1, table(3.0), {})
    late.metrics["rollout/ep_rew_mean"][0] = np.nan
    curve = ArmResults("CartPole-v1", make_arm("0.9"), (early, late), ()).curve("rollout/ep_rew_mean")
    assert curve is not None
    assert (curve[0][0], curve[0][-1]) == (200.0, 300.0)
    assert (curve[1].value == 2.0).all()


def test_arms_in_which_no_episode_ended_are_not_ranked() -> None:
    """`0.9 earned most, nan` was the first arm, not the best."""
    silent = [float("nan")] * 6
    assert finding("CartPole-v1", [arm("0.9", silent), arm("0.99", silent)]).endswith("give more --steps.")
    assert "0.99 earned most" in finding("CartPole-v1", [arm("0.9", silent), arm("0.99", [1.0] * 6)])


def test_what_is_not_known_is_an_empty_cell() -> None:
    """`nan` in a table of results reads as a number to some programs and as text to others."""
    assert row(arm("0.9", [float("nan")]))[4:] == [7.0, "", "", "", "", "", ""]
