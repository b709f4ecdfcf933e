"""Runs that a mask leaves out: they keep every bit, and the others do not notice."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from rl_rmsprop import AdaptiveRMSprop
from tests.pretended_device import DEVICE, pretended
from tests.rule_table import VARIED_RULES
from tests.test_optimizer import assert_same, everything, gradients, parameters, train

R = 4
SHAPES = [(R, 3, 2), (R, 5), (R,)]
OPTIONS = {
    **VARIED_RULES,
    "lr per run": {"alpha": "cusum:arl=20,burn_in=5,max=0.95", "lr": torch.tensor([0.1, 0.01, 0.003, 1e-4])},
    "number, momentum": {"alpha": 0.9, "momentum": 0.9, "weight_decay": 0.1},
    "number, centered": {"alpha": 0.9, "centered": True},
    "number, torch's loop": {"alpha": 0.9, "foreach": True},
}
each = pytest.mark.parametrize("arguments", OPTIONS.values(), ids=OPTIONS)
POLICIES = ("propagate", "skip", "raise")
DTYPES = (torch.float32, torch.bfloat16, torch.complex64)
EVERY_POLICY_AND_DTYPE = ("number, torch's loop", "number, centered", "cusum", "mixture")
"""Options of which each is a way through the optimizer; the others take each policy and each dtype once."""
LEFT_OUT: dict[str, tuple[dict[str, Any], torch.dtype, str]] = {
    f"{name}, {str(dtype).removeprefix('torch.')}, {policy}": (arguments, dtype, policy)
    for i, (name, arguments) in enumerate(OPTIONS.items())
    for j, dtype in enumerate(DTYPES)
    for k, policy in enumerate(POLICIES)
    if name in EVERY_POLICY_AND_DTYPE or k == (i + j) % 3
}


def row(optimizer: AdaptiveRMSprop, params: list[Parameter], r: int) -> dict[str, Any]:
    """All that belongs to one run."""
    tensors = {f"parameter {i}": p.detach()[r] for i, p in enumerate(params)}
    tensors |= {f"{name} {i}": x[r] for i, p in enumerate(params) for name, x in optimizer.state[p].items() if x.dim()}
    group = optimizer.param_groups[0]
    tensors |= {name: x[r] for name, x in group.get("rule_state", {}).items()}
    tensors |= {"alpha": group["alpha"][r]} if isinstance(group["alpha"], Tensor) else {}
    tensors |= {f"surprise {i}": x[r] for i, x in optimizer.last_surprise.items()}
    return copy.deepcopy(tensors)


def step(optimizer: AdaptiveRMSprop, params: list[Parameter], entry: list[Tensor], mask: Tensor | None) -> None:
    """One update by these gradients."""
    for p, g in zip(params, entry, strict=True):
        p.grad = g.clone()
    optimizer.step(mask=mask)


@pytest.mark.parametrize(("arguments", "dtype", "nonfinite"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_a_run_left_out_keeps_every_bit_and_the_others_are_updated_as_ever(arguments, dtype, nonfinite):
    """A failed run whose clock goes on, or that moves its neighbours by a bit, is a run that nobody asked for."""
    params = parameters(SHAPES, dtype)
    optimizer = AdaptiveRMSprop(params, runs=R, nonfinite=nonfinite, **arguments)
    stream = gradients(24, SHAPES, dtype)
    train(optimizer, params, stream[:20])
    plain, expected = copy.deepcopy((params, optimizer))
    mask = torch.tensor([True, False, True, True])
    before = row(optimizer, params, 1)
    for entry in stream[20:]:
        broken = [g.clone() for g in entry]
        for g in broken:
            g[1] = math.nan
        step(optimizer, params, broken, mask)
        train(expected, plain, [entry])
        assert_same(row(optimizer, params, 1), before)
        for r in (0, 2, 3):
            assert_same(row(optimizer, params, r), row(expected, plain, r), f"run {r}")
    assert optimizer.stats()["skipped"].tolist() == [0, 4, 0, 0]


@each
def test_a_run_goes_on_as_if_it_had_not_been_left_out(arguments):
    """What is put back must be all there is: detector, weights, bank, last gradient."""
    params = parameters(SHAPES)
    optimizer = AdaptiveRMSprop(params, runs=R, **arguments)
    stream, between = gradients(40, SHAPES), gradients(3, SHAPES, seed=5)
    train(optimizer, params, stream[:20])
    plain, expected = copy.deepcopy((params, optimizer))
    for entry in between:
        step(optimizer, params, entry, torch.tensor([False, True, True, False]))
    train(optimizer, params, stream[20:])
    train(expected, plain, stream[20:])
    for r in (0, 3):
        assert_same(row(optimizer, params, r), row(expected, plain, r), f"run {r}")


@pytest.mark.parametrize("nonfinite", POLICIES)
@each
def test_a_mask_of_all_runs_is_none_and_one_of_no_run_changes_nothing(arguments, nonfinite):
    """An update of nothing that counts a step, or a full mask with other bits, makes masks an option of the method."""
    params, plain = parameters(SHAPES), parameters(SHAPES)
    optimizer, expected = (AdaptiveRMSprop(its, runs=R, nonfinite=nonfinite, **arguments) for its in (params, plain))
    for entry in gradients(20, SHAPES):
        step(optimizer, params, entry, torch.ones(R, dtype=torch.bool))
        train(expected, plain, [entry])
    before = everything(optimizer, params)
    assert_same(before, everything(expected, plain))
    step(optimizer, params, gradients(1, SHAPES)[0], torch.zeros(R, dtype=torch.bool))
    after = everything(optimizer, params)
    assert after["param_groups"][0].pop("skipped").tolist() == [1] * R
    before["param_groups"][0].pop("skipped", None)
    assert_same(after, before)


@each
def test_the_first_update_may_leave_runs_out(arguments):
    """A run may fail before its first update; its E must then be as fresh as its neighbours' was."""
    params, plain = parameters(SHAPES), parameters(SHAPES)
    optimizer, expected = AdaptiveRMSprop(params, runs=R, **arguments), AdaptiveRMSprop(plain, runs=R, **arguments)
    stream = gradients(10, SHAPES)
    step(optimizer, params, gradients(1, SHAPES, seed=3)[0], torch.tensor([False, True, True, True]))
    train(optimizer, params, stream)
    train(expected, plain, stream)
    got, want = row(optimizer, params, 0), row(expected, plain, 0)
    assert_same(got, want)


@pytest.mark.parametrize("arguments", [{"alpha": 0.9, "bias_correction": True}, {"alpha": "cusum"}], ids=str)
def test_runs_that_are_not_finite_are_skipped_beside_those_left_out(arguments):
    """With one run masked for good, the protection of the others must not be switched off."""
    params = parameters(SHAPES)
    optimizer = AdaptiveRMSprop(params, runs=R, nonfinite="skip", **arguments)
    train(optimizer, params, gradients(5, SHAPES))
    before = [row(optimizer, params, r) for r in range(R)]
    (entry,) = gradients(1, SHAPES)
    entry[0][2, 0, 0] = math.inf
    step(optimizer, params, entry, torch.tensor([True, False, True, True]))
    assert optimizer.stats()["skipped"].tolist() == [0, 1, 1, 0]
    for r in (1, 2):
        assert_same(row(optimizer, params, r), before[r])
    for r in (0, 3):
        assert not torch.equal(row(optimizer, params, r)["parameter 0"], before[r]["parameter 0"])


def test_raise_does_not_raise_for_a_run_left_out():
    """The run is left out because its gradient is not finite."""
    params = parameters(SHAPES)
    optimizer = AdaptiveRMSprop(params, runs=R, nonfinite="raise")
    (entry,) = gradients(1, SHAPES)
    entry[1][3] = math.nan
    step(optimizer, params, entry, torch.tensor([True, True, True, False]))
    with pytest.raises(FloatingPointError, match="parameter 1 of shape"):
        step(optimizer, params, entry, torch.tensor([False, True, True, True]))


def test_the_gradient_of_a_run_left_out_takes_no_slow_way(monkeypatch):
    """One failed run made the whole batch five times slower for the rest of the training."""
    from rl_rmsprop.kernels import equations

    params = parameters(SHAPES)
    optimizer = AdaptiveRMSprop(params, runs=R, nonfinite="skip")
    (entry,) = gradients(1, SHAPES)
    entry[0][1] = math.nan
    monkeypatch.setattr(equations, "all_finite", None)  # looks at every entry
    step(optimizer, params, entry, torch.tensor([True, False, True, True]))
    assert all(p.isfinite().all() for p in params)


def test_a_shift_that_was_reported_waits_for_the_run_to_be_updated():
    """Put back with the rest of the run, the report must not be lost."""
    params = parameters(SHAPES)
    optimizer = AdaptiveRMSprop(params, alpha="harmonic", runs=R)
    train(optimizer, params, gradients(10, SHAPES))
    optimizer.notify_shift(torch.tensor([True, True, False, False]))
    step(optimizer, params, gradients(1, SHAPES)[0], torch.tensor([False, True, True, True]))
    assert optimizer.stats()["clock"].tolist() == [10, 1, 11, 11]
    train(optimizer, params, gradients(1, SHAPES))
    assert optimizer.stats()["clock"].tolist() == [1, 2, 12, 12]


@pytest.mark.parametrize(
    ("runs", "mask"),
    [
        (None, torch.ones(4, dtype=torch.bool)),
        (4, torch.ones(3, dtype=torch.bool)),
        (4, torch.ones(4)),
        (4, torch.ones(4, 1) > 0),
    ],
    ids=["no runs", "three of four", "numbers", "column"],
)
def test_masks_of_another_kind_are_refused_before_anything_changes(runs, mask):
    """A column would broadcast to [R, R], numbers would be weights."""
    params = parameters(SHAPES)
    optimizer = AdaptiveRMSprop(params, runs=runs)
    train(optimizer, params, gradients(2, SHAPES))
    before = everything(optimizer, params)
    with pytest.raises(ValueError, match=r"mask must be one bool per run of an optimizer with runs, got .* with runs="):
        optimizer.step(mask=mask)
    assert_same(everything(optimizer, params), before)


@pytest.mark.parametrize("alpha", [0.9, "cusum", "asymmetric", "mixture"])
def test_a_mask_in_the_step_after_a_move_to_another_device_leaves_the_run_as_it_is(alpha):
    """What is put back must be the state beside the parameters, not that which has stayed behind."""
    p = Parameter(torch.ones(2, 3))
    optimizer = AdaptiveRMSprop([p], runs=2, alpha=alpha, bias_correction=True)
    p.grad = torch.ones(2, 3)
    optimizer.step()
    before = optimizer.state[p]["square_avg"].clone()
    with pretended():
        moved = Parameter(p.detach().to(DEVICE))
        optimizer.state[moved] = optimizer.state.pop(p)
        optimizer.param_groups[0]["params"][0] = moved
        moved.grad = torch.full((2, 3), 5.0).to(DEVICE)
        optimizer.step(mask=torch.tensor([True, False]).to(DEVICE))
        after = optimizer.state[moved]["square_avg"].cpu()
    assert torch.equal(after[1], before[1])
    assert not torch.equal(after[0], before[0])
