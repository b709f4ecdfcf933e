"""The compiled steps of laws: those of the laws' texts in torch, with the same bits whatever is beside them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from rl_rmsprop import AdaptiveRMSprop, rules
from rl_rmsprop.laws import LAWS, AdaSmooth, Law
from rl_rmsprop.native import library
from tests import references

if not library.is_useful():
    pytest.skip("the compiled kernel is not built here", allow_module_level=True)

torch.set_num_threads(1)
TEXTS = (
    "smorms3", "maxva", "adasmooth:updates=7", "hypergradient:start=0.9,rate=0.05", "mixture", "mixture:betas=0/0.9,share=0"
)  # fmt: skip
each_law = pytest.mark.parametrize("text", TEXTS)
SIZES = (1, 15, 16, 17, 33, 1100)
LR = 0.05


def law_of(text: str) -> Law:
    rule = rules.parse(text)
    assert isinstance(rule, Law)
    return rule


def test_every_compiled_law_is_tested():
    """A law that is compiled and not tested is one that its text does not hold to."""
    compiled = {name for name, kind in LAWS.items() if law_of(kind.example).compiled() is not None}
    assert compiled == {text.partition(":")[0] for text in TEXTS}


def stream(updates: int, runs: int | None, sizes: tuple[int, ...] = SIZES) -> list[list[Tensor]]:
    """Gradients of each parameter, whose scale jumps, and lies from 1e-6 to 1e6 in the entries of one: [T][K]."""
    noise, found = torch.Generator().manual_seed(3), []
    for n in range(updates):
        scale = (1.0, 20.0, 0.05)[n // 25 % 3]
        rows = [torch.randn(runs or 1, size, generator=noise) + 0.3 for size in sizes]
        rows = [scale * row * torch.logspace(-6, 6, row.shape[1]) for row in rows]
        found.append(rows if runs else [row[0] for row in rows])
    return found


def made(text: str, gradients: list[list[Tensor]], runs: Any = None, **arguments: Any) -> AdaptiveRMSprop:
    """An optimizer of zeros for such gradients, with a step as long as they say."""
    params = [Parameter(torch.zeros_like(g)) for g in gradients[0]]
    return AdaptiveRMSprop(params, **{"lr": LR, "runs": runs, "nonfinite": "skip", **arguments, "alpha": text})


def train(optimizer: AdaptiveRMSprop, gradients: list[list[Tensor]]) -> AdaptiveRMSprop:
    for row in gradients:
        for p, g in zip(optimizer.param_groups[0]["params"], row, strict=True):
            p.grad = g.clone()
        optimizer.step()
    return optimizer


def contents(optimizer: AdaptiveRMSprop) -> dict[str, Tensor]:
    """All that an optimizer holds."""
    group = optimizer.param_groups[0]
    found = {f"{i} {name}": t for i, p in enumerate(group["params"]) for name, t in optimizer.state[p].items()}
    found |= {f"{i} p": p.detach() for i, p in enumerate(group["params"])}
    return found | {"alpha": torch.as_tensor(group["alpha"])} | group["rule_state"]


def assert_close(mine: AdaptiveRMSprop, expected: AdaptiveRMSprop) -> None:
    held = contents(expected)
    assert contents(mine).keys() == held.keys()
    follows_differences = isinstance(mine.rules[0], AdaSmooth)  # of θ, in which rounding counts more
    for name, t in contents(mine).items():
        tolerances = {"rtol": 1e-3 if follows_differences else 3e-5, "atol": 3e-6}
        torch.testing.assert_close(t, held[name], equal_nan=True, msg=lambda text, name=name: f"{name}: {text}", **tolerances)


def have_same_bits(mine: AdaptiveRMSprop, expected: AdaptiveRMSprop) -> bool:
    held = contents(expected)
    return all(torch.equal(t, held[name]) for name, t in contents(mine).items())


@pytest.mark.parametrize("runs", [None, 3])
@pytest.mark.parametrize(
    "options", [{}, {"bias_correction": True}, {"eps_in_sqrt": True, "eps": 1e-4, "weight_decay": 0.01, "maximize": True}]
)
@each_law
def test_a_compiled_law_is_the_one_of_its_text(text, options, runs):
    """Silent failure: a compiled arm has the name of a law and does something else; a state that is not counted on."""
    gradients = stream(80, runs)
    mine, expected = (train(made(text, gradients, runs, kernel=kernel, **options), gradients) for kernel in (None, "torch"))
    assert_close(mine, expected)
    assert not have_same_bits(mine, expected)  # or torch has stepped both


@pytest.mark.parametrize("bias_correction", [False, True])
def test_a_compiled_mixture_is_the_one_of_the_reference(bias_correction):
    """Silent failure: logarithms that are good for a hundred updates."""
    squares = [(row[0].double().square()).tolist() for row in stream(600, None, (5,))]
    optimizer = made("mixture", [[torch.zeros(5)]], lr=1e-3, bias_correction=bias_correction)
    expected = references.mixture(squares, law_of("mixture").betas, 0.01, 1.0, 1e-16, 0.0)
    state, group = optimizer.state[optimizer.param_groups[0]["params"][0]], optimizer.param_groups[0]
    for row, want in zip(squares, expected, strict=True):
        train(optimizer, [[torch.tensor(row, dtype=torch.float64).sqrt().float()]])
        state = optimizer.state[group["params"][0]]
        torch.testing.assert_close(state["square_avg"].double(), torch.tensor(want.E).double(), rtol=1e-5, atol=0.0)
        torch.testing.assert_close(group["rule_state"]["mixture"], torch.tensor(want.weights).double(), rtol=3e-5, atol=1e-7)


@each_law
def test_every_instruction_set_has_the_bits_of_plain_arithmetic(text, monkeypatch):
    """Silent failure: a study that another processor cannot repeat."""
    results = []
    for name in library.instruction_sets():
        monkeypatch.setattr(library, "quickest", lambda name=name: name)
        gradients = stream(40, 2)
        results.append(train(made(text, gradients, 2, bias_correction=True), gradients))
    assert all(have_same_bits(result, results[-1]) for result in results)


@each_law
def test_a_run_alone_has_the_bits_of_the_same_run_in_a_batch(text):
    """Silent failure: a run's numbers depend on its neighbours; one whose gradient is not finite spoils them, or is updated."""
    gradients = stream(40, 3)
    gradients[9][2][1] = math.nan
    batch = train(made(text, gradients, 3), gradients)
    assert batch.stats()["skipped"].tolist() == [0, 1, 0]
    for run in range(3):
        rows = [[g[run : run + 1] for g in row] for n, row in enumerate(gradients) if run != 1 or n != 9]
        alone, held = contents(train(made(text, rows, [run]), rows)), contents(batch)
        for name, t in alone.items():
            assert torch.equal(t, held[name][run : run + 1] if t.dim() else t), name


@each_law
def test_rows_with_a_gap_between_them_are_gone_through(text):
    """Silent failure: the second run begins in the first one's memory."""
    gradients = stream(12, 3, (17,))
    plain, gap = made(text, gradients, 3), made(text, gradients, 3)
    gap.param_groups[0]["params"][0].data = torch.zeros(3, 32)[:, :17]
    for optimizer, width in ((plain, 17), (gap, 40)):
        for (g,) in gradients:
            (p,) = optimizer.param_groups[0]["params"]
            p.grad = torch.full((3, width), math.nan)[:, :17].copy_(g)
            optimizer.step()
    assert have_same_bits(gap, plain)


@pytest.mark.parametrize("runs", [None, 2])
@each_law
def test_a_saved_training_goes_on_with_either_kernel(text, runs):
    """Silent failure: one of the two leaves a state behind that the other one goes by."""
    gradients = stream(60, runs)
    expected = train(made(text, gradients, runs), gradients)
    for first, second in ((None, None), (None, "torch"), ("torch", None)):
        saved, resumed = (made(text, gradients, runs, kernel=kernel) for kernel in (first, second))
        train(saved, gradients[:30])
        for p, q in zip(resumed.param_groups[0]["params"], saved.param_groups[0]["params"], strict=True):
            p.data.copy_(q.data)
        resumed.load_state_dict(saved.state_dict())
        train(resumed, gradients[30:])
        assert_close(resumed, expected)
        assert have_same_bits(resumed, expected) == (first == second)


OTHERS: dict[str, dict[str, Any]] = {
    "torch": {"kernel": "torch"},
    "momentum": {"momentum": 0.5},
    "a step-size rule": {"lr_rule": "intentional:eta=0.05"},
    "a step that is scaled": {},
    "double precision": {},
    "columns": {},
}


@pytest.mark.parametrize("name", OTHERS)
@each_law
def test_what_is_not_compiled_is_left_to_torch(text, name):
    """Silent failure: an option that does nothing, numbers of one kind read as those of another."""
    results = []
    for kernel in (None, "torch"):
        gradients = stream(3, None, (24,))
        optimizer = made(text, gradients, **{"kernel": kernel, **OTHERS[name]})
        (p,) = optimizer.param_groups[0]["params"]
        if name == "double precision":
            p.data = p.data.double()
        if name == "columns":
            p.data = p.data.reshape(6, 4).T
        for (g,) in gradients:
            p.grad = g.to(p.dtype) if p.dim() == 1 else g.reshape(6, 4).T
            if name == "a step that is scaled":
                optimizer.observe(step_scale=0.5)
            optimizer.step()
        results.append(optimizer)
    assert have_same_bits(*results)


@each_law
def test_a_tensor_of_one_lr_is_a_number_and_one_of_each_run_is_left_to_torch(text):
    """Silent failure: whoever schedules lr as a tensor has other bits; every run takes the first run's steps."""
    gradients = stream(3, 2, (24,))
    results = [made(text, gradients, runs=2, lr=lr) for lr in (LR, torch.tensor(LR))]
    lrs = torch.tensor([LR, LR / 2])
    apart = [made(text, gradients, runs=2, lr=lrs.clone(), kernel=kernel) for kernel in (None, "torch")]
    for optimizer in (*results, *apart):
        train(optimizer, gradients)
    assert have_same_bits(*results)
    assert have_same_bits(*apart)
    assert not have_same_bits(results[0], apart[0])


def test_without_a_compiled_kernel_torch_makes_the_steps(monkeypatch):
    """Silent failure: an optimizer that only runs where a compiler was."""
    gradients = stream(3, None)
    expected = train(made("mixture", gradients, kernel="torch"), gradients)
    monkeypatch.setattr(library, "is_useful", lambda: False)
    assert have_same_bits(train(made("mixture", gradients), gradients), expected)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e20], ids=["NaN", "infinite", "its square overflows"])
@each_law
def test_numbers_that_are_not_finite_are_where_they_are_in_torch(text, bad):
    """Silent failure: a NaN is clamped away, or spoils the weights of all."""
    gradients = stream(8, None, (20,))
    gradients[3][0][5] = bad
    mine, expected = (train(made(text, gradients, kernel=k, nonfinite="propagate"), gradients) for k in (None, "torch"))
    assert_close(mine, expected)


@each_law
def test_a_gradient_through_weights_that_have_changed_is_refused(text):
    """Silent failure: autograd goes on with numbers that the step has overwritten."""
    p = Parameter(torch.ones(3))
    optimizer, loss = AdaptiveRMSprop([p], alpha=text), p.square().sum()
    loss.backward(retain_graph=True)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
