"""Has the level of a signal shifted?"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
import pickle
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift
from river.drift import PageHinkley as RiverPageHinkley
from torch import Tensor

from rl_rmsprop.detectors import (
    DETECTORS,
    OFFLINE,
    Cusum,
    Detector,
    DetectorOutput,
    Ewma,
    Never,
    Oracle,
    PageHinkley,
    Periodic,
    PerRollout,
    Random,
    SequentialTest,
    ShiryaevRoberts,
    TrackingSignal,
    Yoked,
    parse,
)
from rl_rmsprop.detectors.controls import hashed_uniform
from rl_rmsprop.detectors.ewma import ewma_threshold
from rl_rmsprop.detectors.standardizer import Standardizer
from rl_rmsprop.detectors.thresholds import cusum_threshold
from rl_rmsprop.detectors.tracking_signal import TRACKED, tracking_threshold
from tests import references
from tests.benchmarks.detectors import average_run_length, stream

torch.set_num_threads(1)

RECORDED = Path(tempfile.mkdtemp())


def named(detector):
    """A name for a case, the same in every process: without the folder."""
    return str(detector).replace(str(RECORDED), "FOLDER")


for seed, updates in ((0, [2, 3]), (3, [1, 40]), (4, [])):
    (RECORDED / f"seed_{seed:04d}").mkdir()
    (RECORDED / f"seed_{seed:04d}" / "alarms.csv").write_text("\n".join(["update,step", *(f"{u},{8 * u}" for u in updates), ""]))

TABLE: list[Detector] = [
    Cusum(arl=200, burn_in=20),
    Cusum(arl=100, k=0.25, standardize=False),
    PageHinkley(arl=200, burn_in=40),
    PageHinkley(limit=50.0, delta=0.005, alpha=0.9999, standardize=False),
    Never(),
    Periodic(every=7),
    Oracle(at=(3, 50)),
    Oracle(),
    PerRollout(),
    Random(every=9),
    Ewma(arl=200, burn_in=20),
    Ewma(arl=200, gain=0.5, standardize=False),
    ShiryaevRoberts(arl=200, burn_in=20),
    ShiryaevRoberts(arl=200, standardize=False),
    TrackingSignal(arl=500, burn_in=20),
    TrackingSignal(arl=500, gain=0.05, standardize=False),
    Yoked(str(RECORDED)),
]
"""One table of variants × the contracts below: a new detector adds a row."""

each_detector = pytest.mark.parametrize("detector", TABLE, ids=named)
each_listener = pytest.mark.parametrize("detector", [d for d in TABLE if d.listens], ids=named)


def replay(detector: Detector, stream: Tensor, keys: Tensor | None = None) -> list[DetectorOutput]:
    """The answers to a stream [T, R] or [T]."""
    state = detector.init(torch.arange(stream[0].numel()).reshape(stream[0].shape) if keys is None else keys)
    answers = []
    for x in stream:
        answers.append(detector.update(state, x))
        state = answers[-1].state
    return answers


def alarms(answers: list[DetectorOutput]) -> Tensor:
    """[T, R] bool."""
    return torch.stack([answer.alarm for answer in answers])


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Independent N(0, 1)."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def same(a: DetectorOutput, b: DetectorOutput, pick: Callable[[Tensor], Tensor] = lambda x: x) -> bool:
    """Whether two answers are equal to the last bit, NaN included, in the runs that `pick` takes."""
    parts = [(a.alarm, b.alarm), (a.statistic, b.statistic), *((a.state[k], b.state[k]) for k in a.state)]
    return all(torch.equal(pick(x).double().nan_to_num(-7.0), pick(y).double().nan_to_num(-7.0)) for x, y in parts)


def only(answer: DetectorOutput, r: int) -> DetectorOutput:
    """The answer to one run of a batch."""
    return DetectorOutput({k: v[..., r] for k, v in answer.state.items()}, answer.alarm[r], answer.statistic[r])


# Contracts of all -----------------------------------------------------------------------------------------------------


def test_the_table_above_has_every_detector():
    """A new detector without a row would be offered by name and untested."""
    assert {type(d) for d in TABLE} == set(DETECTORS.values())


@each_detector
def test_an_answer_is_an_alarm_a_statistic_and_a_state_of_tensors(detector):
    """Checkpoints load with weights_only=True: anything but a tensor in the state makes them unreadable."""
    for shape in ((), (1,), (4,)):
        x = torch.full(shape, 0.3, dtype=torch.float64)
        state = detector.init(torch.zeros(shape, dtype=torch.int64))
        for answer in replay(detector, torch.stack([x, x])):
            assert answer.alarm.shape == answer.statistic.shape == shape
            assert answer.alarm.dtype == torch.bool
            assert answer.statistic.dtype == torch.float64
            assert answer.state.keys() == state.keys()
        for value in (*state.values(), *answer.state.values()):
            assert isinstance(value, Tensor)
            assert value.dtype == torch.float64
            assert value.shape == shape or value.shape[1:] == shape  # the run is the last axis


@each_detector
def test_update_leaves_the_state_it_was_given_as_it_was(detector):
    """`nonfinite="skip"` goes back to the old state; writing into it in place would make that a lie."""
    state = replay(detector, noise(60, 3))[-1].state
    before = copy.deepcopy(state)
    detector.update(state, torch.full((3,), 50.0, dtype=torch.float64))
    assert all(torch.equal(state[k], before[k]) for k in before)


@each_detector
def test_a_run_alone_gives_the_same_as_inside_a_batch(detector):
    """The promise of batched runs: results must not depend on who else was in the batch."""
    stream = noise(160, 5)
    stream[80:, 2] += 4.0
    batch = replay(detector, stream, torch.arange(5))
    for r in range(5):
        alone, one = replay(detector, stream[:, r], torch.tensor(r)), replay(detector, stream[:, [r]], torch.tensor([r]))
        assert all(same(a, only(b, r)) and same(only(c, 0), only(b, r)) for a, b, c in zip(alone, batch, one, strict=True))


@each_listener
def test_alarm_in_one_run_leaves_the_others_unchanged(detector):
    """A reset that forgets the mask would blind every run of the batch for burn_in updates."""
    calm = noise(300, 3)
    shifted = calm.clone()
    shifted[150:, 1] += 6.0
    a, b = replay(detector, calm), replay(detector, shifted)
    assert alarms(b)[150:, 1].any()
    assert not torch.equal(alarms(a)[:, 1], alarms(b)[:, 1])
    assert all(same(x, y, lambda t: t[..., [0, 2]]) for x, y in zip(a, b, strict=True))


@each_detector
def test_nan_in_one_runs_input_stays_in_that_run(detector):
    """One diverged seed must not end the detectors of the others, nor count as a shift in its own."""
    calm = noise(200, 3)
    broken = calm.clone()
    broken[100, 1] = math.nan
    a, b = replay(detector, calm), replay(detector, broken)
    assert all(same(x, y, lambda t: t[..., [0, 2]]) for x, y in zip(a, b, strict=True))
    assert not detector.listens or not alarms(b)[100, 1]


each_online_or_not = pytest.mark.parametrize(
    "detector", [*(d for d in TABLE if d.listens), *(kind() for kind in OFFLINE.values())], ids=named
)


@each_online_or_not
@pytest.mark.parametrize("runs", [None, 1, 3])
def test_an_observation_that_is_not_finite_is_skipped(detector, runs):
    """One such number in a running mean stays there: the statistic is NaN and no shift is ever found again."""
    stream = noise(300) if runs is None else noise(300, runs)
    stream[150:] += 4.0
    keys = torch.zeros(stream[0].shape, dtype=torch.int64)
    bad = {t: torch.full_like(stream[:1], x) for t, x in ((0, math.nan), (3, math.inf), (4, -math.inf), (200, math.nan))}
    spoilt = torch.cat([part for t, x in enumerate(stream.split(1)) for part in (bad.get(t, x[:0]), x)])
    answers, expected = replay(detector, spoilt, keys), replay(detector, stream, keys)
    for t in bad:  # those before it are gone already
        assert not answers.pop(t).alarm.any()
    assert alarms(answers).any()
    if detector.online:
        assert all(same(a, b) for a, b in zip(answers, expected, strict=True))
    else:  # river's objects are all there is of their state
        assert torch.equal(alarms(answers), alarms(expected))


@each_listener
@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(st.floats() | st.sampled_from([1e149, 1e151, -1e308]), min_size=1, max_size=30))
def test_no_stream_ends_a_detector(detector, stream):
    """After the worst numbers a float can hold an ordinary stream must have finite statistics again."""
    x = torch.cat([torch.tensor(stream, dtype=torch.float64), noise(50)])
    assert replay(detector, x)[-1].statistic.isfinite()


@each_detector
def test_alarms_are_where_the_statistic_exceeds_the_threshold(detector):
    """The two are plotted over each other: a curve that crosses without an alarm, or the reverse, misleads."""
    stream = noise(400, 4)
    stream[200:] += 3.0
    answers = replay(detector, stream)
    if detector.listens:
        assert alarms(answers).any()
        assert all(torch.equal(a.alarm, a.statistic > detector.threshold) for a in answers)
    else:
        assert math.isnan(detector.threshold)
        assert all((a.statistic == 0).all() for a in answers)


@each_detector
def test_detectors_are_values(detector):
    """Rules travel to worker processes and into configurations."""
    assert pickle.loads(pickle.dumps(detector)) == detector
    with pytest.raises(dataclasses.FrozenInstanceError):
        detector.arl = 5


each_test = pytest.mark.parametrize("detector", [d for d in TABLE if isinstance(d, SequentialTest)], ids=named)


@each_test
def test_numpy_and_torch_give_the_same_bits(detector, monkeypatch):
    """On the CPU NumPy works out the equations, elsewhere torch: a study moved to another device would give other alarms.

    But for torch's square root on the CPU, which MKL rounds wrongly in 1 of 100 numbers: the last bit, no alarm.
    """
    monkeypatch.setattr(torch, "sqrt", lambda x: torch.from_numpy(np.array(np.sqrt(x.numpy()))))
    stream = noise(160, 5)
    stream[80:, 2] += 4.0
    stream[110, 3], stream[40, 4] = math.nan, math.inf
    for part in (stream, stream[:, 3], stream[:, [4]]):
        state = detector.init(torch.zeros(part[0].shape, dtype=torch.int64))
        for x, answer in zip(part, replay(detector, part), strict=True):
            by_torch = DetectorOutput(*detector._step(state, x))
            assert same(by_torch, answer)
            state = by_torch.state


@each_test
def test_other_devices_are_never_waited_for(detector):
    """A device that has no values cannot be asked for one: reading an alarm back would stop a GPU at every update."""
    state = detector.init(torch.arange(3, device="meta"))
    answer = detector.update(state, torch.zeros(3, dtype=torch.float64, device="meta"))
    assert all(t.is_meta for t in (answer.alarm, answer.statistic, *answer.state.values()))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Cusum(arl=1), ["arl", "greater than 1", "1"]),
        (lambda: Cusum(arl=math.nan), ["arl", "finite", "nan"]),
        (lambda: Cusum(arl=math.inf), ["arl", "finite", "inf"]),
        (lambda: Cusum(burn_in=1), ["burn_in", "at least 2", "got 1"]),
        (lambda: Cusum(burn_in=-1, standardize=False), ["burn_in", "-1"]),
        (lambda: Cusum(memory=0), ["memory", "greater than 0", "updates", "0"]),
        (lambda: Cusum(k=0.0), ["k must", "greater than 0", "standard deviations", "0.0"]),
        (lambda: Ewma(gain=0.01), ["gain", "[0.02, 1]", "0.01", "cusum"]),
        (lambda: Ewma(gain=1.5), ["gain", "[0.02, 1]", "1.5"]),
        (lambda: Ewma(arl=1e10), ["arl", "1e9", "never"]),
        (lambda: TrackingSignal(gain=0.3), ["gain", "0.05, 0.1, 0.2", "0.3"]),
        (lambda: ShiryaevRoberts(arl=1), ["arl", "greater than 1", "1"]),
        (lambda: Oracle(at=()), ["at", "at least one update", "never"]),
        (lambda: PageHinkley(delta=-1.0), ["delta", "greater than 0", "-1.0"]),
        (lambda: PageHinkley(limit=0.0), ["limit", "greater than 0", "0.0"]),
        (lambda: PageHinkley(alpha=0.0), ["alpha", "(0, 1]", "0.0"]),
        (lambda: PageHinkley(alpha=1.1), ["alpha", "(0, 1]", "1.1"]),
        (lambda: Periodic(every=0), ["every", "whole number of updates", "0"]),
        (lambda: Oracle(at=(10, 0)), ["at", "whole number of updates from 1", "0"]),
        (lambda: Random(every=0.5), ["every", "at least 1", "0.5"]),
        (lambda: Random(every=math.inf), ["every", "inf"]),
    ],
)
def test_bad_settings_are_refused_with_rule_and_value(make, words):
    """arl=0 would alarm at every update and look like a rule with β = 0."""
    with pytest.raises(ValueError, match="must") as error:
        make()
    for word in words:
        assert word in str(error.value)


# CUSUM on N(0, 1) -----------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=80), st.floats(0.05, 2.0), st.floats(5.0, 1e6))
def test_cusum_is_pages_two_sided_sum(stream, k, arl):
    """A sum that is not cut at zero, or not started anew after its alarm, still alarms, only at other times."""
    detector = Cusum(arl=arl, k=k, standardize=False)
    expected = references.cusum(stream, k, detector.threshold)
    got = replay(detector, torch.tensor(stream, dtype=torch.float64))
    assert [a.statistic.item() for a in got] == pytest.approx([e.statistic for e in expected], rel=1e-12, abs=1e-12)
    assert [bool(a.alarm) for a in got] == [e.alarm for e in expected]


def test_cusum_finds_falls_as_well_as_rises():
    """After |g| falls tenfold β = 0.99 needs 348 updates to regain half its step: that is the costly direction."""
    for sign in (1.0, -1.0):
        detector = Cusum(arl=1000, standardize=False)
        expected = references.cusum([2 * sign] * 10, 0.5, detector.threshold)
        got = replay(detector, torch.full((10,), 2 * sign, dtype=torch.float64))
        assert [bool(a.alarm) for a in got] == [e.alarm for e in expected] == [False, False, False, True] * 2 + [False] * 2


@pytest.mark.parametrize(("k", "arl"), references.CUSUM_THRESHOLDS)
def test_cusum_threshold_agrees_with_the_exact_one(k, arl):
    """h enters in the exponent: five per cent too low and false alarms come 1.6 times as often."""
    assert cusum_threshold(arl, k) == pytest.approx(references.CUSUM_THRESHOLDS[k, arl], rel=0.015)


def test_cusum_alarms_falsely_once_in_arl_updates():
    """`arl` is what users set; its meaning is measured here, not its formula."""
    T, R = 3000, 4000
    count = alarms(replay(Cusum(arl=1000, standardize=False), noise(T, R))).sum().item()
    assert T * R / count == pytest.approx(1000, rel=0.10)


@pytest.mark.parametrize("size", references.CUSUM_DELAYS[1000])
def test_cusum_delay_agrees_with_the_exact_one(size):
    """A detector with the right false alarms can still be slow: one side missing, or k applied twice."""
    answers = alarms(replay(Cusum(arl=1000, standardize=False), noise(700, 4000, seed=int(2 * size)) + size))
    assert answers.any(0).all()
    assert (answers.int().argmax(0) + 1).double().mean().item() == pytest.approx(references.CUSUM_DELAYS[1000][size], rel=0.10)


# Page–Hinkley ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_page_hinkley_alarms_where_rivers_does(seed):
    """The name promises the known detector: the reset after an alarm and the −1 it starts from are easily lost."""
    levels = [0.0, 3.0, -2.0, 0.5, 8.0, 8.3]
    stream = torch.cat([noise(400, seed=10 * seed + i) * (1 + i % 2) + level for i, level in enumerate(levels)])
    river = RiverPageHinkley(min_instances=30, delta=0.005, threshold=50.0, alpha=0.9999)
    expected = []
    for t, x in enumerate(stream.tolist()):
        river.update(x)
        if river.drift_detected:
            expected.append(t)
    detector = PageHinkley(limit=50, delta=0.005, alpha=0.9999, min_samples=30, standardize=False)
    assert len(expected) >= 4
    assert alarms(replay(detector, stream)).nonzero().flatten().tolist() == expected


def test_page_hinkley_waits_for_its_samples():
    """The mean of two observations is no level: a first alarm at update 2 would be one in every run."""
    stream = torch.tensor([0.0, *[100.0] * 40], dtype=torch.float64)
    detector = PageHinkley(limit=5.0, delta=0.005, min_samples=12, standardize=False)
    assert alarms(replay(detector, stream)).nonzero().flatten().tolist()[0] == 11


# EWMA, tracking signal, e-detector on N(0, 1) -----------------------------------------------------------------------------

streams = st.lists(st.floats(-5, 5), min_size=1, max_size=40)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(streams, st.floats(0.02, 1.0))
def test_ewma_is_a_moving_average_in_its_own_standard_deviations(stream, gain):
    """In other units its threshold, and so its arl, would be another."""
    got = replay(Ewma(arl=1e9, gain=gain, standardize=False), torch.tensor(stream, dtype=torch.float64) / 4)
    expected = references.ewma([x / 4 for x in stream], gain)
    assert [a.statistic.item() for a in got] == pytest.approx(expected, rel=1e-9, abs=1e-12)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(streams, st.sampled_from(sorted(TRACKED)))
def test_tracking_signal_is_the_smoothed_error_over_its_size(stream, gain):
    """With a size that starts at 0 the first statistic is 1, an alarm in every run."""
    detector = TrackingSignal(arl=1_000_000, gain=gain, standardize=False)
    got = replay(detector, torch.tensor(stream, dtype=torch.float64))
    expected = references.tracking_signal(stream, gain)
    until = next((t for t, x in enumerate(expected) if x > detector.threshold), len(expected))
    assert [a.statistic.item() for a in got[: until + 1]] == pytest.approx(expected[: until + 1], rel=1e-9, abs=1e-12)
    assert [bool(a.alarm) for a in got[: until + 1]] == [False] * until + [True] * (until < len(expected))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.lists(st.floats(-1.5, 1.5), min_size=1, max_size=12))
def test_e_sr_sums_the_products_of_e_values_over_all_starts(stream):
    """A product that begins before the start, or a factor that is no e-value, takes the guarantee away without a trace."""
    got = replay(ShiryaevRoberts(arl=1e15, standardize=False), torch.tensor(stream, dtype=torch.float64))
    expected = references.shiryaev_roberts(stream, [0.15, 0.35, 1.0, 3.0, -0.15, -0.35, -1.0, -3.0])
    assert [a.statistic.item() for a in got] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("gain", "arl"), references.EWMA_THRESHOLDS)
def test_ewma_threshold_agrees_with_the_published_one(gain, arl):
    """One hundredth of a standard deviation is 3 % of the false alarms."""
    assert ewma_threshold(arl, gain) == pytest.approx(references.EWMA_THRESHOLDS[gain, arl], abs=0.002)


@pytest.mark.parametrize(
    "detector",
    [
        Ewma(arl=1000, standardize=False),
        Ewma(arl=1000, gain=0.4, standardize=False),
        TrackingSignal(arl=1000, standardize=False),
        TrackingSignal(arl=2000, gain=0.05, standardize=False),
        TrackingSignal(arl=500, gain=0.2, standardize=False),
        TrackingSignal(arl=50, standardize=False),
    ],
    ids=named,
)
def test_alarms_come_falsely_once_in_arl_updates(detector):
    """`arl` is what users set; its meaning is measured here, not its formula or its table."""
    assert average_run_length(detector, "normal", updates=2000, runs=2000) == pytest.approx(detector.arl, rel=0.10)


def test_tracking_thresholds_grow_with_arl_and_stay_below_one():
    """`replay` searches for the arl of a given rate: a step back or a limit of 1 is a detector that never alarms."""
    for gain in TRACKED:
        limits = [tracking_threshold(10 ** (e / 4), gain) for e in range(1, 41)]
        assert limits == sorted(set(limits))
        assert 0 < limits[0] < limits[-1] < 1


@pytest.mark.parametrize("kind", ["normal", "t3", "bounded"])
def test_e_sr_never_alarms_oftener_than_promised(kind):
    """The guarantee holds for every distribution of mean 0 and variance 1; a Gaussian e-value breaks it threefold on t₃."""
    assert average_run_length(ShiryaevRoberts(arl=300, standardize=False), kind, updates=2000, runs=1000) >= 300


@pytest.mark.parametrize("kind", ["t3", "bounded", "AR 0.5"])
def test_e_sr_keeps_its_promise_with_the_standardizer(kind):
    """What is estimated has an error, which must not use up the reserve of the guarantee."""
    assert average_run_length(ShiryaevRoberts(arl=1000), kind, updates=2500, runs=600) >= 1000


# Standardised input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [3.0, -3.0])
@pytest.mark.parametrize("kind", [Cusum, PageHinkley])
def test_a_step_of_unknown_units_is_found_in_either_direction(kind, size):
    """Gradient statistics have no known level or scale; a test that needs them finds everything or nothing."""
    R, T, before = 200, 600, 500
    stream = 7 + 3 * noise(T, R)
    stream[before:] += 3 * size
    raised = alarms(replay(kind(arl=50_000), stream))
    quiet = ~raised[:before].any(0)
    assert quiet.double().mean() > 0.95  # 500 of 50 000 updates: a false alarm in 1 % of the runs
    found = raised[before:, quiet]
    assert found.any(0).all()
    delay = found.int().argmax(0) + 1
    assert delay.double().mean() < 12  # 4.4 with known level and scale (CUSUM, k = 0.5)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_units_do_not_matter(scale):
    """A constant of 1e-12 or a clip in raw units would tie the detector to the size of the rewards."""
    stream = noise(400, 3)
    stream[200:] += 3.0
    plain, scaled = (replay(Cusum(arl=1000), s) for s in (stream, scale * stream + 5 * scale))
    assert torch.equal(alarms(plain), alarms(scaled))


@pytest.mark.parametrize("kind", ["normal", "AR 0.5", "AR 0.9", "t3", "trend 2000"])
def test_false_alarms_are_within_a_factor_of_two_of_nominal(kind):
    """A raw CUSUM of this arl alarms every 70 updates at φ = 0.5, and signals of training are correlated, heavy and drifting."""
    assert 1000 / 2 < average_run_length(Cusum(arl=1000), kind, updates=2500, runs=400) < 2 * 1000


def test_a_slow_drift_is_followed():
    """A running mean lags half a standard deviation behind it, as much as the allowance of the test."""
    standardizer, residuals = Standardizer(memory=1000.0), []
    level = torch.zeros(len(Standardizer.start), 20, dtype=torch.float64)
    for t, x in enumerate(itertools.islice(stream("trend 2000", runs=20), 4000)):
        level, e = standardizer(level, x, torch.full_like(x, t + 1.0))
        residuals.append(e)
    late = torch.stack(residuals[2000:])
    assert abs(late.mean().item()) < 0.15
    assert late.std().item() == pytest.approx(1.0, abs=0.05)


def test_a_single_spike_is_not_a_shift():
    """One bad batch is not a changed environment: β would restart on every outlier."""
    stream = noise(700, 100)
    calm = alarms(replay(Cusum(arl=50_000), stream)).sum().item()
    stream[400] += 1000.0
    assert alarms(replay(Cusum(arl=50_000), stream)).sum().item() <= calm + 2


def test_no_alarm_within_burn_in_of_the_start_or_of_an_alarm():
    """The level is unknown there; alarms on it come in bursts, and each restarts the clock again."""
    T, R = 900, 50
    levels = 20 * (torch.arange(T) // 55 % 2).double()  # a shift every 55 updates
    raised = alarms(replay(Cusum(arl=50, burn_in=40), levels[:, None] + noise(T, R)))
    assert (raised.sum(0) > 5).all()
    for r in range(R):
        times = [-1, *raised[:, r].nonzero().flatten().tolist()]
        assert min(b - a for a, b in itertools.pairwise(times)) > 40


def test_after_an_alarm_the_new_level_is_normal():
    """A detector that keeps the old level alarms for ever after the first shift."""
    stream = noise(1500, 100)
    stream[500:] += 10.0
    raised = alarms(replay(Cusum(arl=50_000), stream))
    assert raised[500:520].any(0).all()
    assert raised[520:].sum() <= 5  # 98 000 updates at one in 50 000


def test_a_constant_signal_is_no_shift():
    """Zero deviation makes a scale of 0: dividing by it turns rounding into alarms."""
    for level in (0.0, 3.7, -87.5):
        answers = replay(Cusum(arl=100, burn_in=5), torch.full((300,), level, dtype=torch.float64))
        assert not alarms(answers).any()
        assert all(a.statistic.isfinite() for a in answers)


# Controls -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("detector", "expected"),
    [(Never(), []), (Periodic(every=4), [4, 8, 12]), (Periodic(every=1), list(range(1, 13))), (Oracle(at=(1, 5)), [1, 5])],
    ids=named,
)
def test_controls_alarm_at_their_own_times(detector, expected):
    """An oracle one update late, or counting from 0, is a worse control than it claims to be."""
    assert [t + 1 for t in alarms(replay(detector, noise(12))).nonzero().flatten().tolist()] == expected


@each_detector
def test_controls_do_not_look_at_the_signal(detector):
    """A control that listens is no control; a NaN must not stop it either."""
    if not detector.listens and detector.own_signal is None:
        stream = noise(60, 3)
        assert torch.equal(alarms(replay(detector, stream)), alarms(replay(detector, stream * math.nan)))


def test_random_alarms_at_its_rate_and_independently_between_runs():
    """At another rate the control is not matched to the detector; in step with each other, R runs are one."""
    T, R, every = 2000, 400, 20
    raised = alarms(replay(Random(every), torch.zeros(T, R, dtype=torch.float64))).double()
    assert raised.mean().item() == pytest.approx(1 / every, rel=4 * math.sqrt(every / (T * R)))
    per_run, per_update = raised.sum(0), raised.sum(1)  # binomial if independent over time and over runs
    assert per_run.var().item() == pytest.approx(T / every * (1 - 1 / every), rel=0.3)
    assert per_update.var().item() == pytest.approx(R / every * (1 - 1 / every), rel=0.15)


def test_hashed_numbers_are_uniform():
    """1/every is compared with them: a biased hash is a biased rate for large `every` only."""
    key, n = torch.meshgrid(torch.arange(100), torch.arange(1, 2001), indexing="ij")
    u = hashed_uniform(key, n).flatten()
    assert u.min() >= 0
    assert u.max() < 1
    counts = torch.histc(u, 100, 0.0, 1.0)
    chi_square = ((counts - 2000) ** 2 / 2000).sum().item()
    assert 99 - 4 * math.sqrt(2 * 99) < chi_square < 99 + 4 * math.sqrt(2 * 99)


def folder_of(path: Path, updates_by_seed: dict[int, list[int]]) -> str:
    """An arm's folder with recorded alarms."""
    for seed, updates in updates_by_seed.items():
        (path / f"seed_{seed:04d}").mkdir(parents=True)
        lines = ["update,step", *(f"{update},{128 * update}" for update in updates), ""]
        (path / f"seed_{seed:04d}" / "alarms.csv").write_text("\n".join(lines))
    return str(path)


def test_a_yoked_run_replays_the_next_seed_and_nothing_after_its_end(tmp_path):
    """Its own alarms are no control; those of the neighbour in the batch would depend on the batch."""
    times = {2: [1], 5: [2], 11: [3, 4]}
    runs = folder_of(tmp_path, times)
    keys = [2, 5, 11, 3, 0, 99]
    got = alarms(replay(Yoked(runs), noise(6, len(keys)), torch.tensor(keys)))
    source = {2: 5, 5: 11, 11: 2, 3: 5, 0: 2, 99: 2}
    assert {key: (got[:, r].nonzero().flatten() + 1).tolist() for r, key in enumerate(keys)} == {
        key: times[source[key]] for key in keys
    }


def test_yoked_to_a_single_run_replays_it(tmp_path):
    """One recorded seed is still a control for all others."""
    got = alarms(replay(Yoked(folder_of(tmp_path, {4: [2]})), noise(3, 2), torch.tensor([4, 5])))
    assert got.tolist() == [[False, False], [True, True], [False, False]]


def test_yoked_to_runs_without_alarms_never_alarms(tmp_path):
    """A run of a detector that stayed silent is a result like any other."""
    assert not alarms(replay(Yoked(folder_of(tmp_path, {0: [], 1: []})), noise(5, 2), torch.tensor([0, 1]))).any()


def test_a_folder_that_was_recorded_again_is_read_again(tmp_path):
    """The alarms of the first recording would be replayed under the name of the second."""
    runs = folder_of(tmp_path, {0: [1]})
    assert alarms(replay(Yoked(runs), noise(2))).tolist() == [True, False]
    (tmp_path / "seed_0000" / "alarms.csv").write_text("update,step\n2,16\n")
    assert alarms(replay(Yoked(runs), noise(2))).tolist() == [False, True]


def test_folders_that_cannot_be_yoked_to_are_refused(tmp_path):
    """Without alarms to replay it would be `never` under another name, found out after the study."""
    with pytest.raises(ValueError, match=r"runs must be an arm's folder with recorded alarms .*/missing'.*train the arm"):
        Yoked(str(tmp_path / "missing")).check_files()
    (tmp_path / "seed_0000").mkdir()
    with pytest.raises(ValueError, match="runs must be an arm's folder with recorded alarms"):
        Yoked(str(tmp_path)).check_files()
    file = tmp_path / "seed_0000" / "alarms.csv"
    for content in ("", "step\n3\n", "update,step\n0,0\n", "update,step\nsoon,1\n", "update,step\n\n", "\x93NUMPY"):
        file.write_text(content)
        with pytest.raises(
            ValueError, match=r"alarms.csv must hold a column `update` of numbers from 1, got .*train the run again"
        ):
            Yoked(str(tmp_path)).check_files()
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="must hold a column `update`"):
        Yoked(str(tmp_path)).check_files()
    file.unlink()
    (tmp_path / "other" / "seed_x").mkdir(parents=True)
    (tmp_path / "other" / "seed_x" / "alarms.csv").write_text("update,step\n")
    with pytest.raises(ValueError, match=r"named seed_ and a number, got .*seed_x"):
        Yoked(str(tmp_path / "other")).check_files()


# River's detectors ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "make"),
    [
        ("adwin:delta=0.01,clock=8", lambda key: drift.ADWIN(delta=0.01, clock=8)),
        ("kswin:alpha=0.001,window_size=60,stat_size=20", lambda key: drift.KSWIN(0.001, 60, 20, seed=key)),
        ("river_page_hinkley:limit=20,delta=0.1", lambda key: drift.PageHinkley(threshold=20, delta=0.1)),
    ],
)
def test_the_adapter_alarms_where_rivers_own_object_does(spec, make):
    """A setting that does not arrive leaves river's default in place, under the name of what was asked for."""
    stream = noise(300, 2)
    stream[100:] += 2.0
    stream[200:, 1] -= 4.0
    expected = []
    for key in (3, 8):
        river, raised = make(key), []
        for x in stream[:, (3, 8).index(key)].tolist():
            river.update(x)
            raised.append(river.drift_detected)
        expected.append(raised)
    answers = replay(parse(spec), stream, torch.tensor([3, 8]))
    assert alarms(answers).T.tolist() == expected
    assert all(any(raised) for raised in expected)
    assert all(torch.equal(a.alarm, a.statistic > parse(spec).threshold) for a in answers)


def test_without_river_the_remedy_is_named(monkeypatch):
    """An extra is not installed by default, and `No module named river` does not say how."""
    monkeypatch.setitem(sys.modules, "river", None)
    with pytest.raises(ModuleNotFoundError, match=r"ADWIN is river's.*pip install 'rl-rmsprop\[river\]'"):
        parse("adwin").init(torch.arange(2))


def test_detectors_are_parsed_by_name_and_unknown_ones_refused():
    """What `replay` is given by text must be what was meant."""
    assert parse("cusum:arl=1000") == Cusum(arl=1000)
    with pytest.raises(ValueError, match=r"detector must be a known one, got 'adwn': did you mean adwin\?"):
        parse("adwn:delta=1")
