"""The compiled kernel: the same bits with every instruction set, its functions against libm, its losses against torch's text."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import envs
from agents import A2C, PPO, Categorical, Gaussian, MultiCategorical, Reinforce, Training, make_policy
from agents.episodes import track_in_numpy, track_natively
from agents.experience import Rollout
from agents.kernels import check_kernel
from agents.kernels.native_kernel import NativeKernel
from agents.kernels.torch_kernel import TorchKernel
from agents.learning import learn
from agents.networks import ActorCritic
from agents.rollout import Actor
from agents.training import clip, grad_norms
from envs.classic_control.batch import ClassicControlBatch
from envs.classic_control.cartpole import CartPoles
from envs.classic_control.equations import has_sines_of_c
from envs.shifts.shift import parse
from rl_rmsprop import AdaptiveRMSprop
from rl_rmsprop.kernels import native_step
from rl_rmsprop.native import library

if not library.is_useful():
    pytest.skip("the compiled kernel is not built here", allow_module_level=True)

torch.set_num_threads(1)
modest = settings(deadline=None, derandomize=True, max_examples=25, database=None)
SETS = library.instruction_sets()
widths = st.lists(st.integers(1, 40), min_size=0, max_size=3)


def generators(runs: int) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in range(runs)]


def passes_of(kernel, x: torch.Tensor, delta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs and gradient of a kernel's passes."""
    passes = kernel.passes(x.shape[1])
    kernel.take_weights()
    passes.x.copy_(x)
    passes.forward()
    return passes.y.clone(), passes.gradient(delta)


@modest
@given(st.integers(1, 3), st.integers(1, 30), st.integers(1, 9), widths, st.integers(1, 20), st.booleans(), st.integers(0, 99))
def test_every_instruction_set_has_the_bits_of_plain_arithmetic(R, B, O, hidden, A, scaled, seed):  # noqa: E741
    """Silent failure: a study that another processor cannot repeat; an instruction set whose lanes are added in another order."""
    noise = torch.Generator().manual_seed(seed)
    sizes = [O, *hidden, A]
    theta = torch.randn(R, sum((i + 1) * h for i, h in pairwise(sizes)), generator=noise)
    x, delta = torch.randn(R, B, O, generator=noise) * 3, torch.randn(R, B, A, generator=noise)
    gain = torch.rand(O, generator=noise) if scaled else None
    results = {name: passes_of(NativeKernel(theta, sizes, gain, name), x, delta) for name in SETS}
    for name, (y, gradient) in results.items():
        assert torch.equal(y, results["plain"][0]), name
        assert torch.equal(gradient, results["plain"][1]), name
    for mine, torchs in zip(results["plain"], passes_of(TorchKernel(theta, sizes, gain), x, delta), strict=True):
        torch.testing.assert_close(mine, torchs, rtol=1e-4, atol=1e-4)


def test_the_quickest_instruction_set_is_the_one_that_is_used():
    """Silent failure: the slow set is chosen, and nobody notices but by the clock; or one that has been found wrong."""
    assert list(SETS)[-1] == "plain"
    assert library.quickest() == next(iter(SETS))


def output_of_one_unit(z: np.ndarray) -> np.ndarray:
    """tanh of each number, as a hidden unit computes it."""
    theta = torch.tensor([[1.0, 0.0, 1.0, 0.0]])  # W₁, b₁, W₂, b₂
    x = torch.from_numpy(z).view(1, -1, 1)
    return passes_of(NativeKernel(theta, [1, 1, 1]), x, torch.zeros(1, len(z), 1))[0].numpy().ravel()


def test_tanh_is_that_of_libm_to_five_units_in_the_last_place():
    """Silent failure: a polynomial with a wrong digit, which learning forgives."""
    z = np.concatenate([np.linspace(-12, 12, 20_001), np.geomspace(1e-30, 1, 5_000), [0.0]]).astype(np.float32)
    truth = np.tanh(z.astype(np.float64))
    assert np.all(abs(output_of_one_unit(z) - truth) <= 5 * np.spacing(abs(truth).astype(np.float32)))
    assert np.isnan(output_of_one_unit(np.array([np.nan], np.float32)))


# Losses --------------------------------------------------------------------------------------------------------------------

HEADS = {
    "two actions": Categorical(2),
    "several choices": MultiCategorical([2, 3, 4]),
    "real actions": Gaussian(np.full(3, -1.0), np.full(3, 1.0), -0.7),
}
AGENTS = [
    A2C(ent_coef=0.1),
    A2C(normalize_advantage=True, reward_scale=0.1, gamma=0.9, gae_lambda=0.5, vf_coef=0.2),
    Reinforce(ent_coef=0.1),
    PPO(n_envs=3, n_steps=7, batch_size=8, n_epochs=2, ent_coef=0.1),
    PPO(n_envs=3, n_steps=7, batch_size=21, n_epochs=3, normalize_advantage=False, clip_range=0.05),
]


def rollout_of(head, seed: int, T: int = 7, R: int = 2, N: int = 3, O: int = 4) -> Rollout:  # noqa: E741
    """A rollout with ends of both kinds and reset steps."""
    noise = torch.Generator().manual_seed(seed)

    def some(share):
        return torch.rand(T, R, N, generator=noise) < share

    if head.choices:
        columns = [torch.randint(size, (T, R, N), generator=noise) for size in head.choices]
        actions = columns[0] if len(columns) == 1 else torch.stack(columns, -1)
    else:
        actions = torch.randn(T, R, N, head.outputs, generator=noise)
    observations, rewards = torch.randn(T + 1, R, N, O, generator=noise), torch.randn(T, R, N, generator=noise)
    return Rollout(observations, actions, rewards, some(0.1), some(0.1), ~some(0.2))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: type(agent).__name__)
def test_all_updates_on_a_rollout_are_those_of_the_text_in_torch(agent, head):
    """Silent failure: a term with a wrong sign or share, a head whose columns are mixed, a gradient of ln σ that is forgotten."""
    pi = HEADS[head]
    rollout, results = rollout_of(pi, seed=1), {}
    for kernel in ("torch", "native"):
        policy = ActorCritic(4, pi, (20, 9), generators(2), (0.5, 1.0, 2.0, 4.0), kernel=kernel)
        optimizer, seen = torch.optim.SGD(policy.parameters(), lr=0.3), []

        def update(td_error, norms=None, policy=policy, optimizer=optimizer, seen=seen):
            if norms is None:
                grads = [p.grad for p in policy.parameters()]
                norms = grad_norms(grads)
                clip(grads, norms, agent.max_grad_norm)
            seen.append(norms.clone())
            seen.append(torch.cat([td_error.unsqueeze(1), *(p.grad.clone() for p in policy.parameters())], 1))
            optimizer.step()

        shown = learn(agent, policy, rollout, update, generators(2))()
        results[kernel] = [*seen, *shown.values()], list(shown)
    assert results["torch"][1] == results["native"][1]
    for torchs, mine in zip(results["torch"][0], results["native"][0], strict=True):
        torch.testing.assert_close(mine, torchs, rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize("agent", [A2C(), PPO(n_envs=2, n_steps=16, batch_size=8, n_epochs=2)], ids=lambda a: type(a).__name__)
def test_a_whole_training_stays_beside_the_one_in_torch(agent):
    """Silent failure: acting and learning use different weights, or the gradient of one iteration is that of the one before."""
    agent = replace(agent, hidden=(16,), n_envs=2)
    norms = {}
    for kernel in ("torch", "native"):
        env = envs.make("Pendulum-v1", (3, 4), envs_per_run=2)
        policy = make_policy(env, agent, (3, 4), kernel=kernel)
        optimizer = torch.optim.SGD(policy.parameters(), lr=1e-3)
        training = Training(agent, env, policy, optimizer, iterations=6, seeds=(3, 4))
        norms[kernel] = torch.cat([update.grad_norms for update in training])
    torch.testing.assert_close(norms["native"], norms["torch"], rtol=1e-3, atol=1e-5)


def test_numbers_that_are_not_finite_reach_the_gradient():
    """Silent failure: a NaN is clamped away, and a broken environment trains on."""
    policy = make_policy(envs.make("CartPole-v1", (0, 1), 3), A2C(), (0, 1), kernel="native")
    rollout = rollout_of(policy.distribution, seed=0)
    rollout.observations[2, 1, 0, 0] = torch.nan
    learn(A2C(), policy, rollout, lambda td_error, norms: None, generators(2))
    for theta in policy.parameters():
        assert theta.grad[0].isfinite().all()
        assert not theta.grad[1].isfinite().all()


def test_a_kernel_that_is_not_there_is_refused(monkeypatch):
    """Silent failure: a study of one kernel goes on with another one's bits."""
    with pytest.raises(ValueError, match="kernel must be one of native, torch, got 'gpu'"):
        check_kernel("gpu")
    check_kernel("native")
    monkeypatch.setattr(library, "is_useful", lambda: False)
    check_kernel("torch")
    with pytest.raises(ValueError, match="which is not built here: install a C\\+\\+ compiler"):
        check_kernel("native")


# Acting --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [500, 30])
def test_acting_in_compiled_environments_has_the_bits_of_acting_step_by_step(limit):
    """Silent failure: an episode that begins elsewhere, or ends a step later, where Python does not step the environments."""
    seeds, agent = (3, 4, 9), A2C(n_envs=5, n_steps=120, hidden=(20,))
    results = []
    for is_compiled in (True, False):
        env = ClassicControlBatch(CartPoles, seeds, envs_per_run=5, max_episode_steps=limit)
        policy = make_policy(env, agent, seeds, kernel="native")
        policy.actor.theta.data[:] *= 3  # so that poles fall now and then, and not all at once
        assert (policy.compiled_environments(env) is not None) or not has_sines_of_c()
        if not is_compiled:
            policy.compiled_environments = lambda env: None
        actor = Actor(env, policy, generators(3))
        seen = [(*actor.collect(120), actor.outputs) for _ in range(7)]
        arrays = [array for rollout, episodes, outputs in seen for array in (*rollout, *episodes, outputs)]
        results.append([*arrays, *leaves(env.snapshot())])
        observations = seen[-1][0].observations[:-1].transpose(0, 1).reshape(3, -1, 4)
        learned_from = policy.outputs(observations).detach().view(3, 120, 5, 2).transpose(0, 1)
        np.testing.assert_array_equal(seen[-1][2], learned_from)
    for mine, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(mine, expected)
    assert sum(len(episodes.run) for _, episodes, _ in seen) > 20
    assert any(rollout.truncated.any() for rollout, *_ in seen) == (limit == 30)
    assert any(rollout.terminated.any() for rollout, *_ in seen)


def leaves(tree) -> list:
    """All arrays and numbers of nested dicts and lists."""
    if isinstance(tree, dict):
        return [leaf for value in tree.values() for leaf in leaves(value)]
    return [leaf for value in tree for leaf in leaves(value)] if isinstance(tree, (list, tuple)) else [tree]


def test_environments_that_the_kernel_does_not_step_are_stepped_by_python():
    """Silent failure: a shift that acting does not see, or running statistics that nothing is added to."""
    agent, seeds = A2C(n_envs=2, hidden=(4,)), (0, 1)
    shift = parse("force_mag:values=10/-10,at=50")
    normalized = replace(agent, normalize_observations=True, observation_scale=())
    for env_id, shifts, chosen in (
        ("CartPole-v1", (shift,), agent),
        ("CartPole-v1", (), normalized),
        ("Acrobot-v1", (), agent),
    ):
        env = envs.make(env_id, seeds, 2, shifts)
        assert make_policy(env, chosen, seeds, kernel="native").compiled_environments(env) is None
    env = envs.make("CartPole-v1", seeds, 2)
    assert make_policy(env, agent, seeds, kernel="torch").compiled_environments(env) is None
    env.dynamics().set("gravity", np.full(4, 5.0))
    assert make_policy(env, agent, seeds, kernel="native").compiled_environments(env) is None


@modest
@given(st.integers(1, 9), st.integers(1, 3), st.integers(1, 4), st.integers(0, 999))
def test_episodes_are_added_up_as_numpy_does_it(T, R, N, seed):
    """Silent failure: a return that takes a reward of the next episode along, a run that gets the episodes of its neighbour."""
    random = np.random.default_rng(seed)
    results = []
    rollouts = [(random.normal(size=(T, R, N)).astype(np.float32), random.random((2, T, R, N)) < 0.3) for _ in range(3)]
    rollouts[1][0].flat[random.integers(T * R * N)] = random.choice([np.inf, np.nan, 1e38])
    for track in (track_natively, track_in_numpy):
        returns, lengths = np.zeros((R, N)), np.zeros((R, N), np.int64)
        ended = [track(rewards, done, ~resets, returns, lengths) for rewards, (done, resets) in rollouts]
        results.append([*(array for rows in ended for array in rows), returns, lengths])
    for mine, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(mine, expected)


# The optimizer's step ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("eps_in_sqrt", [False, True])
@pytest.mark.parametrize("bias_correction", [False, True])
@pytest.mark.parametrize("rule", [0.9, "linear:start=0.2,end=0.99,steps=20", "cusum:arl=5,burn_in=2,max=0.99"])
def test_steps_of_the_optimizer_are_those_of_torch_but_for_the_last_bits(rule, bias_correction, eps_in_sqrt, monkeypatch):
    """Silent failure: E takes the share of another run, rows that have a gap between them are mixed, w is not the one of now."""
    noise, options = torch.Generator().manual_seed(0), {"bias_correction": bias_correction, "eps_in_sqrt": eps_in_sqrt}
    start, size = torch.randn(3, 40, generator=noise), 37  # rows with a gap
    params = {kernel: torch.nn.Parameter(start.clone()[:, :size]) for kernel in ("torch", "native")}
    optimizers = {
        kernel: AdaptiveRMSprop([p], 0.01, rule, eps=1e-3, runs=3, nonfinite="skip", weight_decay=0.1, kernel=kernel, **options)
        for kernel, p in params.items()
    }
    step, compiled = native_step.step, []  # not told apart by bits: those of torch's root are the processor's
    monkeypatch.setattr(native_step, "step", lambda slots, *args: (compiled.extend(slot.p for slot in slots), step(slots, *args)))
    for n in range(25):
        g = torch.randn(3, size, generator=noise) * torch.tensor([[1.0], [0.1], [10.0**n if n < 9 else 1.0]])
        g[1] = torch.nan if n == 7 else g[1]
        for kernel, p in params.items():
            p.grad = g.clone()
            optimizers[kernel].step()
    E = {kernel: optimizers[kernel].state[p]["square_avg"] for kernel, p in params.items()}
    torch.testing.assert_close(E["native"], E["torch"], rtol=1e-5, atol=0.0)
    torch.testing.assert_close(params["native"], params["torch"], rtol=1e-5, atol=1e-6)
    assert optimizers["native"].stats()["skipped"].tolist() == [0, 1, 0]
    assert [p.data_ptr() for p in compiled] == [params["native"].data_ptr()] * 25  # or it was torch that stepped


def test_a_step_of_the_compiled_kernel_has_the_bits_of_plain_arithmetic(monkeypatch):
    """Silent failure: an instruction set of its own, which is tried out on networks alone."""
    results = []
    for name in SETS:
        monkeypatch.setattr(library, "quickest", lambda name=name: name)
        p = torch.nn.Parameter(torch.linspace(-3, 3, 100).view(2, 50).contiguous())
        optimizer = AdaptiveRMSprop([p], 0.1, "linear:start=0.1,end=0.9,steps=4", runs=2, bias_correction=True, kernel="native")
        for n in range(5):
            p.grad = torch.linspace(-1, 2, 100).view(2, 50) ** (n + 1)
            optimizer.step()
        results.append(torch.cat([p.detach(), optimizer.state[p]["square_avg"]]))
    assert all(torch.equal(result, results[-1]) for result in results)


def test_an_optimizer_refuses_a_kernel_that_cannot_step_it(monkeypatch):
    """Silent failure: an option that does nothing."""
    p = [torch.nn.Parameter(torch.ones(2, 3))]
    with pytest.raises(ValueError, match="kernel must be torch or native, got 'cuda'"):
        AdaptiveRMSprop(p, kernel="cuda")
    with pytest.raises(ValueError, match="needs runs"):
        AdaptiveRMSprop(p, kernel="native")
    monkeypatch.setattr(library, "is_useful", lambda: False)
    with pytest.raises(ValueError, match="not built here"):
        AdaptiveRMSprop(p, runs=2, kernel="native")
