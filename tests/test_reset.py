"""After a reset an optimizer goes on as a new one would, or with the part that was not reset as before."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rl_rmsprop
from rl_rmsprop import AdaptiveRMSprop, rules
from rl_rmsprop.cli.views.rules import EXAMPLES

R = 3
RULES = ["0.99", *(text for text in EXAMPLES.values() if "runs=" not in text)]
OTHERS = ("Optimizer", "LBFGS", "SparseAdam", "Muon")
"""No optimizer, or one that wants a closure, sparse gradients, or matrices."""
TORCHS = {name: kind for name, kind in vars(torch.optim).items() if isinstance(kind, type) and name not in OTHERS}


def advanced(optimizer: torch.optim.Optimizer, first: int, updates: int = 6) -> None:
    """Some updates whose gradients depend on their number alone."""
    for k in range(first, first + updates):
        for group in optimizer.param_groups:
            for i, p in enumerate(group["params"]):
                p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(100 * k + i), dtype=p.dtype)
        if isinstance(optimizer, AdaptiveRMSprop):
            told = {"episode_return": 1.0 * k, "td_error": 1.0 + k, "kl": 0.01, "rollout": 0.0}
            optimizer.observe(**{name: value for name, value in told.items() if name in optimizer.listens_to})
        optimizer.step()


def rule_of(text: str) -> Any:
    """A rule for a training of 100 updates of 64 environment steps each."""
    return rules.resolve(rules.parse(text), 100, 64)


def parameters(runs: bool) -> list[nn.Parameter]:
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(*((R,) if runs else ()), 4, 2)), nn.Parameter(torch.randn(*((R,) if runs else ()), 3))]


def entries(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p.detach().clone() for group in optimizer.param_groups for p in group["params"]]


@pytest.mark.parametrize("name", TORCHS)
def test_torchs_optimizers_go_on_as_new_ones(name: str) -> None:
    """Silent failure: a part of the state survives, and the fresh start is none."""
    used = TORCHS[name](parameters(False), lr=0.01)
    advanced(used, 0)
    new = TORCHS[name]([nn.Parameter(p) for p in entries(used)], lr=0.01)
    rl_rmsprop.reset_state(used)
    advanced(used, 50)
    advanced(new, 50)
    assert all(torch.equal(a, b) for a, b in zip(entries(used), entries(new), strict=True))


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "bias_correction": True}, {"lr_rule": "trac"}], ids=str)
@pytest.mark.parametrize("rule", RULES)
def test_ours_goes_on_as_a_new_one(rule: str, options: dict[str, Any]) -> None:
    """Silent failure: a rule's clock, detector or law remembers what was to be forgotten."""
    used = AdaptiveRMSprop(parameters(False), lr=0.01, alpha=rule_of(rule), **options)
    advanced(used, 0)
    new = AdaptiveRMSprop([nn.Parameter(p) for p in entries(used)], lr=0.01, alpha=rule_of(rule), **options)
    rl_rmsprop.reset_state(used)
    advanced(used, 50)
    advanced(new, 50)
    assert all(torch.equal(a, b) for a, b in zip(entries(used), entries(new), strict=True))
    assert str(used.stats()) == str(new.stats())


@pytest.mark.parametrize("what", ["E", "clock", "all"])
@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "0.99"])
def test_only_the_runs_that_are_named_forget(rule: str, what: Any) -> None:
    """Silent failure: one run's reset changes the runs beside it, or leaves half of its own."""
    made = {"lr": 0.01, "alpha": rule_of(rule), "runs": R, "bias_correction": True}
    some, all_runs, none = (AdaptiveRMSprop(parameters(True), **made) for _ in range(3))
    for optimizer in (some, all_runs, none):
        advanced(optimizer, 0)
    some.reset(what, runs=torch.tensor([False, True, False]))
    all_runs.reset(what)
    for optimizer in (some, all_runs, none):
        advanced(optimizer, 50)
    for a, b, c in zip(entries(some), entries(all_runs), entries(none), strict=True):
        assert torch.equal(a[1], b[1])
        assert torch.equal(a[[0, 2]], c[[0, 2]])


def test_E_and_clock_are_what_they_say() -> None:
    """Silent failure: E stays, or the clock goes with it."""
    optimizer = AdaptiveRMSprop(parameters(False), lr=0.01, alpha="cusum:arl=500,max=0.99")
    advanced(optimizer, 0)
    before = copy.deepcopy(optimizer.state_dict())
    optimizer.reset("clock")
    assert optimizer.stats()["clock"] == 0
    after = optimizer.state_dict()
    assert all(torch.equal(before["state"][k]["square_avg"], after["state"][k]["square_avg"]) for k in before["state"])
    advanced(optimizer, 10)
    optimizer.reset("E")
    assert optimizer.stats()["clock"] == 6
    assert optimizer.stats()["E_q95"] == 0
    assert all(float(state["weight"]) == 0 for state in optimizer.state.values())


def test_what_cannot_be_reset_is_refused() -> None:
    """Silent failure: a typo resets nothing."""
    optimizer = AdaptiveRMSprop(parameters(False), alpha=0.9)
    with pytest.raises(ValueError, match="what must be one of E, clock, all, got 'e'"):
        optimizer.reset("e")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="every β here is a number"):
        optimizer.reset("clock")
    with pytest.raises(ValueError, match="runs must be one bool per run"):
        optimizer.reset("E", runs=torch.tensor([True]))
