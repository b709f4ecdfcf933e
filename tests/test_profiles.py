"""Profiles against slow loops that say the same in plain Python, and texts that come back as what they were."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.shifts.profiles import (
    NEVER,
    PROFILES,
    Abrupt,
    NoChange,
    Poisson,
    Profile,
    Pulse,
    Ramp,
    Recurring,
    Redrawn,
    Sine,
    Square,
    Walk,
)
from envs.shifts.shift import Shift, parse, text

# Expected values, one clock at a time ----------------------------------------------------------------------------------------


def abrupt(p: Abrupt, t: int) -> float:
    value = p.values[0]
    for at, following in zip(p.at, p.values[1:], strict=True):
        if t >= at:
            value = following
    return value


def ramp(p: Ramp, t: int) -> float:
    begin, end = p.at
    if t <= begin:
        return p.values[0]
    return p.values[1] if t >= end else p.values[0] + (p.values[1] - p.values[0]) * (t - begin) / (end - begin)


def pulse(p: Pulse, t: int) -> float:
    return p.values[1] if t in range(p.at, p.at + p.length) else p.values[0]


def recurring(p: Recurring, t: int) -> float:
    turn = 0
    for s in range(1, t + 1):
        if s > p.begin and (s - p.begin) % p.every == 0:
            turn = (turn + 1) % len(p.values)
    return p.values[turn]


def square(p: Square, t: int) -> float:
    phase = 0
    for s in range(1, t + 1):
        phase = 0 if s <= p.begin or phase == p.period - 1 else phase + 1
    return p.values[0] if phase < round(p.duty * p.period) else p.values[1]


def sine(p: Sine, t: int) -> float:
    middle, amplitude = (p.values[0] + p.values[1]) / 2, (p.values[0] - p.values[1]) / 2
    return p.values[0] if t <= p.begin else middle + amplitude * math.cos(2 * math.pi * (t - p.begin) / p.period)


TABLE = [
    (abrupt, Abrupt((9.8, 25.0), (5,)), [0, 1]),
    (abrupt, Abrupt((9.8, 25.0, 9.8, 3.0), (5, 6, 20)), [0, 1, 2]),
    (abrupt, Abrupt((9.8, 25.0), (0,)), [1]),
    (abrupt, Abrupt((7.0,), ()), [0]),
    (ramp, Ramp((1.0, 3.0), (4, 14)), [0, 1, 2]),
    (ramp, Ramp((3.0, -1.0), (0, 3)), [0, 1, 2]),
    (ramp, Ramp((3.0, -1.0), (5, 6)), [0, 2]),
    (pulse, Pulse((0.0, 9.0), 6, 3), [0, 1]),
    (pulse, Pulse((0.0, 9.0), 0, 1), [0, 1]),
    (recurring, Recurring((1.0, 2.0, 3.0), 4), [0, 1, 2]),
    (recurring, Recurring((1.0, 2.0, 1.0), 4, 3), [0, 1]),
    (square, Square((1.0, 2.0), 7), [0, 1]),
    (square, Square((1.0, 2.0), 30, 0.1, 2), [0, 1]),
    (square, Square((1.0, 2.0), 2), [0, 1]),
    (sine, Sine((9.8, 25.0), 8), [0, 1]),
    (sine, Sine((2.0, -2.0), 9, 3), [0, 1]),
]
IDS = [text(Shift("x", profile)) for _, profile, _ in TABLE]
LAST = 45


def start(profile: Profile, runs: int = 1, seed: int = 0):
    return profile.start([np.random.default_rng([seed, r]) for r in range(runs)])


def followed(profile: Profile, clocks: list[int], seed: int = 0) -> list[tuple[float, int]]:
    """Value and regime of one run at these clocks."""
    trace = start(profile, seed=seed)
    pairs = (trace.evaluate(np.array([t])) for t in clocks)
    return [(float(value[0]), int(regime[0])) for value, regime in pairs]


@pytest.mark.parametrize(("reference", "profile", "regimes"), TABLE, ids=IDS)
def test_a_profile_has_the_values_that_a_loop_gives(reference, profile, regimes):
    """Silent failure: a change comes a step early or late, and every detection delay is off by one."""
    pairs = followed(profile, list(range(LAST + 1)))
    np.testing.assert_allclose([value for value, _ in pairs], [reference(profile, t) for t in range(LAST + 1)], rtol=1e-12)
    assert sorted({regime for _, regime in pairs}) == regimes
    assert max(regimes) < profile.regimes
    low, high = min(profile.possible_values()), max(profile.possible_values())
    assert all(low <= value <= high for value, _ in pairs)


@pytest.mark.parametrize(("reference", "profile", "regimes"), TABLE, ids=IDS)
def test_many_runs_at_clocks_of_their_own_see_what_one_sees(reference, profile, regimes):
    """Silent failure: the clock of run 0 is taken for everyone's."""
    clocks = [0, 3, 5, 6, 7, 14, 40]
    values, numbers = start(profile, len(clocks)).evaluate(np.array(clocks))
    for t, value, regime in zip(clocks, values, numbers, strict=True):
        assert (float(value), int(regime)) == followed(profile, [t])[0]


RANDOM = [Poisson((1.0, 2.0, 3.0), 4.0), Walk(0.5, 0.0, 1.0, 0.2, 3), Redrawn(1.0, 0.02, 2.0, 6)]


@pytest.mark.parametrize("profile", [p for _, p, _ in TABLE] + RANDOM, ids=[*IDS, "poisson", "walk", "redrawn"])
def test_nothing_changes_before_the_time_that_a_profile_names(profile):
    """Silent failure: the profile is not evaluated at the step of a change, because next_change is late."""
    pairs = followed(profile, list(range(LAST + 1)))
    trace = start(profile)
    for t in range(LAST + 1):
        trace.evaluate(np.array([t]))
        next_change = int(trace.next_change(np.array([t]))[0])
        assert next_change > t
        assert all(pairs[s] == pairs[t] for s in range(t, min(next_change, LAST + 1)))
    if not profile.random and not profile.continuous and next_change == NEVER:
        assert followed(profile, [10**15]) == pairs[-1:]


def test_only_a_ramp_and_a_wave_are_under_way_by_themselves():
    """Silent failure: every step of a ramp counts as a change of its own, or a pause in it as its end."""
    expected = {
        Ramp((1.0, 3.0), (2, 5)): [False, False, False, True, True, False, False],
        Sine((1.0, 3.0), 4, 1): [False, False, True, True, True, True, True],
        Abrupt((1.0, 3.0), (3,)): [False] * 7,
        Square((1.0, 3.0), 2): [False] * 7,
        RANDOM[0]: [False] * 7,
        RANDOM[1]: [False] * 7,
        RANDOM[2]: [False] * 7,
    }
    for profile, moving in expected.items():
        assert start(profile, 7).in_progress(np.arange(7)).tolist() == moving


def test_a_regime_that_comes_back_has_the_number_that_it_had():
    """Silent failure: A-B-A has three regimes, and coming back cannot be distinguished from going on."""
    assert [r for _, r in followed(Abrupt((9.8, 25.0, 9.8), (2, 4)), list(range(6)))] == [0, 0, 1, 1, 0, 0]
    assert [r for _, r in followed(Pulse((9.8, 25.0), 2, 2), list(range(6)))] == [0, 0, 1, 1, 0, 0]
    assert [r for _, r in followed(Recurring((1.0, 2.0, 1.0), 1), list(range(6)))] == [0, 1, 0, 0, 1, 0]
    assert [r for _, r in followed(Ramp((1.0, 2.0), (1, 3)), list(range(5)))] == [0, 0, 1, 2, 2]
    assert [r for _, r in followed(Sine((1.0, 2.0), 2, 1), list(range(5)))] == [0, 0, 1, 1, 1]


# Random ---------------------------------------------------------------------------------------------------------------------


def changes(profile: Poisson, runs: int, last: int, seed: int = 0) -> list[list[int]]:
    """Times of the changes of each run, by evaluating it at every clock."""
    trace = start(profile, runs, seed)
    values = np.array([trace.evaluate(np.full(runs, t))[0] for t in range(last + 1)])  # [T, R]
    return [(np.flatnonzero(np.diff(values[:, r])) + 1).tolist() for r in range(runs)]


def test_gaps_of_a_poisson_process_are_geometric():
    """Silent failure: gaps have the wrong mean, are of equal length, or depend on the gap before.

    ⌈exponential⌉ with mean m is geometric with chance p = 1 − e^(−1/m): mean 1/p, variance (1 − p)/p². 12,000 gaps.
    """
    p = 1 - math.exp(-1 / 5)
    runs = changes(Poisson((1.0, 2.0), 5.0), 60, 1200)
    gaps = [np.diff([0, *times]) for times in runs]
    every = np.concatenate(gaps)
    count = len(every)
    assert count > 12_000
    assert abs(every.mean() - 1 / p) < 5 * math.sqrt((1 - p) / p**2 / count)
    assert abs(every.var() / ((1 - p) / p**2) - 1) < 0.1
    for gap in range(1, 8):
        share = p * (1 - p) ** (gap - 1)
        assert abs((every == gap).mean() - share) < 5 * math.sqrt(share * (1 - share) / count)
    pairs = np.concatenate([np.stack([g[:-1], g[1:]]) for g in gaps], 1)
    assert abs(np.corrcoef(pairs)[0, 1]) < 5 / math.sqrt(count)


def test_poisson_times_of_different_runs_are_independent():
    """Silent failure: one generator or one seed for all runs: thirty seeds then are one experiment."""
    runs = changes(Poisson((1.0, 2.0), 5.0), 200, 300)
    assert len({tuple(times) for times in runs}) == 200
    counts = np.array([[len([t for t in times if lo < t <= lo + 100]) for lo in (0, 100, 200)] for times in runs])
    p = 1 - math.exp(-1 / 5)
    total = counts.sum(1)
    # Renewal theory: the variance of the number of changes in T is T·σ²/μ³; with shared times it would be 0.
    assert 0.7 < total.var() / (300 * (1 - p) / p**2 * p**3) < 1.4


def test_poisson_takes_the_values_in_turn():
    """Silent failure: a value is skipped where a gap is short."""
    trace = start(Poisson((1.0, 2.0, 3.0), 1.5))
    values = [float(trace.evaluate(np.array([t]))[0][0]) for t in range(400)]
    assert {(a, b) for a, b in itertools.pairwise(values) if a != b} == {(1, 2), (2, 3), (3, 1)}


def test_increments_of_a_walk_have_the_standard_deviation_asked_for():
    """Silent failure: sd is taken for a variance, or a step is made at every clock. Walls are far away here."""
    runs, steps, sd = 40, 500, 0.3
    trace = start(Walk(0.0, -1e6, 1e6, sd, 7), runs)
    values = np.array([trace.evaluate(np.full(runs, t))[0] for t in range(7 * steps)])
    assert not np.diff(values[:7], axis=0).any()
    increments = np.diff(values[::7], axis=0)
    assert not np.diff(values.reshape(steps, 7, runs), axis=1).any()
    assert abs(increments.std() / sd - 1) < 5 / math.sqrt(2 * increments.size)
    assert abs(increments.mean()) < 5 * sd / math.sqrt(increments.size)
    assert abs(np.corrcoef(increments[:-1].ravel(), increments[1:].ravel())[0, 1]) < 5 / math.sqrt(increments.size)
    assert abs(np.corrcoef(increments.T)[np.triu_indices(runs, 1)]).max() < 6 / math.sqrt(steps)


def test_walls_reflect_a_walk():
    """Silent failure: a walk leaves its range, or sticks to a wall: a reflected one is everywhere alike in the end."""
    trace = start(Walk(2.0, 2.0, 5.0, 4.0, 1), 400)
    values = np.array([trace.evaluate(np.full(400, t))[0] for t in range(60)])
    assert ((values >= 2) & (values <= 5)).all()
    late = (values[20:] - 2) / 3
    assert np.abs(np.quantile(late, [0.1, 0.5, 0.9]) - [0.1, 0.5, 0.9]).max() < 0.02


def test_a_walk_folds_back_by_hand():
    """Silent failure: a step past a wall ends at the wall. 0.9 and steps +0.3, −1.5, by hand: 1.2 → 0.8, −0.7 → 0.7."""

    class Given:
        steps = iter((0.3, -1.5))

        def normal(self, mean, sd):
            return next(self.steps)

    trace = Walk(0.9, 0.0, 1.0, 1.0, 1).start([Given()])
    np.testing.assert_allclose([trace.evaluate(np.array([t]))[0][0] for t in (0, 1, 2)], [0.9, 0.8, 0.7])


@pytest.mark.parametrize("profile", RANDOM, ids=["poisson", "walk", "redrawn"])
def test_a_run_of_a_random_profile_is_the_same_alone_and_in_any_batch(profile):
    """Silent failure: the times of one run depend on which other runs are in the batch."""
    batched = start(profile, 5)
    values = np.array([batched.evaluate(np.full(5, t))[0] for t in range(100)])
    for r in (0, 3, 4):
        alone = profile.start([np.random.default_rng([0, r])])
        assert [float(alone.evaluate(np.array([t]))[0][0]) for t in range(100)] == values[:, r].tolist()


@pytest.mark.parametrize("profile", RANDOM, ids=["poisson", "walk", "redrawn"])
@given(jumps=st.lists(st.integers(0, 30), max_size=12))
@settings(max_examples=40, deadline=None)
def test_the_size_of_the_clocks_jumps_does_not_matter(profile, jumps):
    """Silent failure: with more environments, or after a jump to a saved clock, a run has other shifts."""
    clocks = np.cumsum([0, *jumps]).tolist()
    step_by_step = followed(profile, list(range(clocks[-1] + 1)))
    assert followed(profile, clocks) == [step_by_step[t] for t in clocks]


@pytest.mark.parametrize("log", [True, False])
def test_redrawn_values_are_spread_as_they_should_be(log):
    """Silent failure: hardly any slippery ground, since a uniform friction is seldom small. Each value is a regime of its own."""
    trace = start(Redrawn(1.0, 0.02, 2.0, 5, log), 200)
    values, regimes = zip(*[trace.evaluate(np.full(200, t)) for t in range(0, 100, 5)], strict=True)
    assert (values[0] == 1.0).all()
    drawn = np.ravel(values[1:])
    assert 0.02 <= drawn.min() < drawn.max() <= 2.0
    middle = 0.2 if log else 1.01  # half of all values are below it
    assert abs((drawn < middle).mean() - 0.5) < 0.04
    assert [set(numbers.tolist()) for numbers in regimes] == [{count} for count in range(20)]


# Text -----------------------------------------------------------------------------------------------------------------------

number = st.floats(-1e6, 1e6, allow_nan=False) | st.integers(-1000, 1000).map(float)
positive = st.floats(1e-6, 1e6)
whole = st.integers(1, 2**53 - 1)
two = st.tuples(number, number)
several = st.lists(number, min_size=2, max_size=5).map(tuple)
times = st.lists(st.integers(0, 2**53 - 1), min_size=1, max_size=4, unique=True).map(sorted).map(tuple)
PROFILE = st.one_of(
    times.flatmap(lambda at: st.tuples(*[number] * (len(at) + 1)).map(lambda values: Abrupt(values, at))),
    st.builds(Ramp, two, st.tuples(st.integers(0, 1000), st.integers(1001, 2**53 - 1))),
    st.builds(Pulse, two, st.integers(0, 10**9), whole),
    st.builds(Recurring, several, whole, st.integers(0, 10**9)),
    st.builds(Square, two, st.integers(4, 2**53 - 1), st.floats(0.25, 0.75), st.integers(0, 10**9)),
    st.builds(Sine, two, st.integers(2, 2**53 - 1), st.integers(0, 10**9)),
    st.builds(Poisson, several, positive),
    st.tuples(number, positive, positive, positive, whole).map(lambda x: Walk(x[0], x[0] - x[1], x[0] + x[2], x[3], x[4])),
    st.tuples(number, positive, positive, whole).map(lambda x: Redrawn(x[0], x[1], x[1] + x[2], x[3])),
    st.tuples(number, number, positive, whole).map(lambda x: Redrawn(x[0], x[1], x[1] + x[2], x[3], log=False)),
    st.just(NoChange()),
)
SHIFT = st.builds(
    Shift,
    st.sampled_from(("gravity", "obs_noise", "l")),
    PROFILE,
    st.sampled_from(("steps", "episodes", "updates")),
    st.sampled_from(("now", "reset")),
)


@given(SHIFT)
@settings(max_examples=300, deadline=None)
def test_a_shift_is_what_its_text_says(shift):
    """Silent failure: a study resumed from its settings trains under other shifts."""
    assert parse(text(shift)) == shift


def test_texts_by_hand():
    """Silent failure: text and parse agree with each other, and with nobody else."""
    assert parse("gravity:values=9.8/25/9.8,at=50000/1e5") == Shift("gravity", Abrupt((9.8, 25.0, 9.8), (50_000, 100_000)))
    assert parse("push:profile=pulse,values=0/3,at=5,length=2,clock=updates").clock == "updates"
    assert parse("g:profile=none") == Shift("g", NoChange())
    assert (
        text(Shift("tau", Sine((0.02, 0.03), 500), apply="reset")) == "tau:profile=sine,values=0.02/0.03,period=500,apply=reset"
    )
    assert text(Shift("gravity", Abrupt((9.8, 25.0), (1000,)))) == "gravity:values=9.8/25,at=1000"
    assert set(PROFILES) == {"abrupt", "ramp", "square", "sine", "walk", "poisson", "recurring", "redrawn", "pulse", "none"}


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("gravity:profile=sinus,values=1/2,period=5", "did you mean sine"),
        ("gravity:values=1/2,att=5", "has no key 'att': did you mean at"),
        ("gravity:values=1/2,at=5,clok=steps", "did you mean clock"),
        ("gravity:values=1/2,at=5,clock=hours", "clock must be one of steps, episodes, updates, got 'hours'"),
        ("gravity:values=1/2,at=5,apply=later", "apply must be one of now, reset, got 'later'"),
        ("gravity", "needs values=… and at=…"),
        ("gravity:values=1/2", "needs at=…"),
        ("gravity:values=1/b,at=3", "values must be a number, got 'b'"),
        ("gravity:values=1/2,at=3.5", "at must be a whole number, got '3.5'"),
        ("gravity:values=1/2/3,at=3", "one entry more than at, got 3 and 1"),
        ("gravity:values=1/2/3,at=3/3", "at must rise from 0 or later, below 2⁵³, got 3/3"),
        ("gravity:values=1/2,at=-3", "at must rise from 0"),
        ("gravity:values=1/2,at=1e17", "at must rise from 0 or later, below 2⁵³"),
        ("gravity:profile=ramp,values=1/2/3,at=1/2", "ramp needs 2 values, got 3"),
        ("gravity:profile=ramp,values=1/2,at=1", "begin and end of the ramp, got 1 times"),
        ("gravity:profile=pulse,values=1/2,at=1,length=0", "length must be greater than 0"),
        ("gravity:profile=recurring,values=1,every=3", "recurring needs at least 2 values, got 1"),
        ("gravity:profile=recurring,values=1/2,every=3,begin=-1", "begin must rise from 0"),
        ("gravity:profile=square,values=1/2,period=1", "period must be at least 2"),
        ("gravity:profile=square,values=1/2,period=2,duty=0.9", "duty must leave time for both values in a period of 2"),
        ("gravity:profile=square,values=1/2,period=9,duty=nan", "duty must leave time"),
        ("gravity:profile=poisson,values=1/2,every=inf", "every must be greater than 0 and less than 2⁵³"),
        ("gravity:profile=poisson,values=1,every=2", "poisson needs at least 2 values"),
        ("gravity:profile=walk,first=5,low=1,high=2,sd=1", "low ≤ first ≤ high and low < high, got low 1, first 5, high 2"),
        ("gravity:profile=walk,first=1,low=1,high=2,sd=0", "sd must be greater than 0"),
        (
            "friction:profile=redrawn,first=1,low=0,high=2,every=9",
            "redrawn needs 0 < low < high, or log=false, got low 0, high 2",
        ),
        ("friction:profile=redrawn,first=1,low=2,high=2,every=9,log=false", "redrawn needs low < high, got low 2, high 2"),
    ],
)
def test_a_text_that_says_nothing_possible_is_refused_in_one_line(written, message):
    """Silent failure: a mistyped shift never comes, and the study finds that shifts do not hurt."""
    with pytest.raises(ValueError) as error:  # noqa: PT011  # the message is checked below
        parse(written)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
