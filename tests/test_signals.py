"""What a detector listens to."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_rmsprop import Adaptive, AdaptiveRMSprop, rules, signals
from rl_rmsprop.cli.views.rules import EXAMPLES

R = 3
SHAPES = [(4,), (2, 3)]  # of one run


def tensors(seed: int, scale: float = 1.0) -> list[torch.Tensor]:
    """One tensor [R, …] for each shape."""
    generator = torch.Generator().manual_seed(seed)
    return [scale * torch.randn(R, *shape, generator=generator, dtype=torch.float64) for shape in SHAPES]


def rows(parts: list[torch.Tensor]) -> np.ndarray:
    """The same numbers as an array [R, P]."""
    return np.concatenate([part.reshape(R, -1).numpy() for part in parts], axis=1)


def test_surprise_is_the_log_of_the_mean_ratio():
    """A mean over tensors instead of over parameters would let a bias of 2 entries weigh as much as a matrix of 4096."""
    g, E, eps = tensors(0), [t.square() + 0.1 for t in tensors(1)], 0.2
    expected = np.log((rows(g) ** 2 / (rows(E) + eps**2)).mean(1))
    got = signals.surprise([t.square() for t in g], E, eps, runs=True)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12)


def test_peak_surprise_is_that_of_the_most_surprised_tensor():
    """A shift that only the critic feels would be averaged away among the actor's parameters, or across runs."""
    g, E, eps = tensors(0), [t.square() + 0.1 for t in tensors(1)], 0.2
    expected = np.max([np.log((rows([a]) ** 2 / (rows([b]) + eps**2)).mean(1)) for a, b in zip(g, E, strict=True)], 0)
    got = signals.peak_surprise([t.square() for t in g], E, eps, runs=True)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12)


def test_without_runs_a_signal_is_one_number_over_everything():
    """With a run axis taken for granted a plain model's first layer would be read as its runs."""
    g, E = tensors(0), [t.square() + 0.1 for t in tensors(1)]
    got = signals.surprise([t.square() for t in g], E, 0.2, runs=False)
    assert got.shape == ()
    expected = np.log((rows(g) ** 2 / (rows(E) + 0.04)).mean())
    np.testing.assert_allclose(got.item(), expected, rtol=1e-12)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(0, 1000), st.floats(1e-6, 1e6))
def test_surprise_has_no_scale(seed, scale):
    """Rewards a hundred times larger would otherwise need thresholds of their own."""
    g, E = tensors(seed), [t.square() + 0.1 for t in tensors(seed + 1)]
    plain = signals.surprise([t.square() for t in g], E, 0.0, runs=True)
    scaled = signals.surprise([(scale * t).square() for t in g], [scale**2 * t for t in E], 0.0, runs=True)
    torch.testing.assert_close(scaled, plain, rtol=0, atol=1e-9)


def test_surprise_is_about_zero_when_E_is_right():
    """A signal with an offset turns every detector of level shifts into an alarm clock."""
    generator = torch.Generator().manual_seed(0)
    g = 3 * torch.randn(100_000, generator=generator)
    got = signals.surprise([g.square()], [torch.full_like(g, 9.0)], 1e-8, runs=False)
    assert abs(got.item()) < 4 * math.sqrt(2 / 100_000)  # four standard errors of the mean of χ²₁


def test_squared_norm_is_that_of_all_tensors_together():
    """A norm per tensor would miss a shift that only the whole gradient shows."""
    g = tensors(0)
    got = signals.squared_norm([t.square() for t in g], runs=True)
    np.testing.assert_allclose(got.numpy(), np.linalg.norm(rows(g), axis=1) ** 2, rtol=1e-12)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(0, 1000), st.integers(-12, 12), st.integers(-12, 12))
def test_cosine_is_the_cosine_whatever_the_lengths(seed, power, previous_power):
    """Products of two squared lengths leave float32's range long before the gradients do, and 1e14 is no cosine."""
    g, previous = tensors(seed, 10.0**power), tensors(seed + 1, 10.0**previous_power)
    a, b = rows(g), rows(previous)
    expected = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    got = signals.cosine([t.float() for t in g], [t.float() for t in previous], runs=True)
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-5)


def test_cosine_with_a_zero_gradient_is_zero():
    """0/0 would put a NaN into the detector for ever; the first update has no previous gradient."""
    g = tensors(0)
    assert signals.cosine(g, [torch.zeros_like(t) for t in g], runs=True).tolist() == [0.0] * R


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_signals_stay_finite_when_nothing_moves(dtype):
    """A dead network gives zero gradients: ln 0 = −∞ would end the detector's running means."""
    zero = [torch.zeros(R, 4, dtype=dtype)]
    assert signals.surprise(zero, zero, 1e-8, runs=True).isfinite().all()
    assert signals.log(signals.squared_norm(zero, runs=True)).isfinite().all()
    assert signals.cosine(zero, zero, runs=True).isfinite().all()


@pytest.mark.parametrize("x", [0.0, 1e-300, 1e-3, 1.0, 7.5, 1e300, math.inf, math.nan])
def test_the_logarithm_of_a_number_is_that_of_a_tensor(x):
    """One stream is worked out without tensors."""
    of_tensor = signals.log(torch.tensor(x, dtype=torch.float64)).item()
    assert signals.log_of(x) == pytest.approx(of_tensor, rel=1e-15, abs=0, nan_ok=True)


def test_one_runs_signal_knows_nothing_of_the_others():
    """A NaN or a burst in one seed would raise alarms in all seeds of a batch."""
    g, E = tensors(0), [t.square() + 0.1 for t in tensors(1)]
    poisoned = [t.clone() for t in g]
    for t in poisoned:
        t[1] = math.nan
    plain = signals.surprise([t.square() for t in g], E, 1e-8, runs=True)
    broken = signals.surprise([t.square() for t in poisoned], E, 1e-8, runs=True)
    assert broken[1].isnan()
    assert torch.equal(broken[[0, 2]], plain[[0, 2]])


@pytest.mark.parametrize("count", [1, 2, 7, 12, 33])
def test_a_total_over_many_tensors_is_the_same_alone_or_in_a_batch(count):
    """A sum whose order depends on the number of runs makes a run alone differ from the same run inside a batch."""
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(8, 5, generator=generator) for _ in range(count)]
    batched = signals.total(parts, runs=True)
    alone = torch.cat([signals.total([t[r : r + 1] for t in parts], runs=True) for r in range(8)])
    assert torch.equal(batched, alone)


def test_a_parameter_of_one_number_per_run_counts_like_any_other():
    """A learned temperature of shape [R] has no axis after the run and must not break the sums."""
    got = signals.total([torch.tensor([1.0, 2.0, 3.0]), torch.ones(3, 4)], runs=True)
    assert got.tolist() == [5.0, 6.0, 7.0]


def test_every_signal_has_a_sentence():
    """`rl-rmsprop rules` prints this table; a signal without a sentence is not found."""
    assert set(signals.SIGNALS) == {"surprise", "peak_surprise", "grad_norm", "cosine", "episode_return", "td_error", "kl"}
    assert all(signal.meaning for signal in signals.SIGNALS.values())


EXPECTED = {
    "surprise": lambda g, E, last: math.log((g**2 / (E + 0.04)).mean()),
    "peak_surprise": lambda g, E, last: max(math.log((g[k] ** 2 / (E[k] + 0.04)).mean()) for k in (slice(4), slice(4, None))),
    "grad_norm": lambda g, E, last: math.log((g**2).sum()),
    "cosine": lambda g, E, last: (g * last).sum() / np.linalg.norm(g) / np.linalg.norm(last),
}
"""Every signal of one run from its gradient, Ê and last gradient, all [P] (the first 4 a tensor of their own); ε = 0.2."""


@pytest.mark.parametrize("name", EXPECTED)
def test_a_row_of_the_table_computes_its_signal_from_an_updates_numbers(name):
    """Rows that swap Ê with the last gradient, or leave out ε, give signals of the right shape."""
    g, E, last = tensors(0), [t.square() + 0.1 for t in tensors(1)], tensors(2)
    needed = last if signals.SIGNALS[name].needs_previous else []
    got = signals.SIGNALS[name].measure(signals.Inputs(g, lambda: E, needed, {}, 0.2, runs=True))
    expected = [EXPECTED[name](*numbers) for numbers in zip(rows(g), rows(E), rows(last), strict=True)]
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12)


def test_a_reported_norm_takes_the_place_of_the_gradients():
    """After clipping every gradient has the same length, and a detector of its norm would see nothing."""
    norm = torch.tensor([3.0, 4.0, 5.0], dtype=torch.float64)
    got = signals.SIGNALS["grad_norm"].measure(signals.Inputs(tensors(0), list, [], {"grad_norm": norm}, 0.2, runs=True))
    np.testing.assert_allclose(got.numpy(), 2 * np.log([3, 4, 5]), rtol=1e-12)


def test_reported_signals_are_what_was_reported_and_an_error_its_logarithm():
    """Silent failure: a detector of returns listens to gradients."""
    x = torch.tensor([3.0, math.nan, 0.0])
    for name, expected in (("episode_return", x), ("kl", x), ("td_error", [math.log(3.0), math.nan, math.log(1e-38)])):
        got = signals.SIGNALS[name].measure(signals.Inputs(tensors(0), list, [], {name: x}, 0.2, runs=True))
        np.testing.assert_allclose(got.numpy(), expected, rtol=1e-6)


def test_a_row_is_all_that_a_new_signal_takes(monkeypatch):
    """A name that is also asked for elsewhere would be accepted in a text and then listen to nothing."""
    largest = signals.Signal("largest entry", lambda at: at.gradients[0].abs().max() + at.previous[0].abs().max(), True)
    monkeypatch.setitem(signals.SIGNALS, "largest", largest)
    p = torch.nn.Parameter(torch.zeros(3))
    optimizer = AdaptiveRMSprop([p], alpha="cusum:signal=largest,standardize=false,arl=1000,k=0.5")
    for size in (2.0, 0.5):
        p.grad = torch.full_like(p, size)
        optimizer.step()
    assert optimizer.stats()["statistic"] == 2.0 - 0.5 + (0.5 + 2.0 - 0.5)


@pytest.mark.parametrize("rule", [text for text in EXAMPLES.values() if not isinstance(rules.parse(text), Adaptive)])
def test_the_surprise_of_a_law_is_that_of_its_own_mean(rule: str) -> None:
    """Silent failure: a law whose weights differ from entry to entry has no surprise, or ends the training that asks for it."""
    weight = torch.nn.Parameter(torch.ones(5, 3))
    optimizer = AdaptiveRMSprop([weight], lr=0.01, alpha=rule)
    optimizer.measure_surprise = True
    for k in range(6):
        weight.grad = torch.randn(5, 3, generator=torch.Generator().manual_seed(k))
        E = optimizer.mean_square(weight)
        optimizer.observe(**{name: 0.01 for name in optimizer.listens_to & {"kl", "td_error", "episode_return"}})
        optimizer.step()
        if E is not None and bool((E > 0).all()):
            expected = float((weight.grad.square().double() / (E.double() + 1e-16)).mean().log())
            assert optimizer.stats()["surprise"] == pytest.approx(expected, rel=1e-4, abs=1e-5)
