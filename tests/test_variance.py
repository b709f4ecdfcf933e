"""The variance of a full table cut into its terms: statsmodels' analysis, a slow plain one, and tables of known parts."""

import itertools

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.anova import anova_lm

from rl_rmsprop.study.statistics import variance

SHAPE = (3, 2, 4, 3)
"""Tasks, rules, step sizes, seeds."""


@pytest.fixture
def y() -> np.ndarray:
    """A table with something in every term."""
    rng = np.random.default_rng(0)
    return sum(
        (rng.normal(size=tuple(n if i in axes else 1 for i, n in enumerate(SHAPE))) for axes in subsets(4)), np.zeros(SHAPE)
    )


def subsets(n: int) -> list[tuple[int, ...]]:
    """All sets of axes, the empty one included."""
    return [axes for size in range(n + 1) for axes in itertools.combinations(range(n), size)]


def test_sums_of_squares_are_those_of_statsmodels(y: np.ndarray) -> None:
    """Silent failure: an interaction still holds a part of its factors."""
    index = np.indices(SHAPE).reshape(4, -1)
    frame = pd.DataFrame(dict(zip(("task", "rule", "lr", "seed"), index, strict=True)) | {"y": y.ravel()})
    table = anova_lm(smf.ols("y ~ C(task) * C(rule) * C(lr)", frame).fit())
    expected = {name.replace("C(", "").replace(")", "").replace(":", "×"): row for name, row in table.iterrows()}
    expected[variance.SEED] = expected.pop("Residual")
    ours = {term.name: term for term in variance.decompose(y)}
    assert ours.keys() == expected.keys()
    for name, term in ours.items():
        assert term.degrees == expected[name]["df"]
        assert term.squares == pytest.approx(expected[name]["sum_sq"])


@given(st.tuples(*[st.integers(1, 3)] * 4), st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_sums_of_squares_are_those_of_effects_written_out(shape: tuple[int, ...], seed: int) -> None:
    """Every effect by its definition: the mean over what is left, minus the effects of all smaller terms."""
    y = np.random.default_rng(seed).normal(size=shape)
    effects: dict[tuple[int, ...], np.ndarray] = {}
    for axes in subsets(3):
        rest = tuple(axis for axis in range(4) if axis not in axes)
        smaller = sum((effects[part] for part in effects if set(part) < set(axes)), np.zeros(()))
        effects[axes] = y.mean(rest, keepdims=True) - smaller
    ours = {term.name: term.squares for term in variance.decompose(y)}
    for axes in subsets(3)[1:]:
        if variance.term_name(axes) in ours:
            assert ours[variance.term_name(axes)] == pytest.approx(float((np.broadcast_to(effects[axes], shape) ** 2).sum()))
    assert sum(ours.values()) == pytest.approx(float(((y - y.mean()) ** 2).sum()))


@given(st.permutations(range(4)), st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_shares_do_not_depend_on_the_order_of_tasks_rules_or_seeds(order: list[int], seed: int) -> None:
    """Silent failure: a factor's first level counts as its reference."""
    y = np.random.default_rng(seed).normal(size=(4, 4, 4, 4))
    for axis in range(4):
        assert variance.shares(np.take(y, order, axis)) == pytest.approx(variance.shares(y))
    assert variance.shares(5 * y + 3) == pytest.approx(variance.shares(y))


def test_a_table_of_one_cause_has_one_share() -> None:
    """Names of terms must not be mixed up."""
    base = np.zeros(SHAPE)
    causes = {
        "task": base + np.arange(3.0).reshape(3, 1, 1, 1),
        "rule": base + np.arange(2.0).reshape(1, 2, 1, 1),
        "lr": base + np.arange(4.0).reshape(1, 1, 4, 1),
        "seed": base + np.arange(3.0),
    }
    for name, y in causes.items():
        assert variance.shares(y) == pytest.approx({term: float(term == name) for term in variance.shares(y)}, abs=1e-12)


def test_noise_alone_has_shares_but_no_corrected_ones() -> None:
    """Silent failure: with many draws lr explains a third of the variance of pure noise."""
    tables = np.random.default_rng(0).normal(size=(200, 2, 3, 12, 2))
    terms = [{term.name: term for term in variance.decompose(y)} for y in tables]
    assert np.mean([of["rule×lr"].share for of in terms]) > 0.1
    for name in terms[0].keys() - {"seed"}:
        assert np.mean([of[name].corrected for of in terms]) == pytest.approx(0, abs=0.01)


def test_intervals_resample_tasks_or_of_one_task_its_seeds(y: np.ndarray) -> None:
    """Silent failure: an interval over seeds alone says nothing of other tasks."""
    rng = np.random.default_rng(0)
    same_tasks = np.broadcast_to(y[:1], SHAPE)
    drawn = variance.resampled_shares(same_tasks, rng, 50)
    assert all(shares == pytest.approx(variance.shares(same_tasks)) for shares in drawn)
    same_seeds = np.broadcast_to(y[:, :, :, :1], SHAPE)
    assert len({round(shares["lr"], 9) for shares in variance.resampled_shares(same_seeds, rng, 50)}) > 5
    one = variance.resampled_shares(y[:1], rng, 50)
    assert len({round(shares["lr"], 9) for shares in one}) > 5
    interval = variance.share_of(("lr", "rule"), y, variance.resampled_shares(y, rng, 200))
    assert interval.low <= interval.value <= interval.high
    assert interval.value == pytest.approx(variance.shares(y)["lr"] + variance.shares(y)["rule"])
