"""Step-size rules against a second account of each, and gradients that are clipped in the step alone."""

from __future__ import annotations

import copy
import io
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import erfi
from torch import Tensor
from torch.nn import Parameter

import envs
from agents import A2C, Training, make_policy
from agents.per_run import PerRun
from agents.training import clip_scale, grad_norms
from rl_rmsprop import AdaptiveRMSprop, baselines, step_sizes
from rl_rmsprop.cli import main
from rl_rmsprop.step_sizes import STEP_SIZES, AroundOptimizer, trac
from rl_rmsprop.study.spec.presets import make_agent
from rl_rmsprop.study.spec.study import load_study
from rl_rmsprop.study.training.optimizers import make_optimizer
from rl_rmsprop.study.training.train import train_batch
from tests.builders import with_options
from tests.pretended_device import DEVICE, pretended
from tests.test_device import agree
from tests.test_resume import cut_off, spec

SHAPES = ((3, 4), (5,))
TRAC = step_sizes.parse("trac:start=0.01")


def start(dtype: torch.dtype = torch.float64) -> list[Parameter]:
    noise = torch.Generator().manual_seed(1)
    return [Parameter(torch.randn(shape, generator=noise, dtype=torch.float64).to(dtype)) for shape in SHAPES]


def gradient(theta: Tensor, noise: Tensor, t: int) -> Tensor:
    """Of a bowl whose middle moves at half-time, with noise; of the parameters where they are, so that steps matter."""
    return (theta - (0.3 if t < 200 else -1.0)) * (5.0 if 100 < t < 150 else 1.0) + 0.5 * noise


def walk(optimizer: torch.optim.Optimizer, params: Sequence[Parameter], updates: int = 400, first: int = 0) -> Tensor:
    """The parameters after each update, [T, P] float64."""
    path = []
    for t in range(first, first + updates):
        noise = torch.Generator().manual_seed(t)
        for p in params:
            p.grad = gradient(p.detach(), torch.randn(p.shape, generator=noise, dtype=torch.float64).to(p.dtype), t)
        optimizer.step()
        path.append(torch.cat([p.detach().double().flatten() for p in params]))
    return torch.stack(path)


# The authors' formulas, with one flat θ ------------------------------------------------------------------------------------


def expected(step: Callable[[np.ndarray, np.ndarray, int], np.ndarray], updates: int = 400) -> Tensor:
    """The walk above of another optimizer, from (θ, g, t) to the new θ."""
    theta, path = torch.cat([p.detach().flatten() for p in start()]).numpy(), []
    sizes = [math.prod(shape) for shape in SHAPES]
    for t in range(updates):
        noise = torch.Generator().manual_seed(t)
        draws = torch.cat([torch.randn(size, generator=noise, dtype=torch.float64) for size in sizes])
        theta = step(theta, gradient(torch.from_numpy(theta), draws, t).numpy(), t + 1)
        path.append(torch.from_numpy(theta))
    return torch.stack(path)


def intentional(eta: float, beta: float, decay: float = 0.0) -> Callable[[np.ndarray, np.ndarray, int], np.ndarray]:
    """`IntentionalOptimizer.step` of the authors for δ = 1 and no trace; `decay` is γλ in their σ."""
    memory = {"v": np.zeros(17), "sigma": 0.0}

    def step(theta: np.ndarray, g: np.ndarray, t: int) -> np.ndarray:
        memory["v"] = beta * memory["v"] + (1 - beta) * g * g
        v_hat = np.sqrt(memory["v"] / (1 - beta**t)) + 1e-8
        norm = float((g * g / v_hat).sum())
        memory["sigma"] += (1 - decay) * (norm - memory["sigma"])
        u = math.sqrt(memory["sigma"] / (1 - decay**t) * norm)
        return theta - eta / max(u, 1e-8) * g / v_hat

    return step


def rmsprop_of(memory: dict[str, Any], g: np.ndarray, beta: float, t: int) -> np.ndarray:
    """What torch's RMSprop subtracts for lr = 1."""
    memory["E"] = beta * memory["E"] + (1 - beta) * g * g
    return g / (np.sqrt(memory["E"]) + 1e-8)


def adam_of(memory: dict[str, Any], g: np.ndarray, beta: float, t: int) -> np.ndarray:
    """What torch's Adam subtracts at its update t, from 1, for lr = 1 and β₁ = 0.9."""
    memory["E"] = beta * memory["E"] + (1 - beta) * g * g
    memory["m"] = 0.9 * memory.get("m", 0.0) + 0.1 * g
    return memory["m"] / (1 - 0.9**t) / (np.sqrt(memory["E"] / (1 - beta**t)) + 1e-8)


def followed(
    lr: float, beta: float, start: float = 1e-8, base: Callable[..., np.ndarray] = rmsprop_of
) -> Callable[[np.ndarray, np.ndarray, int], np.ndarray]:
    """`trac._step` of the authors around an optimizer of torch."""
    b = np.array([0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999])
    memory: dict[str, Any] = {"E": np.zeros(17), "s": np.zeros(6), "variance": np.zeros(6), "sigma": np.full(6, 1e-8)}

    def step(theta: np.ndarray, g: np.ndarray, t: int) -> np.ndarray:
        memory.setdefault("ref", theta.copy())
        update = -lr * base(memory, g, beta, t)
        delta = (theta - memory["ref"]) / (memory["s"].sum() + 1e-8)
        h = float(delta @ g)
        delta = delta + update
        memory["variance"] = memory["variance"] * b**2 + h**2
        memory["sigma"] = memory["sigma"] * b - h
        memory["s"] = start / erfi(1 / math.sqrt(2)) * erfi(memory["sigma"] / (math.sqrt(2) * np.sqrt(memory["variance"]) + 1e-8))
        return memory["ref"] + delta * max(memory["s"].sum(), 0.0)

    return step


@pytest.mark.parametrize(("lr", "decay"), [(1.0, 0.0), (1.0, 0.9), (0.3, 0.5)])
def test_intentional_is_the_authors_step(lr: float, decay: float) -> None:
    """Silent failure: a step of another length has the name of a published one."""
    rule = f"intentional:eta=0.05,decay={decay}"
    params = start()
    optimizer = AdaptiveRMSprop(params, lr, 0.99, 1e-8, bias_correction=True, lr_rule=rule)
    torch.testing.assert_close(walk(optimizer, params), expected(intentional(0.05 * lr, 0.99, decay)), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("lr", "begin"), [(0.01, 1e-8), (0.001, 1e-8), (0.01, 1e-3)])
def test_trac_is_the_authors_path(lr: float, begin: float) -> None:
    """Silent failure: the same. Only rounding sets them apart: the authors subtract parameters that are almost the same."""
    params = start()
    optimizer = AdaptiveRMSprop(params, lr, 0.99, 1e-8, lr_rule=f"trac:start={begin}")
    walked = walk(optimizer, params)
    torch.testing.assert_close(walked, expected(followed(lr, 0.99, begin)), rtol=1e-5, atol=1e-6)
    assert (walked[-1] - walked[0]).abs().max() > 0.5  # else everything would agree


def test_trac_around_adam_is_the_authors_path() -> None:
    """Silent failure: the steps inside are not those that Adam would have made. The authors' own experiments are with Adam."""
    params = start()
    optimizer = AroundOptimizer(torch.optim.Adam(params, 0.01, (0.9, 0.99)), step_sizes.parse("trac:start=0.001"))
    walked = walk(optimizer, params)
    torch.testing.assert_close(walked, expected(followed(0.01, 0.99, 1e-3, adam_of)), rtol=1e-5, atol=1e-6)
    assert (walked[-1] - walked[0]).abs().max() > 0.5
    moved = optimizer.param_groups[0]["lr_rule_state"]["moved"]
    torch.testing.assert_close(moved, (walked[-1] - walked[-2]).square().sum())


@pytest.mark.parametrize("name", ["adam", "adam_rel", "momentum", "muon", "adamax_momentum"])
def test_trac_around_a_baseline_keeps_runs_apart_and_resumes(name: str) -> None:
    """Silent failure: runs share a scale, a failed run moves on, or a resumed one begins a new path."""

    def made(runs: Sequence[int]) -> tuple[AroundOptimizer, list[Parameter]]:
        params = of_runs(runs)
        matrices = [[(0, 3, 4)], []] if name == "muon" else None
        flat = [Parameter(p.detach().flatten(1)) for p in params]
        return AroundOptimizer(PerRun(baselines.parse(name).optimizer(flat, 0.01, 1e-5, matrices)), TRAC, len(runs)), flat

    def advance(optimizer: AroundOptimizer, params: list[Parameter], runs: Sequence[int], updates: Sequence[int]) -> None:
        for t in updates:
            noise = torch.Generator().manual_seed(t)
            for p, size in zip(params, (12, 5), strict=True):
                p.grad = gradient(p.detach(), torch.randn(3, size, generator=noise)[list(runs)], t)
            if t % 7 == 3:
                params[0].grad[list(runs).index(1)] = math.nan  # type: ignore[index]
            optimizer.begin_rollout()
            optimizer.step(mask=torch.tensor([not (run == 2 and t % 5 == 1) for run in runs]))

    def content(optimizer: AroundOptimizer, params: list[Parameter], row: int) -> list[Any]:
        state = optimizer.param_groups[0]["lr_rule_state"]
        return [x[row].tolist() for x in (*params, *state["travel"], *(state[key] for key in ("sum", "variance", "sigma")))]

    together, params = made(range(3))
    advance(together, params, range(3), range(30))
    for runs in ([0, 1], [1, 2]):
        apart, few = made(runs)
        advance(apart, few, runs, range(30))
        for row, run in enumerate(runs):
            assert content(apart, few, row) == content(together, params, run)
    file = io.BytesIO()
    torch.save(together.state_dict(), file)
    file.seek(0)
    resumed, copies = made(range(3))
    with torch.no_grad():
        for p, saved in zip(copies, params, strict=True):
            p.copy_(saved)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    for optimizer, own in ((together, params), (resumed, copies)):
        advance(optimizer, own, range(3), range(30, 45))
    assert [content(resumed, copies, k) for k in range(3)] == [content(together, params, k) for k in range(3)]


def test_what_cannot_be_around_an_optimizer() -> None:
    """Silent failure: a step that is solved for with an E that is not there; weight decay of nothing."""
    with pytest.raises(ValueError, match="lr_rule must be trac around SGD, got Intentional"):
        AroundOptimizer(torch.optim.SGD(start(), 0.1), step_sizes.parse("intentional"))
    with pytest.raises(ValueError, match="weight_decay must be 0 within trac"):
        AroundOptimizer(torch.optim.SGD(start(), 0.1, weight_decay=0.1), TRAC)


def test_trac_in_single_precision_does_not_lose_its_first_steps() -> None:
    """Silent failure: while S is 1e-8 all parameters but those at zero stand still, and TRAC looks worse than it is."""
    params = start(torch.float32)
    single = walk(AdaptiveRMSprop(params, 0.01, 0.99, 1e-8, lr_rule="trac"), params, 60)
    torch.testing.assert_close(single, expected(followed(0.01, 0.99), 60), rtol=0.02, atol=0.02)


def test_erfi_is_scipys() -> None:
    """Silent failure: the size of every step of TRAC is a little off."""
    x = np.concatenate([np.logspace(-12, math.log10(25.9), 300), -np.logspace(-6, 1, 50), [0.0]])
    np.testing.assert_allclose(trac.erfi(torch.from_numpy(x)).numpy(), erfi(x), rtol=2e-13)


def test_intentional_lowers_a_linear_loss_by_eta() -> None:
    """Silent failure: η is not what it says: how far the loss falls."""
    p = Parameter(torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64))
    slope = torch.tensor([0.5, -40.0, 1e-3], dtype=torch.float64)
    optimizer = AdaptiveRMSprop([p], 1.0, "asymmetric:rise=0.5,fall=0.9", lr_rule="intentional:eta=0.25")
    for _ in range(10):
        before = float(slope @ p.detach())
        p.grad = slope.clone()
        optimizer.step()
        assert float(slope @ p.detach()) - before == pytest.approx(-0.25)


# What holds for all ------------------------------------------------------------------------------------------------------

ARGUMENTS: dict[str, dict[str, Any]] = {
    "intentional": {"lr": 1.0, "alpha": 0.9, "lr_rule": "intentional:eta=0.05,decay=0.5"},
    "trac": {"lr": 0.01, "alpha": "linear:start=0.5,end=0.99,steps=40", "lr_rule": "trac:start=0.01", "momentum": 0.3},
    "clipped": {"lr": 0.01, "alpha": 0.9},
    "clipped, mixture": {"lr": 0.01, "alpha": "mixture", "bias_correction": True, "momentum": 0.5},
}
each = pytest.mark.parametrize("arguments", ARGUMENTS.values(), ids=ARGUMENTS)


def train_runs(optimizer: AdaptiveRMSprop, params: Sequence[Parameter], runs: Sequence[int], updates: Sequence[int]) -> None:
    """Updates with gradients of three sizes, NaN in one run now and then, and clipping in the step."""
    for t in updates:
        noise = torch.Generator().manual_seed(t)
        for p in params:
            g = torch.randn(3, *p.shape[1:], generator=noise) * torch.tensor([1.0, 10.0, 100.0]).view(3, *[1] * (p.dim() - 1))
            if t % 7 == 3:
                g[1] = math.nan
            p.grad = g[list(runs)].to(p.dtype).contiguous()
        optimizer.observe(step_scale=torch.tensor([1.0, 0.3, 0.01])[list(runs)])
        optimizer.step()


def of_runs(runs: Sequence[int]) -> list[Parameter]:
    noise = torch.Generator().manual_seed(2)
    return [Parameter(torch.randn(3, *shape, generator=noise)[list(runs)].clone()) for shape in SHAPES]


def content(optimizer: AdaptiveRMSprop, params: Sequence[Parameter], row: int) -> dict[str, Any]:
    """Everything that belongs to a run, as lists."""
    group = optimizer.param_groups[0]
    values = {f"p{i}": p[row] for i, p in enumerate(params)}
    values |= {f"{i} {name}": x[row] for i, p in enumerate(params) for name, x in optimizer.state[p].items() if x.dim()}
    values |= {name: x[row] for name, x in group.get("lr_rule_state", {}).items()}
    values |= {f"stats {name}": x[row] for name, x in optimizer.stats().items() if name != "clock"}  # of a number all share it
    return {name: x.tolist() if not x.isnan().any() else str(x.tolist()) for name, x in values.items()}


@each
def test_a_run_in_a_batch_is_the_run_alone(arguments: dict[str, Any]) -> None:
    """Silent failure: one run's large gradients, or its NaN, make its neighbour's steps shorter, or change their last bit."""
    params = of_runs(range(3))
    together = AdaptiveRMSprop(params, nonfinite="skip", runs=[0, 1, 2], **arguments)
    train_runs(together, params, range(3), range(40))
    for r in range(3):
        single = of_runs([r])
        alone = AdaptiveRMSprop(single, nonfinite="skip", runs=[r], **arguments)
        train_runs(alone, single, [r], range(40))
        assert content(together, params, r) == content(alone, single, 0), f"run {r}"
    assert together.stats()["skipped"].tolist() == [0, 6, 0]


@each
def test_resumed_is_as_if_never_stopped(arguments: dict[str, Any]) -> None:
    """Silent failure: after a checkpoint TRAC starts from S = 0 again, or the step is another one."""
    whole, parts = of_runs(range(3)), of_runs(range(3))
    optimizer = AdaptiveRMSprop(whole, nonfinite="skip", runs=3, **arguments)
    train_runs(optimizer, whole, range(3), range(30))
    first = AdaptiveRMSprop(parts, nonfinite="skip", runs=3, **arguments)
    train_runs(first, parts, range(3), range(15))
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = AdaptiveRMSprop(parts, nonfinite="skip", runs=3)
    second.load_state_dict(torch.load(file, weights_only=True))
    copied, copies = copy.deepcopy((first, parts))
    for other, its in ((second, parts), (copied, copies)):
        train_runs(other, its, range(3), range(15, 30))
        assert [content(other, its, r) for r in range(3)] == [content(optimizer, whole, r) for r in range(3)]


@each
def test_statistics_are_of_the_steps_that_were_taken(arguments: dict[str, Any]) -> None:
    """Silent failure: the curve of the effective lr shows lr/√Ê, and the steps are a hundred times as long."""
    params = [Parameter(p.detach().double()) for p in of_runs(range(3))]
    optimizer = AdaptiveRMSprop(params, runs=3, **arguments)
    train_runs(optimizer, params, range(3), [0, 1, 2])
    before = [p.detach().clone() for p in params]
    train_runs(optimizer, params, range(3), [4])
    moved = torch.cat([(p.detach() - old).reshape(3, -1) for p, old in zip(params, before, strict=True)], 1)
    stats = optimizer.stats()
    torch.testing.assert_close(stats["update_rms"], moved.square().mean(1).sqrt(), rtol=1e-6, atol=0.0)
    if "trac" not in arguments.get("lr_rule", "") and "momentum" not in arguments:  # else the step is not along g alone
        g = torch.cat([p.grad.reshape(3, -1) for p in params if p.grad is not None], 1)
        lr = (moved / g).abs().quantile(0.5, 1) / torch.tensor([1.0, 0.3, 0.01])
        torch.testing.assert_close(stats["effective_lr_q50"], lr.double(), rtol=1e-5, atol=0.0)


@pytest.mark.parametrize("name", STEP_SIZES)
def test_texts_are_read_back(name: str) -> None:
    """Silent failure: a checkpoint or a study brings back another rule."""
    example = step_sizes.parse(STEP_SIZES[name].example)
    assert step_sizes.parse(str(step_sizes.text(example))) == example
    assert step_sizes.text(step_sizes.parse("trac:decays=0.5/0.9")) == "trac:decays=0.5/0.9"
    assert example.source
    assert AdaptiveRMSprop(start(), lr_rule=example).param_groups[0]["lr_rule"] == step_sizes.text(example)


WRONG = {
    "intentonal": "did you mean intentional",
    "intentional:eta=0": "eta must be greater than 0",
    "intentional:decay=1": "decay must be in",
    "trac:decays=2": "decays must be",
    "trac:start=0": "start must be greater than 0",
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_rules_are_refused_with_what_is_allowed(text: str) -> None:
    """Silent failure: a typing error trains with the default."""
    with pytest.raises(ValueError, match=WRONG[text]):
        AdaptiveRMSprop(start(), lr_rule=text)


def test_what_a_rule_cannot_do_is_refused() -> None:
    """Silent failure: momentum is ignored, or a state of other runs is broadcast."""
    with pytest.raises(ValueError, match="momentum must be 0"):
        AdaptiveRMSprop(start(), momentum=0.5, lr_rule="intentional")
    with pytest.raises(ValueError, match="differentiable=True needs"):
        AdaptiveRMSprop(start(), differentiable=True, lr_rule="trac")
    saved = AdaptiveRMSprop(of_runs(range(3)), runs=3, lr_rule="trac").state_dict()
    with pytest.raises(ValueError, match="step sizes of shape"):
        AdaptiveRMSprop(of_runs([0]), runs=1, lr_rule="trac").load_state_dict(saved)


def test_a_checkpoint_of_torch_goes_on_with_the_rule_that_is_here() -> None:
    """Silent failure: the rule is lost, or TRAC's path begins at a parameter that has no origin."""
    params = start()
    torchs = torch.optim.RMSprop(params, 0.01)
    for p in params:
        p.grad = torch.ones_like(p)
    torchs.step()
    optimizer = AdaptiveRMSprop(params, 0.01, lr_rule="trac")
    optimizer.load_state_dict(torchs.state_dict())
    assert optimizer.param_groups[0]["lr_rule"] == "trac"
    assert walk(optimizer, params, 60).isfinite().all()


# Clipping the step alone --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_a_clipped_step_leaves_E_as_it_is(momentum: float) -> None:
    """By hand: E of the whole gradient, the step and the momentum of half of it. Silent failure: E is clipped as well."""
    p = Parameter(torch.tensor([1.0, 2.0], dtype=torch.float64))
    optimizer = AdaptiveRMSprop([p], 0.1, 0.75, 0.0, momentum=momentum)
    p.grad = torch.tensor([3.0, -4.0], dtype=torch.float64)
    optimizer.observe(step_scale=0.5)
    optimizer.step()
    assert optimizer.state[p]["square_avg"].tolist() == [2.25, 4.0]
    assert p.tolist() == pytest.approx([1.0 - 0.1 * 1.5 / 1.5, 2.0 + 0.1 * 2.0 / 2.0])
    optimizer.step()  # what was reported is gone
    E = [0.75 * 2.25 + 2.25, 0.75 * 4 + 4]
    step = [momentum * 1.0 + 3 / math.sqrt(E[0]), -momentum * 1.0 - 4 / math.sqrt(E[1])]
    assert p.tolist() == pytest.approx([0.9 - 0.1 * step[0], 2.1 - 0.1 * step[1]])


def test_intentional_solves_before_clipping() -> None:
    """Silent failure: clipping makes the step longer, since the loss of a shorter gradient falls more slowly."""
    ends = []
    for c in (1.0, 0.25):
        p = Parameter(torch.zeros(2, dtype=torch.float64))
        optimizer = AdaptiveRMSprop([p], 1.0, 0.9, lr_rule="intentional:eta=0.1")
        p.grad = torch.tensor([3.0, -4.0], dtype=torch.float64)
        optimizer.observe(step_scale=c)
        optimizer.step()
        ends.append(p.detach())
    torch.testing.assert_close(ends[1], 0.25 * ends[0])


@pytest.mark.parametrize("kind", ["gradient", "numerator"])
def test_agents_clip_what_they_are_told_to(kind: str) -> None:
    """Silent failure: `clip=numerator` clips nothing, or the gradient too."""
    seeds = [3, 8]
    agent = A2C(n_envs=2, clip=kind, max_grad_norm=0.01)  # type: ignore[arg-type]
    env = envs.make("CartPole-v1", seeds, envs_per_run=2)
    policy = make_policy(env, agent, seeds)
    thetas = list(policy.parameters())
    before = [theta.detach().clone() for theta in thetas]
    optimizer = AdaptiveRMSprop(thetas, 0.01, 0.75, 1e-8, runs=seeds)
    update = next(Training(agent, env, policy, optimizer, 1, seeds))
    grads = [theta.grad for theta in thetas if theta.grad is not None]
    assert (update.grad_norm > 0.1).all()
    c = clip_scale(update.grad_norm, 0.01)
    norms = grad_norms(grads)
    torch.testing.assert_close(norms, update.grad_norm if kind == "numerator" else c * update.grad_norm)
    for theta, old, g in zip(thetas, before, grads, strict=True):
        E = 0.25 * g.square()
        torch.testing.assert_close(optimizer.state[theta]["square_avg"], E)
        step = 0.01 * g / (E.sqrt() + 1e-8) * (c.unsqueeze(1) if kind == "numerator" else 1.0)
        torch.testing.assert_close(theta.detach(), old - step)


def test_an_optimizer_of_torch_cannot_clip_the_step_alone() -> None:
    """Silent failure: its gradients are not clipped at all."""
    agent = A2C(n_envs=2, clip="numerator")
    env = envs.make("CartPole-v1", [3], envs_per_run=2)
    policy = make_policy(env, agent, [3])
    with pytest.raises(ValueError, match="observes step_scale, got Adam: use clip=gradient"):
        Training(agent, env, policy, torch.optim.Adam(policy.parameters()), 1, [3])


@pytest.mark.parametrize("lr_rule", ["intentional:eta=0.05", "trac"])
def test_cartpole_is_learned_with(lr_rule: str) -> None:
    """Silent failure: the step is right by the formula, and useless for the gradients of a batch."""
    seeds = [0, 1, 2]
    solved_for = step_sizes.parse(lr_rule).usual_lr is not None
    agent = make_agent("a2c", "CartPole-v1", {"lr": 1.0} if solved_for else {})
    env = envs.make("CartPole-v1", seeds, envs_per_run=agent.n_envs)
    policy = make_policy(env, agent, seeds)
    optimizer = AdaptiveRMSprop(policy.parameters(), agent.lr, 0.99, 1e-5, bias_correction=True, lr_rule=lr_rule, runs=seeds)
    returns: list[list[float]] = [[] for _ in seeds]
    for update in Training(agent, env, policy, optimizer, 200, seeds):
        for run, earned in zip(update.episodes.run.tolist(), update.episodes.episode_return.tolist(), strict=True):
            returns[run].append(earned)
    for earned in returns:
        assert np.mean(earned[-20:]) > 2.5 * np.mean(earned[:20])


@pytest.mark.parametrize("lr_rule", ["intentional:eta=0.1,decay=0.5", "trac:start=0.01", "none"])
def test_a_training_is_the_same_on_another_device_and_from_its_checkpoint(lr_rule: str, tmp_path: Path) -> None:
    """Silent failure: what decides the step is left behind on the CPU, or starts anew, and the run is another one."""
    batches = []
    for name, device in (("here", "cpu"), ("resumed", str(DEVICE))):
        batch = spec(tmp_path / name, "CartPole-v1", "cusum:arl=50,burn_in=5", clip="numerator", max_grad_norm=0.1)
        batches.append(with_options(batch, lr_rule=lr_rule, device=device, kernel="torch", steps=18 * 16))  # 18 iterations
    here, resumed = batches
    optimizer = make_optimizer(here.arm, [Parameter(torch.zeros(2, 3))], 1.0, 10, (3, 8), here.options)
    assert optimizer.param_groups[0]["lr_rule"] == (None if lr_rule == "none" else lr_rule)
    train_batch(here)
    with pretended():
        cut_off(resumed, save=10, die=13)  # ten iterations are there at a stretch, and eight after the checkpoint
        train_batch(resumed)
    agree(resumed, here)


# From the command line -----------------------------------------------------------------------------------------------------

TINY = ["--env", "CartPole-v1", "--seeds", "0-1", "--steps", "512", "--eval-episodes", "1", "--workers", "1"]


@pytest.mark.parametrize("lr_rule", ["intentional:eta=0.1,decay=0.5", "trac:start=0.01"])
def test_a_study_trains_with_the_rule_and_says_so(lr_rule: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Silent failure: the flag is taken, and neither training nor files know of it."""
    out = tmp_path / "study"
    arguments = ["compare", *TINY, "--betas", "0.9", "asymmetric:rise=0.5,fall=0.9", "--lr-rule", lr_rule, "--clip", "numerator"]
    assert main([*arguments, "--out", str(out)]) == 0
    study = load_study(out)
    assert study.options.lr_rule == lr_rule
    assert study.agents[0].clip == "numerator"
    assert (study.agents[0].lr == 1.0) == lr_rule.startswith("intentional")
    config = json.loads((out / "CartPole-v1" / "0.9" / "seed_0001" / "config.json").read_text())
    assert (config["lr_rule"], config["settings"]["clip"]) == (lr_rule, "numerator")
    report = (out / "report" / "report.md").read_text(encoding="utf-8")
    assert lr_rule in report
    assert "clip = numerator" in report
    capsys.readouterr()
    assert main([*arguments, "--lr", "0.5", "--print-config"]) == 0
    file = tmp_path / "study.toml"
    file.write_text(capsys.readouterr().out, encoding="utf-8")
    assert f'lr_rule = "{lr_rule}"' in file.read_text(encoding="utf-8")
    assert main(["compare", str(file), "--out", str(tmp_path / "again")]) == 0
    again = load_study(tmp_path / "again")
    assert (again.options.lr_rule, again.agents[0].lr, again.agents[0].clip) == (lr_rule, 0.5, "numerator")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--lr-rule", "trak"], "did you mean trac"),
        (["--lr-rule", "intentional", "--baselines", "adam"], "lr_rule=intentional needs the E of a β rule, and adam is an"),
        (["--clip", "numerator", "--baselines", "adam"], "clip=numerator needs the E of a β rule"),
        (["--clip", "both"], "--clip must be gradient or numerator"),
    ],
)
def test_what_cannot_be_is_one_line_and_nothing_is_made(
    flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Silent failure: a baseline trains without the rule that the others have, and is compared with them."""
    assert main(["compare", *TINY, "--betas", "0.9", *flags, "--out", str(tmp_path / "study")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "study").exists()


def test_a_study_has_trac_around_baselines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Silent failure: Adam trains as if there were no rule, and is compared with arms that have one."""
    out = tmp_path / "study"
    assert main(["compare", *TINY, "--betas", "0.9", "--baselines", "adam", "--lr-rule", "trac", "--out", str(out)]) == 0
    assert main(["compare", *TINY, "--betas", "0.9", "--baselines", "adam", "--out", str(tmp_path / "without")]) == 0
    weights = [
        (folder / "CartPole-v1" / "adam" / "seed_0001" / "metrics.csv").read_bytes() for folder in (out, tmp_path / "without")
    ]
    assert weights[0] != weights[1]
