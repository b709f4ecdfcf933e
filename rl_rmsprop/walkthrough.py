"""The numbers of the post ("RMSProp", Mohammed Vasim, 2026) computed again: what `rl-rmsprop walkthrough` prints.

    E ← βE + (1−β)g²      w ← βw + (1−β)      θ ← θ − lr · g / (√Ê + ε)      Ê = E (the post), or E/w (bias correction)

Two parameters receive five gradients that do not depend on θ, so a whole trace is a few array operations: axes [T, P], T = 5
updates, P = 2 parameters. The post calls the parameters w₁, w₂; here they are θ, since w is the weight that E has received.

Three parts: the update and its relatives; the numbers that the post prints, as quotations, each compared with its right value;
and the text. All arithmetic is float64.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

GRADIENTS: Array = np.array([[0.5, 0.0], [0.4, 0.3], [0.3, 0.0], [0.5, 0.2], [0.4, 0.0]])  # [T, P]
LR, BETA, EPS = 0.1, 0.9, 1e-8
STEPS = np.arange(1, len(GRADIENTS) + 1)


# The update and its relatives ------------------------------------------------------------------------------------------


class Trace(NamedTuple):
    """What five updates leave behind, row by row."""

    E: Array  # [T, P] what stands under the root: E, E/w, or Adagrad's sum G
    lr: Array  # [T, P] effective learning rate lr / (√E + ε)
    theta: Array  # [T, P] parameters after the update, from 0


def trace(E: Array, lr: ArrayLike = LR) -> Trace:
    """The updates that `E` [T, P] leads to; `lr` is a number or [T, 1]. ε is outside the root, as in the post's code."""
    effective_lr = np.asarray(lr) / (np.sqrt(E) + EPS)
    return Trace(E, effective_lr, -np.cumsum(effective_lr * GRADIENTS, axis=0))


def running_mean(beta: ArrayLike) -> tuple[Array, Array]:
    """E [T, P] and the weight w [T, 1] it has received; `beta` is a number or one per update [T]."""
    E, w = np.zeros_like(GRADIENTS), np.zeros((len(GRADIENTS), 1))
    for t, b in enumerate(np.broadcast_to(beta, len(GRADIENTS))):
        E[t] = b * E[t - 1] + (1 - b) * GRADIENTS[t] ** 2  # row −1 is still zero when t = 0
        w[t] = b * w[t - 1] + (1 - b)
    return E, w


def rmsprop(beta: ArrayLike, lr: ArrayLike = LR) -> Trace:
    """RMSProp as in the post: E starts at 0 and is not corrected for it."""
    return trace(running_mean(beta)[0], lr)


def corrected_rmsprop(beta: ArrayLike) -> Trace:
    """RMSProp with Ê = E/w, the mean of the squared gradients seen so far."""
    E, w = running_mean(beta)
    return trace(E / w)


def adagrad() -> Trace:
    """Adagrad: G, the sum of all squared gradients, in place of E."""
    return trace(np.cumsum(GRADIENTS**2, axis=0))


def harmonic_rmsprop() -> Trace:
    """RMSProp with β_n = 1 − 1/n and step size lr/√n: Adagrad, since E is then the mean of g² and n·E its sum G."""
    return rmsprop(1 - 1 / STEPS, LR / np.sqrt(STEPS)[:, None])


def updates_to_recover(beta: float, fall: float = 0.1, share: float = 0.5) -> int:
    """Updates after |g| has dropped to `fall`·|g|, in the steady state, until the step is `share` of its steady size.

    With |g| = 1 before, E_n = β^n + (1 − β^n)·fall² and the step in steady steps is fall/√E_n; solved for the first n ≥ 1.
    """
    target = (fall / share) ** 2
    return max(1, math.ceil(math.log((target - fall**2) / (1 - fall**2)) / math.log(beta)))


def overshoot(beta: float, rise: float = 10.0, n: int = 1) -> float:
    """Step, in steady steps, at the n-th update after |g| has grown `rise` times; below 1/√(1 − β) whatever the rise."""
    return rise / math.sqrt(beta**n + (1 - beta**n) * rise**2)


def noise(beta: float) -> float:
    """Standard deviation of E relative to its mean for independent Gaussian gradients: √(2(1−β)/(1+β))."""
    return math.sqrt(2 * (1 - beta) / (1 + beta))


def asymmetric_level(rise: float, fall: float) -> float:
    """Where E settles, in units of mean g², when β is `rise` where g² > E and `fall` elsewhere; Gaussian gradients.

    The root of (1−rise)·mean max(g² − E, 0) = (1−fall)·mean max(E − g², 0), by bisection; E's own scatter is left out.
    """
    low, high = 1.0, 1000.0
    for _ in range(60):
        E = (low + high) / 2
        s = math.sqrt(E)
        tail = math.erfc(s / math.sqrt(2))  # P(g² > E)
        above = tail + 2 * s * math.exp(-E / 2) / math.sqrt(2 * math.pi) - E * tail  # mean max(g² − E, 0)
        rising = (1 - rise) * above > (1 - fall) * (above + E - 1)
        low, high = (E, high) if rising else (low, E)
    return low


def rare_large_gradient(beta: float | None, updates: int = 3000, lr: float = 0.5) -> float:
    """Last x of RMSProp (Adagrad where beta is None) on losses 3x, −x, −x, 3x, …, x in [−1, 1]; the best x is −1.

    Step size lr/√t for RMSProp; no ε. The example of Reddi, Kale & Kumar 2018, "On the convergence of Adam and beyond", § 3.
    """
    x, E = 0.0, 0.0
    for t in range(1, updates + 1):
        g = 3.0 if t % 3 == 1 else -1.0
        E = E + g * g if beta is None else beta * E + (1 - beta) * g * g
        x -= (lr if beta is None else lr / math.sqrt(t)) * g / math.sqrt(E)
        x = min(1.0, max(-1.0, x))
    return x


# What the post prints --------------------------------------------------------------------------------------------------

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
    found = [Quote(place, name, step, x) for place, step, numbers in PROSE for name, x in numbers.items()]
    for place, rows in (("Trace Table", TRACE_TABLE), ("Code", CODE_OUTPUT)):
        found += [Quote(place, name, t, x) for t, row in enumerate(rows, 1) for name, x in zip(COLUMNS, row, strict=True)]
    for beta, ends in BETA_TABLE.items():
        found += [Quote("β Sensitivity", f"w{p + 1}, β={beta}", 5, ends[p]) for p in range(2)]
    return sorted(found, key=lambda quote: SECTIONS.index(quote.place))


def misprints() -> list[Misprint]:
    """The quotations that are wrong beyond rounding, with their right values."""
    right = right_values()
    return [Misprint(q, right[q.name, q.step]) for q in quotes() if not agrees(q.printed, right[q.name, q.step])]


# The text --------------------------------------------------------------------------------------------------------------

WIDTH = 96


def paragraph(text: str, indent: str = "") -> str:
    """`text` wrapped to the width of the page; lines after the first start with `indent`."""
    return textwrap.fill(" ".join(text.split()), WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def section(title: str, *blocks: str) -> str:
    """A title with a rule under it, and blocks with an empty line between them."""
    return "\n\n".join([f"{title}\n{'-' * len(title)}", *blocks])


def number(x: float, decimals: int = 4) -> str:
    """`x` with that many decimals, or as a power of ten where it is 10 000 or more, or tiny.

    >>> number(0.04365), number(-0.0), number(9999999.99), number(1e-8)
    ('0.0437', '0.0000', '1e7', '1e-8')
    """
    if abs(x) >= 1e4 or 0 < abs(x) < 1e-6:
        return f"{x:.0e}".replace("e+0", "e").replace("e-0", "e-")
    return f"{x * (1 + 1e-12) + 0.0:.{decimals}f}"  # float64 puts the tie 0.04365 just below; by hand it rounds up


def grid(header: Sequence[str], rows: Iterable[Sequence[str]], left: tuple[int, ...] = ()) -> str:
    """A table with columns as wide as they need to be; columns in `left` are flush left, the others flush right."""
    cells = [list(header), *(list(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    aligned = [
        [c.ljust(k) if i in left else c.rjust(k) for i, (c, k) in enumerate(zip(row, widths, strict=True))] for row in cells
    ]
    return "\n".join(("  " + "  ".join(row)).rstrip() for row in aligned)


def opening() -> str:
    """What is computed, and from what."""
    return section(
        "RMSProp by hand: the numbers of the post, computed again",
        paragraph(
            'The post is "RMSProp" by Mohammed Vasim (2026). Two parameters start at 0 and receive five gradients: w1 at every '
            f"step, w2 only at steps 2 and 4. η = {LR}, β = {BETA}, ε = {number(EPS)}."
        ),
        "  E ← β·E + (1−β)·g²          lr = η / (√E + ε)          w ← w − lr·g",
        "A star marks a number that the post prints differently; section 5 lists them all.",
    )


def trace_grid(steps: int, decimals: int, place: str) -> str:
    """The first `steps` rows of the trace; * marks what the post prints differently in its section `place`."""
    wrong = {(m.quote.name, m.quote.step) for m in misprints() if m.quote.place == place}
    digits = {"g1": 1, "g2": 1, "E1": 4, "E2": 4}
    rows = [
        [
            f"{t}",
            *(number(x, digits.get(k, decimals)) + ("*" if (k, t) in wrong else " ") for k, x in zip(COLUMNS, row, strict=True)),
        ]
        for t, row in enumerate(table(rmsprop(BETA))[:steps], 1)
    ]
    return grid(["step", *(name + " " for name in COLUMNS)], rows)


def traces() -> str:
    """The three and the five steps of the post."""
    return section(
        "1. The trace",
        'Three steps, as in the post\'s "Trace Table":',
        trace_grid(3, 3, "Trace Table"),
        'Five steps, as in the output of the post\'s "Code":',
        trace_grid(5, 4, "Code"),
        paragraph(
            "lr1 falls and will settle near η/|g1|. lr2 grows in every step without a gradient, because E2 fades by the factor β."
        ),
    )


def where_eps_goes() -> str:
    """The two formulas of the post."""
    E2 = rmsprop(BETA).E[0, 1]
    outside, inside = LR / (math.sqrt(E2) + EPS), LR / math.sqrt(E2 + EPS)
    return section(
        "2. Where ε goes",
        paragraph(
            "The post's formula has ε inside the root, η/√(E + ε); its code has it outside, η/(√E + ε). Where E = 0 they "
            f"differ: lr2 at step 1 is {number(outside)} with ε outside, {number(inside, 0)} with ε inside, and in neither "
            "case the 3162 that the post prints. It does no harm here, since it multiplies g2 = 0. Where E is not 0 both "
            "forms agree to the digits shown. PyTorch puts ε outside, and so does this package by default; inside, "
            f"{number(EPS)} bounds lr as {number(math.sqrt(EPS), 4)} would outside."
        ),
    )


def beside_adagrad() -> str:
    """Adagrad's trace, and what of its difference to RMSProp is the start at E = 0."""
    post, mean, sums = rmsprop(BETA), corrected_rmsprop(BETA), adagrad()
    header = ["step", "G1", "G2", "lr1", "lr2", "w1", "w2"]
    rows = [[f"{t}", *map(number, (*sums.E[i], *sums.lr[i], *sums.theta[i]))] for i, t in enumerate(STEPS)]
    rates = np.stack([sums.lr[:, 0], post.lr[:, 0], post.lr[:, 0] / sums.lr[:, 0], mean.lr[:, 0]], axis=1)
    ratio, start = sums.E[2, 0] / post.E[2, 0], mean.E[2, 0] / post.E[2, 0]
    return section(
        "3. Beside Adagrad",
        "Adagrad: G is the sum of all g², lr = η/(√G + ε).",
        grid(header, rows),
        "lr1 of both; the last column is RMSProp with bias correction, Ê = E/w, w = 1 − β^step:",
        grid(
            ["step", "Adagrad", "RMSProp", "ratio", "with E/w"], [[f"{t}", *map(number, row)] for t, row in enumerate(rates, 1)]
        ),
        paragraph(
            f"At step 5 the post compares lr1 = 0.319 with Adagrad's {number(sums.lr[4, 0], 3)}; right is "
            f"{number(post.lr[4, 0], 3)}, so RMSProp's is {number(rates[4, 2], 1)}× larger, not 3×."
        ),
        paragraph(
            f"Much of the difference is not the window but the start. At step 3 Adagrad's G1 is {ratio:.1f}× RMSProp's E1, as "
            f"the post says. But E1 has by then received only w = 1 − β³ = {1 - BETA**3:.3f} of its weight, which alone makes "
            f"{start:.1f}×. The remaining {ratio / start:.1f}× is a sum of 3 numbers against their mean; the window has "
            "hardly begun to forget. The last column divides the start out: at step 1 it is Adagrad's "
            f"{number(mean.lr[0, 0], 3)}, and the 3× of the post's first step is 1/√(1−β) = {1 / math.sqrt(1 - BETA):.2f}."
        ),
    )


def beta_sensitivity() -> str:
    """The post's β table beside the right one, without and with bias correction."""
    ends = np.stack([np.hstack([rmsprop(b).theta[-1], corrected_rmsprop(b).theta[-1]]) for b in BETA_TABLE])  # [β, 4]
    rows = [
        [f"{b:.2f}", *printed, *map(number, row), f"{1 / math.sqrt(1 - b):.2f}×"]
        for (b, printed), row in zip(BETA_TABLE.items(), ends, strict=True)
    ]
    spread = np.abs(ends).max(axis=0) / np.abs(ends).min(axis=0)
    return section(
        "4. How much β matters",
        "After 5 steps, as the post prints it, right, and with bias correction:",
        grid(["β", "post: w1", "w2", "right: w1", "w2", "with E/w: w1", "w2", "1/√(1−β)"], rows),
        paragraph(
            "All six numbers of the post's table are wrong, and so is their order: without bias correction a larger β moves "
            f"farther at the start, not less far. The row β = 0.9 also contradicts the post's own trace, {CODE_OUTPUT[4][6]} "
            f"and {CODE_OUTPUT[4][7]}."
        ),
        paragraph(
            "Why: E starts at 0, so the first step is η/√(1−β), the last column in units of η. A large β is a hidden warm-up "
            f"run backwards: the longest steps come first. It makes w1 differ {spread[0]:.1f}× between β = 0.5 and 0.99, w2 "
            f"{spread[1]:.1f}×. Divide it out, Ê = E/w, and {spread[2]:.2f}× and {spread[3]:.2f}× are left. Compare values of "
            "β with bias correction on, or you compare warm-ups."
        ),
    )


def misprint_grid(found: Iterable[Misprint]) -> str:
    """Section, quantity, the post's number, the right one, and where the wrong one may come from."""
    rows = [
        [
            q.place,
            q.name,
            f"{q.step}",
            q.printed,
            number(x, 0 if x.is_integer() else 4),
            REASONS.get((q.place, q.name, q.step), ""),
        ]
        for q, x in found
    ]
    return grid(["section", "what", "step", "post", "right", "note"], rows, left=(0, 1, 5))


def list_of_misprints() -> str:
    """Every disagreement: wrong numbers, wrong last digits, wrong words."""
    found = misprints()
    return section(
        "5. Misprints of the post",
        paragraph(
            f"Of {len(quotes())} printed numbers that can be computed, {len(found)} are wrong by more than rounding. Wrong "
            "numbers:"
        ),
        misprint_grid(m for m in found if not m.slip),
        "Wrong in the last digits only, mostly from rounding on the way:",
        misprint_grid(m for m in found if m.slip),
        "Wrong or misleading in words:",
        *(paragraph(f"* {claim}", "  ") for claim in wrong_claims()),
    )


def wrong_claims() -> tuple[str, ...]:
    """What the post says in words, and what is so."""
    registered, all_but_a_hundredth = 1 - 0.99**100, math.ceil(math.log(0.01) / math.log(0.99))
    calm = next(n for n in range(1, 1000) if overshoot(0.99, n=n) <= 2)
    return (
        'The Fix: "η / √(E[g²]_t + ε)" is not the formula of the code, "eta / (np.sqrt(E) + eps)" (section 2).',
        'The Fix: "β = 0.9 (default)": so in Keras; in PyTorch and in this package β is called alpha and its default is 0.99.',
        'Walkthrough: "11× smaller because it doesn\'t carry the full sum", "3.4× larger because the effective learning rate '
        'stabilizes": the larger part of both is the start at E = 0 (section 3).',
        "β Sensitivity: the order of the table; the larger β is, the longer the first steps are (section 4).",
        'β Sensitivity: "a new pattern takes 100 steps to fully register" with β = 0.99: after 100 steps '
        f"{registered:.0%} of it is in E; 99% takes {all_but_a_hundredth}.",
        'Honest Limitations: with β = 0.99 a "sudden increase … takes 100 steps to register": it is the side that registers '
        f"fast, since the large g² enters E itself. After a tenfold rise the first step is {overshoot(0.99):.1f}× the steady "
        f"one, from the {calm}th on at most 2×. The slow side is a tenfold fall: {updates_to_recover(0.99)} updates until "
        "half the step is back.",
        'Test Your Understanding: "when β=1, RMSProp reduces to Adagrad": with β = 1 E never moves (question 1).',
    )


def question_1() -> str:
    """β = 1 and β = 0."""
    gap = np.abs(harmonic_rmsprop().theta - adagrad().theta).max()
    sign = rmsprop(0.0)
    rates = ", ".join(number(x, 3) for x in sign.lr[:, 0])
    return (
        "β = 1 and β = 0. With β = 1, E ← E: it stays 0 for ever, and the effective learning rate is η/ε = "
        f"{number(LR / EPS)}. That is not Adagrad. Adagrad is β_n = 1 − 1/n with step size η/√n: E is then the mean of all g² "
        f"and n·E their sum G, so (η/√n)/√E = η/√G. On the five steps the weights of the two agree to {number(gap)} (ε is all "
        "that differs). With β = 0, E = g² and the step is η·g/|g|: sign descent. The effective learning rate is η/|g|, here "
        f"{rates} for w1, and the weights after 5 steps are {number(sign.theta[-1, 0], 1)} and "
        f"{number(sign.theta[-1, 1], 1)}: η times the number of gradients that are not 0."
    )


def question_2() -> str:
    """E1 at step 3 for β = 0.9 and 0.5, and the share of the first gradient in it."""
    g2, age = GRADIENTS[:3, 0] ** 2, np.array([2, 1, 0])
    slow, fast = ((1 - b) * b**age * g2 for b in (BETA, 0.5))
    w_slow, w_fast = 1 - BETA**3, 1 - 0.5**3
    sum_slow, sum_fast = (" + ".join(f"{x:.5f}" for x in parts) for parts in (slow, fast))
    return (
        f"E1 at step 3. β = 0.9: {sum_slow} = {slow.sum():.5f}, the post's 0.0437. β = 0.5: {sum_fast} = {fast.sum():.5f}. "
        f"The share of step 1 in E1 falls from {slow[0] / slow.sum():.0%} to {fast[0] / fast.sum():.0%}. In absolute terms it "
        f"grows ({slow[0]:.5f} to {fast[0]:.5f}), because with β = 0.5 E has by then received w = {w_fast:.3f} of its weight, "
        f"with 0.9 only {w_slow:.3f}; Ê = E/w is {fast.sum() / w_fast:.4f} and {slow.sum() / w_slow:.4f}."
    )


def question_3() -> str:
    """The steady state, and Adam's."""
    fast, slow = (math.ceil(math.log(0.01) / math.log(beta)) for beta in (BETA, 0.999))
    return (
        "Steady state. With constant |g|, E → g² and the effective learning rate → η/|g|: for |g| = 0.4 it is "
        f"{LR / 0.4:.2f}. Adam's is the same, since its bias correction 1 − β^t → 1: 99% of the way after {fast} updates with "
        f"β = 0.9, {slow} with Adam's usual 0.999. Before that they differ: after 10 updates of a constant gradient RMSProp's "
        f"step is still {1 / math.sqrt(1 - BETA**10):.2f}× the steady one, Adam's is right from the first. And Adam "
        "multiplies by the running mean of g, not by g: the same for a constant gradient, a shorter step for a noisy one."
    )


def question_4() -> str:
    """What theory says, by a three-line counterexample."""
    short, long, sums = (rare_large_gradient(beta) for beta in (0.1, 0.99, None))
    return (
        "Without a paper. An idea spreads by word of mouth if it takes three lines to try and helps at once. Theory came "
        "years later, with a counterexample (Reddi, Kale & Kumar 2018): losses 3x, −x, −x in turn, x in [−1, 1], best x = "
        f"−1. After 3000 updates with step size 0.5/√t RMSProp with β = 0.1 is at x = {short:+.2f}, the worst point, because "
        f"it has forgotten the rare large gradient by the next update; with β = 0.99 it is at {long:+.2f}, Adagrad at "
        f"{sums:+.2f}. For every β < 1 some problem breaks RMSProp (the same paper), and for every finite sum of smooth losses "
        "some β is large enough to come near a critical point (Shi et al. 2021): no guarantee for the algorithm, a good one for "
        "the practice of choosing β."
    )


def question_5() -> str:
    """β over time: schedule, detector, law per parameter."""
    half_way, memory = (0.5 + 0.99) / 2, math.sqrt(0.5 * 0.01)
    level = asymmetric_level(0.9, 0.999)
    return (
        "β over time. No constant is right (table below). Three answers, each a text that the option --beta takes:\n\n"
        f"a) A schedule, from short to long memory. linear:start=0.5,end=0.99 is at {half_way:.3f} half-way, a window of "
        f"{1 / (1 - half_way):.1f} updates; with space=window added at {1 - memory:.3f}, a window of {1 / memory:.1f}. "
        "harmonic:max=0.99 is 1 − 1/n up to 0.99: E is the plain mean of g² until the window is 100. A schedule knows the time, "
        "not the shift.\n\n"
        "b) A trigger. cusum:arl=50000,max=0.99 watches ln(g²/E), which a tenfold change of |g| moves by "
        f"±{math.log(100):.1f}. An alarm restarts the harmonic schedule: β = 0, so E = g² and the step is full at once, not "
        f"after {updates_to_recover(0.99)} updates; from then on the window is the time since the shift. arl is the mean "
        f"number of updates between false alarms: of stationary runs of 2500 updates about {1 - math.exp(-2500 / 50000):.0%} "
        "see one.\n\n"
        "c) A law per parameter. asymmetric:rise=0.9,fall=0.999 uses β = 0.9 where g² > E, else 0.999: remember at once, "
        f"forget slowly. The price: with Gaussian gradients E settles at {level:.1f}× the mean of g², so steps are "
        f"{1 / math.sqrt(level):.2f}× as long. Compare it at matched step size."
    )


def beta_rules() -> str:
    """What each β costs in noise, after a rise and after a fall of |g|."""
    constants = (0.5, 0.9, 0.99, 0.999)
    costs = {
        b: [f"{noise(b):.2f}", f"{overshoot(b):.2f}", f"{1 / math.sqrt(1 - b):.2f}", f"{updates_to_recover(b)}"]
        for b in constants
    }
    rows = [[f"{b}", *cost] for b, cost in costs.items()]
    rows += [["asymmetric:rise=0.9,fall=0.999", "", *costs[0.9][1:3], costs[0.999][3]]]
    rows += [["0.99, restarted by an alarm", *costs[0.99][:3], "1 after the alarm"]]
    return grid(["β", "noise of E", "|g| × 10: step", "bound", "|g| / 10: updates"], rows, left=(0,))


def questions() -> str:
    """The five questions under the post's "Test Your Understanding"."""
    answers = (question_1(), question_2(), question_3(), question_4(), question_5())
    return section(
        '6. "Test Your Understanding", answered',
        *(paragraph(block, "   ") for i, answer in enumerate(answers, 1) for block in f"{i}. {answer}".split("\n\n")),
        beta_rules(),
        paragraph(
            "Noise of E: standard deviation over mean, independent Gaussian gradients. Step: the first one after |g| has "
            "grown tenfold, in steady steps; 1/√(1−β) bounds it for any rise. Updates: until half the steady step is back "
            "after |g| has fallen to a tenth. A restart helps only from its alarm on."
        ),
    )


def walkthrough() -> str:
    """The post's traces, its comparison with Adagrad, its β table, its misprints and its questions: plain text, ≤ 100 columns."""
    parts = (opening(), traces(), where_eps_goes(), beside_adagrad(), beta_sensitivity(), list_of_misprints(), questions())
    return "\n\n\n".join(parts) + "\n"
