"""The text that `rl-rmsprop walkthrough` prints."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence

import numpy as np

from rl_rmsprop.walkthrough.equations import (
    BETA,
    EPS,
    GRADIENTS,
    LR,
    STEPS,
    adagrad,
    asymmetric_level,
    corrected_rmsprop,
    harmonic_rmsprop,
    noise,
    overshoot,
    rare_large_gradient,
    rmsprop,
    updates_to_recover,
)
from rl_rmsprop.walkthrough.printed import BETA_TABLE, CODE_OUTPUT, COLUMNS, REASONS, Misprint, misprints, quotes, table

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


def misprint_grid(listed: Iterable[Misprint]) -> str:
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
        for q, x in listed
    ]
    return grid(["section", "what", "step", "post", "right", "note"], rows, left=(0, 1, 5))


def list_of_misprints() -> str:
    """Every disagreement: wrong numbers, wrong last digits, wrong words."""
    wrong = misprints()
    return section(
        "5. Misprints of the post",
        paragraph(
            f"Of {len(quotes())} printed numbers that can be computed, {len(wrong)} are wrong by more than rounding. Wrong "
            "numbers:"
        ),
        misprint_grid(m for m in wrong if not m.slip),
        "Wrong in the last digits only, mostly from rounding on the way:",
        misprint_grid(m for m in wrong if m.slip),
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
