"""What the training loop tells an optimizer that listens: returns, the critic's errors, how far the policy moved, rollouts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Independent, Normal, kl_divergence
from torch.nn import Parameter

import envs
from agents import A2C, PPO, Categorical, Gaussian, Reinforce, Training, make_policy
from agents.config import Settings
from agents.training import PROBES
from rl_rmsprop import AdaptiveRMSprop
from rl_rmsprop.baselines import AdamRel

ALL = frozenset({"episode_return", "td_error", "kl", "rollout"})
SEEDS = [3, 8]


class Listener(AdaptiveRMSprop):
    """An optimizer that remembers what it was told."""

    listens_to = ALL  # type: ignore[assignment]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reports: list[dict[str, Tensor]] = []

    def observe(self, **reports: Any) -> None:
        self.reports.append({name: torch.as_tensor(x).clone() for name, x in reports.items()})
        super().observe(**reports)


def test_a_report_of_one_number_is_that_of_every_run() -> None:
    """Silent failure: β has no axis of runs any more, and is written down for the first of them."""
    p = Parameter(torch.zeros(3, 2))
    optimizer = AdaptiveRMSprop([p], 1e-3, "policy_clock:kl=0.1,max=0.99", runs=3)
    p.grad = torch.ones(3, 2)
    optimizer.observe(kl=0.05)
    optimizer.step()
    assert optimizer.beta.tolist() == pytest.approx([math.exp(-0.5)] * 3)  # type: ignore[union-attr]


def training(agent: Settings, iterations: int, lr: float = 3e-3, env_id: str = "CartPole-v1") -> tuple[Training, Listener]:
    env = envs.make(env_id, SEEDS, envs_per_run=agent.n_envs)
    policy = make_policy(env, agent, SEEDS)
    optimizer = Listener(policy.parameters(), lr, 0.99, 1e-5, runs=SEEDS)
    return Training(agent, env, policy, optimizer, iterations, SEEDS), optimizer


SMALL_PPO = PPO(n_envs=2, n_steps=32, batch_size=32, n_epochs=2)


@pytest.mark.parametrize("agent", [A2C(n_envs=4), Reinforce(n_envs=2, n_steps=64), SMALL_PPO], ids=["a2c", "reinforce", "ppo"])
def test_every_report_is_made_before_every_update(agent: Settings) -> None:
    """Silent failure: an arm that listens to returns gets none from one of the agents."""
    loop, optimizer = training(agent, 20)
    updates = [update.updates for update in loop][-1]
    assert len(optimizer.reports) == updates
    assert all(report.keys() == {"grad_norm", "shifted", *ALL} for report in optimizer.reports)
    assert all(tuple(x.shape) == (2,) for report in optimizer.reports for x in report.values())


def test_returns_are_those_of_the_episodes_of_the_iteration() -> None:
    """Silent failure: a run hears of its neighbour's episodes, or of the same one in every update of PPO."""
    loop, optimizer = training(SMALL_PPO, 12)
    per_iteration = SMALL_PPO.updates_per_iteration
    for number, update in enumerate(loop):
        first, *later = optimizer.reports[number * per_iteration : (number + 1) * per_iteration]
        for run in range(2):
            mine = update.episodes.episode_return[update.episodes.run == run]
            expected = mine.mean() if len(mine) else math.nan
            assert first["episode_return"][run].item() == pytest.approx(expected, nan_ok=True)
        assert all(report["episode_return"].isnan().all() for report in later)
        assert [report["rollout"].tolist() for report in (first, *later)] == [[1, 1]] + [[0, 0]] * len(later)


def test_the_critics_error_is_that_before_the_update() -> None:
    """By A2C's own curve of it."""
    loop, optimizer = training(A2C(n_envs=4), 6)
    for number, update in enumerate(loop):
        torch.testing.assert_close(optimizer.reports[number]["td_error"], update.metrics()["train/value_loss"])


def categorical(y: Tensor) -> TorchCategorical:
    return TorchCategorical(logits=y)


def normal(y: Tensor) -> Independent:
    mean, log_std = y.chunk(2, -1)
    return Independent(Normal(mean, log_std.exp()), 1)


@pytest.mark.parametrize(("env_id", "distribution"), [("CartPole-v1", categorical), ("Pendulum-v1", normal)])
def test_the_divergence_is_that_of_the_last_update_on_its_rollout(env_id: str, distribution: Any) -> None:
    """Silent failure: the divergence is that of two rollouts, or of the policy with itself; σ does not count."""
    loop, optimizer = training(A2C(n_envs=2, n_steps=200), 3, lr=3e-2, env_id=env_id)
    policy, states, before = loop._policy, [], []
    collect = loop._actor.collect

    def remember(steps: int) -> Any:
        rollout, episodes = collect(steps)
        states.append(rollout.observations[:-1].transpose(0, 1).reshape(2, 400, -1))
        before.append(policy.outputs(states[-1]).detach())
        return rollout, episodes

    loop._actor.collect = remember  # type: ignore[method-assign]
    next(loop)
    after = policy.outputs(states[0]).detach()
    every = -(-400 // PROBES)
    expected = kl_divergence(distribution(before[0]), distribution(after))[:, ::every].mean(1)
    next(loop)
    assert optimizer.reports[0]["kl"].isnan().all()  # there was no update before
    torch.testing.assert_close(optimizer.reports[1]["kl"].float(), expected, rtol=1e-4, atol=1e-7)
    assert (expected > 1e-4).all()


def test_divergences_are_those_of_torch_distributions() -> None:
    """The closed forms, from outputs as the networks have them."""
    noise = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 5, 3, generator=noise), torch.randn(2, 5, 3, generator=noise)
    expected = kl_divergence(categorical(a), categorical(b))
    torch.testing.assert_close(Categorical(3).divergence(a, b), expected)
    a, b = torch.randn(2, 5, 4, generator=noise), torch.randn(2, 5, 4, generator=noise)
    expected = kl_divergence(normal(a), normal(b))
    torch.testing.assert_close(Gaussian(-np.ones(2), np.ones(2)).divergence(a, b), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["episode_return", "td_error", "kl"])
def test_a_signal_that_nobody_reports_is_refused_at_the_first_update(name: str) -> None:
    """Silent failure: a detector listens to zeros for a whole training."""
    p = Parameter(torch.ones(3))
    optimizer = AdaptiveRMSprop([p], alpha=f"cusum:arl=100,signal={name}")
    p.grad = torch.ones(3)
    with pytest.raises(ValueError, match=rf"the signal {name} must be reported before each update, got nothing: call opt"):
        optimizer.step()
    optimizer.observe(**{name: 1.0})
    optimizer.step()
    assert optimizer.listens_to == {name}


def test_policy_clock_needs_no_report() -> None:
    """It helps itself."""
    p = Parameter(torch.ones(3))
    optimizer = AdaptiveRMSprop([p], alpha="policy_clock")
    p.grad = torch.ones(3)
    optimizer.step()
    assert optimizer.listens_to == {"kl"}


def test_restart_begins_anew_with_every_rollout() -> None:
    """E is the mean of g² since the rollout began: 1/n is the share of the n-th update."""
    agent = PPO(n_envs=2, n_steps=32, batch_size=16, n_epochs=1)
    env = envs.make("CartPole-v1", SEEDS, envs_per_run=2)
    policy = make_policy(env, agent, SEEDS)
    optimizer = AdaptiveRMSprop(policy.parameters(), 3e-3, "restart:every=rollout,max=0.999", 1e-5, runs=SEEDS)
    betas: list[float] = []
    step = optimizer.step

    def recording(*args: Any, **kwargs: Any) -> Any:
        step(*args, **kwargs)
        betas.append(float(optimizer.beta[0]))  # type: ignore[index]

    optimizer.step = recording  # type: ignore[method-assign]
    list(Training(agent, env, policy, optimizer, 3, SEEDS))
    assert betas == pytest.approx([0, 1 / 2, 2 / 3, 3 / 4] * 3)


def test_adam_rel_begins_its_clock_anew_and_keeps_its_means() -> None:
    """Against Adam by hand: m and v go on, t counts from the rollout on, also for a run that was left out of an update."""
    agent = PPO(n_envs=2, n_steps=32, batch_size=32, n_epochs=1)
    env = envs.make("CartPole-v1", SEEDS, envs_per_run=2)
    policy = make_policy(env, agent, SEEDS)
    optimizer = AdamRel(policy.parameters(), lr=1e-3)
    loop = Training(agent, env, policy, optimizer, 4, SEEDS)
    clocks = []
    for _ in loop:
        clocks.append([state["step"].item() for state in optimizer.state.values()])
    assert clocks == [[2, 2]] * 4


def test_adam_rel_overshoots_less_than_adam_when_gradients_grow() -> None:
    """The paper's bound: after a jump of the gradient the step is at most lr, where Adam's is √10 lr for β = (0.9, 0.999)."""
    steps = {}
    for name, kind in (("adam", torch.optim.Adam), ("rel", AdamRel)):
        p = Parameter(torch.zeros(1, dtype=torch.float64))
        optimizer = kind([p], lr=1.0, eps=0.0)
        for n in range(2000):
            p.grad = torch.tensor([1.0 if n < 1999 else 1e6], dtype=torch.float64)
            if n == 1999 and isinstance(optimizer, AdamRel):
                optimizer.begin_rollout()
            before = p.detach().clone()
            optimizer.step()
        steps[name] = abs(float(p.detach() - before))
    assert steps["adam"] == pytest.approx(math.sqrt(10) * math.sqrt(1 - 0.999**2000), rel=1e-3)
    assert steps["rel"] == pytest.approx(1.0, rel=1e-3)
