"""Laws: E itself decides how fast it forgets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import Parameter

from rl_rmsprop import AdaptiveRMSprop
from rl_rmsprop.laws import LAWS, Mixture
from tests import references

torch.set_num_threads(1)

DOUBLE = torch.float64


def fed(alpha: Any, squares: Sequence[Sequence[float]], dtype: torch.dtype = DOUBLE, **arguments: Any) -> list[dict[str, Any]]:
    """What the optimizer holds after each of the updates whose g² are given, [T][N]."""
    p = Parameter(torch.zeros(len(squares[0]), dtype=dtype))
    optimizer = AdaptiveRMSprop([p], alpha=alpha, **arguments)
    seen = []
    for row in squares:
        p.grad = torch.tensor(row, dtype=DOUBLE).sqrt().to(dtype)
        before = p.detach().clone()
        optimizer.step()
        group, state = optimizer.param_groups[0], optimizer.state[p]
        seen.append({
            "E": state["square_avg"].tolist(), "w": state["weight"].tolist(), "weights": group["rule_state"]["mixture"].tolist(),
            "beta": float(group["alpha"]), "change": (before - p.detach()).tolist(),
        })  # fmt: skip
    return seen


def stream(steps: int, N: int = 3, seed: int = 0) -> list[list[float]]:
    """Squares whose scale grows a hundredfold for the middle third."""
    noise = torch.randn(steps, N, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE).square()
    noise[steps // 3 : 2 * steps // 3] *= 100
    return noise.tolist()


def test_a_mixture_by_hand():
    """Two memories, four numbers, worked out on paper: a reference that shares the code's mistake would not notice it.

    The first two updates tell the memories nothing: both means start at the first g². Then v = (4, 3) meets 12, with losses
    ln 4 + 3 = 4.3863 and ln 3 + 4 = 5.0986, so that W₁ = .8/(1 + e^−.7123) + .1 = .6367.
    """
    seen = fed("mixture:betas=0/0.5,share=0.2,rate=1", [[1.0], [4.0], [12.0]], bias_correction=True, eps=0.0)
    assert [s["weights"][0] for s in seen] == pytest.approx([0.5, 0.5, 0.63673], abs=1e-5)
    assert [s["beta"] for s in seen] == pytest.approx([0.25, 0.25, 0.5 * (1 - 0.63673)], abs=1e-5)
    assert [s["w"] for s in seen] == pytest.approx([0.5**0.5, 0.75**0.5, 0.875**0.36327], abs=1e-5)
    E_hat = [s["E"][0] / s["w"] for s in seen]
    assert E_hat == pytest.approx([1.0, 12**0.5, 12**0.63673 * (57 / 7) ** 0.36327], rel=1e-4)


squares = st.floats(1e-6, 1e6)
decays = st.floats(0.0, 0.9999)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(squares, squares), min_size=1, max_size=20),
    st.lists(decays, min_size=2, max_size=4),
    st.floats(0.0, 0.9),
    st.floats(0.05, 5.0),
    st.sampled_from([{}, {"bias_correction": True}, {"initial_accumulator_value": 0.5}]),
    st.sampled_from([1e-8, 0.3]),
)
def test_any_mixture_follows_the_equations(rows, betas, share, rate, options, eps):
    """E, w, weights and step against the slow reference: an error in any of them trains, and looks like a finding."""
    seen = fed(Mixture(tuple(betas), share, rate), rows, lr=1.0, eps=eps, **options)
    E0 = options.get("initial_accumulator_value", 0.0)
    for got, want in zip(seen, references.mixture(rows, betas, share, rate, eps**2, E0), strict=True):
        assert got["E"] == pytest.approx(want.E, rel=1e-6, abs=1e-12)
        assert got["w"] == pytest.approx(want.w, rel=1e-9)
        assert got["weights"] == pytest.approx(want.weights, rel=1e-6, abs=1e-9)
        assert got["beta"] == pytest.approx(want.beta, rel=1e-6, abs=1e-9)
    E_hat = [E / want.w if options.get("bias_correction") else E for E in want.E]
    assert got["change"] == pytest.approx([g2**0.5 / (E**0.5 + eps) for E, g2 in zip(E_hat, rows[-1], strict=True)], rel=1e-6)


def test_the_weights_follow_the_memory_that_predicts_best():
    """Weights with the sign of the loss turned round are weights too: they would trust the worst memory."""
    steady = torch.randn(600, 50, generator=torch.Generator().manual_seed(0), dtype=DOUBLE).square()
    wild = steady * 10 ** torch.linspace(0, 60, 600, dtype=DOUBLE)[:, None]  # grows by a quarter in every update
    ends = [fed("mixture:betas=0.5/0.997", s.tolist())[-1]["weights"] for s in (steady, wild)]
    assert ends[0][1] > 0.9
    assert ends[1][0] > 0.9


def test_equal_memories_are_one_memory():
    """Whatever the weights, K copies of β = 0.9 must be RMSProp with β = 0.9: the combination may not bend the mean."""
    rows = stream(60)
    for options in ({}, {"bias_correction": True}):
        p, q = (Parameter(torch.zeros(3, dtype=DOUBLE)) for _ in range(2))
        mixed, plain = (
            AdaptiveRMSprop([p], alpha="mixture:betas=0.9/0.9/0.9", **options),
            AdaptiveRMSprop([q], alpha=0.9, **options),
        )
        for row in rows:
            p.grad = q.grad = torch.tensor(row, dtype=DOUBLE).sqrt()
            mixed.step()
            plain.step()
        torch.testing.assert_close(p, q, rtol=1e-9, atol=0)
        torch.testing.assert_close(mixed.state[p]["square_avg"], plain.state[q]["square_avg"], rtol=1e-9, atol=0)
        assert float(mixed.param_groups[0]["alpha"]) == pytest.approx(0.9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.complex64], ids=str)
@pytest.mark.parametrize("options", [{}, {"bias_correction": True}, {"eps": 0.0}, {"eps": 0.0, "bias_correction": True}], ids=str)
def test_gradients_that_are_zero_give_no_nan(dtype, options):
    """ln 0: a unit that never fires has g = 0 for ever, and one NaN among its weights is a NaN for the whole group."""
    p = Parameter(torch.zeros(4, dtype=dtype))
    optimizer = AdaptiveRMSprop([p], alpha="mixture", **options)
    pattern = torch.tensor([0.0, 1.0, 1.0, 0.0])
    for t in range(160):
        p.grad = (pattern * torch.tensor([1.0, 1.0, t % 2, t == 80])).to(dtype)
        optimizer.step()
    parts = torch.view_as_real(p.detach()) if p.is_complex() else p.detach()
    assert parts.isfinite().all()
    assert p[0] == 0
    assert p[1] < -0.1 if not p.is_complex() else p[1].real < -0.1
    state = optimizer.param_groups[0]["rule_state"]["mixture"]
    assert state.isfinite().all()
    assert state.sum() == pytest.approx(1.0)
    assert all(math.isfinite(optimizer.stats()[key]) for key in ("beta", "window", "E_q05", "E_q95", "update_rms"))


def test_all_gradients_zero_from_the_start_move_nothing():
    """A frozen branch of a network: E, weights and parameters must stay as they are, with ε = 0 too."""
    for eps in (0.0, 1e-8):
        seen = fed("mixture", [[0.0, 0.0]] * 20, torch.float32, eps=eps)
        assert seen[-1]["change"] == [0.0, 0.0]
        assert seen[-1]["E"] == pytest.approx([0.0, 0.0], abs=1e-20)
        assert seen[-1]["weights"] == pytest.approx([1 / 6] * 6)


def test_what_lies_below_eps_does_not_move_the_weights():
    """Rounding noise of dead units (g around 1e-20) would otherwise outvote the parameters that learn: ln has no scale."""
    live = stream(100, 5)
    dead = [[1e-40 * 10 ** (t % 7 - 3)] * 50 for t in range(100)]
    mixed = fed("mixture", [a + b for a, b in zip(live, dead, strict=True)], eps=1e-8)
    silent = fed("mixture", [a + [0.0] * 50 for a in live], eps=1e-8)
    assert mixed[-1]["weights"] == pytest.approx(silent[-1]["weights"], rel=1e-6)


def test_a_bank_is_kept_in_single_precision_at_least():
    """In bfloat16 a mean with β = 0.997 stands still: its steps of 0.3 % are less than half the distance of two numbers."""
    p = Parameter(torch.zeros(2, dtype=torch.bfloat16))
    optimizer = AdaptiveRMSprop([p], alpha="mixture:betas=0.99/0.997")
    for _ in range(1000):
        p.grad = torch.ones_like(p)
        optimizer.step()
        if optimizer.state[p]["step"] == 1:
            optimizer.state[p]["bank"].fill_(4.0)
            optimizer.state[p]["bank_weight"].fill_(1.0)
    assert optimizer.state[p]["bank"].flatten().tolist() == pytest.approx(
        [1.0001, 1.0001, 1.1491, 1.1491], abs=1e-3
    )  # 1 + 3 β⁹⁹⁹


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e20], ids=["NaN", "infinite", "its square overflows"])
def test_an_entry_that_is_not_finite_spoils_its_own_parameter_only(bad):
    """With nonfinite="propagate" torch loses one entry; weights that are NaN would lose the whole group with it."""
    p, q = Parameter(torch.zeros(4)), Parameter(torch.zeros(3))
    alone, both = AdaptiveRMSprop([q], alpha="mixture"), AdaptiveRMSprop([p], alpha="mixture")
    for t, row in enumerate(torch.tensor(stream(60)).sqrt()):
        q.grad, p.grad = row, torch.cat([torch.tensor([bad if t == 20 else 1.0]), row])
        both.step()
        alone.step()
    assert p[1:].isfinite().all()
    assert both.param_groups[0]["rule_state"]["mixture"].isfinite().all()
    assert p[1:].abs().max() > 0.01


def test_runs_and_groups_have_weights_of_their_own():
    """One set of weights for all would let the seed that shifts decide how the others remember."""
    calm, shifted = (torch.randn(40, 4, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    shifted *= torch.logspace(0, 8, 40)[:, None]
    p, q = Parameter(torch.zeros(2, 4)), Parameter(torch.zeros(2, 4))
    optimizer = AdaptiveRMSprop([{"params": [p]}, {"params": [q]}], alpha="mixture", runs=2)
    for a, b in zip(calm, shifted, strict=True):
        p.grad, q.grad = torch.stack([a, b]), torch.stack([b, a])
        optimizer.step()
    first, second = (group["rule_state"]["mixture"] for group in optimizer.param_groups)
    assert first.shape == (2, 6)
    assert torch.equal(first, second.flip(0))
    assert (first[0] - first[1]).abs().max() > 0.1
    beta = torch.tensor([0.5, 0.8, 0.9, 0.97, 0.99, 0.997], dtype=DOUBLE)
    torch.testing.assert_close(optimizer.param_groups[0]["alpha"], first @ beta)
    torch.testing.assert_close(optimizer.stats()["beta"], (first + second) @ beta / 2)


def test_weights_are_taken_over_all_entries_of_a_group():
    """A mean of the parameters' means would let a bias of two entries weigh as much as a matrix."""
    rows = stream(50, 7)
    whole = fed("mixture", rows)
    a, b = Parameter(torch.zeros(5, 1, dtype=DOUBLE)), Parameter(torch.zeros(2, dtype=DOUBLE))
    optimizer = AdaptiveRMSprop([a, b], alpha="mixture")
    for row in rows:
        g = torch.tensor(row, dtype=DOUBLE).sqrt()
        a.grad, b.grad = g[:5, None], g[5:]
        optimizer.step()
    assert optimizer.param_groups[0]["rule_state"]["mixture"].tolist() == pytest.approx(whole[-1]["weights"], rel=1e-9)


def test_a_mixture_takes_over_a_checkpoint_of_torch():
    """A bank that started at zero would forget all that E knows; taken as complete it would start biased."""
    p = Parameter(torch.zeros(3))
    source = torch.optim.RMSprop([p], alpha=0.9)
    for row in torch.tensor(stream(5)):
        p.grad = row.sqrt()
        source.step()
    E_hat = source.state[p]["square_avg"] / (1 - 0.9**5)
    optimizer = AdaptiveRMSprop([p], alpha="mixture:betas=0.5/0.99", bias_correction=True)
    optimizer.load_state_dict(source.state_dict())
    torch.testing.assert_close(optimizer.state[p]["bank"], E_hat.expand(2, 3))
    p.grad = torch.ones(3)
    optimizer.step()
    state = optimizer.state[p]
    assert state["bank_weight"].tolist() == pytest.approx([1 - 0.5 * 0.9**5, 1 - 0.99 * 0.9**5])
    gains = [0.5 / (1 - 0.5 * 0.9**5), 0.01 / (1 - 0.99 * 0.9**5)]
    torch.testing.assert_close(state["bank"], torch.stack([E_hat + k * (1 - E_hat) for k in gains]))


@pytest.mark.parametrize("law", LAWS)
def test_laws_refuse_what_needs_one_beta(law):
    """`centered` needs the β of its mean gradient; `differentiable` would follow gradients through weights and comparisons."""
    p = Parameter(torch.zeros(3))
    with pytest.raises(ValueError, match=rf"centered needs one β for all entries of a parameter, got '{law}': use a schedule"):
        AdaptiveRMSprop([p], alpha=law, centered=True)
    with pytest.raises(ValueError, match=rf"differentiable=True needs a number for alpha and torch's options, got '{law}'"):
        AdaptiveRMSprop([p], alpha=law, differentiable=True)
    with pytest.raises(ValueError, match=r"initial_accumulator_value must be 0 with bias_correction"):
        AdaptiveRMSprop([p], alpha=law, initial_accumulator_value=1.0, bias_correction=True)


def test_a_share_of_zero_never_runs_out_of_weights():
    """Without sharing a weight reaches 0 within a few hundred updates, and 0/0 would be the next."""
    rows: list[list[float]] = [[10.0 ** (k % 5)] for k in range(300)]
    weights: Tensor = torch.tensor([s["weights"] for s in fed(Mixture((0.0, 0.5, 0.999), 0.0, 20.0), rows)])
    assert weights.isfinite().all()
    torch.testing.assert_close(weights.sum(1), torch.ones(300))
