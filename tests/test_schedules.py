"""β as a function of the clock."""

import copy
import dataclasses
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_rmsprop.schedules import (
    SCHEDULES,
    Constant,
    Cosine,
    Cyclic,
    Exponential,
    HalfLife,
    Harmonic,
    Join,
    Linear,
    Piecewise,
    Polynomial,
    Power,
    Refresh,
    Samples,
    Schedule,
    ScRmsprop,
    interpolate,
)

# Any schedule a text can hold -----------------------------------------------------------------------------------------

NEAR_ONE = [1 - 2.0**-k for k in (10, 24, 51, 52, 53)]
"""β whose neighbours in float64 may be 1."""

decays = st.floats(0.0, 1.0, exclude_max=True) | st.sampled_from(NEAR_ONE)
lengths = st.integers(1, 10**6) | st.just(2**53)
spaces = st.sampled_from(["beta", "window"])
positive = st.floats(1e-3, 6e15)
clocks = st.integers(1, 10**7) | st.sampled_from([10**15, 2**53])


@st.composite
def piecewise(draw) -> Piecewise:
    at = draw(st.lists(st.integers(2, 10**6) | st.just(2**53), min_size=1, max_size=5, unique=True).map(sorted))
    values = draw(st.lists(decays, min_size=len(at) + 1, max_size=len(at) + 1))
    return Piecewise(tuple(values), tuple(at), draw(st.booleans()))


def ramps(steps: st.SearchStrategy) -> st.SearchStrategy:
    """Ramps whose length is drawn from `steps`."""
    plain = [st.builds(kind, decays, decays, steps, spaces) for kind in (Linear, Cosine, Exponential)]
    return st.one_of(*plain, st.builds(Polynomial, decays, decays, steps, spaces, st.floats(0.01, 100.0)))


lasting = st.one_of(
    st.builds(Constant, decays),
    st.builds(HalfLife, positive),
    st.builds(Cyclic, decays, decays, lengths, spaces),
    piecewise(),
    st.builds(Harmonic, decays),
    st.builds(Power, st.floats(1e-3, 1e3), decays),
    st.builds(ScRmsprop, st.floats(0.0, 1.0, exclude_min=True), decays),
)
single = ramps(lengths) | lasting
joins = st.builds(lambda first, last: Join((*first, last)), st.lists(ramps(lengths), min_size=1, max_size=2), single)
any_schedule = single | joins
"""Every schedule of known length, each with all its settings."""


def at(schedule: Schedule, *clocks: float) -> list[float]:
    """β at these clocks."""
    return schedule(torch.tensor(clocks, dtype=torch.float64)).tolist()


# Values by hand -------------------------------------------------------------------------------------------------------


VALUES: list[tuple[Schedule, dict[int, float]]] = [
    (Constant(0.9), {1: 0.9, 10**9: 0.9}),
    (HalfLife(1), {1: 0.5, 50: 0.5}),
    (HalfLife(69), {1: math.exp(math.log(0.5) / 69)}),
    (Linear(0.5, 0.99, 11), {1: 0.5, 6: 0.745, 11: 0.99, 12: 0.99, 10**9: 0.99}),
    (Linear(0.99, 0.5, 11), {1: 0.99, 6: 0.745, 11: 0.5, 10**9: 0.5}),
    (Linear(0.5, 0.99, 11, "window"), {1: 0.5, 6: 1 - math.sqrt(0.5 * 0.01), 11: 0.99, 99: 0.99}),
    (Cosine(0.0, 0.8, 5), {1: 0.0, 2: 0.8 * (1 - math.sqrt(0.5)) / 2, 3: 0.4, 5: 0.8, 99: 0.8}),
    (Exponential(0.0, 0.99, 3), {1: 0.0, 2: 0.9, 3: 0.99, 99: 0.99}),
    (Polynomial(0.1, 0.9, 5), {1: 0.1, 3: 0.1 + 0.8 / 4, 5: 0.9, 99: 0.9}),
    (Polynomial(0.1, 0.9, 5, power=0.5), {1: 0.1, 2: 0.5, 5: 0.9}),
    (Cyclic(0.5, 0.9, 5), {1: 0.5, 3: 0.7, 5: 0.9, 6: 0.5, 8: 0.7, 10: 0.9, 11: 0.5}),
    (Cyclic(0.5, 0.9, 1), {1: 0.5, 2: 0.5, 3: 0.5}),
    (Piecewise((0.5, 0.9, 0.99), (10, 20)), {1: 0.5, 9: 0.5, 10: 0.9, 19: 0.9, 20: 0.99, 10**9: 0.99}),
    (Piecewise((0.5, 0.9, 0.3), (11, 21), interpolate=True), {1: 0.5, 6: 0.7, 11: 0.9, 16: 0.6, 21: 0.3, 99: 0.3}),
    (Harmonic(0.99), {1: 0.0, 2: 0.5, 4: 0.75, 100: 0.99, 101: 0.99, 10**9: 0.99}),
    (Refresh(100, 400), {1: 0.75, 10**9: 0.75}),
    (Refresh(100, 50), {1: 0.0}),
    (Samples(1000, 500), {1: math.sqrt(0.5), 10**9: math.sqrt(0.5)}),
    (Power(0.8), {1: 0.0, 32: 15 / 16, 10**9: 0.9999}),
    (Power(2.0, 0.9), {1: 0.0, 2: 0.75, 3: 8 / 9, 4: 0.9}),
    (ScRmsprop(0.9), {1: 0.1, 9: 0.9, 10**9: 0.9999}),
    (Join((Linear(0.0, 0.8, 5), Constant(0.99))), {1: 0.0, 3: 0.4, 5: 0.8, 6: 0.99, 99: 0.99}),
    (Join((Linear(0.0, 0.8, 5), Linear(0.8, 0.4, 5), Harmonic())), {5: 0.8, 6: 0.8, 8: 0.6, 10: 0.4, 11: 0.0, 12: 0.5}),
]


@pytest.mark.parametrize(("schedule", "values"), VALUES, ids=str)
def test_values_at_start_middle_and_end(schedule, values):
    """A ramp one update too long or a clock from 0 is invisible in every plot, but not in 1 − 1/n."""
    assert at(schedule, *values) == pytest.approx(list(values.values()), rel=1e-12, abs=1e-15)


def test_the_table_above_has_every_schedule():
    """A new schedule without a row would be untested and still offered by name."""
    assert set(SCHEDULES.values()) <= {type(schedule) for schedule, _ in VALUES}


def test_power_and_sc_rmsprop_contain_the_harmonic_schedule():
    """Comparing relatives needs them to be relatives: c = 1 and γ = 1 are 1 − 1/n."""
    clocks = range(1, 2000)
    expected = pytest.approx(at(Harmonic(0.999), *clocks), rel=1e-12, abs=1e-15)
    assert at(Power(1.0, 0.999), *clocks) == expected
    assert at(ScRmsprop(1.0, 0.999), *clocks) == expected


def test_harmonic_makes_E_the_plain_mean_of_everything_since_the_start():
    """The reason for the schedule; 1 − 1/(n + 1) would leave a part of E₀ = 0 in E for ever."""
    squares = [((7 * n) % 11) / 3 for n in range(1, 60)]
    E = 0.0
    for beta, square in zip(at(Harmonic(0.999), *range(1, 60)), squares, strict=True):
        E = beta * E + (1 - beta) * square
    assert pytest.approx(sum(squares) / len(squares), rel=1e-12) == E


# Contracts of all -----------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None, derandomize=True)
@given(any_schedule, st.lists(clocks, min_size=1, max_size=20))
def test_beta_is_a_decay_at_every_clock(schedule, n):
    """β = 1 never forgets and never learns: one update at 1.0 and E is frozen, one above and E turns negative."""
    beta = schedule(torch.tensor(n, dtype=torch.float64))
    assert beta.dtype == torch.float64
    assert ((beta >= 0) & (beta < 1)).all()


@pytest.mark.parametrize("space", ["beta", "window"])
def test_rounding_does_not_make_an_interpolated_beta_1(space, monkeypatch):
    """The last bit of exponentials and powers differs between processors; one that is too large is a β that never forgets."""
    plain = torch.expm1
    monkeypatch.setattr(torch, "expm1", lambda x: torch.nextafter(plain(x), torch.tensor(-1.0, dtype=x.dtype)))
    share = torch.tensor([1.0, math.nextafter(1.0, 2.0)], dtype=torch.float64)
    assert (interpolate(0.0, NEAR_ONE[-1], share, space) < 1).all()


@settings(max_examples=100, deadline=None, derandomize=True)
@given(any_schedule, st.lists(clocks, min_size=6, max_size=6))
def test_clocks_of_any_shape_give_the_same_values(schedule, numbers):
    """R runs with clocks of their own are one call: a run must not get its neighbour's β, nor another one in a batch."""
    n = torch.tensor(numbers, dtype=torch.float64)
    batched = schedule(n.reshape(2, 3))
    assert batched.shape == (2, 3)
    for k, clock in enumerate(n):
        assert schedule(clock).shape == ()
        assert torch.equal(schedule(clock), batched.flatten()[k])


@settings(max_examples=50, deadline=None, derandomize=True)
@given(ramps(lengths))
def test_ramps_run_from_start_to_end_and_stay_between(schedule):
    """An overshoot near 1 doubles the window without anyone having asked for it."""
    steps = max(schedule.steps, 2)
    n = torch.linspace(1, steps, 50, dtype=torch.float64)
    beta = schedule(n)
    assert beta[0].item() == pytest.approx(schedule.start, abs=1e-12)
    assert beta[-1].item() == pytest.approx(schedule.end, abs=1e-12)
    rising = beta if schedule.end >= schedule.start else -beta
    assert (rising.diff() >= -1e-12).all()


@settings(max_examples=50, deadline=None, derandomize=True)
@given(ramps(st.none()), st.integers(1, 10**6))
def test_a_missing_length_becomes_the_whole_training(schedule, horizon):
    """A schedule that ends early or never ends is another arm than the one in the report."""
    assert schedule.unresolved
    resolved = schedule.resolve(horizon)
    assert resolved == dataclasses.replace(schedule, steps=horizon)
    assert not resolved.unresolved
    assert resolved.resolve(horizon + 1) == resolved


@settings(max_examples=50, deadline=None, derandomize=True)
@given(any_schedule, st.integers(1, 10**6))
def test_a_given_length_is_kept(schedule, horizon):
    """Resolving twice, in the command line and in a worker, must not stretch a ramp."""
    assert not schedule.unresolved
    assert schedule.resolve(horizon) == schedule


def test_the_last_part_of_a_join_gets_what_is_left_of_the_training():
    """With the whole horizon for the last part the training would end in the middle of the ramp."""
    join = Join((Linear(0.0, 0.9, 300), Cosine(0.9, 0.999)))
    assert join.unresolved
    assert join.resolve(1000) == Join((Linear(0.0, 0.9, 300), Cosine(0.9, 0.999, 700)))
    assert at(join.resolve(1000), 1000) == pytest.approx([0.999])


def test_zero_has_no_sign_in_either_space():
    """Silent failure: of 0.0 and −0.0 a minimum takes either, by place in the batch, and equal runs write unequal tables."""
    for space in ("beta", "window"):
        start = Linear(0.0, 0.0, 11, space)(torch.tensor([1.0], dtype=torch.float64))
        assert start.item() == 0.0
        assert not torch.signbit(start).item(), space


def test_a_schedule_without_length_says_what_it_needs():
    """A guess of the length would train without a word."""
    with pytest.raises(ValueError, match=r"no length: give steps=… in updates"):
        at(Linear(0.5, 0.99), 1)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(any_schedule)
def test_schedules_are_values(schedule):
    """Rules travel to worker processes and into configurations; a copy must be the same rule, and no one may change it."""
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert copy.deepcopy(schedule) == schedule
    assert hash(copy.deepcopy(schedule)) == hash(schedule)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(schedule, dataclasses.fields(schedule)[0].name, 0.1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Constant(1.0), ["beta", "[0, 1)", "1.0", "use 0.999"]),
        (lambda: Constant(-0.1), ["beta", "[0, 1)", "-0.1"]),
        (lambda: Constant(math.nan), ["beta", "[0, 1)", "nan"]),
        (lambda: HalfLife(0.0), ["updates", "greater than 0", "0.0"]),
        (lambda: HalfLife(math.inf), ["updates", "finite", "inf"]),
        (lambda: HalfLife(1e30), ["β of updates=1e+30", "[0, 1)", "1.0", "use 0.999"]),
        (lambda: Constant(False), ["beta", "[0, 1)", "False"]),
        (lambda: Constant(torch.tensor(1.0)), ["beta", "[0, 1)", "1.0"]),
        (lambda: Constant(0.99999999999999999), ["beta", "[0, 1)", "1.0"]),
        (lambda: HalfLife(True), ["updates", "greater than 0", "True"]),
        (lambda: Linear(1.0, 0.5), ["start", "[0, 1)", "1.0"]),
        (lambda: Linear(0.5, 1.0), ["end", "[0, 1)", "1.0"]),
        (lambda: Linear(0.5, 0.9, 0), ["steps", "whole number of updates from 1 to 2^53", "0"]),
        (lambda: Linear(0.5, 0.9, 10.5), ["steps", "whole number", "10.5"]),
        (lambda: Linear(0.5, 0.9, 10**400), ["steps", "whole number of updates from 1 to 2^53"]),
        (lambda: Linear(0.5, 0.9, math.nan), ["steps", "whole number", "nan"]),
        (lambda: Linear(0.5, 0.9, 10, "log"), ["space", "beta or window", "'log'"]),
        (lambda: Polynomial(0.5, 0.9, 10, power=0.0), ["power", "greater than 0", "0.0"]),
        (lambda: Cyclic(0.5, 1.5, 10), ["end", "[0, 1)", "1.5"]),
        (lambda: Cyclic(0.5, 0.9, 0), ["period", "from 1 to 2^53", "0"]),
        (lambda: Cyclic(0.5, 0.9, 10, "log"), ["space", "beta or window", "'log'"]),
        (lambda: Piecewise((0.5, 0.9), (10, 20)), ["one value more", "2 values", "2 in at"]),
        (lambda: Piecewise((0.5, 1.0), (10,)), ["values", "[0, 1)", "1.0"]),
        (lambda: Piecewise((0.5, 0.6, 0.7), (20, 10)), ["at must rise", "20/10"]),
        (lambda: Piecewise((0.5, 0.6), (1,)), ["at must", "from 2 to 2^53", "1"]),
        (lambda: Piecewise((0.5,), (), interpolate=True), ["at", "at least one update", "none"]),
        (lambda: Harmonic(1.0), ["max", "[0, 1)", "1.0"]),
        (lambda: Power(0.0), ["c must", "greater than 0", "0.0"]),
        (lambda: ScRmsprop(1.5), ["gamma", "(0, 1]", "1.5"]),
        (lambda: Join((Constant(0.5), Constant(0.9))), ["before a +", "ramp with steps=…", "Constant(beta=0.5)"]),
        (lambda: Join((Linear(0.5, 0.9), Constant(0.9))), ["before a +", "ramp with steps=…", "Linear"]),
    ],
)
def test_bad_settings_are_refused_with_rule_and_value(make, words):
    """A schedule that leaves [0, 1) after an hour of training should not have started."""
    with pytest.raises(ValueError, match=r"must|needs") as error:
        make()
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("number", [np.float64, np.float32, np.array, torch.tensor], ids=lambda x: x.__name__)
def test_numbers_of_numpy_and_torch_are_numbers(number):
    """A sweep over np.linspace or a tensor is how settings are made; kept as they are they have no text that reads back."""
    assert Linear(number(0.5), number(0.75), number(8)) == Linear(0.5, 0.75, 8)
    assert Piecewise([number(0.5), number(0.75)], [number(8)]) == Piecewise((0.5, 0.75), (8,))
    assert type(Constant(number(0.5)).beta) is float
