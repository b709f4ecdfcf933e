"""The table of values that hurt: every row is a shift that can be made, on the side it says, in the order of its level."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from envs.checks import check_env_id
from envs.parameters import parameters_of
from envs.registration import make_env
from envs.severity import LEVELS, load
from envs.shifts.shift import parse
from rl_rmsprop.cli.views import environments
from tests.benchmarks import severity

MEASURED = ("CartPole-v1", "LunarLander-v3")


@pytest.mark.parametrize("env_id", MEASURED)
def test_every_value_is_a_possible_shift_on_the_side_it_says(env_id: str) -> None:
    """Silent failure: the table names a value that --shift refuses, or a direction that the value does not have."""
    env = make_env(env_id)
    known = parameters_of(env)
    env.close()
    rows = load(env_id)
    assert len(rows) > 20
    for row in rows:
        usual = known[row.parameter].default
        check_env_id(env_id, [parse(f"{row.parameter}:values={usual!r}/{row.value!r},at=1")])
        assert row.direction == "to" or (row.direction == "up") == (row.value > usual)
        low, high = severity.BANDS[row.level]
        assert low <= row.loss <= high


@pytest.mark.parametrize("env_id", MEASURED)
def test_a_severer_value_is_further_from_the_usual_one(env_id: str) -> None:
    """Silent failure: levels are mixed up, and a study of severe shifts is one of mild ones."""
    env = make_env(env_id)
    known = parameters_of(env)
    env.close()
    for one in load(env_id):
        for other in load(env_id):
            same = (one.parameter, one.direction) == (other.parameter, other.direction)
            if same and one.direction != "to" and LEVELS[one.level] < LEVELS[other.level]:
                usual = known[one.parameter].default
                assert abs(one.value - usual) < abs(other.value - usual)
                assert one.loss < other.loss


def test_environments_that_were_not_measured_have_no_table() -> None:
    """Silent failure: numbers of another environment are shown."""
    assert load("Acrobot-v1") == []
    console = Console(file=io.StringIO())
    environments.show_severity("Acrobot-v1", console)
    assert console.file.getvalue() == ""  # type: ignore[attr-defined]


def test_values_are_followed_from_the_usual_one_to_the_ends_of_the_tested_range() -> None:
    """Silent failure: a side is left out, or values that the environment is too small for are tried."""
    env = make_env("CartPole-v1")
    known = parameters_of(env)
    gravity = dict(severity.ways(known["gravity"], env))
    assert gravity["down"][-1] == pytest.approx(1)
    assert gravity["up"][-1] == pytest.approx(50)
    assert all(a < b for a, b in zip(gravity["up"], gravity["up"][1:], strict=False))
    force = dict(severity.ways(known["force_mag"], env))
    assert force["down"][-1] == pytest.approx(-20)
    assert dict(severity.ways(known["action_permutation"], env)) == {"to": (1.0,)}
    assert dict(severity.ways(known["obs_dropout"], env)) == {"to": (1.0, 2.0, 3.0, 4.0)}
    env.close()


def test_bisection_finds_the_value_of_a_loss() -> None:
    """Silent failure: the ends are swapped, and the value is one of them."""
    assert severity.bisected(lambda value: value**2, 0.25, 0.0, 1.0) == pytest.approx(0.5, abs=0.02)
    assert severity.bisected(lambda value: -value, 3.0, 0.0, -8.0) == pytest.approx(-3.0, abs=0.2)
    assert severity.rounded(0.04321) == 0.043
