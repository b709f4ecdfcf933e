"""Muon for many runs: against torch's on one matrix, singular values by hand in float64, and each run alone."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from agents import ActorCritic, Categorical, Gaussian
from agents.mlp import views
from agents.per_run import PerRun
from agents.reproducible import reproducible_products
from rl_rmsprop.baselines.muon import BatchedMuon, orthogonalized

reproducible_products()

SHAPES = [(64, 64), (4, 64), (64, 33), (3, 5), (5, 101), (1, 7), (7, 1), (1, 1), (128, 80)]
LAYOUT = [(0, 4, 6), (30, 6, 5)]
"""Matrices in a row of 70 numbers: biases between and behind them."""


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def polynomial(s: Tensor) -> Tensor:
    """What five steps of Newton–Schulz make of the singular values of a matrix, float64: s ← a s + b s³ + c s⁵."""
    s = s / s.square().sum().sqrt()
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return s


# Newton–Schulz --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_singular_values_become_those_of_the_polynomial_and_vectors_stay(shape: tuple[int, int]) -> None:
    """Silent failure: zeros that fill up a matrix turn its directions, or a run is divided by the length of another."""
    x = noise(3, *shape) * torch.tensor([1e-3, 1.0, 1e4]).view(3, 1, 1)
    for matrix, ours in zip(x.double(), orthogonalized(x), strict=True):
        U, S, Vh = torch.linalg.svd(matrix, full_matrices=False)
        torch.testing.assert_close(ours.double(), U @ polynomial(S).diag() @ Vh, rtol=0, atol=2e-5)


def test_what_is_orthogonalized_has_singular_values_near_one() -> None:
    """Silent failure: the coefficients are another method's, and steps grow or die."""
    values = torch.linalg.svdvals(orthogonalized(torch.linalg.qr(noise(8, 40, 20)).Q))
    assert values.min() > 0.67
    assert values.max() < 1.21


def test_a_zero_gradient_moves_nothing() -> None:
    """Silent failure: 0/0 in the first update, NaN for ever."""
    assert torch.equal(orthogonalized(torch.zeros(2, 5, 7)), torch.zeros(2, 5, 7))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_type_of_the_parameters_is_kept(dtype: torch.dtype) -> None:
    """Float64 is computed as float64, 16 bits as float32 and rounded once."""
    x = noise(2, 20, 30).to(dtype)
    expected = orthogonalized(x.double() if dtype == torch.float64 else x.float())
    assert torch.equal(orthogonalized(x), expected.to(dtype))


# Against torch --------------------------------------------------------------------------------------------------------------


def torchs(start: Tensor, gradients: Tensor, momentum: float) -> Tensor:
    """A matrix [I, H] after torch.optim.Muon's updates, with the same factor of lr and no weight decay."""
    p = Parameter(start.clone())
    optimizer = torch.optim.Muon([p], lr=0.02, weight_decay=0.0, momentum=momentum, adjust_lr_fn="match_rms_adamw")
    for g in gradients:
        p.grad = g.clone()
        optimizer.step()
    return p.detach()


def ours(start: Tensor, gradients: Tensor, momentum: float) -> Tensor:
    """Matrices [R, I, H] after the updates of BatchedMuon, gradients [T, R, I, H]."""
    p = Parameter(start.clone())
    optimizer = BatchedMuon([p], lr=0.02, momentum=momentum)
    for g in gradients:
        p.grad = g.clone()
        optimizer.step()
    return p.detach()


@pytest.mark.parametrize("momentum", [0.95, 0.5])
@pytest.mark.parametrize("shape", [(64, 64), (4, 64), (33, 17)], ids=str)
def test_every_run_is_torchs_muon_but_for_its_rounding_to_16_bits(
    shape: tuple[int, int], momentum: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch rounds Newton–Schulz to bfloat16: 8 bits, 15 products. Where it is made to keep float64, nothing else differs."""
    start, gradients = noise(3, *shape), noise(20, 3, *shape, seed=1) * torch.logspace(-3, 3, 20).view(-1, 1, 1, 1)
    moved = ours(start, gradients, momentum) - start
    rounded = torch.stack([torchs(start[r], gradients[:, r], momentum) for r in range(3)]) - start
    assert (moved - rounded).norm() < 0.03 * moved.norm()  # 2⁻⁹ at each of 15 products, which add up in the large singular values
    monkeypatch.setattr(Tensor, "bfloat16", Tensor.double)
    exact = torch.stack([torchs(start[r], gradients[:, r], momentum) for r in range(3)]) - start
    assert not torch.equal(exact, rounded)
    torch.testing.assert_close(moved, exact, rtol=1e-4, atol=2e-5)


def test_what_is_no_matrix_is_torchs_adam_bit_for_bit() -> None:
    """Silent failure: biases move by another rule than the name says, or the numbers between two matrices are left out."""
    row, vector = noise(2, 70), noise(2, 9)
    params = [Parameter(row.clone()), Parameter(vector.clone())]
    twins = [Parameter(row.clone()), Parameter(vector.clone())]
    optimizer = BatchedMuon(params, lr=0.01, betas=(0.8, 0.99), eps=1e-3, matrices=[LAYOUT, []])
    adam = torch.optim.Adam(twins, lr=0.01, betas=(0.8, 0.99), eps=1e-3, foreach=False)
    for t in range(10):
        for k, (p, twin) in enumerate(zip(params, twins, strict=True)):
            p.grad = noise(*p.shape, seed=10 * t + k)
            twin.grad = p.grad.clone()
        optimizer.step()
        adam.step()
    others = [*range(24, 30), *range(60, 70)]
    assert torch.equal(params[0][:, others], twins[0][:, others])
    assert not torch.isclose(params[0][:, :24], twins[0][:, :24]).all(1).any()
    assert torch.equal(params[1], twins[1])


# Layout ---------------------------------------------------------------------------------------------------------------------


def test_matrices_in_a_row_move_as_tensors_of_their_own() -> None:
    """Silent failure: a matrix is cut out one number too far, or its rows are taken for columns."""
    row = Parameter(noise(3, 70))
    apart = [Parameter(row.detach()[:, start : start + i * h].reshape(3, i, h).clone()) for start, i, h in LAYOUT]
    together, separate = BatchedMuon([row], matrices=[LAYOUT]), BatchedMuon(apart)
    for t in range(5):
        row.grad = noise(3, 70, seed=t)
        for p, (start, i, h) in zip(apart, LAYOUT, strict=True):
            p.grad = row.grad[:, start : start + i * h].reshape(3, i, h)
        together.step()
        separate.step()
    for p, (start, i, h) in zip(apart, LAYOUT, strict=True):
        assert torch.equal(row[:, start : start + i * h].view(3, i, h), p)


@pytest.mark.parametrize("hidden", [(64, 64), (5, 3, 7), (9,), ()], ids=str)
@pytest.mark.parametrize("head", [Categorical(3), Gaussian(-np.ones(2), np.ones(2))], ids=["discrete", "continuous"])
def test_hidden_weights_lie_where_the_policy_says(hidden: tuple[int, ...], head: Categorical | Gaussian) -> None:
    """Silent failure: Muon takes biases for weights, and mixes the ln σ of a Gaussian into a matrix."""
    policy = ActorCritic(4, head, hidden, [np.random.default_rng(r) for r in range(2)])
    for theta, network, places in zip(policy.parameters(), (policy.actor, policy.critic), policy.hidden_weights(), strict=True):
        layers = views(torch.arange(theta.shape[1]).expand(2, -1), network.shapes)[:-1]
        assert [(int(w[0, 0, 0]), *w.shape[1:]) for w, _ in layers] == places
        assert [h for _, _, h in places] == list(hidden)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"lr": -1.0}, "lr must be at least 0, got -1.0"),
        ({"eps": math.nan}, "eps must be at least 0, got nan"),
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\), got 1.0: with 1 a running mean never moves"),
        ({"betas": (0.9, -0.1)}, r"beta2 must be in \[0, 1\), got -0.1"),
        ({"matrices": [[(0, 4, 6)], []]}, "matrices must be given for each of the 1 parameters, got 2 lists"),
        ({"matrices": [[(60, 4, 6)]]}, "one behind the other, got 4 × 6 at number 60 to 84 of 70"),
        ({"matrices": [[(10, 2, 3), (0, 2, 3)]]}, "one behind the other, got 2 × 3 at number 0 to 6 of 70"),
    ],
)
def test_what_cannot_be_is_refused(arguments: dict[str, object], words: str) -> None:
    """Silent failure: a matrix reaches into the next one's numbers, and both are wrong."""
    with pytest.raises(ValueError, match=words):
        BatchedMuon([Parameter(torch.zeros(2, 70))], **arguments)  # type: ignore[arg-type]  # wrong on purpose


# Runs -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_run_alone_has_the_bits_of_the_same_run_in_a_batch(shape: tuple[int, int]) -> None:
    """Silent failure: one run's products are another routine's than thirty-two runs', and nobody can train one of them again."""
    x = noise(32, *shape)
    together = orthogonalized(x)
    for runs in (slice(0, 1), slice(31, 32), slice(3, 5), slice(10, 17)):
        assert torch.equal(orthogonalized(x[runs].clone()), together[runs])


def test_a_run_alone_has_its_bits_where_mkl_was_not_asked_for_them() -> None:
    """Silent failure: matrices lie differently in memory from run to run, and only MKL's strict mode hides it."""
    root = Path(__file__).parents[1]
    environment = {name: value for name, value in os.environ.items() if name != "MKL_CBWR"} | {"PYTHONPATH": str(root)}
    code = f"""
import torch
from rl_rmsprop.baselines.muon import orthogonalized
torch.set_num_threads(1)
for shape in {SHAPES}:
    x = torch.randn(9, *shape)
    together = orthogonalized(x)
    print([torch.equal(orthogonalized(x[r : r + 1].clone())[0], together[r]) for r in range(9)].count(False))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0"] * len(SHAPES)


@pytest.mark.parametrize("by_mask", [False, True], ids=["not finite", "masked"])
def test_each_run_is_its_own_optimizer_on_the_updates_it_takes_part_in(by_mask: bool) -> None:
    """Silent failure: a skipped run's momentum goes on, its Adam counts an update, or its NaN reaches the others' matrices."""
    start = noise(4, 70)
    bad = torch.rand(12, 4, generator=torch.Generator().manual_seed(5)) < 0.3
    together = Parameter(start.clone())
    optimizer = PerRun(BatchedMuon([together], lr=0.1, matrices=[LAYOUT]))
    for t in range(12):
        together.grad = noise(4, 70, seed=t)
        if not by_mask:
            together.grad[bad[t], t] = math.nan
        if t == 6:  # through a checkpoint
            saved = deepcopy(optimizer.state_dict())
            optimizer = PerRun(BatchedMuon([together], lr=0.3, matrices=[LAYOUT]))
            optimizer.load_state_dict(saved)
        optimizer.step(mask=~bad[t] if by_mask else None)
    for r in range(4):
        alone = Parameter(start[r : r + 1].clone())
        own = BatchedMuon([alone], lr=0.1, matrices=[LAYOUT])
        for t in torch.nonzero(~bad[:, r]).flatten().tolist():
            alone.grad = noise(4, 70, seed=t)[r : r + 1]
            own.step()
        assert torch.equal(together[r : r + 1], alone)
