"""The numbers that the post prints, as quotations, and which of them are wrong."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rl_rmsprop.walkthrough.equations import BETA, GRADIENTS, Array, Trace, adagrad, rmsprop

COLUMNS = ("g1", "g2", "E1", "E2", "lr1", "lr2", "w1", "w2")

TRACE_TABLE = (
    ("0.5", "0.0", "0.0250", "0.0000", "0.632", "~3162", "−0.316", "0.000"),
    ("0.4", "0.3", "0.0385", "0.0090", "0.510", "1.054", "−0.520", "−0.316"),
    ("0.3", "0.0", "0.0437", "0.0081", "0.479", "1.111", "−0.663", "−0.316"),
)
"""The post's "Trace Table", row by row."""

CODE_OUTPUT = (
    ("0.50", "0.00", "0.0250", "0.0000", "0.6325", "3162.3", "-0.3162", "0.0000"),
    ("0.40", "0.30", "0.0385", "0.0090", "0.5099", "1.0541", "-0.5205", "-0.3162"),
    ("0.30", "0.00", "0.0437", "0.0081", "0.4784", "1.1111", "-0.6637", "-0.3162"),
    ("0.50", "0.20", "0.0643", "0.0133", "0.3945", "0.8672", "-0.8609", "-0.4896"),
    ("0.40", "0.00", "0.0979", "0.0120", "0.3194", "0.9129", "-0.9887", "-0.4896"),
)
"""What the post prints as the output of its section "Code"."""

BETA_TABLE = {0.5: ("-1.6321", "-0.9474"), 0.9: ("-1.0632", "-0.6321"), 0.99: ("-0.3162", "-0.3157")}
"""β → w1, w2 after 5 steps, as the post prints them under "β Sensitivity"."""

PROSE: tuple[tuple[str, int, dict[str, str]], ...] = (
    ("Opening", 5, {"steps with g2 ≠ 0": "1"}),
    ("Adagrad's Problem", 10_000, {"Adagrad lr / η": "1%"}),
    ("Adagrad's Problem", 100_000, {"Adagrad lr / η": "0.3%"}),
    ("The Fix", 10, {"weight so many steps back": "0.035"}),
    ("The Fix", 50, {"weight so many steps back": "0"}),
    ("The Fix", 0, {"window, β=0.9": "10"}),
    ("Walkthrough", 1, {"(1−β)·g1²": "0.025", "E1": "0.025", "E2": "0.000", "√E1": "0.158", "lr1": "0.632", "w1": "−0.316"}),
    ("Walkthrough", 1, {"Adagrad w1": "−0.100", "w1 / Adagrad w1": "3×"}),
    ("Walkthrough", 2, {"β·E1 before": "0.0225", "(1−β)·g1²": "0.016", "E1": "0.0385", "√E1": "0.196", "lr1": "0.510"}),
    ("Walkthrough", 2, {"β·E2 before": "0.000", "(1−β)·g2²": "0.009", "E2": "0.009", "√E2": "0.095", "lr2": "1.054"}),
    ("Walkthrough", 2, {"lr1·g1": "0.204", "w1": "−0.520", "w2": "−0.316"}),
    ("Walkthrough", 3, {"β·E1 before": "0.0347", "(1−β)·g1²": "0.009", "E1": "0.0437", "√E1": "0.209", "lr1": "0.479"}),
    ("Walkthrough", 3, {"Adagrad G1": "0.500", "Adagrad G1 / E1": "11×"}),
    ("Walkthrough", 3, {"Adagrad lr1": "0.141", "lr1 / Adagrad lr1": "3.4×"}),
    ("Gradient Flow", 1, {"E1": "0.025", "E2": "0"}),
    ("Gradient Flow", 2, {"g1": "0.4", "g2": "0.3", "β·E1 before": "0.0225", "(1−β)·g1²": "0.016", "E1": "0.0385"}),
    ("Gradient Flow", 2, {"lr1": "0.510", "lr2": "1.054", "Adagrad G1": "0.41", "Adagrad G1 / E1": "11×"}),
    ("Gradient Flow", 2, {"Adagrad lr1": "0.156", "lr1 / Adagrad lr1": "3×"}),
    ("Below Trace Table", 1, {"lr1": "0.632", "Adagrad lr1": "0.200"}),
    ("Below Trace Table", 2, {"lr1": "0.510", "Adagrad lr1": "0.156"}),
    ("Below Trace Table", 3, {"lr1": "0.479", "Adagrad lr1": "0.141"}),
    ("β Sensitivity", 0, {"window, β=0.5": "2", "window, β=0.9": "10", "window, β=0.99": "100"}),
    ("Below Code", 5, {"lr1": "0.319", "Adagrad lr1": "0.105", "lr1 / Adagrad lr1": "3×"}),
    ("Test Your Understanding", 3, {"E1": "0.0437", "Adagrad G1": "0.500"}),
)
"""Numbers in the post's running text: section, step (or the number the quantity depends on), name → as printed."""

SECTIONS = (
    *("Opening", "Adagrad's Problem", "The Fix", "Walkthrough", "Gradient Flow", "Trace Table", "Below Trace Table"),
    *("β Sensitivity", "Code", "Below Code", "Test Your Understanding"),
)
"""Where in the post a number stands, from top to bottom."""

REASONS = {
    ("Opening", "steps with g2 ≠ 0", 5): "0.3 at step 2 and 0.2 at step 4",
    ("Trace Table", "lr2", 1): "0.1/√1e-9; ε inside the root gives 1000",
    ("Code", "lr2", 1): "the same; this code has ε outside",
    ("Code", "E2", 4): "a wrong digit, carried on to the end",
    ("Code", "E1", 5): "as if 0.1·g1 were added, not 0.1·g1²",
    ("Code", "lr1", 5): "from the wrong E1",
    ("Code", "w1", 5): "from the wrong lr1",
    ("Below Code", "lr1", 5): "from the wrong E1",
    ("Below Code", "lr1 / Adagrad lr1", 5): "from the wrong lr1",
}
"""Where a wrong number seems to come from: (section, name, step) → a few words."""


class Quote(NamedTuple):
    """One number as the post prints it."""

    place: str  # one of SECTIONS
    name: str
    step: int
    printed: str


class Misprint(NamedTuple):
    """A quotation that differs from the right value by more than the rounding of its last digit."""

    quote: Quote
    right: float

    @property
    def slip(self) -> bool:
        """Whether only the last digits are off: less than 0.2 % of the right value."""
        return abs(read(self.quote.printed)[0] / self.right - 1) < 0.002


def read(printed: str) -> tuple[float, float]:
    """Value of a printed number and of one unit of its last digit.

    >>> read("~3162"), read("−0.5"), read("3.4×"), read("1%")
    ((3162.0, 1.0), (-0.5, 0.1), (3.4, 0.1), (0.01, 0.01))
    """
    scale = 0.01 if printed.endswith("%") else 1.0
    digits = printed.strip("~×%").replace("−", "-")
    decimals = len(digits.partition(".")[2])
    return float(digits) * scale, 10.0**-decimals * scale


def agrees(printed: str, right: float) -> bool:
    """Whether `printed` is `right`, rounded; a tie may go either way."""
    value, unit = read(printed)
    return abs(value - right) <= 0.5 * unit * (1 + 1e-6)


def table(run: Trace) -> Array:
    """The columns g1 g2 E1 E2 lr1 lr2 w1 w2 of a trace, [T, 8]."""
    return np.hstack([GRADIENTS, run.E, run.lr, run.theta])


def right_columns() -> dict[str, Array]:
    """The right value at each of the five steps [T] of everything the post prints for a step: name → column."""
    post, sums = rmsprop(BETA), adagrad()
    columns = dict(zip(COLUMNS, table(post).T, strict=True))
    for p in range(2):
        before = np.append(0.0, post.E[:-1, p])
        columns |= {f"β·E{p + 1} before": BETA * before, f"(1−β)·g{p + 1}²": (1 - BETA) * GRADIENTS[:, p] ** 2}
        columns |= {f"√E{p + 1}": np.sqrt(post.E[:, p]), f"lr{p + 1}·g{p + 1}": post.lr[:, p] * GRADIENTS[:, p]}
    columns |= {"Adagrad G1": sums.E[:, 0], "Adagrad lr1": sums.lr[:, 0], "Adagrad w1": sums.theta[:, 0]}
    columns |= {"Adagrad G1 / E1": sums.E[:, 0] / post.E[:, 0], "lr1 / Adagrad lr1": post.lr[:, 0] / sums.lr[:, 0]}
    columns |= {"w1 / Adagrad w1": post.theta[:, 0] / sums.theta[:, 0]}
    columns |= {"steps with g2 ≠ 0": np.cumsum(GRADIENTS[:, 1] != 0).astype(np.float64)}
    return columns


def right_values() -> dict[tuple[str, int], float]:
    """The right value of everything the post prints: (name, step, or what else it depends on) → number."""
    values = {(name, t): float(x) for name, column in right_columns().items() for t, x in enumerate(column, 1)}
    values |= {("Adagrad lr / η", t): t**-0.5 for t in (10_000, 100_000)}
    values |= {("weight so many steps back", k): (1 - BETA) * BETA**k for k in (10, 50)}
    for beta in BETA_TABLE:
        values[f"window, β={beta}", 0] = 1 / (1 - beta)
        values |= {(f"w{p + 1}, β={beta}", 5): float(rmsprop(beta).theta[-1, p]) for p in range(2)}
    return values


def quotes() -> list[Quote]:
    """Every number that the post prints and that can be computed, in the post's order."""
    result = [Quote(place, name, step, x) for place, step, numbers in PROSE for name, x in numbers.items()]
    for place, rows in (("Trace Table", TRACE_TABLE), ("Code", CODE_OUTPUT)):
        result += [Quote(place, name, t, x) for t, row in enumerate(rows, 1) for name, x in zip(COLUMNS, row, strict=True)]
    for beta, ends in BETA_TABLE.items():
        result += [Quote("β Sensitivity", f"w{p + 1}, β={beta}", 5, ends[p]) for p in range(2)]
    return sorted(result, key=lambda quote: SECTIONS.index(quote.place))


def misprints() -> list[Misprint]:
    """The quotations that are wrong beyond rounding, with their right values."""
    right = right_values()
    return [Misprint(q, right[q.name, q.step]) for q in quotes() if not agrees(q.printed, right[q.name, q.step])]
