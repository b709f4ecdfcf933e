"""Every rule of the table: the truth in float64, its bounds, what does not matter to it, its text, its curve."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from rl_rmsprop import AdaptiveRMSprop, rules
from rl_rmsprop.cli.views.rules import EXAMPLES, beta_curve
from rl_rmsprop.kernels import equations
from rl_rmsprop.laws import LAWS, PolicyClock
from rl_rmsprop.optimizer import second_moment
from rl_rmsprop.schedules import SCHEDULES
from tests.law_references import Options
from tests.rule_table import ROWS, Row

N, LR = 4, 1e-3

WITH_REFERENCE = {name: row for name, row in ROWS.items() if row.reference is not None}
COMPILED = ("smorms3", "maxva", "adasmooth", "hypergradient")
WITH_KERNEL = {name: (row, None) for name, row in WITH_REFERENCE.items()} | {
    f"{name}, torch": (WITH_REFERENCE[name], "torch") for name in COMPILED
}
each_row = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)


def stream(updates: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Gradients whose scale jumps twentyfold, to a four-hundredth and back, [T, N]."""
    noise = torch.randn(updates, N, generator=torch.Generator().manual_seed(3)) + 0.3
    scales = torch.tensor([1.0, 20.0, 0.05, 3.0]).repeat_interleave(150).repeat(-(-updates // 600))[:updates]
    return (noise * scales.unsqueeze(1)).to(dtype)


def divisor_of(optimizer: AdaptiveRMSprop, p: Parameter) -> Tensor:
    """What has divided the last gradient, float64."""
    group = optimizer.param_groups[0]
    return second_moment.divisor(optimizer.rules[0], equations.slot(p, optimizer.state[p], group), group).double()


@pytest.mark.parametrize("bias_correction", [False, True], ids=["plain", "corrected"])
@pytest.mark.parametrize(
    ("dtype", "updates", "tolerance"), [(torch.float32, 2000, 1e-5), (torch.float64, 460, 2e-9)], ids=["float32", "float64"]
)
@pytest.mark.parametrize(("row", "kernel"), WITH_KERNEL.values(), ids=WITH_KERNEL)
def test_a_law_is_the_one_that_its_authors_wrote(
    row: Row, kernel: str | None, dtype: torch.dtype, updates: int, tolerance: float, bias_correction: bool
) -> None:
    """Silent failure: an arm has the name of a published rule, and does something else."""
    assert row.reference is not None
    divide = row.reference(Options(lr=LR, bias_correction=bias_correction))
    p = Parameter(torch.linspace(-1.0, 1.0, N, dtype=dtype))
    optimizer = AdaptiveRMSprop([p], LR, bias_correction=bias_correction, kernel=kernel, **row.arguments)
    divisors, expected = [], []
    gradients = stream(updates, dtype)
    for n, g in enumerate(gradients, start=1):
        theta = p.detach().double().tolist()
        p.grad = g.clone()
        optimizer.step()
        divisors.append(divisor_of(optimizer, p))
        expected.append(divide(g.double().tolist(), theta, n))
    # Compared as steps: of a gradient whose divisor is 1000 times larger than the rest, a digit less matters.
    steps, wanted = (gradients.double() / x for x in (torch.stack(divisors), torch.tensor(expected, dtype=torch.float64)))
    right = (steps - wanted).abs() <= tolerance * (wanted.abs() + wanted.abs().amax(1, keepdim=True))
    assert right.all(), f"from update {int(right.all(1).int().argmin()) + 1} on"


@pytest.mark.parametrize("name", LAWS)
def test_every_law_has_a_second_account_of_it(name: str) -> None:
    """A law without one is tested against nothing but itself."""
    texts = [str(row.arguments["alpha"]) for row in WITH_REFERENCE.values()]
    others = ("mixture", "coupled")  # tests/test_laws.py, and below
    assert name in others or any(text.partition(":")[0] == name for text in texts)


@each_row
def test_beta_stays_within_its_bounds(row: Row) -> None:
    """Silent failure: a β of 1 by rounding, after which E never changes again."""
    p = Parameter(torch.zeros(N))
    optimizer = AdaptiveRMSprop([p], LR, **row.arguments)
    for g in stream(320):
        p.grad = g
        optimizer.step()
        assert row.low - 1e-6 <= float(optimizer.beta) <= min(row.high + 1e-6, 1 - 1e-9)


def steps_of(row: Row, gradients: Tensor) -> Tensor:
    """The changes of a parameter at each update, [T, N] float64."""
    p = Parameter(torch.zeros(gradients.shape[1], dtype=torch.float64))
    optimizer = AdaptiveRMSprop([p], LR, **{"eps": 0.0 if not row.arguments.get("eps_in_sqrt") else 1e-8, **row.arguments})
    path = [p.detach().clone()]
    for g in gradients:
        p.grad = g.clone()
        optimizer.step()
        path.append(p.detach().clone())
    return torch.stack(path).diff(dim=0)


GRADIENTS = stream(180, torch.float64)  # with one change of scale


@cache
def expected_steps(name: str) -> Tensor:
    """Those with the gradients as they are."""
    return steps_of(ROWS[name], GRADIENTS)


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if not row.has_scale])
def test_the_scale_of_the_loss_does_not_matter(name: str) -> None:
    """Silent failure: a rule works on one reward scale, and on no other."""
    torch.testing.assert_close(steps_of(ROWS[name], GRADIENTS * 64), expected_steps(name), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if not row.has_order])
def test_the_order_of_a_parameters_entries_does_not_matter(name: str) -> None:
    """Silent failure: an entry's neighbours decide how fast it forgets."""
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(steps_of(ROWS[name], GRADIENTS[:, order]), expected_steps(name)[:, order], rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if not row.has_sign])
def test_the_sign_of_the_gradients_only_turns_the_steps_around(name: str) -> None:
    """Silent failure: maximising is another algorithm than minimising."""
    torch.testing.assert_close(steps_of(ROWS[name], -GRADIENTS), -expected_steps(name), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("name", [*LAWS, *SCHEDULES])
def test_a_rule_has_a_text_and_a_curve(name: str) -> None:
    """A rule that `rl-rmsprop rules` cannot show does not exist for a newcomer; tests/test_cli.py draws all examples."""
    kind = {**LAWS, **SCHEDULES}[name]
    rule = rules.parse(kind.example)
    assert rules.parse(rules.text(rule)) == rule
    assert kind.example in EXAMPLES.values()
    curve = beta_curve(kind.example, 50)
    assert ((curve >= 0) & (curve < 1)).all()
    assert name not in LAWS or LAWS[name].source


# What is this package's own ------------------------------------------------------------------------------------------------


def clocked(reported: float, **keys: float) -> float:
    """β of a policy clock that is told this divergence."""
    p = Parameter(torch.zeros(3))
    optimizer = AdaptiveRMSprop([p], LR, PolicyClock(**keys))
    p.grad = torch.ones(3)
    optimizer.observe(kl=reported)
    optimizer.step()
    return float(optimizer.beta)


def test_a_policy_that_stands_still_never_forgets() -> None:
    """Silent failure: E forgets while it waits, as RMSProp's does."""
    assert clocked(0.0, kl=0.02, max=0.999) == 0.999
    p = Parameter(torch.zeros(3))
    optimizer = AdaptiveRMSprop([p], 0.0, "policy_clock:max=0.9999")  # lr 0: the stand-in sees no movement
    for g in stream(50)[:, :3]:
        p.grad = g
        optimizer.step()
        assert float(optimizer.beta) == 0.9999


def test_twice_the_step_is_a_quarter_of_the_window() -> None:
    """The divergence of two policies grows with the square of their distance, and the window is a distance."""
    one, two = (1 / (1 - clocked(reported, kl=1.0, max=0.9999999)) for reported in (1e-4, 4e-4))
    assert one / two == pytest.approx(4, rel=1e-3)


def test_the_stand_in_is_the_second_order_divergence() -> None:
    """Half the sum of squared steps, each in units of what E expects of it, by hand."""
    p = Parameter(torch.tensor([1.0, 2.0]))
    optimizer = AdaptiveRMSprop([p], 0.1, "policy_clock:kl=0.5,max=0.999", bias_correction=True)
    p.grad = torch.tensor([3.0, -4.0])
    optimizer.step()  # β = 0.999; Ê = (9, 16); steps 0.1 each
    p.grad = torch.tensor([3.0, -4.0])
    optimizer.step()
    assert float(optimizer.beta) == pytest.approx(math.exp(-0.5 * (0.01 * 9 + 0.01 * 16) / 0.5), rel=1e-5)


def test_a_clock_of_kl_takes_what_each_run_is_told() -> None:
    """Silent failure: runs share a divergence, or one that is not known stops the others' clocks."""
    p = Parameter(torch.zeros(3, 2))
    optimizer = AdaptiveRMSprop([p], LR, "policy_clock:kl=0.1,max=0.99", runs=3)
    p.grad = torch.ones(3, 2)
    optimizer.observe(kl=torch.tensor([0.05, math.nan, 10.0]))
    optimizer.step()
    assert optimizer.beta.tolist() == pytest.approx([math.exp(-0.5), 0.99, math.exp(-100)])


def test_beta_is_coupled_to_lr() -> None:
    """1 − β = (1 − start)(lr/lr₀)², at most `max`, for each run by its own lr."""
    p = Parameter(torch.zeros(2, 3))
    optimizer = AdaptiveRMSprop([p], torch.tensor([0.1, 0.2]), "coupled:start=0.9,max=0.99,power=2", runs=2)
    seen = []
    for factor in (1.0, 0.5, 0.1):
        optimizer.param_groups[0]["lr"] = torch.tensor([0.1, 0.2 * factor])
        p.grad = torch.ones(2, 3)
        optimizer.step()
        seen.append(optimizer.beta.tolist())
    assert seen[0] == pytest.approx([0.9, 0.9])
    assert seen[1] == pytest.approx([0.9, 1 - 0.1 * 0.25])
    assert seen[2] == pytest.approx([0.9, 0.99])  # 1 − 0.1 · 0.01, beyond the cap


def test_a_hypergradient_finds_the_side_that_is_better() -> None:
    """Gradients of one constant size but for rare outliers: a long memory of an outlier makes steps too short."""
    betas = []
    for outliers in (False, True):
        p = Parameter(torch.zeros(N, dtype=torch.float64))
        optimizer = AdaptiveRMSprop([p], LR, "hypergradient:start=0.9,rate=0.05", bias_correction=True)
        for n in range(400):
            p.grad = torch.full((N,), 10.0 if outliers and n % 20 == 0 else 1.0, dtype=torch.float64)
            optimizer.step()
        betas.append(float(optimizer.beta))
    assert betas[1] < betas[0]
