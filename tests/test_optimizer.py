"""AdaptiveRMSprop: torch's RMSprop where β is a number, the equations where it is not, and nothing lost on the way."""

from __future__ import annotations

import copy
import io
import math
import pickle
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import Parameter

from rl_rmsprop import AdaptiveRMSprop, rules
from rl_rmsprop.detectors import Detector, DetectorOutput, Never, Oracle, State
from rl_rmsprop.laws import Asymmetric
from rl_rmsprop.reactions import Drop, Reset, Restart
from rl_rmsprop.rules import Adaptive
from rl_rmsprop.schedules import Constant, Harmonic, Linear, Schedule
from tests import references
from tests.rule_table import ROWS, VARIED

torch.set_num_threads(1)

SHAPES = ((4, 3), (5,))
Gradients = list[list[Tensor]]  # [T][parameter]

RULES = {name: row.arguments for name, row in ROWS.items()}

each_rule = pytest.mark.parametrize("arguments", RULES.values(), ids=RULES)


def each(cases: dict[str, tuple[Any, ...]], names: str) -> pytest.MarkDecorator:
    """A test of every case, whose name it has."""
    return pytest.mark.parametrize(names, cases.values(), ids=cases)


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def parameters(shapes: Sequence[tuple[int, ...]] = SHAPES, dtype: torch.dtype = torch.float32) -> list[Parameter]:
    """The same start each time."""
    return [Parameter(torch.randn(s, generator=torch.Generator().manual_seed(i), dtype=dtype)) for i, s in enumerate(shapes)]


def gradients(
    steps: int, shapes: Sequence[tuple[int, ...]] = SHAPES, dtype: torch.dtype = torch.float32, seed: int = 7
) -> Gradients:
    """Noise that every 15 updates becomes 20 times larger and keeps its direction, so that detectors have something to find."""
    generator = torch.Generator().manual_seed(seed)

    def entry(large: int, shape: tuple[int, ...]) -> Tensor:
        return 20**large * (torch.randn(shape, generator=generator, dtype=dtype) + large)

    return [[entry(t // 15 % 2, shape) for shape in shapes] for t in range(steps)]


def train(optimizer: torch.optim.Optimizer, params: Sequence[Tensor], stream: Gradients) -> None:
    """One update for each entry of the stream."""
    for entry in stream:
        for p, g in zip(params, entry, strict=True):
            p.grad = g.clone()
        optimizer.step()


def assert_same(a: Any, b: Any, where: str = "") -> None:
    """Equal to the last bit, type, shape and NaN included."""
    assert type(a) is type(b), where
    if isinstance(a, Tensor):
        assert (a.dtype, a.shape) == (b.dtype, b.shape), where
        if a.is_complex():
            a, b = torch.view_as_real(a), torch.view_as_real(b)
        assert torch.equal(torch.isnan(a), torch.isnan(b)), where
        assert torch.equal(a.nan_to_num(0.5), b.nan_to_num(0.5)), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}/{i}")
    elif isinstance(a, float):
        assert a == b or (math.isnan(a) and math.isnan(b)), where
    else:
        assert a == b, where


def everything(optimizer: torch.optim.Optimizer, params: Iterable[Tensor]) -> dict[str, Any]:
    """A copy of all that an update may change."""
    return copy.deepcopy({"params": [p.detach() for p in params], **optimizer.state_dict()})


def through_a_file(state_dict: dict[str, Any]) -> dict[str, Any]:
    """Saved and loaded as Stable-Baselines3 does it."""
    file = io.BytesIO()
    torch.save(state_dict, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


# A number for alpha is torch's RMSprop --------------------------------------------------------------------------------

TORCH_OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "centered": {"centered": True},
    "weight decay": {"weight_decay": 0.1},
    "maximize": {"maximize": True},
    "all": {"momentum": 0.9, "centered": True, "weight_decay": 0.1, "maximize": True},
    "all but centered": {"momentum": 0.9, "weight_decay": 0.1, "maximize": True},
    "lr tensor": {"lr": torch.tensor(0.003)},
    "lr tensor, momentum": {"lr": torch.tensor(0.003), "momentum": 0.9},
    "lr tensor, centered": {"lr": torch.tensor(0.003), "centered": True},
    "large eps": {"eps": 0.1, "alpha": 0.5},
    "no memory": {"alpha": 0.0},
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.complex64], ids=str)
@pytest.mark.parametrize("foreach", [None, True, False])
@pytest.mark.parametrize("options", TORCH_OPTIONS.values(), ids=TORCH_OPTIONS)
def test_a_number_for_alpha_is_torchs_rmsprop_bit_for_bit(options, foreach, dtype):
    """A drop-in that differs in the last bit cannot be told from one that differs in the method."""
    results = []
    for kind in (torch.optim.RMSprop, AdaptiveRMSprop):
        params = parameters(dtype=dtype)
        optimizer = kind(params, foreach=foreach, **options)
        train(optimizer, params, gradients(24, dtype=dtype))  # the scale changes at 15
        results.append(([p.detach() for p in params], optimizer.state_dict()["state"]))
    assert all(torch.view_as_real(p).isfinite().all() if p.is_complex() else p.isfinite().all() for p in results[0][0])
    assert_same(results[1], results[0])


@pytest.mark.parametrize("options", TORCH_OPTIONS.values(), ids=TORCH_OPTIONS)
def test_measuring_the_surprise_does_not_change_the_training(options):
    """Logging that changes the run it logs makes logged and unlogged runs different experiments."""
    results = []
    for measured in (False, True):
        params = parameters()
        optimizer = AdaptiveRMSprop(params, **options)
        optimizer.measure_surprise = measured
        train(optimizer, params, gradients(50))
        results.append(everything(optimizer, params))
    assert math.isfinite(optimizer.stats()["surprise"])
    assert_same(results[1], results[0])


@pytest.mark.parametrize("foreach", [None, True, False])
def test_capturable_does_what_torchs_does(foreach):
    """On a GPU the flag keeps the step count there; on a CPU torch refuses it, and so must the drop-in."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    outcomes = []
    for kind in (torch.optim.RMSprop, AdaptiveRMSprop):
        params = [Parameter(p.detach().to(device)) for p in parameters()]
        optimizer = kind(params, capturable=True, foreach=foreach)
        try:
            train(optimizer, params, [[g.to(device) for g in entry] for entry in gradients(20)])
            outcomes.append(everything(optimizer, params)["params"])
        except AssertionError as error:
            outcomes.append(str(error))
    assert_same(outcomes[1], outcomes[0])


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"maximize": True, "weight_decay": 0.1}, {"centered": True}])
def test_differentiable_gives_torchs_gradient_through_an_update(options):
    """Meta-learning differentiates through `step`; an in-place operation there breaks it or changes its gradient."""
    got = []
    for kind in (torch.optim.RMSprop, AdaptiveRMSprop):
        start = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64, requires_grad=True)
        moving = start.clone()
        optimizer = kind([moving], lr=0.1, differentiable=True, **options)
        optimizer.measure_surprise = True  # a number, through which no gradient goes
        for k in range(1 if options.get("centered") else 3):  # centered, torch itself can do one only
            moving.grad = (k + start).sin()
            optimizer.step()
        moving.square().sum().backward()
        got.append(start.grad)
    assert_same(got[1], got[0])


@pytest.mark.parametrize("alpha", [0.9, "cusum"])
def test_a_closure_is_called_with_gradients_on_and_its_loss_returned(alpha):
    """L-BFGS-style loops hand the loss over this way: without gradients the update would use the last ones."""
    (p,) = parameters([(3,)])
    optimizer = AdaptiveRMSprop([p], lr=0.1, alpha=alpha)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = p.square().sum()
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(20)]
    assert losses[0] == parameters([(3,)])[0].square().sum().item()
    assert losses[-1] < losses[0]
    assert optimizer.state[p]["step"] == 20


def test_groups_have_numbers_of_their_own():
    """Actor and critic are often given different settings; the last group's β for all of them would go unnoticed."""
    results = []
    for kind in (torch.optim.RMSprop, AdaptiveRMSprop):
        a, b, c = params = parameters([(3,), (4,), (2, 2)])
        groups = [{"params": [a], "alpha": 0.5}, {"params": [b], "lr": 0.1, "momentum": 0.9}, {"params": [c], "centered": True}]
        optimizer = kind(groups, alpha=0.9)
        train(optimizer, params, gradients(50, [(3,), (4,), (2, 2)]))
        assert [g["alpha"] for g in optimizer.param_groups] == [0.5, 0.9, 0.9]
        results.append([p.detach() for p in params])
    assert_same(results[1], results[0])


def test_groups_have_rules_of_their_own():
    """A clock or detector shared between groups would restart the critic at the actor's shift."""
    shapes, rule = [(3,), (4,)], "cusum:arl=20,burn_in=5,max=0.95"
    both = parameters(shapes)
    together = AdaptiveRMSprop([{"params": [both[0]], "alpha": 0.9}, {"params": [both[1]]}], alpha=rule)
    stream = gradients(60, shapes)
    train(together, both, stream)
    for i, alpha in enumerate((0.9, rule)):
        single = [parameters(shapes)[i]]
        alone = AdaptiveRMSprop(single, alpha=alpha)
        train(alone, single, [[entry[i]] for entry in stream])
        assert_same(both[i].detach(), single[0].detach())
        assert_same(together.param_groups[i]["alpha"], alone.param_groups[0]["alpha"])
        assert_same(together.param_groups[i].get("rule_state"), alone.param_groups[0].get("rule_state"))


@each_rule
def test_parameters_without_gradient_are_left_alone(arguments):
    """Frozen layers must neither move nor hold state, nor count as zeros in the signal."""
    results = []
    for frozen in ([], [Parameter(torch.ones(6))]):
        params = parameters()
        optimizer = AdaptiveRMSprop([*frozen, *params], **arguments)
        train(optimizer, params, gradients(40))
        assert all(p not in optimizer.state and torch.equal(p, torch.ones(6)) for p in frozen)
        results.append(([p.detach() for p in params], [optimizer.state[p] for p in params], optimizer.stats()))
    assert_same(results[1], results[0])


@each_rule
def test_an_update_without_any_gradient_changes_nothing(arguments):
    """A clock that runs while nothing is learned would make β wrong by as many updates."""
    params = parameters()
    optimizer = AdaptiveRMSprop(params, **arguments)
    train(optimizer, params, gradients(20))
    before = everything(optimizer, params)
    optimizer.zero_grad()
    optimizer.step()
    assert_same(everything(optimizer, params), before)


@pytest.mark.parametrize("alpha", [0.9, "cusum:arl=20,burn_in=5"])
def test_torchs_learning_rate_schedulers_work(alpha):
    """They write group["lr"] each epoch; a copy of lr taken at the start would ignore them."""
    params, plain = parameters(), parameters()
    optimizer, expected = AdaptiveRMSprop(params, lr=0.1, alpha=alpha), AdaptiveRMSprop(plain, lr=0.1, alpha=alpha)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    for k, entry in enumerate(gradients(20)):
        expected.param_groups[0]["lr"] = 0.1 * 0.5**k
        train(optimizer, params, [entry])
        train(expected, plain, [entry])
        scheduler.step()
    assert_same([p.detach() for p in params], [p.detach() for p in plain])


# The equations --------------------------------------------------------------------------------------------------------


def scalar(alpha: Any, stream: Sequence[float], **arguments: Any) -> tuple[list[float], list[float], AdaptiveRMSprop, Parameter]:
    """θ after and β at each update of one float64 parameter that starts at 0.5."""
    p = Parameter(torch.tensor([0.5], dtype=torch.float64))
    optimizer = AdaptiveRMSprop([p], alpha=alpha, **arguments)
    thetas, betas = [], []
    for g in stream:
        train(optimizer, [p], [[torch.tensor([g], dtype=torch.float64)]])
        thetas.append(p.item())
        betas.append(float(optimizer.param_groups[0]["alpha"]))
    return thetas, betas, optimizer, p


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("eps_in_sqrt", [False, True])
@pytest.mark.parametrize(("bias_correction", "centered"), [(False, False), (True, False), (False, True)])
def test_scheduled_beta_follows_the_equations(bias_correction, centered, eps_in_sqrt, weight_decay, momentum):
    """Dividing by 1 − βᵗ of a changing β is wrong 7.1-fold at one step of .9 → .99, and still learns."""
    stream = noise(80, dtype=torch.float64).tolist()
    options = {"bias_correction": bias_correction, "eps_in_sqrt": eps_in_sqrt, "centered": centered}
    options |= {"weight_decay": weight_decay, "momentum": momentum}
    thetas, *_ = scalar("linear:start=0.5,end=0.99,steps=60", stream, lr=0.01, eps=1e-3, **options)
    betas = [0.5 + 0.49 * min(n / 59, 1.0) for n in range(80)]
    expected = references.rmsprop(stream, betas, 0.01, 1e-3, 0.5, **options)
    assert thetas == pytest.approx([u.theta for u in expected], rel=1e-9)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.floats(0.0, 0.9999), st.floats(0.01, 100.0), st.booleans()), min_size=1, max_size=30))
def test_any_sequence_of_betas_follows_the_equations(updates):
    """Written to group["alpha"] or scheduled, β may jump from 0 to 0.9999 and back, and E/w stays the weighted mean."""
    p = Parameter(torch.tensor([0.5], dtype=torch.float64))
    optimizer = AdaptiveRMSprop([p], lr=0.01, bias_correction=True)
    betas, stream = [b for b, _, _ in updates], [g if up else -g for _, g, up in updates]
    expected = references.rmsprop(stream, betas, 0.01, 1e-8, 0.5, bias_correction=True)
    for beta, g, truth in zip(betas, stream, expected, strict=True):
        optimizer.param_groups[0]["alpha"] = beta
        train(optimizer, [p], [[torch.tensor([g], dtype=torch.float64)]])
        assert p.item() == pytest.approx(truth.theta, rel=1e-9, abs=1e-12)
        assert optimizer.state[p]["square_avg"].item() == pytest.approx(truth.E, rel=1e-9)
        assert optimizer.state[p]["weight"].item() == pytest.approx(truth.w, rel=1e-9)


W_RULES: dict[str, tuple[Any, tuple[int, ...]]] = {
    "schedule": ("linear:start=0.9,end=0.99,steps=2", ()),
    "restart": (Adaptive(Oracle((5, 6, 30)), Linear(0.3, 0.999, 20), Restart()), ()),
    "drop": (Adaptive(Oracle((5, 30)), Constant(0.999), Drop(0.5, 10)), ()),
    "reset": (Adaptive(Oracle((5, 30)), Constant(0.999), Reset()), (5, 30)),
    "asymmetric": (Asymmetric(0.9, 0.999), ()),
}


@pytest.mark.parametrize(("alpha", "resets"), W_RULES.values(), ids=W_RULES)
def test_w_is_the_weight_that_E_has_received(alpha, resets):
    """w is what makes Ê a mean; an error in it is an error in every step, and none of the plots shows it."""
    stream = noise(60, dtype=torch.float64).tolist()
    p = Parameter(torch.tensor([0.5], dtype=torch.float64))
    optimizer = AdaptiveRMSprop([p], alpha=alpha, bias_correction=True)
    betas, got = [], []
    for g in stream:
        state = optimizer.state[p]
        E = (state["square_avg"] / state["weight"]).item() if state else g * g
        train(optimizer, [p], [[torch.tensor([g], dtype=torch.float64)]])
        law = (alpha.rise if g * g > E else alpha.fall) if isinstance(alpha, Asymmetric) else None
        betas.append(float(optimizer.param_groups[0]["alpha"]) if law is None else law)
        got.append(optimizer.state[p]["weight"].item())
    assert len(set(betas)) > 1 or resets
    assert got == pytest.approx(references.weights(betas, resets), rel=1e-12)


def test_harmonic_w_is_one_at_every_update():
    """β_n = 1 − 1/n needs no bias correction: the reason why restarts of it need none either."""
    (p,) = parameters([(3,)])
    optimizer = AdaptiveRMSprop([p], alpha=Adaptive(Oracle((7, 20)), Harmonic(0.95)))
    for entry in gradients(40, [(3,)]):
        train(optimizer, [p], [entry])
        assert optimizer.state[p]["weight"].item() == 1.0


REACTIONS = {
    "restart": (Adaptive(Oracle((8, 9, 25)), Linear(0.3, 0.95, 20), Restart()), ()),
    "drop": (Adaptive(Oracle((8, 9, 25)), Constant(0.95), Drop(0.5, 7)), ()),
    "reset": (Adaptive(Oracle((8, 9, 25)), Constant(0.95), Reset()), (8, 9, 25)),
}


@pytest.mark.parametrize(("bias_correction", "centered"), [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize(("alpha", "resets"), REACTIONS.values(), ids=REACTIONS)
def test_reactions_to_an_alarm_follow_the_equations(alpha, resets, bias_correction, centered):
    """An alarm taken one update late, or that clears E but not the mean it is centered with, steps wildly."""
    T = 40
    stream = (3 + noise(T, dtype=torch.float64)).tolist()
    raised = [n in (8, 9, 25) for n in range(1, T + 1)]
    betas = {
        Restart: references.restarted(raised, lambda n: 0.3 + 0.65 * min((n - 1) / 19, 1.0)),
        Drop: references.dropped(raised, lambda n: 0.95, 0.5, 7),
        Reset: [0.95] * T,
    }[type(alpha.reaction)]
    options = {"centered": centered, "bias_correction": bias_correction}
    thetas, live, *_ = scalar(alpha, stream, lr=0.01, **options)
    expected = references.rmsprop(stream, betas, 0.01, 1e-8, 0.5, resets=resets, **options)
    assert live == pytest.approx(betas, rel=1e-9, abs=1e-15)
    assert thetas == pytest.approx([u.theta for u in expected], rel=1e-9)


@pytest.mark.parametrize("alpha", [0.9, 0.95, 0.99])
def test_centered_never_gives_nan_on_gradients_that_hardly_vary(alpha):
    """Rounding makes E − mean² negative, its root NaN, and a network that had almost converged is lost."""
    updates = round(20 / (1 - alpha))  # until E has its full weight
    stream = [[1 + 1e-4 * g] for g in noise(updates, 1, 64)]
    ends = []
    for kind in (torch.optim.RMSprop, AdaptiveRMSprop):
        (p,) = parameters([(1, 64)])
        train(kind([p], lr=1e-6, alpha=alpha, centered=True), [p], [[g.reshape(1, 64)] for (g,) in stream])
        ends.append(p.detach())
    assert ends[0].isnan().any()  # else the stream proves nothing
    assert ends[1].isfinite().all()


@pytest.mark.parametrize("arguments", [{"bias_correction": True}, {"alpha": "harmonic"}, {"alpha": "cusum"}], ids=str)
def test_centered_first_steps_are_of_the_order_of_lr(arguments):
    """One gradient has no variance: E/w − mean² is rounding, and a step divided by its root throws the weights away."""
    p = Parameter(torch.zeros(1000))
    train(AdaptiveRMSprop([p], lr=0.01, centered=True, **arguments), [p], [[noise(1000)]])
    assert p.detach().abs().max() < 10 * 0.01


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"weight_decay": 0.1}, {"centered": True}], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_eps_inside_and_E_from_one_is_stable_baselines_rmsprop(dtype, options):
    """Published A2C results were made with TensorFlow's variant; 1e-5 inside the root is not 1e-5 outside."""
    from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike

    results = []
    for kind, own in ((RMSpropTFLike, {}), (AdaptiveRMSprop, {"eps_in_sqrt": True, "initial_accumulator_value": 1.0})):
        params = parameters(dtype=dtype)
        train(kind(params, lr=7e-4, eps=1e-5, **options, **own), params, gradients(200, dtype=dtype))
        results.append([p.detach() for p in params])
    if options.get("centered"):  # it rounds the mean gradient in another order
        torch.testing.assert_close(results[1], results[0], rtol=1e-4 if dtype is torch.float32 else 1e-10, atol=0)
    else:
        assert_same(results[1], results[0])


def test_the_live_beta_is_the_schedules():
    """Users log group["alpha"]; the β of the next update, or of the first, would be a wrong curve."""
    _, betas, *_ = scalar("harmonic:max=0.9", [1.0] * 15)
    assert betas == pytest.approx([min(1 - 1 / n, 0.9) for n in range(1, 16)])


def test_the_live_beta_of_a_law_is_its_mean_over_parameters():
    """A law has a β per parameter; the one number shown must be what its name says."""
    p = Parameter(torch.zeros(4))
    optimizer = AdaptiveRMSprop([p], alpha="asymmetric:rise=0.5,fall=0.9")
    train(optimizer, [p], [[torch.tensor([1.0, 1.0, 1.0, 1.0])], [torch.tensor([2.0, 0.1, 0.1, 0.1])]])
    assert float(optimizer.param_groups[0]["alpha"]) == pytest.approx((0.5 + 3 * 0.9) / 4)


def test_writing_a_number_to_alpha_changes_beta():
    """torch code sets group["alpha"] by hand; a cached rule would ignore it."""
    results = []
    for kind in (torch.optim.RMSprop, AdaptiveRMSprop):
        params = parameters()
        optimizer = kind(params, alpha=0.9)
        train(optimizer, params, gradients(20))
        optimizer.param_groups[0]["alpha"] = 0.5
        train(optimizer, params, gradients(20))
        results.append([p.detach() for p in params])
    assert_same(results[1], results[0])


def test_writing_one_to_alpha_is_refused():
    """β = 1 freezes E; set by a slip of the hand it stops learning without a word."""
    (p,) = parameters([(3,)])
    optimizer = AdaptiveRMSprop([p], bias_correction=True)
    optimizer.param_groups[0]["alpha"] = 1.0
    with pytest.raises(ValueError, match=r"alpha must be in \[0, 1\), got 1.0"):
        train(optimizer, [p], gradients(1, [(3,)]))


def test_notify_shift_restarts_the_clock_of_the_runs_named():
    """An oracle in the user's hand: unheard, or heard by all runs, it would be no oracle."""
    params = parameters([(3, 2)])
    optimizer = AdaptiveRMSprop(params, alpha="harmonic", runs=3)
    train(optimizer, params, gradients(10, [(3, 2)]))
    optimizer.notify_shift(torch.tensor([False, True, False]))
    train(optimizer, params, gradients(1, [(3, 2)]))
    stats = optimizer.stats()
    assert stats["clock"].tolist() == [11, 1, 11]
    assert stats["beta"].tolist() == pytest.approx([10 / 11, 0.0, 10 / 11])
    optimizer.notify_shift()
    train(optimizer, params, gradients(2, [(3, 2)]))
    assert optimizer.stats()["clock"].tolist() == [2, 2, 2]


def test_notify_shift_of_a_number_is_no_error():
    """The same training loop serves every arm of a comparison."""
    params = parameters()
    optimizer = AdaptiveRMSprop(params, alpha=0.9)
    optimizer.notify_shift()
    train(optimizer, params, gradients(2))
    assert optimizer.stats()["beta"] == 0.9


def test_observe_gives_the_norm_before_clipping_to_one_update():
    """Clipping at 0.5 hides a reward's scale from g; a norm kept for the next update would be stale."""
    params = parameters([(3,)])
    optimizer = AdaptiveRMSprop(params, alpha="cusum:signal=grad_norm")
    optimizer.observe(grad_norm=torch.tensor(40.0))
    train(optimizer, params, [[torch.tensor([0.3, 0.4, 0.0])]])
    first = math.log(40.0**2)
    assert optimizer.param_groups[0]["rule_state"]["detector.level"][0].item() == pytest.approx(first)  # the mean of one
    train(optimizer, params, [[torch.tensor([0.3, 0.4, 0.0])]])
    second = math.log(0.25)  # which weighs twice as much as the first
    assert optimizer.param_groups[0]["rule_state"]["detector.level"][0].item() == pytest.approx((first + 2 * second) / 3)


def test_observe_takes_a_norm_for_each_run():
    """With one norm for the batch every run would hear the same shift."""
    params = parameters([(2, 3)])
    optimizer = AdaptiveRMSprop(params, alpha="cusum:signal=grad_norm", runs=2)
    optimizer.observe(grad_norm=torch.tensor([2.0, 5.0]))
    train(optimizer, params, gradients(1, [(2, 3)]))
    assert optimizer.param_groups[0]["rule_state"]["detector.level"][:, 0].tolist() == pytest.approx([math.log(4), math.log(25)])


@dataclass(frozen=True)
class Told(Detector):
    """Alarms as soon as its signal exceeds one half."""

    def update(self, state: State, x: Tensor) -> DetectorOutput:
        return DetectorOutput({"seen": state["seen"] + 1}, x > 0.5, x)


@dataclass(frozen=True)
class AdaptiveToShifts(Adaptive):
    """A rule that listens to what the training loop knows of the environment."""

    @property
    def listens_to(self) -> str:
        return "shifted"


@pytest.mark.parametrize("kind", [torch.tensor, lambda x: torch.tensor(x, dtype=torch.bool)], ids=["float", "bool"])
def test_observe_tells_a_true_shift_to_one_update_and_to_the_runs_it_names(kind):
    """An oracle that hears a shift twice, in every run, or not at all, is no bound on what a detector can reach."""
    params = parameters([(3, 2)])
    optimizer = AdaptiveRMSprop(params, alpha=AdaptiveToShifts(Told(), Harmonic()), runs=3)
    train(optimizer, params, gradients(10, [(3, 2)]))
    optimizer.observe(shifted=kind([0, 1, 0]))
    optimizer.observe(grad_norm=torch.ones(3))  # told apart: the second call must not silence the first
    train(optimizer, params, gradients(1, [(3, 2)]))
    assert optimizer.stats()["clock"].tolist() == [11, 1, 11]
    train(optimizer, params, gradients(1, [(3, 2)]))
    assert optimizer.stats()["clock"].tolist() == [12, 2, 12]
    assert optimizer.stats()["alarms"].tolist() == [0, 1, 0]
    assert optimizer.param_groups[0]["rule_state"]["statistic"].dtype == torch.float64
    optimizer.observe(shifted=kind(1))
    train(optimizer, params, gradients(1, [(3, 2)]))
    assert optimizer.stats()["clock"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("name", ["grad_norm", "shifted"])
def test_observe_refuses_other_shapes(name):
    """Norms [R, 1] would broadcast to a signal [R, R], and every run would hear its neighbours."""
    optimizer = AdaptiveRMSprop(parameters([(3, 2)]), runs=3)
    with pytest.raises(ValueError, match=rf"{name} must be a scalar or one per run, got shape \(3, 1\) with runs=3"):
        optimizer.observe(**{name: torch.ones(3, 1)})


# Gradients that are not finite ----------------------------------------------------------------------------------------

BAD = {"NaN": math.nan, "infinite": math.inf, "minus infinite": -math.inf, "its square overflows": 1e20}


@each_rule
def test_skip_leaves_everything_as_if_the_update_had_not_been_asked_for(arguments):
    """One NaN in E, in a running mean of a detector or in the last gradient poisons all that follows.

    Each kind of bad number comes before the first update and in the midst of them.
    """
    stream = gradients(32)
    broken = [[g.clone() for g in stream[0]] for _ in BAD]
    for entry, bad in zip(broken, BAD.values(), strict=True):
        entry[1][2] = bad
    params, clean = parameters(), parameters()
    optimizer = AdaptiveRMSprop(params, nonfinite="skip", **arguments)
    expected = AdaptiveRMSprop(clean, nonfinite="skip", **arguments)
    train(optimizer, params, [*broken, *stream[:20], *broken, *stream[20:]])
    train(expected, clean, stream)
    assert optimizer.stats()["skipped"] == 2 * len(BAD)
    got, want = everything(optimizer, params), everything(expected, clean)
    for group in (*got["param_groups"], *want["param_groups"]):
        del group["skipped"]
    assert_same(got, want)


@each_rule
def test_skip_at_a_given_moment_changes_no_bit(arguments):
    """The same, looked at directly: parameters, E, w, momentum, mean, detector, clock and β before and after."""
    params = parameters()
    optimizer = AdaptiveRMSprop(params, nonfinite="skip", **arguments)
    train(optimizer, params, gradients(30))
    before = everything(optimizer, params)
    train(optimizer, params, [[torch.full((4, 3), math.nan), torch.ones(5)]])
    after = everything(optimizer, params)
    assert after["param_groups"][0].pop("skipped") == before["param_groups"][0].pop("skipped") + 1
    assert_same(after, before)


@each_rule
def test_skip_undoes_only_the_runs_that_are_not_finite(arguments):
    """One diverging seed must not stop the others, nor be moved by their updates."""
    R, shapes = 3, [(3, 4), (3, 2, 2)]
    stream, bad = gradients(32, shapes), (0, 20, 31)
    broken = copy.deepcopy(stream)
    for t in bad:
        broken[t][1][1, 0, 1] = math.nan
    params = parameters(shapes)
    optimizer = AdaptiveRMSprop(params, nonfinite="skip", runs=R, **arguments)
    train(optimizer, params, broken)
    assert optimizer.stats()["skipped"].tolist() == [0, 3, 0]
    for r in range(R):
        single = [Parameter(p.detach()[r : r + 1].clone()) for p in parameters(shapes)]
        alone = AdaptiveRMSprop(single, nonfinite="skip", runs=[r], **arguments)
        train(alone, single, [[g[r : r + 1] for g in entry] for t, entry in enumerate(stream) if r != 1 or t not in bad])
        assert_same([p.detach()[r : r + 1] for p in params], [p.detach() for p in single], f"run {r}")
        for p, one in zip(params, single, strict=True):
            state = {k: v[r : r + 1] for k, v in optimizer.state[p].items() if v.dim()}
            assert_same(state, {k: v for k, v in alone.state[one].items() if v.dim()}, f"run {r}")
        state = optimizer.param_groups[0].get("rule_state", {})
        assert_same({k: v[r : r + 1] for k, v in state.items()}, alone.param_groups[0].get("rule_state", {}), f"run {r}")


@each_rule
def test_raise_names_the_parameter_and_changes_nothing(arguments):
    """The traceback of a NaN ten layers later names nothing, and by then the weights are gone.

    Each kind of bad number comes before the first update and after ten.
    """
    layer = torch.nn.Linear(3, 2)
    params = [layer.weight, layer.bias]
    shapes = [(2, 3), (2,)]
    optimizer = AdaptiveRMSprop(layer.named_parameters(), nonfinite="raise", **arguments)
    for steps in (0, 10):
        train(optimizer, params, gradients(steps, shapes))
        before = everything(optimizer, params)
        for name, bad in BAD.items():
            with pytest.raises(FloatingPointError, match=r"finite.*parameter bias is not.*nonfinite='skip'"):
                train(optimizer, params, [[torch.ones(2, 3), torch.tensor([1.0, bad])]])
            assert_same(everything(optimizer, params), before, f"{name} after {steps} updates")


def test_raise_gives_the_place_of_a_parameter_without_name():
    """Stable-Baselines3 passes parameters without names."""
    params = parameters()
    optimizer = AdaptiveRMSprop(params, nonfinite="raise")
    with pytest.raises(FloatingPointError, match=r"parameter 1 of shape \(5,\)"):
        train(optimizer, params, [[torch.ones(4, 3), torch.full((5,), math.inf)]])


def test_propagate_does_as_torch_does():
    """The default must stay torch's: code that looks for NaN afterwards finds it where it was."""
    results = []
    for kind in (torch.optim.RMSprop, AdaptiveRMSprop):
        params = parameters()
        train(kind(params), params, [[torch.full((4, 3), math.nan), torch.full((5,), 1e20)], *gradients(3)])
        results.append([p.detach() for p in params])
    assert results[0][0].isnan().all()
    assert_same(results[1], results[0])


# Runs -----------------------------------------------------------------------------------------------------------------


def check_alone_as_in_a_batch(
    shapes: Sequence[tuple[int, ...]], arguments: dict[str, Any], R: int = 4, steps: int = 32, runs: Sequence[int] | None = None
) -> None:
    """Every run of a batch, or each of these runs, against the same run by itself, to the last bit."""
    batch_shapes = [(R, *s) for s in shapes]
    stream = gradients(steps, batch_shapes)
    params = parameters(batch_shapes)
    lr = arguments.get("lr", 1e-2)
    batch = AdaptiveRMSprop(params, runs=R, **arguments)
    train(batch, params, stream)
    stats = batch.stats()
    for r in range(R) if runs is None else runs:
        single = [Parameter(p.detach()[r : r + 1].clone()) for p in parameters(batch_shapes)]
        own = arguments | {"lr": lr[r : r + 1] if isinstance(lr, Tensor) else lr}
        alone = AdaptiveRMSprop(single, runs=[r], **own)
        train(alone, single, [[g[r : r + 1] for g in entry] for entry in stream])
        assert_same([p.detach()[r : r + 1] for p in params], [p.detach() for p in single], f"run {r}")
        for p, one in zip(params, single, strict=True):
            assert_same(
                {k: v[r : r + 1] if v.dim() else v for k, v in batch.state[p].items()}, dict(alone.state[one]), f"run {r}"
            )
        state = batch.param_groups[0].get("rule_state", {})
        assert_same({k: v[r : r + 1] for k, v in state.items()}, alone.param_groups[0].get("rule_state", {}), f"run {r}")
        assert_same({k: v[r : r + 1] for k, v in stats.items()}, alone.stats(), f"run {r}")


@each_rule
def test_a_run_alone_equals_the_same_run_in_a_batch(arguments):
    """The promise of batched runs: no result may depend on who else was in the batch; of the four, the first and the last."""
    check_alone_as_in_a_batch([(4, 3), (5,)], arguments, runs=(0, 3))


LR_IN_THE_RULE = ("smorms3", "adasmooth", "coupled", "policy_clock", "hypergradient, corrected", "intentional, lagging")
"""Rows beside the varied ones whose β or divisor depends on lr, or on the way of the parameters."""


@pytest.mark.parametrize("lr", [torch.tensor([0.1, 0.01, 0.003, 1e-4])], ids=["lr per run"])
@pytest.mark.parametrize("name", [*VARIED, *LR_IN_THE_RULE])
def test_a_run_alone_equals_the_same_run_in_a_batch_with_an_lr_of_its_own(name, lr):
    """A sweep of lr in one batch must give what the runs one by one would give."""
    check_alone_as_in_a_batch([(4, 3), (5,)], RULES[name] | {"lr": lr}, runs=(1, 3))


@pytest.mark.parametrize(
    ("name", "count"),
    [
        *((name, 33) for name in ("cusum", "cusum of the norm", "cusum of the cosine", "asymmetric", "mixture")),
        *((name, count) for name in ("cusum", "cusum of the cosine", "mixture") for count in (7, 12)),
    ],
)
def test_a_run_alone_equals_the_same_run_in_a_batch_of_many_tensors(name, count):
    """Actor and critic of three layers are twelve tensors: their sums must not change order with the number of runs.

    The last of five runs is left over by vectors of two and four.
    """
    check_alone_as_in_a_batch([(3,)] * count, RULES[name], R=5, steps=12, runs=(1, 4))


@pytest.mark.parametrize("shape", [(1,), (2,), (17,), (64, 64)], ids=str)
@pytest.mark.parametrize("name", ["cusum", "cusum of the cosine", "asymmetric", "mixture"])
def test_a_run_alone_equals_the_same_run_in_a_batch_of_any_size(name, shape):
    """Vectorised sums take other paths for short and long rows."""
    check_alone_as_in_a_batch([shape], RULES[name], steps=12)


@each_rule
def test_a_parameter_may_be_one_number_per_run(arguments):
    """A learned temperature or one log σ per run has shape [R]."""
    check_alone_as_in_a_batch([(), (3,)], arguments, steps=20, runs=(0, 3))


def test_runs_are_named_by_the_integers_given():
    """Random controls draw from the name: by position, seed 7 alone would alarm at other times than among 0–9."""
    ends = {}
    for names in ([0, 1, 2, 3], [3, 2, 1, 0]):
        params = [Parameter(torch.ones(4, 2))]
        optimizer = AdaptiveRMSprop(params, alpha="random:every=5", runs=names)
        train(optimizer, params, [[torch.ones(4, 2) * (1 + t % 3)] for t in range(40)])
        ends[names[0]] = optimizer.param_groups[0]["rule_state"]["clock"]
    assert torch.equal(ends[0], ends[3].flip(0))
    assert len(set(ends[0].tolist())) > 1


# Checkpoints ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "centered": True, "weight_decay": 0.1}], ids=["plain", "all"])
@pytest.mark.parametrize(
    ("first", "second"),
    [(torch.optim.RMSprop, AdaptiveRMSprop), (AdaptiveRMSprop, torch.optim.RMSprop)],
    ids=["torch to ours", "ours to torch"],
)
def test_checkpoints_of_torch_load_in_both_directions_and_go_on(first, second, options):
    """Who tries the package must be able to come with a trained model, and to leave with it."""
    stream = gradients(60)
    params, whole = parameters(), parameters()
    source, uninterrupted = first(params, alpha=0.9, **options), torch.optim.RMSprop(whole, alpha=0.9, **options)
    train(source, params, stream[:30])
    saved = through_a_file(source.state_dict())
    restored = second(params, lr=0.5, alpha=0.5)
    restored.load_state_dict(saved)
    train(restored, params, stream[30:])
    train(uninterrupted, whole, stream)
    assert_same([p.detach() for p in params], [p.detach() for p in whole])
    assert_same(restored.state_dict()["state"], uninterrupted.state_dict()["state"])


class Half(Schedule):
    """A user's own schedule, which has no text form."""

    def __call__(self, n: Tensor) -> Tensor:
        return torch.full_like(n, 0.5)


FROM_TORCH = {"schedule": "linear:start=0.5,end=0.99,steps=60", "asymmetric": "asymmetric", "own": Half()}


@pytest.mark.parametrize("alpha", FROM_TORCH.values(), ids=FROM_TORCH)
def test_a_rule_takes_over_a_checkpoint_of_torch_with_the_weight_it_implies(alpha):
    """E of n updates at 0.99 has the weight 1 − 0.99ⁿ: taken as 1, the surprise starts with a shift that is none."""
    params = parameters()
    source = torch.optim.RMSprop(params, alpha=0.99)
    train(source, params, gradients(3))
    optimizer = AdaptiveRMSprop(params, alpha=alpha)
    optimizer.load_state_dict(through_a_file(source.state_dict()))
    train(optimizer, params, gradients(1))
    state, group = optimizer.state[params[1]], optimizer.param_groups[0]
    if not isinstance(alpha, str) or not alpha.startswith("asymmetric"):
        assert group["rule_state"]["clock"] == 1
        beta = float(group["alpha"])
        assert state["weight"].item() == pytest.approx(1 - beta * 0.99**3)
    else:
        possible = [1 - beta * 0.99**3 for beta in (0.9, 0.999)]
        assert all(min(abs(w - x) for x in possible) < 1e-6 for w in state["weight"].tolist())


def test_an_option_torch_does_not_know_survives_a_checkpoint_of_torch():
    """The saved groups cannot have it: falling back to its default would change the update without a word."""
    params = parameters()
    source = torch.optim.RMSprop(params, alpha=0.99)
    train(source, params, gradients(3))
    optimizer = AdaptiveRMSprop(params, alpha=0.9, bias_correction=True, eps_in_sqrt=True)
    optimizer.load_state_dict(through_a_file(source.state_dict()))
    assert optimizer.param_groups[0]["bias_correction"] is True
    assert optimizer.param_groups[0]["eps_in_sqrt"] is True


FEW = ("number, corrected", "cusum", "asymmetric, corrected", "mixture", "trac")
"""Rows with each kind of state: none, a detector's, a weight per entry, a bank, a step size."""
SAVED: dict[str, tuple[Any, ...]] = {
    f"{name}, runs={runs}, {str(dtype).removeprefix('torch.')}": (RULES[name], runs, dtype)
    for names, runs, dtype in (
        (RULES, 3, torch.float32),
        (RULES, None, torch.bfloat16),
        (VARIED, 3, torch.complex64),
        (FEW, None, torch.float32),
        (FEW, 3, torch.bfloat16),
        (FEW, None, torch.complex64),
    )
    for name in names
}


@each(SAVED, "arguments, runs, dtype")
def test_a_checkpoint_of_a_run_in_progress_goes_on_bit_for_bit(arguments, runs, dtype):
    """A clock that starts again, a detector that forgets or a w rounded to bfloat16 makes a resumed run another run."""
    shapes = [(3, 4), (3, 5)]
    stream = gradients(50, shapes, dtype)
    params = parameters(shapes, dtype)
    optimizer = AdaptiveRMSprop(params, runs=runs, **arguments)
    train(optimizer, params, stream[:38])
    rule = rules.as_rule(arguments["alpha"])
    if isinstance(rule, Adaptive) and rule.detector != Never() and rule.detector.own_signal is None:
        assert (optimizer.param_groups[0]["rule_state"]["alarms"] > 0).all()  # else there is little to restore
    saved = through_a_file(optimizer.state_dict())
    copies = [Parameter(p.detach().clone()) for p in params]
    restored = AdaptiveRMSprop(copies, runs=runs)  # the checkpoint brings its rule and options along
    restored.load_state_dict(saved)
    assert_same(everything(restored, copies), everything(optimizer, params))
    for one, its in ((optimizer, params), (restored, copies)):
        train(one, its, stream[38:])
    assert_same(everything(restored, copies), everything(optimizer, params))


@pytest.mark.parametrize("name", ["schedule", "cusum", "number, corrected", "asymmetric"])
def test_w_is_not_rounded_by_a_bfloat16_model(name):
    """0.9995 is 1 in bfloat16: torch casts floating state to the parameter's type when it loads."""
    params = parameters()
    optimizer = AdaptiveRMSprop(params, **RULES[name])
    train(optimizer, params, gradients(30))
    halves = parameters(dtype=torch.bfloat16)
    restored = AdaptiveRMSprop(halves, **RULES[name])
    restored.load_state_dict(through_a_file(optimizer.state_dict()))
    for p, half in zip(params, halves, strict=True):
        assert_same(restored.state[half]["weight"], optimizer.state[p]["weight"])
    train(restored, halves, gradients(3, dtype=torch.bfloat16))


COPIED: dict[str, tuple[Any, ...]] = {
    f"{name}, runs={runs}": (RULES[name], runs) for names, runs in ((RULES, 4), (VARIED, None)) for name in names
}


@each(COPIED, "arguments, runs")
def test_a_copied_optimizer_goes_on_bit_for_bit(arguments, runs):
    """Copies travel to worker processes; one that shares tensors with its original, or lost its rule, trains another model."""
    shapes = [(4, 3), (4, 5)]
    stream = gradients(34, shapes)
    params = parameters(shapes)
    optimizer = AdaptiveRMSprop(params, runs=runs, nonfinite="skip", **arguments)
    train(optimizer, params, stream[:20])
    copies = [pickle.loads(pickle.dumps((params, optimizer))), copy.deepcopy((params, optimizer))]
    before = everything(optimizer, params)
    train(optimizer, params, stream[20:])
    after, stats = everything(optimizer, params), optimizer.stats()
    for how, (twins, twin) in zip(("pickle", "deepcopy"), copies, strict=True):
        assert_same(everything(twin, twins), before, how)
        train(twin, twins, stream[20:])
        assert_same(everything(twin, twins), after, how)
        assert_same(twin.stats(), stats, how)


def test_a_rule_without_text_is_restored_too():
    """A user's own schedule cannot be named in the checkpoint, but its clock can."""
    params = parameters()
    rule = Adaptive(Never(), Half())
    optimizer = AdaptiveRMSprop(params, alpha=rule)
    train(optimizer, params, gradients(10))
    restored = AdaptiveRMSprop(params, alpha=rule)
    restored.load_state_dict(through_a_file(optimizer.state_dict()))
    train(restored, params, gradients(1))
    assert restored.stats()["clock"] == 11
    assert restored.stats()["beta"] == 0.5


def test_a_constant_that_never_restarts_goes_on_bit_for_bit():
    """`Adaptive(Never(), Constant(β))` is a rule with a clock; read back as a number it takes torch's order of rounding."""
    params = parameters()
    rule = Adaptive(Never(), Constant(0.9))
    optimizer = AdaptiveRMSprop(params, alpha=rule)
    train(optimizer, params, gradients(10))
    copies = [Parameter(p.detach().clone()) for p in params]
    restored = AdaptiveRMSprop(copies, alpha=rule)
    restored.load_state_dict(through_a_file(optimizer.state_dict()))
    for one, its in ((optimizer, params), (restored, copies)):
        train(one, its, gradients(10))
    assert_same(everything(restored, copies), everything(optimizer, params))


# Statistics -----------------------------------------------------------------------------------------------------------

KEYS = [
    "beta", "window", "E_q05", "E_q50", "E_q95", "effective_lr_q05", "effective_lr_q50", "effective_lr_q95", "update_rms",
    "surprise", "share_below_eps", "clock", "statistic", "threshold", "alarms", "skipped",
]  # fmt: skip
QUANTILES = torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64)


@pytest.mark.parametrize("runs", [None, 2])
@pytest.mark.parametrize("arguments", [{}, {"bias_correction": True}, {"eps_in_sqrt": True}, {"momentum": 0.9}], ids=str)
def test_stats_are_what_they_say(arguments, runs):
    """Every plot of the study is one of these numbers; a quantile of √E in place of E looks just as smooth."""
    shapes, lr, beta, eps = [(2, 3), (2, 4)], 0.1, 0.9, 0.005 if "eps_in_sqrt" in arguments else 0.07
    params = parameters(shapes, torch.float64)
    optimizer = AdaptiveRMSprop(params, lr=lr, alpha=beta, eps=eps, runs=runs, **arguments)
    optimizer.measure_surprise = True
    stream = [[g / 10 for g in entry] for entry in gradients(8, shapes, torch.float64)]

    def flat(tensors: Sequence[Tensor]) -> Tensor:  # [R, P]
        return torch.cat([t.detach().reshape(runs or 1, -1) for t in tensors], -1)

    E, w = torch.zeros_like(flat(params)), 0.0
    for entry in stream:
        before, g2 = flat(params), flat(entry).square()
        surprise = (g2 / (E / w + eps**2)).mean(-1).log() if w else None
        E, w = beta * E + (1 - beta) * g2, beta * w + 1 - beta
        train(optimizer, params, [entry])
    stats = optimizer.stats()
    mean = E / w if arguments.get("bias_correction") else E
    root = (mean + eps).sqrt() if arguments.get("eps_in_sqrt") else mean.sqrt() + eps
    below = mean < eps if arguments.get("eps_in_sqrt") else mean.sqrt() < eps
    expected = {
        "beta": torch.full((runs or 1,), beta),
        "window": torch.full((runs or 1,), 10.0),
        **{f"E_q{q}": x for q, x in zip(("05", "50", "95"), torch.quantile(mean, QUANTILES, dim=-1), strict=True)},
        **{
            f"effective_lr_q{q}": x for q, x in zip(("05", "50", "95"), torch.quantile(lr / root, QUANTILES, dim=-1), strict=True)
        },
        "update_rms": (flat(params) - before).square().mean(-1).sqrt(),
        "surprise": surprise,
        "share_below_eps": below.double().mean(-1),
        "clock": torch.full((runs or 1,), 8.0),
        "statistic": torch.full((runs or 1,), math.nan),
        "threshold": torch.full((runs or 1,), math.nan),
        "alarms": torch.full((runs or 1,), math.nan),
        "skipped": torch.zeros(runs or 1),
    }
    assert 0 < expected["share_below_eps"].max() < 1
    assert list(stats) == list(expected) == KEYS
    for key, value in expected.items():
        got = stats[key] if runs else torch.tensor([stats[key]], dtype=torch.float64)
        assert runs or isinstance(stats[key], float)
        assert got.dtype == torch.float64
        torch.testing.assert_close(got, value.double(), rtol=1e-6, atol=0, equal_nan=True, msg=key)  # quantiles are float32


def test_stats_of_a_detector_are_its_own():
    """Alarms, clock and threshold in TensorBoard are read as the detector's, not as the schedule's."""
    params = parameters()
    optimizer = AdaptiveRMSprop(params, alpha="cusum:arl=20,burn_in=5,max=0.95")
    clocks, alarms, statistics = [], [], []
    for entry in gradients(60):
        train(optimizer, params, [entry])
        stats = optimizer.stats()
        clocks.append(stats["clock"])
        alarms.append(stats["alarms"])
        statistics.append(stats["statistic"])
        assert math.isfinite(stats["surprise"])
    raised = [b > a for a, b in zip([0.0, *alarms], alarms, strict=False)]
    assert any(raised)
    assert clocks == references.clocks(raised)
    assert raised == [s > stats["threshold"] for s in statistics]
    assert stats["threshold"] == optimizer.rules[0].detector.threshold


def test_stats_of_a_schedule_have_no_detector():
    """A threshold beside a schedule, or 0 alarms of a detector that is not there, would be read as a result."""
    params = parameters()
    optimizer = AdaptiveRMSprop(params, alpha="harmonic")
    train(optimizer, params, gradients(3))
    stats = optimizer.stats()
    assert [math.isnan(stats[k]) for k in ("statistic", "threshold", "alarms", "surprise")] == [True] * 4


def test_stats_of_several_groups_are_taken_together():
    """A group without detector must not turn the alarms of the one that has one into NaN."""
    a, b = params = parameters([(3,), (4,)])
    groups = [{"params": [a], "alpha": 0.9}, {"params": [b], "alpha": "cusum:arl=20,burn_in=5,max=0.95"}]
    optimizer = AdaptiveRMSprop(groups)
    train(optimizer, params, gradients(60, [(3,), (4,)]))
    state, stats = optimizer.param_groups[1]["rule_state"], optimizer.stats()
    E = torch.cat([optimizer.state[p]["square_avg"] for p in params])
    assert stats["E_q50"] == pytest.approx(torch.quantile(E, 0.5).item(), rel=1e-6)
    assert stats["beta"] == pytest.approx((0.9 + optimizer.param_groups[1]["alpha"].item()) / 2)
    assert stats["statistic"] == state["statistic"].item()
    assert state["alarms"] > 0
    assert stats["alarms"] == state["alarms"].item()
    assert math.isfinite(stats["surprise"])


@pytest.mark.parametrize("arguments", [{"weight_decay": 0.5}, {"weight_decay": 0.5, "momentum": 0.9}], ids=str)
def test_update_rms_is_that_of_the_update_made_with_weight_decay_too(arguments):
    """The penalty belongs to the parameter before the update, not after it."""
    params = parameters(dtype=torch.float64)
    optimizer = AdaptiveRMSprop(params, lr=0.5, **arguments)
    train(optimizer, params, gradients(3, dtype=torch.float64))
    before = [p.detach().clone() for p in params]
    train(optimizer, params, gradients(1, dtype=torch.float64))
    moved = torch.cat([(p.detach() - old).flatten() for p, old in zip(params, before, strict=True)])
    assert optimizer.stats()["update_rms"] == pytest.approx(moved.square().mean().sqrt().item(), rel=1e-6)


def test_stats_do_not_need_the_gradients():
    """`zero_grad()` right after `step()` is the common order; E and β are still there."""
    params = parameters()
    optimizer = AdaptiveRMSprop(params, alpha=0.9)
    train(optimizer, params, gradients(5))
    expected = optimizer.stats()
    optimizer.zero_grad()
    stats = optimizer.stats()
    for key in ("beta", "E_q05", "E_q50", "E_q95", "effective_lr_q50", "share_below_eps", "clock"):
        assert stats[key] == expected[key], key


def test_stats_after_a_skipped_update_are_finite():
    """The NaN that was skipped must not reappear in the log as if the training had taken it."""
    params = parameters()
    optimizer = AdaptiveRMSprop(params, alpha="cusum", nonfinite="skip")
    train(optimizer, params, [*gradients(5), [torch.full((4, 3), math.nan), torch.ones(5)]])
    stats = optimizer.stats()
    assert {k for k, v in stats.items() if not math.isfinite(v)} == set()
    assert stats["update_rms"] == 0
    train(optimizer, params, gradients(1))
    assert optimizer.stats()["update_rms"] > 0


def test_statistics_without_the_size_of_the_step_are_the_same_otherwise():
    """Silent failure: what is cheaper to ask for is another number."""
    p = torch.nn.Parameter(torch.ones(5))
    optimizer = AdaptiveRMSprop([p], alpha="cusum:arl=50,burn_in=2")
    for k in range(5):
        p.grad = torch.arange(5.0) + k
        optimizer.step()
    whole, less = optimizer.stats(), optimizer.stats(update_rms=False)
    assert math.isnan(less.pop("update_rms"))
    assert whole.pop("update_rms") > 0
    assert str(whole) == str(less)


def test_stats_change_nothing():
    """A measured run must be the unmeasured run."""
    params = parameters()
    optimizer = AdaptiveRMSprop([Parameter(torch.ones(2)), *params], alpha="cusum")
    train(optimizer, params, gradients(5))
    before = everything(optimizer, params)
    optimizer.stats()
    optimizer.samples()
    assert_same(everything(optimizer, params), before)


@pytest.mark.parametrize("runs", [None, 4])
@each_rule
def test_statistics_before_the_first_update_are_nan(arguments, runs):
    """A callback that logs at the start must not end the training; zeros would be plotted as if they had been measured."""
    optimizer = AdaptiveRMSprop(parameters([(4, 3)]), runs=runs, **arguments)
    stats = optimizer.stats()
    assert list(stats) == KEYS
    assert all(
        torch.as_tensor(x).isnan().all() and torch.as_tensor(x).shape == (() if runs is None else (runs,)) for x in stats.values()
    )
    assert [x.shape for x in optimizer.samples()] == [(0,) if runs is None else (runs, 0)] * 2
    assert optimizer.mean_square(optimizer.param_groups[0]["params"][0]) is None


def test_samples_are_E_and_the_effective_lr():
    """Histograms are made from them; swapped, they would still look like histograms."""
    params = parameters()
    optimizer = AdaptiveRMSprop(params, lr=0.1, alpha=0.9)
    train(optimizer, params, gradients(5))
    E, rate = optimizer.samples()
    expected = torch.cat([optimizer.state[p]["square_avg"].flatten() for p in params])
    torch.testing.assert_close(E, expected)
    torch.testing.assert_close(rate, 0.1 / (expected.sqrt() + 1e-8))


def test_samples_of_a_large_parameter_are_evenly_spaced_and_few():
    """Quantiles over every entry would cost more than the update."""
    p = Parameter(torch.zeros(1, 1021))
    optimizer = AdaptiveRMSprop([p], alpha=0.0, runs=1)
    train(optimizer, [p], [[torch.arange(1021.0).sqrt()[None]]])
    E, _ = optimizer.samples()
    assert E.shape == (1, 256)
    torch.testing.assert_close(E[0], torch.arange(256.0) * 4, rtol=1e-5, atol=2e-3)  # every fourth of 0 … 1020


# What is refused ------------------------------------------------------------------------------------------------------

BATCH = [(2, 3)]
REFUSED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "alpha 1": ({"alpha": 1.0}, ["[0, 1)", "1.0", "use 0.999"]),
    "alpha negative": ({"alpha": -0.1}, ["[0, 1)", "-0.1", "use 0.999"]),
    "alpha nan": ({"alpha": math.nan}, ["[0, 1)", "nan", "use 0.999"]),
    "alpha 1.5": ({"alpha": 1.5}, ["[0, 1)", "1.5", "use 0.999"]),
    "alpha text 1.5": ({"alpha": "1.5"}, ["[0, 1)", "1.5", "use 0.999"]),
    "alpha unknown rule": ({"alpha": "liner:start=0.5,end=0.9"}, ["known rule", "'liner'", "did you mean linear?"]),
    "alpha unknown key": ({"alpha": "cusum:alr=5"}, ["no key", "'alr'", "did you mean arl?"]),
    "alpha without length": ({"alpha": "linear:start=0.4,end=0.9"}, ["linear:start=0.4,end=0.9", "steps=…", "updates"]),
    "lr negative": ({"lr": -0.1}, ["lr", "at least 0", "-0.1", "give 0 or a positive number"]),
    "lr nan": ({"lr": math.nan}, ["lr", "finite", "nan", "give 0 or a positive number"]),
    "lr infinite": ({"lr": math.inf}, ["lr", "finite", "inf", "give 0 or a positive number"]),
    "lr tensor negative": ({"lr": torch.tensor(-0.1)}, ["lr", "at least 0", "-0.1"]),
    "lr per run nan": ({"lr": torch.tensor([0.1, math.nan]), "runs": 2}, ["lr", "finite", "nan"]),
    "lr per run infinite": ({"lr": torch.tensor([0.1, math.inf]), "runs": 2}, ["lr", "finite", "inf"]),
    "lr per run negative": ({"lr": torch.tensor([0.1, -1.0]), "runs": 2}, ["lr", "at least 0", "-1.0"]),
    "lr of three for two runs": ({"lr": torch.ones(3), "runs": 2}, ["one per run", "(3,)", "runs=2"]),
    "lr of two without runs": ({"lr": torch.ones(2)}, ["one per run", "(2,)", "runs=None"]),
    "lr a column": ({"lr": torch.ones(2, 1), "runs": 2}, ["one per run", "(2, 1)", "runs=2"]),
    "eps negative": ({"eps": -1e-8}, ["eps", "at least 0", "-1e-08", "give 0 or a positive number"]),
    "weight decay negative": ({"weight_decay": -1.0}, ["weight_decay", "at least 0", "-1.0"]),
    "momentum nan": ({"momentum": math.nan}, ["momentum", "finite", "nan"]),
    "initial negative": ({"initial_accumulator_value": -1.0}, ["initial_accumulator_value", "at least 0", "-1.0"]),
    "initial and corrected": (
        {"initial_accumulator_value": 1.0, "bias_correction": True},
        ["initial_accumulator_value must be 0", "bias_correction", "1.0"],
    ),
    "nonfinite unknown": ({"nonfinite": "ignore"}, ["nonfinite", "propagate, skip or raise", "'ignore'"]),
    "no run": ({"runs": 0}, ["runs", "at least 1", "0"]),
    "runs negative": ({"runs": -1}, ["runs", "at least 1", "-1"]),
    "runs that do not fit": ({"runs": 5}, ["runs=5", "first axis", "(2, 3)"]),
    "differentiable with a rule": ({"alpha": "cusum", "differentiable": True}, ["differentiable=True", "number", "'cusum'"]),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "words"), REFUSED.values(), ids=REFUSED)
def test_bad_arguments_are_refused_with_rule_value_and_remedy(arguments, words):
    """torch takes alpha=1.5 and lr=nan: a typing error then costs the whole run."""
    with pytest.raises(ValueError, match=r".") as error:
        AdaptiveRMSprop(parameters(BATCH), **arguments)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("alpha", [None, True, [0.9]], ids=str)
def test_alpha_of_another_type_is_refused(alpha):
    """True would be 1, None torch's TypeError about a comparison."""
    with pytest.raises(TypeError, match=r"alpha must be a number in \[0, 1\), a rule or its text, got"):
        AdaptiveRMSprop(parameters(), alpha=alpha)


def test_an_empty_list_of_parameters_is_refused():
    """A generator that was read once is empty: nothing would ever be trained."""
    read = iter(parameters())
    list(read)
    with pytest.raises(ValueError, match=r"params must hold at least one parameter.*pass model.parameters\(\)"):
        AdaptiveRMSprop(read)


def test_a_number_for_a_run_is_refused():
    """A scalar parameter has no first axis to be the run."""
    with pytest.raises(ValueError, match=r"runs=2 the first axis of every parameter must be 2, got shape \(\)"):
        AdaptiveRMSprop([Parameter(torch.tensor(1.0))], runs=2)


@pytest.mark.parametrize(
    ("group", "words"),
    [({"alpha": 1.0}, "got 1.0"), ({"alpha": "cusmu"}, "did you mean cusum"), ({"lr": -1.0}, "lr must be at least 0")],
)
def test_groups_are_checked_like_the_defaults(group, words):
    """A group of its own is where a typing error is least seen."""
    a, b = parameters()
    with pytest.raises(ValueError, match=words):
        AdaptiveRMSprop([{"params": [a]}, {"params": [b], **group}])


@pytest.mark.parametrize("nonfinite", ["propagate", "skip", "raise"])
@pytest.mark.parametrize("alpha", [0.9, "cusum"])
def test_sparse_gradients_are_refused(alpha, nonfinite):
    """E of a sparse gradient would forget only where there is an entry; whatever the policy, the remedy is the same."""
    layer = torch.nn.Embedding(4, 2, sparse=True)
    optimizer = AdaptiveRMSprop(layer.parameters(), alpha=alpha, nonfinite=nonfinite)
    layer(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match=r"gradients must be dense, got a sparse one: build the layer with sparse=False"):
        optimizer.step()


def test_a_group_refused_later_leaves_the_optimizer_as_it_was():
    """A notebook goes on after the error: with the bad group half added every later step would fail."""
    params = parameters([(2, 3)])
    optimizer = AdaptiveRMSprop(params, alpha="cusum", runs=2)
    with pytest.raises(ValueError, match="first axis"):
        optimizer.add_param_group({"params": [Parameter(torch.ones(5))]})
    assert len(optimizer.param_groups) == 1
    train(optimizer, params, gradients(2, [(2, 3)]))


@pytest.mark.parametrize("alpha", [0.9, "cusum"])
def test_a_group_may_be_empty_as_in_torch(alpha):
    """Code that sorts parameters into groups may find none for one of them."""
    params = parameters()
    optimizer = AdaptiveRMSprop([{"params": []}, {"params": params}], alpha=alpha)
    train(optimizer, params, gradients(2))
    assert optimizer.state[params[0]]["step"] == 2


# In other people's code -----------------------------------------------------------------------------------------------


def test_stable_baselines_trains_saves_loads_and_continues(tmp_path):
    """It passes lr by keyword, overwrites it at every update, and loads with weights_only=True."""
    from stable_baselines3 import A2C

    rule = "cusum:arl=50000,max=0.99"
    settings = {"optimizer_class": AdaptiveRMSprop, "optimizer_kwargs": {"alpha": rule}}
    model = A2C("MlpPolicy", "CartPole-v1", policy_kwargs=settings, seed=0, device="cpu", learning_rate=1e-3)
    model.learn(512)
    optimizer = model.policy.optimizer
    assert isinstance(optimizer, AdaptiveRMSprop)
    updates = optimizer.stats()["clock"]
    assert updates == -(-512 // model.n_steps)
    assert optimizer.param_groups[0]["lr"] == 1e-3
    assert optimizer.param_groups[0]["alpha"] == pytest.approx(min(1 - 1 / updates, 0.99))
    model.save(tmp_path / "model")
    loaded = A2C.load(tmp_path / "model", env=model.get_env(), device="cpu")
    assert_same(everything(loaded.policy.optimizer, loaded.policy.parameters()), everything(optimizer, model.policy.parameters()))
    loaded.learn(100, reset_num_timesteps=False)
    assert loaded.policy.optimizer.stats()["clock"] == updates + 100 / model.n_steps
    assert rules.parse(loaded.policy.optimizer.param_groups[0]["rule"]) == rules.parse(rule)


@pytest.mark.parametrize("kinds", [("post",), ("pre",), ("pre", "post")], ids=str)
def test_hooks_are_called_as_torch_calls_them(kinds):
    """Silent failure: a study's recorder, which listens after each step, hears nothing of it, or hears it twice."""
    heard: dict[type, list[tuple[str, bool, int]]] = {}
    for kind in (torch.optim.RMSprop, AdaptiveRMSprop):
        calls = heard.setdefault(kind, [])
        p = Parameter(torch.ones(3))
        p.grad = torch.ones(3)
        optimizer = kind([p], lr=0.1)
        for when in kinds:
            register = getattr(optimizer, f"register_step_{when}_hook")
            register(lambda o, args, kwargs, w=when, q=p, c=calls: c.append((w, args[0] is o, int((q == 1).all()))))
        optimizer.step()
        assert optimizer.step(lambda: torch.tensor(2.0)) == 2
    assert heard[AdaptiveRMSprop] == heard[torch.optim.RMSprop]
    assert len(heard[AdaptiveRMSprop]) == 2 * len(kinds)
