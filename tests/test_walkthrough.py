"""The numbers that `rl-rmsprop walkthrough` prints, against torch.optim and against numbers worked out by hand."""

from __future__ import annotations

import builtins
import math
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from rl_rmsprop import rules, schedules
from rl_rmsprop.walkthrough import equations
from rl_rmsprop.walkthrough import page as written
from rl_rmsprop.walkthrough import printed as post

Make = Callable[[list[torch.Tensor]], torch.optim.Optimizer]

WRONG = {
    ("Opening", "steps with g2 ≠ 0", 5): ("1", "2"),
    ("Trace Table", "lr2", 1): ("~3162", "1e7"),
    ("β Sensitivity", "w1, β=0.5", 5): ("-1.6321", "-0.5488"),
    ("β Sensitivity", "w2, β=0.5", 5): ("-0.9474", "-0.2546"),
    ("β Sensitivity", "w1, β=0.9", 5): ("-1.0632", "-1.0081"),
    ("β Sensitivity", "w2, β=0.9", 5): ("-0.6321", "-0.5045"),
    ("β Sensitivity", "w1, β=0.99", 5): ("-0.3162", "-3.0593"),
    ("β Sensitivity", "w2, β=0.99", 5): ("-0.3157", "-1.5586"),
    ("Code", "lr2", 1): ("3162.3", "1e7"),
    ("Code", "E2", 4): ("0.0133", "0.0113"),
    ("Code", "lr2", 4): ("0.8672", "0.9411"),
    ("Code", "w2", 4): ("-0.4896", "-0.5045"),
    ("Code", "E1", 5): ("0.0979", "0.0739"),
    ("Code", "E2", 5): ("0.0120", "0.0102"),
    ("Code", "lr1", 5): ("0.3194", "0.3680"),
    ("Code", "lr2", 5): ("0.9129", "0.9920"),
    ("Code", "w1", 5): ("-0.9887", "-1.0081"),
    ("Code", "w2", 5): ("-0.4896", "-0.5045"),
    ("Below Code", "lr1", 5): ("0.319", "0.3680"),
    ("Below Code", "lr1 / Adagrad lr1", 5): ("3×", "3.5102"),
}
"""Wrong numbers of the post and the right ones, from torch's float64 traces: (section, name, step) → (post, right)."""

SLIPS = {
    ("Trace Table", "w1", 3): ("−0.663", "-0.6637"),
    ("Code", "lr1", 2): ("0.5099", "0.5096"),
    ("Code", "w1", 2): ("-0.5205", "-0.5201"),
    ("Code", "lr1", 3): ("0.4784", "0.4786"),
    ("Code", "lr1", 4): ("0.3945", "0.3944"),
}
"""Numbers of the post that are off in the last digits only."""

RIGHT = {
    ("Trace Table", "w2", 3): "−0.316",
    ("Code", "lr1", 1): "0.6325",
    ("Code", "E1", 3): "0.0437",
    ("Code", "w1", 3): "-0.6637",
    ("Code", "E1", 4): "0.0643",
    ("Code", "w1", 4): "-0.8609",
    ("Below Code", "Adagrad lr1", 5): "0.105",
    ("Walkthrough", "Adagrad G1 / E1", 3): "11×",
    ("Walkthrough", "lr1 / Adagrad lr1", 3): "3.4×",
    ("Gradient Flow", "lr1 / Adagrad lr1", 2): "3×",
    ("Adagrad's Problem", "Adagrad lr / η", 10_000): "1%",
    ("Adagrad's Problem", "Adagrad lr / η", 100_000): "0.3%",
    ("The Fix", "weight so many steps back", 10): "0.035",
}
"""Numbers that the post has right, some of them only within rounding."""


def torch_thetas(make: Make) -> np.ndarray:
    """Parameters [T, P] of a torch optimizer on the five gradients, from 0, in float64."""
    theta = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = make([theta])
    rows = []
    for g in equations.GRADIENTS:
        theta.grad = torch.tensor(g)
        optimizer.step()
        rows.append(theta.detach().numpy().copy())
    return np.stack(rows)


def rmsprop_steps(beta: float, before: float, after: float, updates: int) -> np.ndarray:
    """Step lengths of torch's RMSprop, in steady steps, after |g| has gone from `before` (steady state) to `after`."""
    theta = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.RMSprop([theta], lr=1.0, alpha=beta, eps=0.0)
    theta.grad = torch.full_like(theta, before)
    optimizer.step()
    optimizer.state[theta]["square_avg"].fill_(before**2)
    places = [theta.item()]
    for _ in range(updates):
        theta.grad = torch.full_like(theta, after)
        optimizer.step()
        places.append(theta.item())
    return -np.diff(places)


def listed(found: list[post.Misprint]) -> dict[tuple[str, str, int], tuple[str, str]]:
    """Misprints in the form of WRONG."""
    return {(q.place, q.name, q.step): (q.printed, written.number(right, 0 if right.is_integer() else 4)) for q, right in found}


@pytest.fixture(scope="module")
def page() -> str:
    return written.walkthrough()


# The update and its relatives ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.99])
def test_the_trace_is_that_of_torch_rmsprop(beta: float) -> None:
    """A trace that is wrong in the same way as the post's would certify its misprints."""
    expected = torch_thetas(lambda p: torch.optim.RMSprop(p, lr=0.1, alpha=beta, eps=1e-8))
    np.testing.assert_allclose(equations.rmsprop(beta).theta, expected, rtol=1e-12)


@pytest.mark.parametrize("beta", [0.5, 0.9, 0.99])
def test_bias_correction_is_that_of_adam_without_momentum(beta: float) -> None:
    """E/w off by one step would still look like a plausible table."""
    expected = torch_thetas(lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.0, beta), eps=1e-8))
    np.testing.assert_allclose(equations.corrected_rmsprop(beta).theta, expected, rtol=1e-12)


def test_adagrad_is_that_of_torch() -> None:
    """The comparison would be with something else than Adagrad."""
    expected = torch_thetas(lambda p: torch.optim.Adagrad(p, lr=0.1, eps=1e-8))
    np.testing.assert_allclose(equations.adagrad().theta, expected, rtol=1e-12)


def test_beta_of_one_minus_one_over_n_with_step_over_root_n_is_adagrad() -> None:
    """The answer to question 1 would replace one wrong claim by another. ε counts √n times, hence the tolerance."""
    expected = torch_thetas(lambda p: torch.optim.Adagrad(p, lr=0.1, eps=1e-8))
    np.testing.assert_allclose(equations.harmonic_rmsprop().theta, expected, rtol=0, atol=1e-8)


def test_beta_of_one_never_moves_E() -> None:
    """The page says that β = 1 is not Adagrad; the numbers have to agree."""
    assert not equations.rmsprop(1.0).E.any()


def test_the_fifth_step_has_the_numbers_worked_out_by_hand() -> None:
    """PyTorch and this module could both be fed a wrong gradient: E1 = .9(.9(.9(.9·.025+.016)+.009)+.025)+.016."""
    E, lr, theta = (rows[-1] for rows in equations.rmsprop(0.9))
    assert [round(x, 4) for x in (E[0], lr[0], theta[0], theta[1])] == [0.0739, 0.3680, -1.0081, -0.5045]
    assert E[0] == pytest.approx(0.9 * (0.9 * (0.9 * (0.9 * 0.025 + 0.016) + 0.009) + 0.025) + 0.016, rel=1e-14)
    assert E[1] == pytest.approx(0.9 * (0.9 * (0.9 * 0.009) + 0.004), rel=1e-14)


# What an answer says of β ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("beta", "updates"), [(0.5, 6), (0.9, 34), (0.99, 348)])
def test_updates_to_recover_are_those_that_torch_needs(beta: float, updates: int) -> None:
    """The closed form could be one off, or solve for a share of something else."""
    steps = rmsprop_steps(beta, before=1.0, after=0.1, updates=400)
    assert int(np.argmax(steps >= 0.5)) + 1 == updates == equations.updates_to_recover(beta)


@pytest.mark.parametrize("beta", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("rise", [2.0, 10.0, 1e6])
def test_overshoot_is_that_of_torch_and_below_its_bound(beta: float, rise: float) -> None:
    """The bound 1/√(1−β) would be quoted for a quantity that exceeds it."""
    steps = rmsprop_steps(beta, before=1.0, after=rise, updates=30)
    np.testing.assert_allclose([equations.overshoot(beta, rise, n) for n in range(1, 31)], steps, rtol=1e-9)
    assert steps.max() <= 1 / math.sqrt(1 - beta)


@pytest.mark.parametrize("beta", [0.5, 0.9, 0.99])
def test_noise_of_E_is_that_of_a_simulation(beta: float) -> None:
    """A formula for the standard deviation of something else, such as of √E, would go unseen."""
    g2 = np.random.default_rng(0).standard_normal((1500, 2000)) ** 2
    E, levels = np.ones(2000), []
    for square in g2:
        E = beta * E + (1 - beta) * square
        levels.append(E)
    settled = np.stack(levels[700:])
    assert settled.std() / settled.mean() == pytest.approx(equations.noise(beta), rel=0.03)


def test_asymmetric_level_is_that_of_a_simulation() -> None:
    """The price of the asymmetric law would be misquoted. The formula leaves out the scatter of E: 5 % of tolerance."""
    g2 = np.random.default_rng(0).standard_normal((6000, 200)) ** 2
    E, levels = np.full(200, 4.0), []
    for square in g2:
        beta = np.where(square > E, 0.9, 0.999)
        E = beta * E + (1 - beta) * square
        levels.append(E.mean())
    assert np.mean(levels[3000:]) == pytest.approx(equations.asymmetric_level(0.9, 0.999), rel=0.05)
    assert equations.asymmetric_level(0.9, 0.9) == pytest.approx(1.0, rel=1e-9)


@pytest.mark.parametrize("beta", [0.1, 0.99, None])
def test_the_counterexample_is_played_as_torch_plays_it(beta: float | None) -> None:
    """A wrong sign or clip would turn the worst point into the best one."""
    x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    rmsprop = torch.optim.RMSprop([x], lr=0.5, alpha=beta or 0.0, eps=0.0)
    optimizer = torch.optim.Adagrad([x], lr=0.5, eps=0.0) if beta is None else rmsprop
    for t in range(1, 301):
        if beta is not None:
            optimizer.param_groups[0]["lr"] = 0.5 / math.sqrt(t)
        x.grad = torch.full_like(x, 3.0 if t % 3 == 1 else -1.0)
        optimizer.step()
        with torch.no_grad():
            x.clamp_(-1, 1)
    assert equations.rare_large_gradient(beta, updates=300) == pytest.approx(x.item(), abs=1e-9)


# Misprints ------------------------------------------------------------------------------------------------------------


def test_every_misprint_is_listed_and_nothing_else() -> None:
    """A misprint left out reads as a confirmation; a right number listed is a misprint of our own."""
    assert listed(post.misprints()) == WRONG | SLIPS


def test_wrong_numbers_and_wrong_last_digits_are_told_apart() -> None:
    """A slip in the fourth digit among wrong numbers would bury them."""
    assert listed([m for m in post.misprints() if m.slip]) == SLIPS


@pytest.mark.parametrize("key", RIGHT, ids=str)
def test_a_right_number_is_checked_and_not_listed(key: tuple[str, str, int]) -> None:
    """A number that is never compared is not listed either."""
    assert post.Quote(*key, RIGHT[key]) in post.quotes()
    assert key not in listed(post.misprints())


@pytest.mark.parametrize(
    ("printed", "right", "verdict"),
    [
        ("0.0437", 0.04365, True),
        ("0.0436", 0.04365, True),
        ("0.105", 0.10483, True),
        ("1%", 0.01, True),
        ("0.3%", 0.0031623, True),
        ("3×", 3.4999, True),
        ("3×", 3.5102, False),
        ("~3162", 1e7, False),
        ("−0.663", -0.66368, False),
        ("0.4784", 0.47864, False),
        ("-0.3162", 0.3162, False),
    ],
)
def test_only_rounding_of_the_last_digit_is_forgiven(printed: str, right: float, verdict: bool) -> None:
    """A tolerance too wide hides misprints, one too narrow invents them; a lost sign would hide behind either."""
    assert post.agrees(printed, right) is verdict


def test_the_post_tables_are_quoted_in_full() -> None:
    """A table row left out would be a table row not checked."""
    assert (len(post.TRACE_TABLE), len(post.CODE_OUTPUT), len(post.BETA_TABLE)) == (3, 5, 3)
    assert {len(row) for row in post.TRACE_TABLE + post.CODE_OUTPUT} == {8}
    assert len(set(post.quotes())) == len(post.quotes()) == 133
    assert set(post.REASONS) <= set(WRONG)


# The page -------------------------------------------------------------------------------------------------------------


def test_the_page_shows_every_misprint_beside_the_right_number(page: str) -> None:
    """The list could be right and its table cut off, sorted apart, or overwritten by a note."""
    for (place, name, step), (printed, right) in (WRONG | SLIPS).items():
        row = rf"^  {re.escape(place)} +{re.escape(name)} +{step} +{re.escape(printed)} +{re.escape(right)}( |$)"
        assert re.search(row, page, re.MULTILINE), (place, name, step)


def test_the_five_step_trace_marks_what_the_post_prints_differently(page: str) -> None:
    """Stars one column off would accuse the right numbers."""
    rows = [line.split() for line in page.splitlines() if re.match(r"  +[1-5]  0\.[345]  ", line)]
    assert [len(row) for row in rows] == [9] * 8
    for t, row in enumerate(rows[3:], 1):
        starred = {name for name, cell in zip(post.COLUMNS, row[1:], strict=True) if cell.endswith("*")}
        assert starred == {name for place, name, step in WRONG | SLIPS if (place, step) == ("Code", t)}


@pytest.mark.parametrize(
    "line",
    [
        "5 0.4 0.0 0.0739* 0.0102* 0.3680* 0.9920* -1.0081* -0.5045*",
        "5 0.9100 0.1300 0.1048 0.2774 -0.3046 -0.1555",
        "0.50 -1.6321 -0.9474 -0.5488 -0.2546 -0.4823 -0.2320",
        "0.90 -1.0632 -0.6321 -1.0081 -0.5045 -0.4734 -0.2482",
        "0.99 -0.3162 -0.3157 -3.0593 -1.5586 -0.4713 -0.2519",
        "lr2 at step 1 is 1e7 with ε outside, 1000 with ε inside",
        "348 updates",
        "0.03125 + 0.04000 + 0.04500 = 0.11625",
        "β_n = 1 − 1/n",
        "cusum:arl=50000,max=0.99",
        "asymmetric:rise=0.9,fall=0.999",
    ],
)
def test_the_page_says_what_was_computed_elsewhere(page: str, line: str) -> None:
    """Rows worked out with torch (Adam with β₁ = 0 for the corrected ones) and by hand; a swapped column would show."""
    assert " ".join(line.split()) in " ".join(page.split())


def test_the_page_fits_into_a_hundred_columns_and_has_no_stray_spaces(page: str) -> None:
    """A wrapped table cannot be read."""
    lines = page.split("\n")
    assert max(map(len, lines)) <= 100
    assert lines == [line.rstrip() for line in lines]
    assert page == page.rstrip() + "\n"


def test_the_page_answers_five_questions(page: str) -> None:
    """An answer dropped from the list would leave four that look complete."""
    answers = page[page.index('6. "Test Your Understanding"') :]
    assert re.findall(r"^([1-9])\. ", answers, re.MULTILINE) == ["6", "1", "2", "3", "4", "5"]


def test_every_rule_on_the_page_is_one_that_the_package_takes(page: str) -> None:
    """A renamed key would leave the student with a text that is refused."""
    texts = set(re.findall(r"\b(?:linear|harmonic|cusum|asymmetric):[a-z]\S*[0-9]", page))
    assert len(texts) == 4
    for text in texts:
        rules.parse(text)


@pytest.mark.parametrize(("space", "half_way", "window"), [("beta", "0.745", "3.9"), ("window", "0.929", "14.1")])
def test_the_schedule_is_half_way_where_the_page_says(page: str, space: str, half_way: str, window: str) -> None:
    """The answer describes the package's own schedule: it must not drift from it."""
    beta = schedules.Linear(0.5, 0.99, steps=101, space=space)(torch.tensor(51.0, dtype=torch.float64)).item()
    assert (f"{beta:.3f}", f"{1 / (1 - beta):.1f}") == (half_way, window)
    assert re.search(rf"at {half_way}( half-way)?, a window of {window}", " ".join(page.split()))


def test_the_page_reads_no_file(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would work here and fail where the package is installed alone. Two calls give the same text."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"open{args}")

    monkeypatch.setattr(builtins, "open", refuse)
    assert written.walkthrough() == page


def test_the_page_needs_no_torch() -> None:
    """Two seconds of import for a page of text."""
    code = "import sys, rl_rmsprop.walkthrough.page as w; w.walkthrough(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
