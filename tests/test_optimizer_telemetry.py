"""Telemetry of any optimizer: its numbers are those of the step that was really made."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from torch import Tensor, nn

from rl_rmsprop import AdaptiveRMSprop, OptimizerTelemetry
from rl_rmsprop.detectors import DETECTORS, Control
from rl_rmsprop.telemetry.memories import Reader
from rl_rmsprop.telemetry.optimizer_telemetry import MEASURED
from rl_rmsprop.telemetry.watch import Alarm

Make = Callable[[Any], torch.optim.Optimizer]
LR = 1e-2


def mean_gradient(group: dict[str, Any], state: dict[str, Any], g: Tensor) -> Tensor:
    """m/(1 − β₁ᵗ), from torch's documentation of Adam."""
    return state["exp_avg"] / (1 - group["betas"][0] ** float(state["step"]))


def of_nadam(group: dict[str, Any], state: dict[str, Any], g: Tensor) -> Tensor:
    """The numerator of torch's documentation of NAdam."""
    beta, t, psi = group["betas"][0], float(state["step"]), group["momentum_decay"]
    mu, after = (beta * (1 - 0.5 * 0.96 ** (k * psi)) for k in (t, t + 1))
    product = float(state["mu_product"])
    return (1 - mu) * g / (1 - product) + after * state["exp_avg"] / (1 - product * after)


def gradient(group: dict[str, Any], state: dict[str, Any], g: Tensor) -> Tensor:
    return -g if group.get("maximize") else g


MODES: dict[str, tuple[Make, Callable[[dict[str, Any], dict[str, Any], Tensor], Tensor]]] = {
    "RMSprop": (lambda p: torch.optim.RMSprop(p, LR), gradient),
    "RMSprop centered": (lambda p: torch.optim.RMSprop(p, LR, centered=True, eps=1e-3), gradient),
    "RMSprop maximize": (lambda p: torch.optim.RMSprop(p, LR, maximize=True), gradient),
    "RMSprop foreach": (lambda p: torch.optim.RMSprop(p, LR, alpha=0.9, foreach=True), gradient),
    "RMSprop lr tensor": (lambda p: torch.optim.RMSprop(p, torch.tensor(LR, dtype=torch.float64)), gradient),
    "Adagrad": (lambda p: torch.optim.Adagrad(p, LR, lr_decay=0.1, initial_accumulator_value=0.3), gradient),
    "Adagrad foreach": (lambda p: torch.optim.Adagrad(p, LR, foreach=True), gradient),
    "Adam": (lambda p: torch.optim.Adam(p, LR), mean_gradient),
    "Adam amsgrad": (lambda p: torch.optim.Adam(p, LR, amsgrad=True, betas=(0.8, 0.9)), mean_gradient),
    "Adam fused": (lambda p: torch.optim.Adam(p, LR, fused=True), mean_gradient),
    "Adam foreach": (lambda p: torch.optim.Adam(p, LR, foreach=True, eps=1e-2), mean_gradient),
    "AdamW": (lambda p: torch.optim.AdamW(p, LR, weight_decay=0.0), mean_gradient),
    "NAdam": (lambda p: torch.optim.NAdam(p, LR), of_nadam),
    "RAdam": (lambda p: torch.optim.RAdam(p, LR, betas=(0.9, 0.9)), mean_gradient),
    "RAdam slow": (lambda p: torch.optim.RAdam(p, LR), mean_gradient),
    "Adamax": (lambda p: torch.optim.Adamax(p, LR), mean_gradient),
    "RMSpropTFLike": (lambda p: RMSpropTFLike(p, LR, eps=1e-3), gradient),
    "RMSpropTFLike centered": (lambda p: RMSpropTFLike(p, LR, centered=True), gradient),
    "SGD": (lambda p: torch.optim.SGD(p, LR), gradient),
    "SGD maximize": (lambda p: torch.optim.SGD(p, LR, maximize=True), gradient),
}
"""Name → optimizer, and what its effective learning rate multiplies; without weight decay and momentum of steps."""
OTHERS: dict[str, Make] = {
    "RMSprop momentum": lambda p: torch.optim.RMSprop(p, LR, momentum=0.9, weight_decay=0.1),
    "Adam weight decay": lambda p: torch.optim.Adam(p, LR, weight_decay=0.1),
    "AdamW": lambda p: torch.optim.AdamW(p, LR, weight_decay=0.3),
    "NAdam decoupled": lambda p: torch.optim.NAdam(p, LR, weight_decay=0.3, decoupled_weight_decay=True),
    "RAdam maximize": lambda p: torch.optim.RAdam(p, LR, maximize=True),
    "SGD Nesterov": lambda p: torch.optim.SGD(p, LR, momentum=0.9, nesterov=True, weight_decay=0.1),
    "Rprop": lambda p: torch.optim.Rprop(p, LR),
    "AdaptiveRMSprop": lambda p: AdaptiveRMSprop(p, LR, alpha="cusum:arl=500,max=0.99", weight_decay=0.1),
    "AdaptiveRMSprop momentum": lambda p: AdaptiveRMSprop(p, LR, alpha="asymmetric", momentum=0.5, bias_correction=True),
}


def trained(make: Make, updates: int, every: int = 1, each: Callable[[OptimizerTelemetry], Any] = lambda telemetry: None) -> Any:
    """Parameters after some updates of a small network, those before the last one, and its telemetry."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).double()
    optimizer = make(model.parameters())
    telemetry = OptimizerTelemetry(optimizer, every=every)
    before: list[Tensor] = []
    for _ in range(updates):
        optimizer.zero_grad()
        model(torch.randn(16, 5, dtype=torch.float64)).square().mean().backward()
        before = [p.detach().clone() for p in model.parameters()]
        optimizer.step()
        each(telemetry)
    return list(model.parameters()), before, telemetry


@pytest.mark.parametrize("updates", [1, 2, 30])
@pytest.mark.parametrize("name", MODES)
def test_effective_learning_rates_are_those_of_the_true_step(name: str, updates: int) -> None:
    """Silent failure: a curve of effective learning rates that no step has had."""
    make, direction = MODES[name]
    _, before, telemetry = trained(make, updates)
    optimizer, reader = telemetry.optimizer, Reader(type(telemetry.optimizer))
    rates = []
    for group in optimizer.param_groups:
        for p, was in zip(group["params"], before, strict=True):
            (memory,) = reader.memories(group, [p], optimizer.state)
            step = memory.effective_lr.reshape(p.shape) * direction(group, optimizer.state[p], p.grad)
            torch.testing.assert_close(was - p.detach(), step, rtol=1e-5, atol=1e-15)
            rates.append(memory.effective_lr.numpy())
    rates = np.concatenate(rates)
    measured = [telemetry.values()[f"optim/effective_lr_q{q:02d}"] for q in (5, 50, 95)]
    np.testing.assert_allclose(measured, np.quantile(rates, (0.05, 0.5, 0.95)), rtol=1e-5)


@pytest.mark.parametrize("name", [*MODES, *OTHERS])
def test_the_size_of_a_step_is_that_of_the_change(name: str) -> None:
    """Silent failure: weight decay, momentum or a mode of torch's changes parameters, and the curve knows nothing of it."""
    params, before, telemetry = trained(MODES[name][0] if name in MODES else OTHERS[name], 20)
    moved = torch.cat([(p.detach() - was).flatten() for p, was in zip(params, before, strict=True)])
    size = torch.cat([was.flatten() for was in before]).norm()
    values = telemetry.values()
    assert values["optim/update_rms"] == pytest.approx(float(moved.square().mean().sqrt()), rel=1e-5)
    assert values["optim/update_ratio"] == pytest.approx(float(moved.norm() / size), rel=1e-5)
    norm = torch.cat([p.grad.flatten() for p in params]).norm()
    assert values["optim/grad_norm"] == pytest.approx(float(norm), rel=1e-6)


@pytest.mark.parametrize("named", [False, True], ids=["step(closure)", "step(closure=closure)"])
@pytest.mark.parametrize("name", ["RMSprop", "Adam", "SGD", "AdaptiveRMSprop"])
def test_gradients_that_a_closure_makes_are_those_of_this_update(name: str, named: bool) -> None:
    """Silent failure: Lightning evaluates the loss within `step`, and every curve and detector is an update late."""
    make = MODES[name][0] if name in MODES else OTHERS[name]
    of_both = []
    for with_closure in (False, True):
        torch.manual_seed(0)
        model = nn.Linear(5, 3).double()
        optimizer = make(model.parameters())
        telemetry = OptimizerTelemetry(optimizer, every=1)
        watch = telemetry.watch("cusum:arl=20,burn_in=2,signal=grad_norm")
        found = []
        for _ in range(30):
            x = torch.randn(16, 5, dtype=torch.float64)

            def closure(model: nn.Module = model, x: Tensor = x, optimizer: Any = optimizer) -> Tensor:
                optimizer.zero_grad()
                loss = model(x).square().mean()
                loss.backward()
                return loss

            if with_closure:
                loss = optimizer.step(closure=closure) if named else optimizer.step(closure)
                assert loss.requires_grad
            else:
                closure()
                optimizer.step()
            found.append([*telemetry.values().values(), float(len(watch.alarms))])
        of_both.append(found)
    np.testing.assert_array_equal(*of_both)


@pytest.mark.parametrize("name", ["AdaptiveRMSprop", "AdaptiveRMSprop momentum"])
def test_an_adaptive_rmsprop_is_measured_as_it_measures_itself(name: str) -> None:
    """Silent failure: two curves of one thing that differ."""
    _, _, telemetry = trained(OTHERS[name], 20)
    stats, values = telemetry.optimizer.stats(), telemetry.values()
    for key in ("E_q05", "E_q50", "E_q95", "effective_lr_q50", "share_below_eps"):
        assert values[f"optim/{key}"] == stats[key]
    assert values["optim/beta"] == pytest.approx(stats["beta"])
    assert values["optim/update_rms"] == pytest.approx(stats["update_rms"], rel=1e-5)


def test_number_beta_is_measured_as_torchs() -> None:
    """Silent failure: ours and torch's curves cannot be laid over each other, though the optimizers are the same."""
    ours, theirs = (trained(make, 25)[2].values() for make in (lambda p: AdaptiveRMSprop(p, LR), MODES["RMSprop"][0]))
    for tag in MEASURED:
        if tag != "optim/surprise":  # before E is full, ours knows what part of it is there
            assert ours[tag] == pytest.approx(theirs[tag], rel=1e-6), tag


def test_what_an_optimizer_does_not_have_is_nan() -> None:
    """Silent failure: β = 0 of an optimizer without any."""
    values = trained(MODES["SGD"][0], 5)[2].values()
    assert list(values) == list(MEASURED)
    missing = {tag for tag, value in values.items() if math.isnan(value)}
    assert missing == {
        t for t in MEASURED if t.startswith(("optim/beta", "optim/window", "optim/E_", "optim/surp", "optim/share"))
    }
    assert values["optim/effective_lr_q50"] == pytest.approx(LR)
    unknown = trained(OTHERS["Rprop"], 5)[2].values()
    assert math.isnan(unknown["optim/effective_lr_q50"])
    assert unknown["optim/update_rms"] > 0


def test_surprise_is_that_of_the_optimizers_own_memory() -> None:
    """Silent failure: the surprise is taken of E after the update, which knows the gradient already."""
    found = []

    def expected(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        pairs = [(p.grad, optimizer.state[p]["exp_avg_sq"] / (1 - 0.999 ** float(optimizer.state[p]["step"])))
                 for g in optimizer.param_groups for p in g["params"] if optimizer.state[p]]  # fmt: skip
        if pairs:
            ratios = torch.cat([(g.square() / (E + 1e-16)).flatten() for g, E in pairs])
            found.append(float(ratios.mean().log()))

    def make(params: Any) -> torch.optim.Optimizer:
        optimizer = torch.optim.Adam(params, LR)
        optimizer.register_step_pre_hook(expected)
        return optimizer

    measured: list[float] = []
    trained(make, 10, each=lambda telemetry: measured.append(telemetry.values()["optim/surprise"]))
    assert math.isnan(measured[0])
    np.testing.assert_allclose(measured[1:], found, rtol=1e-9)


def test_the_norm_is_that_before_clipping() -> None:
    """Silent failure: clipped to 0.5 at every update, the curve of norms is a flat line."""
    model = nn.Linear(4, 2)
    optimizer = torch.optim.RMSprop(model.parameters())
    telemetry = OptimizerTelemetry(optimizer, every=2)
    for k in range(5):
        optimizer.zero_grad()
        for _ in range(2):  # gradients of two passes are accumulated
            (100 * model(torch.full((4,), k + 1.0)).square().sum()).backward()
        norm = float(nn.utils.clip_grad_norm_(model.parameters(), 0.5))
        optimizer.step()
        if k % 2 == 0:
            assert telemetry.values()["optim/grad_norm"] == pytest.approx(norm, rel=1e-5)
    assert norm > 5


@pytest.mark.parametrize("signal", ["grad_norm", "cosine", "surprise", "peak_surprise"])
def test_a_watched_detector_hears_what_it_would_hear_in_an_optimizer(signal: str) -> None:
    """Silent failure: drift detection for others' optimizers alarms at other updates than ours would."""
    text = f"cusum:arl=300,signal={signal},max=0.99"
    alarmed: list[Alarm] = []
    own: list[float] = []

    def run(alpha: Any, watch: bool) -> None:
        torch.manual_seed(1)
        weight = nn.Parameter(torch.ones(40, dtype=torch.float64))
        optimizer = AdaptiveRMSprop([weight], lr=0.0, alpha=alpha)
        telemetry = OptimizerTelemetry(optimizer)
        if watch:
            telemetry.watch(text, alarmed.append)
        for k in range(400):
            weight.grad = torch.randn(40, dtype=torch.float64) * (5 if k > 300 else 1) + (2 if k > 300 else 0)
            optimizer.step()
            if not watch:
                own.append(optimizer.stats()["alarms"])

    run(text, False)
    run(text, True)
    updates = [k + 1 for k in range(400) if own[k] > (own[k - 1] if k else 0)]
    assert [alarm.update for alarm in alarmed] == updates
    assert any(update > 300 for update in updates)
    assert all(alarm.statistic > alarm.threshold for alarm in alarmed)


def test_signals_that_only_the_loop_knows_are_observed() -> None:
    """Silent failure: a detector of returns hears nothing and never alarms."""
    weight = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    telemetry = OptimizerTelemetry(optimizer)
    watch = telemetry.watch("page_hinkley:signal=episode_return")
    weight.grad = torch.ones(3)
    with pytest.raises(ValueError, match="episode_return must be reported before each update"):
        optimizer.step()
    for k in range(400):
        telemetry.observe(episode_return=100.0 + k % 7 if k < 300 else -500.0)
        optimizer.step()
    assert watch.alarms
    assert watch.alarms[-1].update > 300


@pytest.mark.parametrize(
    ("text", "message"),
    [("0.99", "text of a detector"), ("oracle", "text of a detector"), ("cusum", "signal=grad_norm"), ("cusam", "cusum")],
)
def test_what_cannot_be_watched_is_refused(text: str, message: str) -> None:
    """Silent failure: a watch that never looks."""
    telemetry = OptimizerTelemetry(torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1))
    with pytest.raises(ValueError, match=message):
        telemetry.watch(text)
    with pytest.raises(ValueError, match="every must be at least 1"):
        OptimizerTelemetry(telemetry.optimizer, every=0)


def test_every_writer_gets_the_same(tmp_path: Path) -> None:
    """Silent failure: a curve in one place and not in another; a value written twice, or never."""

    class Summary:
        def __init__(self) -> None:
            self.rows: dict[int, dict[str, float]] = {}

        def add_scalar(self, tag: str, value: float, step: int) -> None:
            assert tag not in self.rows.setdefault(step, {})
            self.rows[step][tag] = value

    class Wandb:
        def __init__(self) -> None:
            self.rows: dict[int, dict[str, float]] = {}

        def log(self, values: dict[str, float], step: int) -> None:
            self.rows[step] = values

    summary, wandb, called = Summary(), Wandb(), {}
    path, count = tmp_path / "deep" / "telemetry.csv", [0]

    def each(telemetry: OptimizerTelemetry) -> None:
        count[0] += 1
        for writer in (summary, wandb, lambda_writer, path):
            telemetry.log(writer, 10 * count[0])

    def lambda_writer(step: int, values: dict[str, float]) -> None:
        called[step] = dict(values)

    trained(MODES["Adam"][0], 25, every=10, each=each)
    assert list(summary.rows) == list(wandb.rows) == list(called) == [10, 110, 210]
    assert repr(summary.rows) == repr(wandb.rows) == repr(called)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["10", "110", "210"]
    assert [float(row["optim/update_rms"]) for row in rows] == [called[step]["optim/update_rms"] for step in called]
    telemetry = OptimizerTelemetry(torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1))
    with pytest.raises(TypeError, match="writer must be"):
        telemetry.log(3, 0)


def test_a_file_of_other_columns_is_not_spoiled(tmp_path: Path) -> None:
    """Silent failure: rows of two telemetries below one header."""
    path = tmp_path / "t.csv"
    path.write_text("step,other\n1,2\n")
    with pytest.raises(ValueError, match="must have the columns of this telemetry"):
        trained(MODES["Adam"][0], 1, each=lambda telemetry: telemetry.log(path, 1))
    assert path.read_text() == "step,other\n1,2\n"


def test_a_training_that_is_continued_alarms_as_if_it_had_not_stopped() -> None:
    """Silent failure: after a restart the detector learns its baseline anew and is blind for a while."""

    def gradients(k: int) -> Tensor:
        return torch.randn(30, generator=torch.Generator().manual_seed(k)) * (6 if k > 250 else 1)

    def run(parts: list[range]) -> list[int]:
        weight, state, optimizer_state = nn.Parameter(torch.ones(30)), None, None
        for part in parts:
            optimizer = torch.optim.Adam([weight], lr=0.0)
            telemetry = OptimizerTelemetry(optimizer)
            watch = telemetry.watch("cusum:arl=200")
            if state is not None:
                optimizer.load_state_dict(optimizer_state)
                telemetry.load_state_dict(state)
            for k in part:
                weight.grad = gradients(k)
                optimizer.step()
            state, optimizer_state = telemetry.state_dict(), optimizer.state_dict()
        return [alarm.update for alarm in watch.alarms]

    whole = run([range(400)])
    assert whole
    assert run([range(180), range(180, 400)]) == whole


def test_closing_leaves_the_optimizer_as_it_was() -> None:
    """Silent failure: hooks of telemetries that nobody looks at any more slow a training down."""
    model = nn.Linear(2, 1)
    optimizer = torch.optim.Adam(model.parameters())
    telemetry = OptimizerTelemetry(optimizer, every=1)
    telemetry.watch("cusum:arl=50,signal=grad_norm")
    telemetry.close()
    model(torch.ones(2)).sum().backward()
    optimizer.step()
    assert telemetry.updates == 0
    assert telemetry.values() == {}
    assert not any(p._post_accumulate_grad_hooks for p in model.parameters())


def test_training_is_the_same_with_and_without() -> None:
    """Silent failure: looking changes what is looked at."""
    a, b = (trained(MODES["Adam"][0], 20, every=every)[0] for every in (1, 1000))
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("name", [name for name, kind in DETECTORS.items() if not issubclass(kind, Control)])
def test_every_detector_can_watch(name: str) -> None:
    """Silent failure: a detector that rules know cannot be attached to another optimizer."""
    weight = nn.Parameter(torch.ones(8))
    telemetry = OptimizerTelemetry(torch.optim.Adam([weight]), every=1)
    watch = telemetry.watch(f"{name}:signal=grad_norm")
    for k in range(1000):
        weight.grad = torch.randn(8, generator=torch.Generator().manual_seed(k)) * (100 if k > 500 else 1)
        telemetry.optimizer.step()
    assert telemetry.values()[f"detector/{watch.text}/alarms"] == len(watch.alarms) >= 1
    assert telemetry.values()[f"detector/{watch.text}/statistic"] == watch.statistic
