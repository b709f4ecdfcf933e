"""What a score depends on: the variance of a full factorial table, cut into its terms (balanced analysis of variance).

    y [tasks, rules, step sizes, seeds]  →  y = mean + task + rule + lr + task×rule + task×lr + rule×lr + task×rule×lr + seed

A term's sum of squares is Σ over all cells of the square of its effect; the sums of all terms add up to the total. `seed` is what
differs between runs of the same task, rule and lr. `share` is a term's part of the total (η²). Noise alone gives every term a
share, the larger the more levels it has; `corrected` (ω²) takes that away: (S − d · S_seed/d_seed) / (S_total + S_seed/d_seed), d
the degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rl_rmsprop.study.statistics.intervals import Interval, percentiles

FACTORS = ("task", "rule", "lr")
"""Axes of a table in this order; the last one is the seed."""
SEED = "seed"
RESAMPLES = 1000


class Term(NamedTuple):
    """One term of a table."""

    name: str
    degrees: int
    """Degrees of freedom."""
    squares: float
    """Sum of squares."""
    share: float
    corrected: float
    """The share without what noise alone would give; may be below 0."""


def decompose(y: NDArray[np.float64]) -> list[Term]:
    """The terms of a table [tasks, rules, step sizes, seeds] without gaps; shares are NaN if all scores are equal."""
    cells, total = y.mean(3), float(((y - y.mean()) ** 2).sum())
    squares: dict[str, tuple[int, float]] = {}
    for size in (1, 2, 3):
        for axes in combinations(range(3), size):
            degrees = int(np.prod([y.shape[axis] - 1 for axis in axes]))
            if degrees:
                repeats = y.size / np.prod([y.shape[axis] for axis in axes])
                squares[term_name(axes)] = degrees, float(repeats * (effect(cells, axes) ** 2).sum())
    within = int(np.prod(y.shape[:3])) * (y.shape[3] - 1)
    squares[SEED] = within, float(((y - cells[..., None]) ** 2).sum())
    noise = squares[SEED][1] / within if within else float("nan")
    with np.errstate(invalid="ignore", divide="ignore"):
        return [
            Term(name, d, s, float(np.divide(s, total)), float(np.divide(s - d * noise, total + noise)))
            for name, (d, s) in squares.items()
        ]


def term_name(axes: tuple[int, ...]) -> str:
    """A term by the factors that meet in it.

    >>> term_name((0, 2))
    'task×lr'
    """
    return "×".join(FACTORS[axis] for axis in axes)


def effect(cells: NDArray[np.float64], axes: tuple[int, ...]) -> NDArray[np.float64]:
    """The effect of a term: the means over all other axes, without the effects of everything that is part of it."""
    kept = cells
    for axis in range(cells.ndim):
        centre = kept.mean(axis, keepdims=True)
        kept = kept - centre if axis in axes else centre
    return kept


def shares(y: NDArray[np.float64]) -> dict[str, float]:
    """Name of each term → its share."""
    return {term.name: term.share for term in decompose(y)}


def resampled_shares(y: NDArray[np.float64], rng: np.random.Generator, resamples: int = RESAMPLES) -> list[dict[str, float]]:
    """The shares on tables whose tasks are drawn with replacement; of a table of one task, its seeds.

    Tasks are drawn where there are several, because the question is how far the answer depends on which were chosen.
    """
    axis = 0 if y.shape[0] > 1 else 3
    return [shares(np.take(y, rng.integers(0, y.shape[axis], y.shape[axis]), axis)) for _ in range(resamples)]


def share_of(
    names: Sequence[str], y: NDArray[np.float64], drawn: Sequence[dict[str, float]], minus: Sequence[str] = ()
) -> Interval:
    """The share that some terms have together, without that of the terms `minus`, with its interval over the tables `drawn`.

    NaN where all scores of y are equal; resampled tables of which that is true are left out.
    """
    of = lambda table: sum(table.get(name, 0.0) for name in names) - sum(table.get(name, 0.0) for name in minus)
    values = np.array([of(table) for table in drawn])
    known = values[~np.isnan(values)]
    low, high = percentiles(known) if len(known) else (np.nan, np.nan)
    return Interval(*np.array([of(shares(y)), low, high]))
