"""What torch's own tests ask of every optimizer, asked of AdaptiveRMSprop: under a number for β, and under its rules.

Where torch has the answer (β is a number), it is torch.optim.RMSprop's, in the same test and to the last bit.
"""

from __future__ import annotations

import copy
import importlib.util
import io
import itertools
import math
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Adam, Optimizer, RMSprop, lr_scheduler, swa_utils
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from rl_rmsprop import AdaptiveRMSprop
from rl_rmsprop.kernels import equations, fused, torch_internals, workspace
from rl_rmsprop.optimizer import measure
from tests.rule_table import VARIED_RULES
from tests.test_optimizer import assert_same, everything, gradients, parameters, through_a_file, train

INPUTS: dict[str, dict[str, Any]] = {
    "default": {},
    "lr": {"lr": 1e-3},
    "weight decay": {"weight_decay": 0.1},
    "maximize": {"maximize": True},
    "centered": {"weight_decay": 0.1, "centered": True},
    "maximize, weight decay": {"maximize": True, "weight_decay": 0.1},
    "momentum": {"weight_decay": 0.1, "centered": True, "momentum": 0.1},
    "all": {"weight_decay": 0.1, "centered": True, "momentum": 0.1, "maximize": True},
    "lr tensor": {"lr": torch.tensor(0.001)},
    "lr tensor [1]": {"lr": torch.tensor([0.001])},
}
"""Those that torch tries its RMSprop with, and lr as a tensor."""

KINDS: dict[str, dict[str, Any]] = {
    "number": {},
    "corrected": {"bias_correction": True},
    "linear": {"alpha": "linear:start=0.5,end=0.99,steps=20"},
    "cusum": {"alpha": "cusum:arl=20,burn_in=5,max=0.95"},
    "asymmetric": {"alpha": "asymmetric:rise=0.5,fall=0.95"},
    "mixture": {"alpha": "mixture"},
}
"""A number, and rules of each kind."""

LAWS = ("asymmetric", "mixture")
CASES = {
    f"{kind}, {name}": kwargs | arguments
    for (kind, kwargs), (name, arguments) in itertools.product(KINDS.items(), INPUTS.items())
    if not (kind in LAWS and arguments.get("centered"))  # which is refused
}

each_input = pytest.mark.parametrize("arguments", INPUTS.values(), ids=INPUTS)
each_kind = pytest.mark.parametrize("arguments", KINDS.values(), ids=KINDS)
each_case = pytest.mark.parametrize("arguments", CASES.values(), ids=CASES)

LOOPS = CASES | {f"{name}, foreach={loop}": INPUTS[name] | {"foreach": loop} for name in INPUTS for loop in (True, False)}
each_loop = pytest.mark.parametrize("arguments", LOOPS.values(), ids=LOOPS)
"""All cases, and those of a number with each of torch's loops."""


def fresh(arguments: dict[str, Any]) -> dict[str, Any]:
    """The same arguments with tensors of their own: schedulers write into them."""
    return copy.deepcopy(arguments)


def regression(optimizer: Optimizer, weight: Tensor, bias: Tensor, steps: int, schedulers: list[Any]) -> list[float]:
    """Losses of a line that is fitted, or driven away from with `maximize`."""
    x = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.5], [1.0, -1.0, 0.5, -0.5, 0.0]])

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (weight @ x.mT + bias[:, None] - 1).square().sum()
        loss.backward()
        return loss

    losses = []
    for _ in range(steps):
        losses.append(optimizer.step(closure).item())
        for scheduler in schedulers:
            scheduler.step(losses[-1]) if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau) else scheduler.step()
    return [*losses, closure().item()]


SCHEDULERS: dict[str, list[Callable[[Optimizer], Any]]] = {
    "step": [lambda o: lr_scheduler.StepLR(o, step_size=1, gamma=0.99)],
    "two": [lambda o: lr_scheduler.StepLR(o, 1, gamma=0.99), lambda o: lr_scheduler.ExponentialLR(o, gamma=0.99)],
    "plateau": [lr_scheduler.ReduceLROnPlateau, lambda o: lr_scheduler.ConstantLR(o, factor=0.4, total_iters=4)],
}

# The direction ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contiguous", "schedulers"),
    [(True, []), (False, []), *((True, makers) for makers in SCHEDULERS.values())],
    ids=["contiguous", "not contiguous", *SCHEDULERS],
)
@each_loop
def test_it_goes_in_the_right_direction(arguments, schedulers, contiguous):
    """A step with the wrong sign, or into a copy of a strided parameter, still runs without an error."""
    full = torch.ones(10, 5, 2) if not contiguous else torch.ones(10, 5)
    weight = Parameter(full[..., 0] if not contiguous else full)
    bias = Parameter(torch.ones(10, 2)[..., 0] if not contiguous else torch.ones(10))
    assert weight.is_contiguous() is bias.is_contiguous() is contiguous
    optimizer = AdaptiveRMSprop([weight, bias], **fresh(arguments))
    losses = regression(optimizer, weight, bias, 10, [make(optimizer) for make in schedulers])
    if arguments.get("maximize"):
        assert losses[-1] > losses[0]
    else:
        assert losses[-1] < losses[0]


@each_case
def test_a_group_with_lr_zero_stands_still_beside_others(arguments):
    """Actor and critic of which one is frozen by its lr: that of the other would move it."""
    (a, b) = params = parameters([(3,), (4,)])
    arguments = fresh(arguments) | {"weight_decay": 0.0}
    optimizer = AdaptiveRMSprop([{"params": [a], "lr": 0.0}, {"params": [b]}], **arguments)
    start = [p.detach().clone() for p in params]
    train(optimizer, params, gradients(5, [(3,), (4,)]))
    assert_same(a.detach(), start[0])
    assert not torch.equal(b, start[1])


@each_kind
def test_a_group_with_weight_decay_shrinks_beside_one_without(arguments):
    """The penalty is usually for weights alone; given to the biases too it is another model."""
    (weight, bias) = params = parameters([(3, 2), (2,)])
    optimizer = AdaptiveRMSprop([{"params": [weight], "weight_decay": 0.1}, {"params": [bias]}], **arguments)
    before, start = weight.detach().norm().item(), bias.detach().clone()
    train(optimizer, params, [[torch.zeros(3, 2), torch.zeros(2)]] * 5)
    assert weight.norm().item() < before
    assert_same(bias.detach(), start)


@pytest.mark.parametrize("shape", [(), (1,)], ids=["0-d", "[1]"])
@each_loop
def test_lr_as_a_tensor_is_lr_as_a_number(arguments, shape):
    """A tensor is what torch.compile wants; read once and stored, the scheduler's next value would be lost."""
    ends = []
    for lr in (0.01, torch.full(shape, 0.01, dtype=torch.float64)):
        params = parameters()
        optimizer = AdaptiveRMSprop(params, **{**arguments, "lr": lr})
        train(optimizer, params, gradients(5))
        optimizer.param_groups[0]["lr"] = lr / 2
        train(optimizer, params, gradients(5))
        ends.append([p.detach() for p in params])
    assert_same(ends[1], ends[0])


# Every kind of parameter --------------------------------------------------------------------------------------------------


@each_loop
def test_a_complex_parameter_is_trained_as_its_two_real_parts(arguments):
    """|z|² for both parts would be a step of another length, in a direction that is nearly right."""
    (z,) = parameters([(3, 2)], torch.complex64)
    real = Parameter(torch.view_as_real(z.detach()).clone())
    one, other = (AdaptiveRMSprop([p], **fresh(arguments)) for p in (z, real))
    for (g,) in gradients(20, [(3, 2)], torch.complex64):
        z.grad, real.grad = g.clone(), torch.view_as_real(g).clone()
        one.step()
        other.step()
        torch.testing.assert_close(torch.view_as_real(z.detach()), real.detach(), rtol=1e-6, atol=1e-7)


@each_input
def test_the_lists_of_torch_give_what_its_loop_gives(arguments):
    """`foreach` is chosen for speed; it must choose nothing else."""
    ends = []
    for foreach in (False, True):
        params = parameters([(3,), (), (2, 5), (1,), (0,)])
        optimizer = AdaptiveRMSprop(params, foreach=foreach, **fresh(arguments))
        train(optimizer, params, gradients(20, [(3,), (), (2, 5), (1,), (0,)]))
        ends.append(everything(optimizer, params))
    for name in ("params", "state"):
        torch.testing.assert_close(ends[1][name], ends[0][name], rtol=1e-6, atol=1e-7)


@each_loop
def test_parameters_of_several_dtypes_are_trained_as_each_by_itself(arguments):
    """A half-precision head on a float model: computed together, one of them is rounded as the other."""
    dtypes = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
    shared = arguments.get("alpha") in (KINDS["cusum"]["alpha"], "mixture")  # a signal, or weights, of all parameters together
    params = [Parameter(torch.full((3,), 0.5, dtype=dtype)) for dtype in dtypes]
    optimizer = AdaptiveRMSprop(params, **fresh(arguments))
    stream = gradients(14, [(3,)] * len(dtypes))
    train(optimizer, params, [[g.to(dtype) for g, dtype in zip(entry, dtypes, strict=True)] for entry in stream])
    for i, (p, dtype) in enumerate(zip(params, dtypes, strict=True)):
        assert p.dtype is optimizer.state[p]["square_avg"].dtype is dtype
        assert p.isfinite().all()
        if not shared:
            alone = [Parameter(torch.full((3,), 0.5, dtype=dtype))]
            train(AdaptiveRMSprop(alone, **fresh(arguments)), alone, [[entry[i].to(dtype)] for entry in stream])
            tolerance = 4 * torch.finfo(dtype).eps
            torch.testing.assert_close(p.detach(), alone[0].detach(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("only", [True, False], ids=["alone", "beside others"])
@each_loop
def test_parameters_without_entries_are_no_obstacle(arguments, only):
    """An empty layer is common in generated models; its mean of nothing is NaN, which must reach no β."""
    params = parameters([(0, 3)] if only else [(0, 3), (4,)])
    optimizer = AdaptiveRMSprop(params, **fresh(arguments))
    train(optimizer, params, gradients(5, [p.shape for p in params]))
    assert optimizer.state[params[0]]["step"] == 5
    assert math.isfinite(optimizer.stats()["beta"])
    assert all(p.isfinite().all() for p in params)


@pytest.mark.parametrize("steps", [0, 10])
@each_case
def test_gradients_of_zero_move_nothing(arguments, steps):
    """0/0 is NaN, and the logarithm of a surprise of zeros is −∞: padding batches would end the training."""
    params = parameters()
    optimizer = AdaptiveRMSprop(params, **fresh(arguments) | {"weight_decay": 0.0, "momentum": 0.0})
    train(optimizer, params, gradients(steps))
    before = [p.detach().clone() for p in params]
    train(optimizer, params, [[torch.zeros_like(p) for p in params]] * 3)
    assert_same([p.detach() for p in params], before)
    train(optimizer, params, gradients(3))
    assert all(p.isfinite().all() for p in params)


@pytest.mark.parametrize("default", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("foreach", [None, True, False])
@each_kind
def test_torchs_default_dtype_may_be_any(arguments, foreach, default):
    """A step count in bfloat16 stops at 256; a weight made in the default dtype would meet one in float64."""
    ends = []
    try:
        torch.set_default_dtype(default)
        for kind in (AdaptiveRMSprop, *([] if arguments else [RMSprop])):
            params = parameters(dtype=default)
            optimizer = kind(params, foreach=foreach, **arguments)
            train(optimizer, params, gradients(10, dtype=default))
            ends.append(everything(optimizer, params))
        if arguments:
            optimizer.stats()
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(end["state"][0]["step"] == 10 and end["params"][0].isfinite().all() for end in ends)
    assert_same(ends[0]["state"], ends[-1]["state"])
    assert_same(ends[0]["params"], ends[-1]["params"])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("arguments", [{}, {"momentum": 0.9}, *VARIED_RULES.values()], ids=["default", "momentum", *VARIED_RULES])
def test_a_model_may_change_its_dtype_between_updates(arguments, dtype):
    """`model.half()` after some updates: the state remains in its dtype, as torch's does, and must go on with the clock."""
    ends = []
    for kind in (AdaptiveRMSprop, *([RMSprop] if arguments in ({}, {"momentum": 0.9}) else [])):
        model = torch.nn.Linear(3, 2)
        with torch.no_grad():
            for i, p in enumerate(model.parameters()):
                p.copy_(parameters([(2, 3), (2,)])[i])
        optimizer = kind(model.parameters(), **arguments)
        stream = gradients(16, [(2, 3), (2,)])
        train(optimizer, list(model.parameters()), stream[:10])
        model.to(dtype)
        train(optimizer, list(model.parameters()), [[g.to(dtype) for g in entry] for entry in stream[10:]])
        ends.append(everything(optimizer, model.parameters()))
    assert_same(ends[0]["params"], ends[-1]["params"])
    assert_same(ends[0]["state"], ends[-1]["state"])
    assert all(p.dtype is dtype and p.isfinite().all() for p in ends[0]["params"])
    assert ends[0]["state"][0]["square_avg"].dtype is torch.float32
    clock = ends[0]["param_groups"][0].get("rule_state", {}).get("clock")
    assert ends[0]["state"][0]["step"] == 16
    assert clock is None or clock >= 1


# What is refused ----------------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[Callable[[Tensor, Tensor], Any], type[Exception], str]] = {
    "a tensor": (lambda p, q: p, TypeError, "params argument given to the optimizer should be an iterable"),
    "twice in two groups": (
        lambda p, q: [{"params": p}, {"params": p}], ValueError, "some parameters appear in more than one parameter group",
    ),
    "one with a name": (lambda p, q: [("weight", p), q], ValueError, "all optimizer params should be with/without names"),
    "a group with names": (
        lambda p, q: [{"params": [p], "lr": 1e-2}, {"params": [("weight", q)]}],
        ValueError, "all optimizer param groups should be with/without names",
    ),
    "a set": (lambda p, q: [{"params": {p, q}}], TypeError, "optimizer parameters need to be organized in ordered collections"),
    "a number": (lambda p, q: [1.0], TypeError, "optimizer can only optimize Tensors"),
    "a result": (lambda p, q: [p * 2], ValueError, "can't optimize a non-leaf Tensor"),
}  # fmt: skip


@each_kind
@pytest.mark.parametrize("kind", [RMSprop, AdaptiveRMSprop])
@pytest.mark.parametrize(("params", "error", "words"), WRONG.values(), ids=WRONG)
def test_wrong_parameters_are_refused_with_torchs_words(params, error, words, kind, arguments):
    """Trained twice in an update, or not at all, a parameter would only be slow to learn."""
    arguments = arguments if kind is AdaptiveRMSprop else {}
    with pytest.raises(error, match=words):
        kind(params(*parameters([(2,), (3,)])), **arguments)


@each_kind
def test_a_parameter_that_is_twice_in_a_group_is_warned_of(arguments):
    """Torch will refuse it one day; until then its update is made twice."""
    (p,) = parameters([(2,)])
    with pytest.warns(UserWarning, match="a parameter group with duplicate parameters"):
        AdaptiveRMSprop([p, p], **arguments)


@pytest.mark.parametrize(
    "arguments", [{"lr": -0.1}, {"lr": torch.tensor([0.1, 0.1])}, {"momentum": -1.0}, {"eps": -1.0}, {"weight_decay": -1.0}],
    ids=str,
)  # fmt: skip
def test_what_torch_refuses_is_refused(arguments):
    """An argument that torch catches must not slip through because its constructor is not called."""
    for kind in (RMSprop, AdaptiveRMSprop):
        with pytest.raises(ValueError, match=r"."):
            kind(parameters(), **arguments)


@each_kind
@pytest.mark.parametrize("saved_steps", [0, 3])
def test_a_state_dict_of_another_optimizer_is_refused_and_nothing_changed(arguments, saved_steps):
    """Torch takes Adam's groups without a word and fails at the next step, when the old settings are gone."""
    params = parameters()
    adam = Adam(params)
    train(adam, params, gradients(saved_steps))
    optimizer = AdaptiveRMSprop(params, **arguments)
    train(optimizer, params, gradients(3))
    before = everything(optimizer, params)
    with pytest.raises(ValueError, match=r"state_dict must be of AdaptiveRMSprop or torch's RMSprop, got one with"):
        optimizer.load_state_dict(adam.state_dict())
    assert_same(everything(optimizer, params), before)


@each_kind
@pytest.mark.parametrize(
    "change",
    [
        lambda saved: saved["param_groups"].append(saved["param_groups"][0]),
        lambda saved: saved["param_groups"][0]["params"].pop(),
        lambda saved: saved["state"][0].update(square_avg=torch.ones(7)),
    ],
    ids=["one group more", "one parameter less", "another shape"],
)
def test_a_state_dict_that_does_not_fit_is_refused_and_nothing_changed(change, arguments):
    """Half loaded, the optimizer would train the old parameters with the new settings."""
    params = parameters()
    optimizer = AdaptiveRMSprop(params, **arguments)
    train(optimizer, params, gradients(3))
    before, saved = everything(optimizer, params), copy.deepcopy(optimizer.state_dict())
    change(saved)
    with pytest.raises(ValueError, match=r"loaded state dict|state_dict must be of parameters of the same shapes"):
        optimizer.load_state_dict(saved)
    assert_same(everything(optimizer, params), before)


# State --------------------------------------------------------------------------------------------------------------------


@each_case
def test_going_on_from_a_state_dict_is_going_on(arguments):
    """Saved, loaded and saved again: whatever is lost is lost at every restart of a long training."""
    params = parameters()
    optimizer = AdaptiveRMSprop(params, **fresh(arguments))
    train(optimizer, params, gradients(10))
    for travel in (copy.deepcopy, through_a_file):
        copies = [Parameter(p.detach().clone()) for p in params]
        restored = AdaptiveRMSprop(copies, **fresh(arguments))
        restored.load_state_dict(travel(optimizer.state_dict()))
        assert_same(everything(restored, copies), everything(optimizer, params))
        assert_same(through_a_file(restored.state_dict()), through_a_file(optimizer.state_dict()))
        twins, twin = copy.deepcopy((params, optimizer))
        train(restored, copies, gradients(5))
        train(twin, twins, gradients(5))
        assert_same(everything(restored, copies), everything(twin, twins))


@each_case
def test_the_first_update_fills_the_state(arguments):
    """Empty state of a parameter that was updated means that nothing of it is saved."""
    params = parameters()
    optimizer = AdaptiveRMSprop(params, **fresh(arguments))
    assert optimizer.state_dict()["state"] == {}
    train(optimizer, params, gradients(1))
    for p in params:
        assert {"step", "square_avg"} <= optimizer.state[p].keys()


@each_kind
def test_loading_copies_every_tensor(arguments):
    """With shared memory the checkpoint held for the best model moves on with the training."""
    params = parameters()
    optimizer = AdaptiveRMSprop(params, **arguments)
    train(optimizer, params, gradients(5))
    saved = copy.deepcopy(optimizer.state_dict())
    untouched = copy.deepcopy(saved)
    restored = AdaptiveRMSprop(params, **arguments)
    restored.load_state_dict(saved)
    train(restored, params, gradients(5))
    restored.notify_shift()
    assert_same(saved, untouched)


OLDER: dict[str, Callable[[dict[str, Any]], Any]] = {
    "maximize": lambda saved: [group.pop("maximize") for group in saved["param_groups"]],
    "foreach": lambda saved: [group.pop("foreach") for group in saved["param_groups"]],
    "all flags": lambda saved: [
        group.pop(name) for group in saved["param_groups"] for name in ("maximize", "foreach", "differentiable", "capturable")
    ],
    "step": lambda saved: [state.update(step=state["step"].item()) for state in saved["state"].values()],
}


@pytest.mark.parametrize("source", [RMSprop, AdaptiveRMSprop])
@pytest.mark.parametrize("age", OLDER.values(), ids=OLDER)
@each_kind
def test_a_state_dict_of_an_old_torch_is_loaded(arguments, age, source):
    """Models of years ago have no `maximize`, and a number for `step`."""
    params = parameters()
    first = source(params, **(arguments if source is AdaptiveRMSprop else {}))
    train(first, params, gradients(5))
    ends = []
    for change in (lambda saved: None, age):
        saved = copy.deepcopy(first.state_dict())
        change(saved)
        copies = [Parameter(p.detach().clone()) for p in params]
        optimizer = AdaptiveRMSprop(copies, **arguments)
        optimizer.load_state_dict(saved)
        train(optimizer, copies, gradients(5))
        ends.append(everything(optimizer, copies))
    assert_same(ends[1], ends[0])


@pytest.mark.parametrize("to_named", [False, True])
@pytest.mark.parametrize("from_named", [False, True])
@each_kind
def test_names_of_parameters_are_no_obstacle_to_loading(arguments, from_named, to_named):
    """Names are for people: whether a checkpoint has them must decide nothing."""
    groups = []
    for kind in (RMSprop, AdaptiveRMSprop):
        model = torch.nn.Linear(3, 2)
        own = arguments if kind is AdaptiveRMSprop else {}
        source = kind(model.named_parameters() if from_named else model.parameters(), **own)
        train(source, list(model.parameters()), gradients(3, [(2, 3), (2,)]))
        optimizer = kind(model.named_parameters() if to_named else model.parameters(), **own)
        optimizer.load_state_dict(through_a_file(source.state_dict()))
        train(optimizer, list(model.parameters()), gradients(3, [(2, 3), (2,)]))
        groups.append({name: x for name, x in optimizer.param_groups[0].items() if name == "param_names"})
    assert groups[0] == groups[1]


@each_case
def test_a_copy_has_every_public_attribute_and_entry(arguments):
    """`copy.deepcopy(agent)` for a target or a worker: a rule left behind there becomes a constant."""
    params = parameters()
    optimizer = AdaptiveRMSprop(params, **fresh(arguments))
    train(optimizer, params, gradients(5))
    twin = copy.deepcopy(optimizer)

    def public(o: Optimizer) -> set[str]:
        return {name for name in vars(o) if not name.startswith("_")}

    assert public(twin) == public(optimizer)
    assert twin.rules == optimizer.rules
    assert twin.param_groups[0].keys() == optimizer.param_groups[0].keys()


@each_case
def test_it_prints_itself_as_torch_does(arguments):
    """Notebooks print the optimizer in their last line."""
    shown = repr(AdaptiveRMSprop(parameters(), **fresh(arguments)))
    assert shown.startswith("AdaptiveRMSprop (\nParameter Group 0\n")
    for name in ("alpha", "bias_correction", "eps_in_sqrt", "lr", "momentum", "weight_decay"):
        assert f"    {name}: " in shown


@each_kind
def test_clearing_gradients_is_torchs(arguments):
    """A gradient that is added to and never cleared is a training with another batch."""
    params = parameters()
    optimizer = AdaptiveRMSprop(params, **arguments)
    train(optimizer, params, gradients(1))
    optimizer.zero_grad(set_to_none=False)
    assert all(p.grad is not None and not p.grad.any() for p in params)
    optimizer.zero_grad()
    assert all(p.grad is None for p in params)


# Hooks --------------------------------------------------------------------------------------------------------------------


def both(check: Callable[[type[Optimizer], dict[str, Any]], Any], arguments: dict[str, Any]) -> list[Any]:
    """What is heard of torch's RMSprop and of AdaptiveRMSprop."""
    return [check(RMSprop, {}), check(AdaptiveRMSprop, arguments)]


@each_kind
def test_hooks_of_a_step_are_called_as_torchs(arguments):
    """Profilers, schedulers and recorders listen to steps: in another order, or with other arguments, they record another run."""

    def heard(kind: type[Optimizer], own: dict[str, Any]) -> list[Any]:
        params = parameters()
        optimizer = kind(params, **own)
        calls: list[Any] = []

        def hook(name: str) -> Callable[..., None]:
            return lambda o, args, kwargs: calls.append((name, o is optimizer, args[0] is optimizer, len(args), dict(kwargs)))

        handles = [
            register_optimizer_step_pre_hook(hook("before, all")),
            register_optimizer_step_post_hook(hook("after, all")),
            optimizer.register_step_pre_hook(hook("before")),
            optimizer.register_step_post_hook(hook("after")),
        ]
        try:
            train(optimizer, params, gradients(2))
            optimizer.step(None)
            optimizer.step(closure=None)
        finally:
            for handle in handles:
                handle.remove()
        train(optimizer, params, gradients(1))
        return calls

    torchs, ours = both(heard, arguments)
    assert ours == torchs
    assert len(ours) == 16


@each_kind
def test_a_hook_before_a_step_may_change_its_arguments(arguments):
    """Gradient penalties are put into the closure this way."""

    def losses(kind: type[Optimizer], own: dict[str, Any]) -> list[Any]:
        optimizer = kind(parameters(), **own)
        optimizer.register_step_pre_hook(lambda o, args, kwargs: ((o, lambda: 7.0), {}))
        found = [optimizer.step(), optimizer.step(lambda: 3.0)]
        optimizer.register_step_pre_hook(lambda o, args, kwargs: 1)
        with pytest.raises(RuntimeError, match="must return None or a tuple"):
            optimizer.step()
        return found

    torchs, ours = both(losses, arguments)
    assert ours == torchs == [7.0, 7.0]


@each_kind
def test_hooks_of_saving_are_called_in_torchs_order_and_may_change_what_is_saved(arguments):
    """Sharded trainings gather state there: with the hook left out each process saves its own piece."""

    def heard(kind: type[Optimizer], own: dict[str, Any]) -> list[Any]:
        params, calls = parameters(), []
        optimizer = kind(params, **own)
        train(optimizer, params, gradients(2))
        optimizer.register_state_dict_pre_hook(lambda o: calls.append("before"))
        optimizer.register_state_dict_pre_hook(lambda o: calls.append("before, first"), prepend=True)

        def without_state(o: Optimizer, saved: dict[str, Any]) -> dict[str, Any]:
            calls.append(("after", sorted(saved)))
            return {**saved, "state": {}, "note": 3}

        optimizer.register_state_dict_post_hook(without_state)
        optimizer.register_state_dict_post_hook(lambda o, saved: calls.append(("after, first", sorted(saved))), prepend=True)
        saved = optimizer.state_dict()
        return [*calls, sorted(saved), saved["state"], saved["note"]]

    torchs, ours = both(heard, arguments)
    assert ours == torchs


@each_kind
def test_hooks_of_loading_are_called_in_torchs_order_and_may_change_what_is_loaded(arguments):
    """Checkpoints of another layout are converted there: called twice, or after the checks, the conversion fails."""

    def heard(kind: type[Optimizer], own: dict[str, Any]) -> list[Any]:
        params, calls = parameters(), []
        source, optimizer = kind(params, **own), kind(params, **own)
        train(source, params, gradients(2))

        def rename(o: Optimizer, saved: dict[str, Any]) -> dict[str, Any]:
            calls.append(("before", o is optimizer, sorted(saved), len(o.state)))
            groups = [{**group, "lr": 0.25} for group in saved["groups"]]
            return {"state": saved["state"], "param_groups": groups}

        optimizer.register_load_state_dict_pre_hook(rename)
        optimizer.register_load_state_dict_pre_hook(lambda o, saved: calls.append(("first", sorted(saved))), prepend=True)
        optimizer.register_load_state_dict_post_hook(lambda o: calls.append(("after", len(o.state))))
        optimizer.register_load_state_dict_post_hook(lambda o: calls.append(("after, first", len(o.state))), prepend=True)
        saved = source.state_dict()
        optimizer.load_state_dict({"state": saved["state"], "groups": saved["param_groups"]})
        optimizer.load_state_dict({"state": saved["state"], "groups": saved["param_groups"]})
        return [*calls, optimizer.param_groups[0]["lr"], saved["param_groups"][0]["lr"]]

    torchs, ours = both(heard, arguments)
    assert ours == torchs
    assert len(ours) == 10


# Schedulers, averages, scalers --------------------------------------------------------------------------------------------

EVERY_SCHEDULER: dict[str, Callable[[Optimizer], Any]] = {
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda k: 1 / (1 + k)),
    "MultiplicativeLR": lambda o: lr_scheduler.MultiplicativeLR(o, lambda k: 0.9),
    "StepLR": lambda o: lr_scheduler.StepLR(o, 3, 0.5),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [2, 5], 0.5),
    "ConstantLR": lambda o: lr_scheduler.ConstantLR(o, 0.5, 4),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o, 0.1, 1.0, 8),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.8),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, 8, 2.0),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 5),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 0.001, 0.1, 3),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=20),
    "ChainedScheduler": lambda o: lr_scheduler.ChainedScheduler([lr_scheduler.StepLR(o, 2), lr_scheduler.ExponentialLR(o, 0.9)]),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.ConstantLR(o, 0.1, 2), lr_scheduler.ExponentialLR(o, 0.9)], milestones=[3]
    ),
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=1),
    "SWALR": lambda o: swa_utils.SWALR(o, swa_lr=0.001, anneal_epochs=4),
}


def test_the_table_has_every_scheduler_of_torch():
    """A scheduler that a new torch brings is one that nobody has tried."""
    public = {name for name in lr_scheduler.__all__ if name not in ("LRScheduler", "_LRScheduler")}
    assert public <= EVERY_SCHEDULER.keys()


@pytest.mark.parametrize("lr", [0.05, torch.tensor(0.05)], ids=["number", "tensor"])
@pytest.mark.parametrize("name", EVERY_SCHEDULER)
@each_kind
def test_every_scheduler_of_torch_sets_lr_and_momentum(arguments, name, lr):
    """Schedulers write into groups, some momentum too, some into the tensor: what was read before goes on with the old value."""
    cycles = name in ("CyclicLR", "OneCycleLR")
    seen: list[list[tuple[float, float]]] = []
    ends = []
    for kind, own in ((RMSprop, {}), (AdaptiveRMSprop, arguments)):
        params = parameters()
        optimizer = kind(params, lr=copy.deepcopy(lr), momentum=0.5 * cycles, **own)
        scheduler = EVERY_SCHEDULER[name](optimizer)
        seen.append([])
        for entry in gradients(12):
            group = optimizer.param_groups[0]
            seen[-1].append((float(group["lr"]), float(group["momentum"])))
            train(optimizer, params, [entry])
            scheduler.step(1.0) if name == "ReduceLROnPlateau" else scheduler.step()
        ends.append([p.detach() for p in params])
    assert seen[1] == seen[0]
    assert len({rate for rate, _ in seen[0]}) > 1
    by_hand = parameters()
    optimizer = AdaptiveRMSprop(by_hand, lr=1.0, momentum=0.5 * cycles, **arguments)
    for entry, (rate, momentum) in zip(gradients(12), seen[0], strict=True):
        optimizer.param_groups[0].update(lr=rate, momentum=momentum)
        train(optimizer, by_hand, [entry])
    assert_same(ends[1], [p.detach() for p in by_hand])
    if not arguments:
        assert_same(ends[1], ends[0])


@each_kind
def test_averaged_weights_of_torch_are_those_of_the_updates(arguments):
    """Averages of weights are evaluated in place of them: of the wrong object they stay at the start."""
    model = torch.nn.Linear(3, 1)
    averaged = swa_utils.AveragedModel(model)
    optimizer = AdaptiveRMSprop(model.parameters(), lr=0.1, **arguments)
    weights = []
    for _ in range(5):
        optimizer.zero_grad()
        model(torch.ones(4, 3)).sub(1).square().sum().backward()
        optimizer.step()
        averaged.update_parameters(model)
        weights.append(model.weight.detach().clone())
    torch.testing.assert_close(averaged.module.weight.detach(), torch.stack(weights).mean(0))
    assert not torch.equal(weights[0], weights[-1])


@each_kind
def test_the_gradient_scaler_unscales_and_leaves_out_overflows(arguments):
    """An update with gradients 65536 times too large, or one by infinity, is what the scaler is there to prevent."""
    (p,), (q,) = parameters([(3,)]), parameters([(3,)])
    optimizer, expected = AdaptiveRMSprop([p], **arguments), AdaptiveRMSprop([q], **arguments)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for k, (g,) in enumerate(gradients(8, [(3,)])):
        optimizer.zero_grad()
        scaler.scale((p * g * (math.inf if k == 4 else 1)).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        if k != 4:
            train(expected, [q], [[g]])
    assert scaler.get_scale() < 1024
    assert_same(everything(optimizer, [p]), everything(expected, [q]))


# torch.compile ------------------------------------------------------------------------------------------------------------

can_compile = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")


@pytest.fixture
def compiler() -> Iterator[None]:
    """torch.compile without what it has compiled before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own
        torch.compiler.reset()
        yield
        torch.compiler.reset()


def compiled_and_not(arguments: dict[str, Any], backend: str, whole: bool) -> tuple[Any, Any]:
    """The ends of a training whose step is compiled (`whole`: with the loss and its gradient), and of one without."""
    ends, inputs = [], torch.eye(3)
    for compiled in (True, False):
        model = torch.nn.Linear(3, 2)
        with torch.no_grad():
            for p, start in zip(model.parameters(), parameters([(2, 3), (2,)]), strict=True):
                p.copy_(start)
        optimizer = AdaptiveRMSprop(model.parameters(), **fresh(arguments))

        def gradient(k: Tensor, model: torch.nn.Module = model, optimizer: Optimizer = optimizer) -> None:
            optimizer.zero_grad()
            (model(inputs) - k).square().sum().backward()

        def update(k: Tensor, optimizer: Optimizer = optimizer, gradient: Any = gradient) -> None:
            gradient(k)
            optimizer.step()

        function, step = update, optimizer.step
        if compiled and whole:
            function = torch.compile(update, backend=backend)
        elif compiled:
            step = torch.compile(optimizer.step, backend=backend)
        for k in torch.tensor([0.0, 3.0, -1.0, 2.0]):
            if whole:
                function(k)
            else:
                gradient(k)
                step()
            if k == 3.0:
                optimizer.param_groups[0]["lr"] = optimizer.param_groups[0]["lr"] / 2
        ends.append(everything(optimizer, model.parameters()))
    return ends[0], ends[1]


COMPILED = {**{f"number, {name}": INPUTS[name] for name in INPUTS}, "foreach": {"foreach": True}, **VARIED_RULES}


@pytest.mark.parametrize("arguments", COMPILED.values(), ids=COMPILED)
def test_a_compiled_training_step_is_the_step(arguments, compiler):
    """Numbers that the compiler takes for constants (lr, β, the clock) would be those of the first update for ever."""
    compiled, plain = compiled_and_not(arguments, "eager", whole=True)
    assert_same(compiled, plain)


@each_kind
def test_a_compiled_step_is_the_step(arguments, compiler):
    """The same where `optimizer.step` is compiled alone, as torch's tutorial does it."""
    compiled, plain = compiled_and_not(arguments, "eager", whole=False)
    assert_same(compiled, plain)


@can_compile
@pytest.mark.parametrize("arguments", [{}, KINDS["cusum"]], ids=["number", "cusum"])
def test_a_training_step_compiled_to_machine_code_is_the_step(arguments, compiler):
    """The same, with the compiler that people use: its code for the model must meet our update."""
    compiled, plain = compiled_and_not(arguments, "inductor", whole=True)
    torch.testing.assert_close(compiled["params"], plain["params"], rtol=1e-5, atol=1e-6)
    assert compiled["state"][0]["step"] == plain["state"][0]["step"] == 4


# Several processes --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def one_process() -> Iterator[Any]:
    """A group of this process alone."""
    distributed = torch.distributed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own
        distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
        from torch.distributed.device_mesh import init_device_mesh

        yield init_device_mesh("cpu", (1,))
        distributed.destroy_process_group()


@each_input
def test_sharded_parameters_are_trained_as_torch_trains_them(arguments, one_process):
    """FSDP2 hands over DTensors: kernels that read their memory see a shard, or fail."""
    from torch.distributed.fsdp import fully_shard

    ends = []
    for kind in (RMSprop, AdaptiveRMSprop):
        model = torch.nn.Linear(3, 2)
        with torch.no_grad():
            for p, start in zip(model.parameters(), parameters([(2, 3), (2,)]), strict=True):
                p.copy_(start)
        fully_shard(model, mesh=one_process)
        optimizer = kind(model.parameters(), **fresh(arguments))
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.eye(3)).square().sum().backward()
            optimizer.step()
        ends.append([p.full_tensor().detach() for p in model.parameters()])
    assert math.isfinite(optimizer.stats()["E_q50"])
    assert_same(ends[1], ends[0])


@pytest.mark.parametrize("sharding", ["FSDP2", "DTensor"])
@pytest.mark.parametrize("arguments", [{"nonfinite": "skip"}, *list(KINDS.values())[1:]], ids=["skip", *list(KINDS)[1:]])
def test_rules_refuse_sharded_parameters_in_one_line(arguments, sharding, one_process):
    """A detector that hears one shard alarms on one process and not on the others, whose β then differ."""
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import Shard, distribute_tensor

    if sharding == "FSDP2":
        model = torch.nn.Linear(3, 2)
        fully_shard(model, mesh=one_process)
        params = list(model.parameters())
    else:
        params = [Parameter(distribute_tensor(torch.ones(4, 2), one_process, [Shard(0)]))]
    with pytest.raises(ValueError, match=r"^sharded parameters need a number for alpha and torch's options, got [^\n]*$"):
        AdaptiveRMSprop(params, **arguments)


def test_zero_trains_a_number_and_refuses_a_rule(one_process, monkeypatch):
    """ZeRO gives each process other parameters: each would have a β of its own, and call it the model's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own
        from torch.distributed.optim import ZeroRedundancyOptimizer
    ends = []
    for kind in (RMSprop, AdaptiveRMSprop):
        params = parameters()
        optimizer = ZeroRedundancyOptimizer(params, kind, lr=0.1, momentum=0.9)
        train(optimizer, params, gradients(3))
        ends.append([p.detach() for p in params])
    assert_same(ends[1], ends[0])
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda group=None: 2)  # as the first process of two sees it
    with pytest.raises(ValueError, match=r"^sharded parameters need a number for alpha and torch's options, got [^\n]*$"):
        ZeroRedundancyOptimizer(params, AdaptiveRMSprop, alpha="cusum")
    assert len(ZeroRedundancyOptimizer(params, AdaptiveRMSprop).optim.param_groups[0]["params"]) == 1


# In a file ----------------------------------------------------------------------------------------------------------------


@each_kind
def test_a_whole_optimizer_travels_through_a_file(arguments):
    """`torch.save(optimizer)` pickles the object: its caches must not travel, its rule must."""
    params = parameters()
    optimizer = AdaptiveRMSprop(params, **arguments)
    train(optimizer, params, gradients(5))
    file = io.BytesIO()
    torch.save((params, optimizer), file)
    file.seek(0)
    twins, twin = torch.load(file, weights_only=False)
    assert_same(everything(twin, twins), everything(optimizer, params))
    for one, its in ((optimizer, params), (twin, twins)):
        train(one, its, gradients(5))
    assert_same(everything(twin, twins), everything(optimizer, params))


# A torch without its private names -----------------------------------------------------------------------------------------

LISTS = ("add_", "mul_", "addcmul_", "addcdiv_", "sqrt", "norm", "copy_")
PRIVATE: dict[str, tuple[Any, ...]] = {
    "lists": (torch, *(f"_foreach_{name}" for name in LISTS)),
    "fused Adam": (torch, "_fused_adam_"),
    "compiler": (torch, "_disable_dynamo"),
    "capture": (Optimizer, "_accelerator_graph_capture_health_check", "_cuda_graph_capture_health_check"),
    "wrapper": (Optimizer, "_patch_step_function"),
    "hooks of all": (torch_internals.optim, "_global_optimizer_pre_hooks", "_global_optimizer_post_hooks"),
    "profiler": (torch.autograd.profiler, "_is_profiler_enabled"),
}


def without(*names: str) -> Any:
    """torch_internals.py as a torch without these private names would load it."""
    spec = importlib.util.spec_from_file_location("torch_internals_alone", torch_internals.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            owner, *attributes = PRIVATE[name]
            for attribute in attributes:
                patch.delattr(owner, attribute, raising=False)
        spec.loader.exec_module(module)
        module.spared = module.spares_wrapper()
        module.uncompiled = module.not_compiled(lambda: torch.compiler.is_compiling())
    return module


@pytest.mark.parametrize("name", LISTS)
def test_a_loop_takes_the_place_of_torchs_calls_for_lists(name):
    """The loop would run for the first time with the torch that needs it: it must be the same function."""
    tensors = parameters([(3,), (2, 2)], torch.float64)
    others = [p.detach().abs() + 1 for p in parameters([(3,), (2, 2)], torch.float64)]
    arguments: dict[str, tuple[Any, ...]] = {
        "add_": (torch.tensor(2.0),), "mul_": (others,), "addcmul_": (others, others), "addcdiv_": (others, others),
        "copy_": (others,),
    }  # fmt: skip
    options = {"add_": {"alpha": 3.0}, "addcmul_": {"value": 0.5}, "addcdiv_": {"value": 0.5}}.get(name, {})
    results = []
    for function in (getattr(torch, f"_foreach_{name}"), without("lists").foreach(name)):
        given = [p.detach().abs().clone() for p in tensors]
        returned = function(given, *arguments.get(name, ()), **options)
        results.append((given, list(given if name.endswith("_") else returned)))
    assert_same(results[1], results[0])
    assert "loop" in without("lists").foreach_add_.__qualname__


@each_kind
def test_without_lists_and_fused_adam_the_update_is_the_same(arguments, monkeypatch):
    """A torch that drops them makes the update slower; another one it must not be."""
    ends = []
    for private in (True, False):
        if not private:
            bare = without("lists", "fused Adam")
            assert bare.fused_adam is None
            monkeypatch.setattr(torch_internals, "fused_adam", None)
            for module, name in itertools.product((equations, fused, measure, workspace), LISTS):
                if hasattr(module, f"foreach_{name}"):
                    monkeypatch.setattr(module, f"foreach_{name}", getattr(bare, f"foreach_{name}"))
            monkeypatch.setattr(torch_internals, "foreach_add_", bare.foreach_add_)
        fused.adam_is_rmsprop.cache_clear()
        params = parameters()
        optimizer = AdaptiveRMSprop(params, **arguments)
        train(optimizer, params, gradients(10))
        ends.append(everything(optimizer, params))
        assert fused.adam_is_rmsprop(torch.float32) is private
    fused.adam_is_rmsprop.cache_clear()
    if not arguments:
        assert_same(ends[1], ends[0])
    torch.testing.assert_close(ends[1]["params"], ends[0]["params"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["wrapper", "hooks of all", "profiler"])
def test_without_what_it_relies_on_the_step_has_torchs_own_wrapper(name):
    """Hooks looked for in a place that is no more would never be called."""
    bare = without(name)
    assert torch_internals.spares_wrapper()
    assert not bare.spared

    class Wrapped(AdaptiveRMSprop):
        step = bare.with_hooks(AdaptiveRMSprop.step.__wrapped__, spare=False)

    params = parameters()
    optimizer, calls = Wrapped(params), []
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))
    train(optimizer, params, gradients(2))
    assert calls == ["before", "after"] * 2


def test_without_its_name_nothing_is_asked_of_a_capture():
    """The check is called in every step."""
    assert without("capture").check_capture(AdaptiveRMSprop(parameters())) is None
    assert torch_internals.check_capture.__name__ in PRIVATE["capture"]


def test_without_its_name_the_public_decorator_keeps_the_compiler_out(compiler):
    """Compiled into the graph, numbers of the first step would be those of all."""
    uncompiled = without("compiler").uncompiled
    assert torch.compile(lambda: uncompiled(), backend="eager")() is False


def test_without_hooks_of_loading_a_state_dict_is_loaded():
    """The attribute is torch's own; where it is missing there are no hooks to call."""
    params = parameters()
    optimizer = AdaptiveRMSprop(params)
    train(optimizer, params, gradients(3))
    saved = copy.deepcopy(optimizer.state_dict())
    delattr(optimizer, torch_internals.LOAD_PRE_HOOKS)
    loaded = torch_internals.call_load_pre_hooks(optimizer, saved)
    assert loaded == saved
    assert loaded is not saved
    with torch_internals.without_load_pre_hooks(optimizer):
        assert not hasattr(optimizer, torch_internals.LOAD_PRE_HOOKS)


def test_without_torchs_distributed_modules_nothing_is_sharded(monkeypatch):
    """Importing them to ask would take seconds in every training."""
    for name in ("torch.distributed.tensor", "torch.distributed.optim.zero_redundancy_optimizer"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert not torch_internals.is_sharded(torch.ones(2))
    assert not torch_internals.is_within_zero()
