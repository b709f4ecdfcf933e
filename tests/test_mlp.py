"""The batched networks against one torch.nn.Sequential per run."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from agents.config import A2C
from agents.distributions import Categorical, Gaussian
from agents.mlp import MLP, orthogonal
from agents.networks import ActorCritic
from agents.training import clip, grad_norms
from tests.kernels import kernel  # noqa: F401  # the tests run with each

torch.set_num_threads(1)
modest = settings(deadline=None, derandomize=True, max_examples=25, database=None)
widths = st.lists(st.integers(1, 9), min_size=0, max_size=3)


def generators(*seeds):
    return [np.random.default_rng(seed) for seed in seeds]


def with_random_biases(network: MLP, seed: int) -> MLP:
    """Biases start at zero; a transposed or forgotten one shows only when it is not."""
    noise = torch.Generator().manual_seed(seed)
    for layer in network.layers:
        layer.bias.data.copy_(torch.randn(layer.bias.shape, generator=noise))
    return network


def sequential(network: MLP, run: int) -> nn.Sequential:
    """The same function of one run, in torch's own modules, float64."""
    modules: list[nn.Module] = []
    for weight, bias in network.layers:
        linear = nn.Linear(weight.shape[1], weight.shape[2], dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(weight[run].T)
            linear.bias.copy_(bias[run, 0])
        modules += [linear, nn.Tanh()]
    return nn.Sequential(*modules[:-1])


def flat_gradient(module: nn.Sequential) -> torch.Tensor:
    """Gradients of one run's modules in the order of `theta`: weight [I, H] then bias, layer by layer."""
    linears = [m for m in module if isinstance(m, nn.Linear)]
    return torch.cat([g for m in linears for g in (m.weight.grad.T.flatten(), m.bias.grad)])


@modest
@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 6), widths, st.integers(1, 4), st.integers(0, 99))
def test_each_run_computes_what_its_own_sequential_computes(R, B, O, hidden, A, seed):  # noqa: E741  # the axes' letters
    """Silent failure: runs mix, a bias is dropped, or the padding for one output column leaks into the result."""
    policy = ActorCritic(O, Categorical(A), hidden, generators(*range(seed, seed + R)))
    x = torch.randn(R, B, O, generator=torch.Generator().manual_seed(seed))
    for network in (policy.actor, policy.critic):
        with_random_biases(network, seed)
    logits, values = policy.outputs(x), policy.values(x)
    assert logits.shape == (R, B, A)
    assert values.shape == (R, B)
    for r in range(R):
        torch.testing.assert_close(logits[r].double(), sequential(policy.actor, r)(x[r].double()), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(
            values[r].double(), sequential(policy.critic, r)(x[r].double()).squeeze(-1), rtol=1e-5, atol=1e-5
        )


@modest
@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 6), widths, st.integers(1, 4), st.booleans(), st.integers(0, 99))
def test_acting_computes_what_the_policy_computes(R, N, O, hidden, A, continuous, seed):  # noqa: E741  # the axes' letters
    """Silent failure: the policy that acts is not the one that learns: a 2 or the −1 of tanh is lost, or the weights are old."""
    noise = torch.Generator().manual_seed(seed)
    head = Gaussian(np.full(A, -1.0), np.full(A, 1.0), -0.5) if continuous else Categorical(A)
    policy = ActorCritic(O, head, hidden, generators(*range(seed, seed + R)), torch.rand(O, generator=noise).add(0.1).tolist())
    network = policy.acting_network(N)
    for _ in range(3):  # as in three iterations
        policy.actor.theta.data.add_(torch.randn(policy.actor.theta.shape, generator=noise))
        network.update_weights()
        for _ in range(2):
            x = torch.randn(R, N, O, generator=noise)
            expected = policy.outputs(x).detach()[..., :A]
            torch.testing.assert_close(torch.from_numpy(network(x.numpy())), expected, rtol=1e-4, atol=2e-5)


@modest
@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 6), widths, st.integers(1, 4), st.integers(0, 99))
def test_backward_gives_each_run_the_gradient_of_its_own_loss(R, B, O, hidden, A, seed):  # noqa: E741  # the axes' letters
    """Silent failure: gradients land in the wrong place of θ, add up over updates, or come from a neighbour's loss."""
    policy = ActorCritic(O, Categorical(A), hidden, generators(*range(seed, seed + R)))
    noise = torch.Generator().manual_seed(seed)
    x, weight = torch.randn(R, B, O, generator=noise), torch.randn(R, B, A, generator=noise)
    for network in (policy.actor, policy.critic):
        with_random_biases(network, seed)

    def loss():  # [R]
        return (policy.outputs(x).square() * weight).sum((1, 2)) + policy.values(x).pow(3).sum(1)

    policy.backward(loss())
    policy.backward(loss())  # the second call replaces the first
    for r in range(R):
        actor, critic = sequential(policy.actor, r), sequential(policy.critic, r)
        states = x[r].double()
        ((actor(states).square() * weight[r]).sum() + critic(states).pow(3).sum()).backward()
        for network, module in ((policy.actor, actor), (policy.critic, critic)):
            expected = flat_gradient(module)
            scale = max(1.0, expected.abs().max().item())
            torch.testing.assert_close(network.theta.grad[r].double(), expected, rtol=1e-4, atol=1e-5 * scale)


def test_passes_of_as_many_rows_do_not_disturb_one_another():
    """Silent failure: a later pass writes over the activations or the gradient of an earlier one, which share memory."""
    policy = ActorCritic(3, Categorical(2), (5, 4), generators(0, 1))
    x, other = torch.randn(2, 2, 6, 3, generator=torch.Generator().manual_seed(0)).unbind()

    def gradient(loss):
        policy.backward(loss)
        return torch.cat([p.grad.flatten() for p in policy.parameters()])

    def loss_of(seen):
        return policy.outputs(seen).square().sum((1, 2)) + policy.values(seen).sum(1)

    apart = gradient(loss_of(x)), gradient(loss_of(other))
    first = loss_of(x)
    for n in range(9):  # more numbers of rows than memory is kept for, and these again
        with torch.no_grad():
            loss_of(other[:, : n + 1])
    torch.testing.assert_close(gradient(first), apart[0])
    torch.testing.assert_close(gradient(loss_of(x) + loss_of(other)), sum(apart))


def test_weights_that_have_changed_since_a_pass_are_not_taken_for_those_of_then():
    """Silent failure: the gradient of a loss with the weights of another; torch's own modules refuse it as well."""
    policy = ActorCritic(3, Categorical(2), (5,), generators(0))
    loss = policy.values(torch.ones(1, 4, 3)).sum(1)
    with torch.no_grad():
        policy.critic.theta.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        policy.critic.theta.grad = torch.autograd.grad(loss.sum(), policy.critic.theta)[0]


def test_a_copy_of_a_policy_has_networks_of_its_own():
    """Silent failure: the copy computes with the weights of the original, or the original with those of the copy."""
    policy, x = ActorCritic(3, Categorical(2), (5,), generators(0, 1)), torch.ones(2, 4, 3)
    policy.native_losses(A2C(), 0.95)
    before = policy.values(x).clone()
    copied = copy.deepcopy(policy)
    assert torch.equal(copied.values(x), before)
    copied.critic.theta.data.add_(1)
    copied.backward(copied.values(x).sum(1) + copied.outputs(x).square().sum((1, 2)))
    assert torch.equal(policy.values(x), before)
    assert not torch.equal(copied.values(x), before)
    assert not policy.critic.theta.grad.any()


def test_a_weight_set_in_theta_is_the_weight_the_layers_use():
    """Silent failure: the optimizer moves θ and the policy goes on acting with the old weights."""
    network = MLP([3, 4, 2], [1.0, 1.0], generators(0, 1))
    P = network.theta.shape[1]
    assert P == (3 + 1) * 4 + (4 + 1) * 2
    with torch.no_grad():
        network.theta.copy_(torch.arange(2 * P).view(2, P))
    assert torch.equal(torch.cat([leaf.flatten(1) for layer in network.layers for leaf in layer], 1), network.theta)
    before = network(torch.ones(2, 1, 3))
    with torch.no_grad():
        network.theta.zero_()
    assert before.abs().sum() > 0
    assert torch.equal(network(torch.ones(2, 1, 3)), torch.zeros(2, 1, 2))


def test_an_optimizer_step_moves_the_policy_downhill():
    """Silent failure: `theta.grad` is not what `backward` fills, so the optimizer steps with zeros."""
    policy = ActorCritic(3, Categorical(2), (5,), generators(0, 1, 2))
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.05)
    x = torch.randn(3, 8, 3, generator=torch.Generator().manual_seed(0))

    def loss():
        return policy.outputs(x).sub(1).square().mean((1, 2)) + policy.values(x).sub(2).square().mean(1)

    first = loss()
    for _ in range(20):
        policy.backward(loss())
        optimizer.step()
    assert (loss() < 0.5 * first).all()


def test_a_second_derivative_is_refused():
    """Silent failure: `create_graph=True` gives a gradient that is cut off from the weights, and a penalty on it does nothing."""
    policy, x = ActorCritic(3, Categorical(2), (4,), generators(0)), torch.ones(1, 5, 3, requires_grad=True)
    with pytest.raises(RuntimeError, match="networks have first derivatives with respect to their weights alone"):
        torch.autograd.grad(policy.values(x.detach()).sum(), [policy.critic.theta], create_graph=True)
    with pytest.raises(RuntimeError, match="networks have first derivatives with respect to their weights alone"):
        policy.values(x).sum().backward()


# Initial weights ----------------------------------------------------------------------------------------------------------


@modest
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
def test_orthogonal_matrices_have_orthonormal_rows_or_columns(rows, columns, seed):
    """Silent failure: a matrix that merely looks random, whose layers shrink or blow up signals."""
    Q = orthogonal((rows, columns), np.random.default_rng(seed)).double()
    product = Q.T @ Q if rows >= columns else Q @ Q.T
    assert Q.shape == (rows, columns)
    torch.testing.assert_close(product, torch.eye(min(rows, columns)).double(), rtol=0, atol=1e-6)


def test_orthogonal_matrices_are_uniform():
    """Silent failure: QR's sign convention makes every diagonal entry negative, so all runs start in one corner.

    An entry of a uniform 3 × 3 orthogonal matrix has mean 0 and variance 1/3: the mean of 600 is within 4 σ.
    """
    rng = np.random.default_rng(0)
    mean = torch.stack([orthogonal((3, 3), rng) for _ in range(600)]).mean(0)
    assert mean.abs().max() < 4 * (1 / 3 / 600) ** 0.5


def test_initial_gains_are_those_of_stable_baselines():
    """Silent failure: a policy that starts opinionated (gain 1 instead of 0.01) explores less in every run."""
    policy = ActorCritic(4, Categorical(3), (16, 8), generators(5, 6))
    for network, gains in ((policy.actor, (2**0.5, 2**0.5, 0.01)), (policy.critic, (2**0.5, 2**0.5, 1.0))):
        for (weight, bias), gain in zip(network.layers, gains, strict=True):
            assert not bias.any()
            for W in weight.detach().double():
                product = W.T @ W if W.shape[0] >= W.shape[1] else W @ W.T
                torch.testing.assert_close(product, gain**2 * torch.eye(min(W.shape)).double(), rtol=0, atol=1e-6)


def test_initial_weights_depend_on_the_runs_own_generator_alone():
    """Silent failure: adding a seed to a study changes the networks of the others, or gives all of them the same one."""
    batched, alone = (
        ActorCritic(4, Categorical(2), (8, 8), generators(3, 4, 5)),
        ActorCritic(4, Categorical(2), (8, 8), generators(4)),
    )
    for many, one in zip(batched.parameters(), alone.parameters(), strict=True):
        assert torch.equal(many[1], one[0])
        assert not torch.equal(many[0], many[1])
    assert not torch.equal(alone.actor.layers[0].weight, alone.critic.layers[0].weight)


# Clipping -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_norm", [1e-4, 0.5, 3.0, float("inf")])
@modest
@given(st.integers(1, 4), st.integers(1, 20), st.integers(1, 20), st.floats(-3, 3), st.integers(0, 99))
def test_clip_equals_torchs_clip_grad_norm_of_each_run(max_norm, R, P, Q, log_scale, seed):
    """Silent failure: one run's exploding gradient scales down its neighbours', or actor and critic are clipped apart."""
    noise = torch.Generator().manual_seed(seed)
    scale = 10**log_scale * torch.logspace(-2, 2, R).unsqueeze(1)  # runs of very different size
    parameters = [nn.Parameter(torch.zeros(R, size)) for size in (P, Q)]
    for p in parameters:
        p.grad = torch.randn(p.shape, generator=noise) * scale
    single = [[nn.Parameter(torch.zeros(p.shape[1])) for p in parameters] for _ in range(R)]
    for r, row in enumerate(single):
        for one, many in zip(row, parameters, strict=True):
            one.grad = many.grad[r].clone()
    grads = [p.grad for p in parameters]
    norms = grad_norms(grads)
    clip(grads, norms, max_norm)
    assert norms.shape == (R,)
    for r, row in enumerate(single):
        expected = nn.utils.clip_grad_norm_(row, max_norm)
        torch.testing.assert_close(norms[r], expected, rtol=1e-5, atol=0)
        for one, many in zip(row, parameters, strict=True):
            torch.testing.assert_close(many.grad[r], one.grad, rtol=1e-5, atol=0)


def test_clip_leaves_zero_gradients_at_zero():
    """Silent failure: 0/0 at a solved task turns a run into NaN for ever."""
    p = nn.Parameter(torch.zeros(2, 3))
    p.grad = torch.tensor([[0.0, 0, 0], [3, 4, 0]])
    clip([p.grad], norms := grad_norms([p.grad]), 0.5)
    assert norms.tolist() == [0, 5]
    torch.testing.assert_close(p.grad, torch.tensor([[0.0, 0, 0], [0.3, 0.4, 0]]))
