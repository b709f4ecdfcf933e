"""The update of all parameters together is the update of each: torch's bits, the equations of update.py, nothing forgotten."""

from __future__ import annotations

import copy
import math
from collections import defaultdict

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim.optimizer import register_optimizer_step_post_hook

from rl_rmsprop import AdaptiveRMSprop, signals
from rl_rmsprop.kernels import equations, fused, workspace
from tests.test_optimizer import assert_same, gradients, parameters, train

torch.set_num_threads(1)

SHAPES = [(3,), (), (7, 5), (1,), (64,), (65,), (130, 3), (2, 2)]


@pytest.fixture
def small_pieces(monkeypatch):
    """Tensors of this file's sizes are small, just right, too large and much too large."""
    monkeypatch.setattr(workspace, "SMALL", 8)
    monkeypatch.setattr(workspace, "LARGE", 64)


def strided(params: list[Parameter]) -> list[Parameter]:
    """The same parameters, those with several axes lying in memory in another order."""
    return [Parameter(p.detach().mT.contiguous().mT if p.dim() == 2 else p.detach().clone()) for p in params]


OPTIONS = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "weight decay": {"weight_decay": 0.1},
    "all": {"momentum": 0.9, "weight_decay": 0.1, "maximize": True, "lr": torch.tensor(0.01)},
}
each_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
each_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


@pytest.mark.parametrize("laid", [list, strided], ids=["contiguous", "strided"])
@each_dtype
@each_option
def test_lists_and_pieces_have_torchs_bits(small_pieces, options, dtype, laid):
    """A piece ends where the whole goes on: if the rest of a vector were rounded otherwise, bits would depend on LARGE."""
    results = []
    for kind, foreach in ((torch.optim.RMSprop, False), (AdaptiveRMSprop, None)):
        params = laid(parameters(SHAPES, dtype))
        optimizer = kind(params, foreach=foreach, **options)
        train(optimizer, params, gradients(20, SHAPES, dtype))
        results.append(([p.detach() for p in params], optimizer.state_dict()["state"]))
    assert_same(results[1], results[0])


@pytest.mark.parametrize("bias_correction", [False, True])
@pytest.mark.parametrize("w", [0.0, 1e-3, 0.5, 1.0 - 1e-9, 1.0])
@pytest.mark.parametrize("beta", [0.0, 0.5, 0.99, 0.9999])
@each_dtype
def test_adam_without_momentum_is_the_update(dtype, beta, w, bias_correction):
    """w goes into lr and ε: with ε left out, small gradients take another step, which no plot of a loss shows."""
    group = {"weight_decay": 0.1, "maximize": True, "momentum": 0, "centered": False, "eps_in_sqrt": False, "eps": 1e-3}
    group |= {"lr": 0.1, "alpha": beta, "capturable": False, "bias_correction": bias_correction}
    results = []
    for together_ in (False, True):
        params = parameters(SHAPES, dtype)
        for p, g in zip(params, gradients(1, SHAPES, dtype)[0], strict=True):
            p.grad = g
        states = [
            {"square_avg": w * p.detach().square(), "weight": torch.tensor(w, dtype=torch.float64), "step": torch.tensor(3.0)}
            for p in params
        ]
        equations.update_weights([state["weight"] for state in states], beta)
        with torch.no_grad():
            if together_:
                fused.adam(params, [p.grad for p in params], states, group, beta)
            for p, state in zip(params, states, strict=True) if not together_ else ():
                equations.update_mean_square(slot := equations.slot(p, state, group), beta)
                equations.apply_step(slot, group, False, equations.denominator(slot, group))
        results.append([*(p.detach() for p in params), *(state["square_avg"] for state in states)])
    tolerance = 2e-6 if dtype is torch.float32 else 1e-10
    torch.testing.assert_close(results[1], results[0], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.999])
def test_a_weight_of_one_stays_one(beta):
    """Rounded away from 1 it would drift for the rest of a long training."""
    w = torch.ones(1000, dtype=torch.float64)
    betas = beta + (1 - beta) * torch.rand(1000, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 0.999
    for value in (beta, betas):
        equations.update_weights([w], value)
        assert torch.equal(w, torch.ones_like(w))


def test_concatenated_pieces_hold_every_entry_once_and_none_is_large(small_pieces):
    """A parameter left out of the surprise is one whose shifts nobody hears."""
    tensors = [p.detach() for p in parameters(SHAPES)]
    memory = workspace.Workspace()
    memory.concatenate("of another update", [torch.zeros_like(t) for t in tensors])
    memory.concatenate("gradients", [torch.zeros_like(t) for t in tensors])
    pieces = memory.concatenate("gradients", tensors)
    whole = torch.cat([t.flatten() for t in tensors])
    assert torch.equal(torch.cat(pieces).sort().values, whole.sort().values)
    assert max(piece.numel() for piece in pieces) <= 64
    together_ = signals.log_mean((t.square() for t in pieces), runs=False)
    assert together_.item() == pytest.approx(math.log(whole.square().mean().item()), rel=1e-6)


def test_a_workspace_does_not_grow_with_the_sets_of_parameters_that_have_gradients():
    """Layers that are left out at random are another set at every update."""
    memory, tensors = workspace.Workspace(), [torch.ones(n) for n in range(1, 11)]
    for chosen in range(1, 300):
        some = [t for i, t in enumerate(tensors) if chosen >> i & 1]
        (whole,) = memory.concatenate("gradients", some)
        assert memory("ratio", whole).shape == whole.shape == (sum(len(t) for t in some),)
    assert max(len(memory._rows), len(memory._tensors)) <= workspace.Workspace.MOST


@pytest.mark.parametrize("arguments", [{}, {"bias_correction": True}, {"weight_decay": 0.1, "bias_correction": True}], ids=str)
def test_the_surprise_of_pieces_is_that_of_whole_parameters(small_pieces, arguments):
    """With another w for each parameter the pieces must not mix them."""
    params = parameters(SHAPES)
    optimizer = AdaptiveRMSprop(params, alpha=0.9, **arguments)
    optimizer.measure_surprise = True
    for entry in [g if t % 4 else [None, None, *g[2:]] for t, g in enumerate(gradients(12, SHAPES))]:
        for p, g in zip(params, entry, strict=True):
            p.grad = g
        group, present = optimizer.param_groups[0], [p for p in params if p.grad is not None]
        known = all(p in optimizer.state for p in present)
        if known:
            slots = [equations.slot(p, optimizer.state[p], group) for p in present]
            squares, means = [slot.g.square() for slot in slots], [equations.mean_square(slot, group) for slot in slots]
            expected = signals.surprise(squares, means, group["eps"], runs=False).item()
        optimizer.step()
        if known:
            assert optimizer.last_surprise[0].item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


# What is remembered to save time ------------------------------------------------------------------------------------------


def forget(optimizer, params):
    optimizer.state.clear()


def replace_state(optimizer, params):
    optimizer.state = defaultdict(dict)


def forget_one(optimizer, params):
    optimizer.state[params[1]] = {}


def empty_one(optimizer, params):
    optimizer.state[params[1]].clear()


def other_average(optimizer, params):
    optimizer.state[params[0]]["square_avg"] = torch.ones_like(params[0])


def load(optimizer, params):
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))


def move(optimizer, params):
    params[0].data = params[0].detach().clone() + 1


def add_group(optimizer, params):
    added = Parameter(torch.ones(4))
    added.grad = torch.ones(4)
    optimizer.add_param_group({"params": [added]})


def exchange(optimizer, params):
    optimizer.param_groups[0]["params"].reverse()


def skip_one(optimizer, params):
    grad, params[0].grad = params[0].grad, None
    optimizer.step()
    params[0].grad = grad


CHANGES = [forget, replace_state, forget_one, empty_one, other_average, load, move, add_group, exchange, skip_one]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_others_do_to_state_and_parameters_is_noticed(change):
    """An E that is looked up once and then remembered goes on training beside the one that was put in its place."""
    results = []
    for kind in (torch.optim.RMSprop, AdaptiveRMSprop):
        params = parameters()
        optimizer = kind(params, alpha=0.9)
        train(optimizer, params, gradients(5))
        change(optimizer, params)
        train(optimizer, params, gradients(5))
        results.append(([p.detach() for p in params], optimizer.state_dict()["state"]))
    assert_same(results[1], results[0])


# Those who watch ----------------------------------------------------------------------------------------------------------


def test_hooks_are_called_once_in_order_and_may_change_the_call():
    """The class spares torch's wrapper where nobody listens; a study that counts updates by a hook must not count none or two."""
    (p,) = parameters([(3,)])
    optimizer, heard = AdaptiveRMSprop([p]), []
    p.grad = torch.ones(3)
    optimizer.step()
    everybody = register_optimizer_step_post_hook(lambda *_: heard.append("all"))
    optimizer.step()
    own = [
        optimizer.register_step_pre_hook(lambda *_: heard.append("before")),
        optimizer.register_step_post_hook(lambda *_: heard.append("after")),
    ]
    optimizer.step()
    for handle in (everybody, *own):
        handle.remove()
    optimizer.step()
    assert heard == ["all", "before", "after", "all"]
    assert optimizer.state[p]["step"] == 4


def test_the_profiler_shows_the_step():
    """Who looks for the slow part of a training would not find the optimizer in it."""
    (p,) = parameters([(3,)])
    optimizer = AdaptiveRMSprop([p])
    p.grad = torch.ones(3)
    with torch.autograd.profiler.profile() as seen:
        optimizer.step()
    assert "Optimizer.step#AdaptiveRMSprop.step" in {event.name for event in seen.function_events}


def test_gradients_are_left_as_they_are():
    """Adam is told to keep its mean of g where g lies: a loop that logs gradients after the step would see others."""
    params = parameters(SHAPES)
    stream = gradients(1, SHAPES)[0]
    for options in ({}, {"weight_decay": 0.1}, {"maximize": True}):
        train(AdaptiveRMSprop(params, bias_correction=True, **options), params, [stream])
        got: list[Tensor | None] = [p.grad for p in params]
        assert_same(got, stream)
